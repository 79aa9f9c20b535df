# /// script
# requires-python = ">=3.11"
# dependencies = []          # such as "httpx>=0.27"; each plugin gets its own
# ///
"""A parser plugin to begin with: copy it to `NAME_plugin.py` beside this file, and it is loaded at once.

Files named `plugin_template*` are not loaded.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from service.sdk import ParserPlugin


class TemplatePlugin(ParserPlugin):
    """One class of this kind in the file; its `name` is what requests call it by."""

    name = "template"
    version = "0.1.0"
    description = "一句话说明 · What it parses, in one line"

    def can_parse(self, url: str) -> bool:
        """Quick, and without a look at the network."""
        return urlsplit(url).hostname == "example.org"

    def parse_url(self, url: str) -> list[dict[str, Any]]:
        """Each entry has a `name` and a `url`, and anything more."""
        return [{"name": "Example", "url": url, "quality": "1080p"}]
