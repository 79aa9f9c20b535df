"""The `plugbay` command: the server itself, and a client of a running one. One noun a module."""
