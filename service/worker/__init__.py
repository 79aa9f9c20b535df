"""Where plugins run: a template process that forks workers, and what a worker does. Standard library only."""
