"""Plugbay: search, download and parser plugins, changed while they run."""

__version__ = "0.1.0"
