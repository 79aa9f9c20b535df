"""From an address or an upload to a plugin that serves."""
