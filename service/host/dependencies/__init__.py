"""What plugins need besides the standard library: declared, resolved, installed into sets of their own."""
