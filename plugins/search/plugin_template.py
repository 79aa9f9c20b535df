# /// script
# requires-python = ">=3.11"
# dependencies = []          # such as "httpx>=0.27"; each plugin gets its own
# ///
"""A search plugin to begin with: copy it to `NAME_plugin.py` beside this file, and it is loaded at once.

Files named `plugin_template*` are not loaded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from service.sdk import ConfigField, SearchPlugin, SearchResult


class TemplatePlugin(SearchPlugin):
    """One class of this kind in the file; its `name` is what requests call it by."""

    name = "template"
    version = "0.1.0"
    description = "一句话说明 · What it finds, in one line"

    def get_config_schema(self) -> list[ConfigField]:
        """The form for people; what they enter is in `self.config`."""
        return [ConfigField(name="greeting", label="问候语 · Greeting", default="Hello")]

    async def start(self) -> None:
        """Before the first call: open what is needed. `self.data_dir` is a folder of the plugin's own."""
        self.log.info("ready, with %s", self.data_dir)

    async def stop(self) -> None:
        """After the last call: close it."""

    async def search(self, keyword: str, **kwargs: Any) -> AsyncIterator[SearchResult]:
        """Yield results as they come, or return a list of them. A plain `def` works too, in a thread."""
        yield SearchResult(
            title=f"{self.config['greeting']}, {keyword}", url="https://example.org/", platform=self.name
        )

    async def get_video_info(self, url: str) -> SearchResult:
        """Optional: what is behind one address."""
        return SearchResult(title=url, url=url, platform=self.name)
