"""Plugins looked at and tried without a server: what `plugbay check` and `plugbay try FILE` stand on."""
