"""The processes that plugins run in, and how the server talks to them."""
