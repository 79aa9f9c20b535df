"""How plugins are called, and how long their loads take."""
