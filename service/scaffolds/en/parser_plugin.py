# /// script
# requires-python = ">=3.11"
# dependencies = []          # libraries, such as "httpx>=0.27"; every plugin gets its own versions
# ///
"""Takes addresses of one host apart and looks at no network: makes up an entry for each quality in its settings."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from service.sdk import ConfigField, ParserPlugin


class ScaffoldPlugin(ParserPlugin):
    """The file holds one class like this; Plugbay finds it by its base class."""

    name = "scaffold"  # what requests and settings call it by; it need not be the file's name
    version = "0.1.0"
    description = "为地址列出清晰度 · Lists qualities of an address"

    def get_config_schema(self) -> list[ConfigField]:
        """The form on the page. What is entered there is in `self.config`, over these defaults."""
        return [
            ConfigField(name="host", label="主机 · Host", default="example.org", required=True),
            ConfigField(
                name="best",
                label="最高清晰度 · Best quality",
                type="select",
                options=["480p", "720p", "1080p"],
                default="1080p",
            ),
        ]

    def can_parse(self, url: str) -> bool:
        """Whether an address is one for this parser: asked of every address, so without a look at the network."""
        return urlsplit(url).hostname == str(self.config["host"])

    def parse_url(self, url: str) -> list[dict[str, Any]]:
        """Each entry has a `name` and a `url`, and anything more, as JSON.

        A plain method like this runs in a thread and may wait. In an `async def` everything that waits is awaited.
        """
        self.log.info("parsing %s", url)
        qualities = ["480p", "720p", "1080p"]
        kept = qualities[: qualities.index(self.config["best"]) + 1]
        return [{"name": one, "url": f"{url}?quality={one}", "quality": one} for one in reversed(kept)]
