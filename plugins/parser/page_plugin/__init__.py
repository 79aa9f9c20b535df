# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20", "trafilatura>=2.0", "lxml_html_clean>=0.4"]
# ///
"""Reads an HTML page: title, main text, media, links and what it says of itself."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from plugins.parser.page_plugin.content import TEXT_MAX_CHARS, Page, file_title
from plugins.parser.page_plugin.fetch import Fetched, fetch
from plugins.shared.lenient_values import as_number
from plugins.shared.readable_text import decoded
from plugins.shared.web_origins import is_web_address
from service.sdk import ConfigField, ParserPlugin

PAGE_MAX_BYTES = 5 * 1024 * 1024
IMAGES_MAX = 50
# Finding the main text takes time by how many elements there are and how deep; beyond this, a plainer way is taken.
MAIN_TEXT_MAX_TAGS = 8000
MAIN_TEXT_MAX_ATTRIBUTES = 1000
MAIN_TEXT_MAX_CHARS = 1_500_000
# Texts for programs: there is nothing in them that this could list.
_NO_FILES = ("text/", "application/json", "application/xml", "application/javascript")
# What an address ends in that is a file and no page.
FILES = frozenset(
    ".m3u8 .m3u .mpd .mp4 .m4v .mkv .webm .avi .mov .flv .wmv .ts .mp3 .m4a .flac .ogg .opus .wav .aac "
    ".torrent .zip .rar .7z .gz .iso .epub .jpg .jpeg .png .gif .webp .svg".split()
)
_STREAMS = ("mpegurl", "dash+xml")


class PagePlugin(ParserPlugin):
    """The page itself comes first, then media, then links, each once, in the order of the page."""

    name = "page"
    version = "2.0.0"
    description = "网页的标题、正文、媒体和链接 · Title, text, media and links of a page"

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="show",
                label="列出 · List",
                type="select",
                default="all",
                options=["all", "page", "media", "links"],
            ),
            ConfigField(
                name="limit",
                label="最多条数 · Entries at most",
                type="number",
                default=200,
                description="页面本身不计 · The page itself does not count",
            ),
            ConfigField(name="timeout_s", label="超时（秒）· Timeout in seconds", type="number", default=15),
        ]

    def can_parse(self, url: str) -> bool:
        """Any address of the web that is not plainly a file: all parsers are asked for each episode of a search."""
        return is_web_address(url) and PurePosixPath(urlsplit(url).path).suffix.lower() not in FILES

    def parse_url(self, url: str) -> list[dict[str, Any]]:
        """`name`, `url` and `kind` of each; a plain method, so the wait for the page holds up nobody else.

        The first, of kind `page`, has `title`, `description`, `text`, `og`, `language`, `canonical`, `site_name` and
        `published` besides. An address that is a file gives one entry with its `type` and `size`.

        Raises:
            ValueError: not an http or https address, or neither a page nor a file.
            ConnectionError: there was no answer, or an error.
            TimeoutError: it took longer than configured.
        """
        if not is_web_address(url):
            raise ValueError(f"{url} is not an http or https address")
        found = fetch(
            url,
            user_agent=f"Mozilla/5.0 (compatible; Plugbay-{self.name}/{self.version})",
            timeout_s=as_number(self.config.get("timeout_s") or None, 15, 0.1, 300),
            max_bytes=PAGE_MAX_BYTES,
        )
        if not found.is_page:
            return [file_entry(found)]
        document = decoded(found.body, found.charset)
        page = Page(found.url, document)
        show = self.config.get("show") or "all"
        media = [*page.media, *page.images[:IMAGES_MAX]] if show in ("all", "media") else []
        links = page.links if show in ("all", "links") else []
        limit = int(as_number(self.config.get("limit") or None, 200, 1, 10_000))
        entries = [*media, *links][:limit]
        self.log.info("%s: %d media, %d links", found.url, len(page.media), len(page.links))
        itself = page.about()
        title = itself["title"] or found.url
        entries = [{**entry, "page": title} for entry in entries]
        if show in ("all", "page"):
            itself["text"] = self._main_text(page, document)
            if found.is_cut:
                itself["is_cut"] = True
            entries.insert(0, itself)
        return entries

    def _main_text(self, page: Page, document: str) -> str:
        text: str | None = None
        is_tame = page.tags <= MAIN_TEXT_MAX_TAGS and page.attributes_most <= MAIN_TEXT_MAX_ATTRIBUTES
        if is_tame and len(document) <= MAIN_TEXT_MAX_CHARS:
            # Half a second, paid with the first page: loading the plugin stays cheap.
            import trafilatura

            try:
                text = trafilatura.extract(document, include_comments=False)
            except Exception:  # strangers' pages find what its authors did not
                self.log.warning("%s: its main text was not found", page.address, exc_info=True)
        return (text or page.plain_text())[:TEXT_MAX_CHARS]


def file_entry(found: Fetched) -> dict[str, Any]:
    """The one entry of an address that is a file.

    Raises:
        ValueError: it is text for programs, such as JSON.
    """
    is_stream = any(stream in found.type for stream in _STREAMS)
    is_text = found.type.startswith(_NO_FILES) or found.type.endswith(("+json", "+xml"))
    if is_text and not is_stream and not found.type.startswith("image/"):
        raise ValueError(f"{found.url} is {found.type}, not a page")
    major = found.type.partition("/")[0]
    if is_stream:
        kind = "video"
    elif major in ("image", "video", "audio"):
        kind = major
    else:
        kind = {"application/pdf": "document", "application/x-bittorrent": "torrent"}.get(found.type, "file")
    return {
        "name": found.name or file_title(found.url),
        "url": found.url,
        "kind": kind,
        "type": found.type or "application/octet-stream",
        "size": found.size,
    }
