"""The plugin folder: watched, read, and kept as it was last read."""
