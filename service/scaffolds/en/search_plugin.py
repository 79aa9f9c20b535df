# /// script
# requires-python = ">=3.11"
# dependencies = []          # libraries, such as "httpx>=0.27"; every plugin gets its own versions
# ///
"""Finds nothing real yet: makes results up from its settings, so that there is something to see and to change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from service.sdk import ConfigField, SearchPlugin, SearchResult


class ScaffoldPlugin(SearchPlugin):
    """The file holds one class like this; Plugbay finds it by its base class."""

    name = "scaffold"  # what requests and settings call it by; it need not be the file's name
    version = "0.1.0"
    description = "编造的示例结果 · Made-up results to begin with"

    def get_config_schema(self) -> list[ConfigField]:
        """The form on the page. What is entered there is in `self.config`, over these defaults."""
        return [
            ConfigField(name="site", label="网站 · Site", default="https://example.org", required=True),
            ConfigField(name="limit", label="结果数 · Results", type="number", default=3),
        ]

    async def start(self) -> None:
        """Runs before the first call: open what is needed here, not at import. `stop()` is its counterpart."""
        self.log.info("searching at %s", self.config["site"])

    async def self_check(self) -> None:
        """Raise here where it could not work; then the version that served before serves on."""
        if not str(self.config["site"]).startswith(("http://", "https://")):
            raise ValueError("site must begin with http:// or https://")

    async def search(self, keyword: str, **kwargs: Any) -> AsyncIterator[SearchResult]:
        """Yields results as they come, so that they are shown at once; returning a list works too.

        In an `async` method everything that waits is awaited: no `time.sleep`, no `requests`. A library that cannot do
        that is fine in a plain `def search`, which runs in a thread.
        """
        self.log.info("searching for %s", keyword)
        for number in range(1, int(self.config["limit"]) + 1):
            yield SearchResult(
                title=f"{keyword} {number}",
                url=f"{self.config['site']}/{quote(keyword)}/{number}",
                platform=self.name,
                metadata={"number": number},  # anything more, as JSON
            )

    async def get_video_info(self, url: str) -> SearchResult:
        """Optional: what is behind one address."""
        return SearchResult(title=url.rpartition("/")[2], url=url, platform=self.name)
