"""The work that plugins are for: searches, parses and downloads, as tasks that outlive their request."""
