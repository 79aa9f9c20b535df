"""A helper of the user's own that is called like one of the original's modules."""

SUFFIX = "!"
