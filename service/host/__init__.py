"""Files in, running plugins out: watching, loading, serving and retiring, with one worker process a generation."""
