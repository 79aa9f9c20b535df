# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Lists the media and links of an HTML page."""

from __future__ import annotations

import re
import urllib.request
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from service.sdk import ConfigField, ParserPlugin

MEDIA_SUFFIXES = (".mp4", ".m4v", ".mkv", ".webm", ".mov", ".mp3", ".m4a", ".flac", ".ogg", ".wav", ".m3u8")
PAGE_MAX_BYTES = 5 * 1024 * 1024


class PagePlugin(ParserPlugin):
    """Media come first, then links, each once, in the order of the page."""

    name = "page"
    version = "1.0.0"
    description = "列出网页中的媒体和链接 · Lists the media and links of a page"

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="show",
                label="列出 · List",
                type="select",
                default="all",
                options=["all", "media", "links"],
            ),
            ConfigField(name="limit", label="最多条数 · Entries at most", type="number", default=200),
            ConfigField(name="timeout_s", label="超时（秒）· Timeout in seconds", type="number", default=15),
        ]

    def can_parse(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)

    def parse_url(self, url: str) -> list[dict[str, Any]]:
        """`name`, `url` and `kind` of each; a plain method, so the wait for the page holds up nobody else."""
        if not self.can_parse(url):
            raise ValueError(f"{url} is not an http or https address")
        request = urllib.request.Request(url, headers={"User-Agent": f"Plugbay-{self.name}/{self.version}"})
        with urllib.request.urlopen(request, timeout=float(self.config.get("timeout_s") or 15)) as response:
            address = response.url
            kind = response.headers.get_content_type()
            if kind.startswith(("video/", "audio/")):
                return [{"name": file_title(address), "url": address, "kind": kind.partition("/")[0]}]
            if kind not in ("text/html", "application/xhtml+xml"):
                raise ValueError(f"{address} is {kind}, not a page")
            body = response.read(PAGE_MAX_BYTES)
            charset = response.headers.get_content_charset()
        page = Page(address)
        page.feed(decoded(body, charset))
        page.close()
        show = self.config.get("show") or "all"
        entries = [*(page.media if show != "links" else []), *(page.links if show != "media" else [])]
        self.log.info("%s: %d media, %d links", address, len(page.media), len(page.links))
        limit = max(1, int(self.config.get("limit") or 200))
        return [{**entry, "page": page.title or address} for entry in entries[:limit]]


class Page(HTMLParser):
    """Collects what a page shows and leads to."""

    def __init__(self, address: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = address
        self.title = ""
        self.media: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self._seen: set[str] = set()
        self._in_title = False
        self._link: dict[str, Any] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        match tag:
            case "title":
                self._in_title = not self.title
            case "base" if "href" in values:
                self.base = urljoin(self.base, values["href"])
            case "a" if "href" in values:
                self._end_link()
                self._link = self._add(values["href"], "", None)
            case "video" | "audio" | "source" | "iframe" if "src" in values:
                kind = "video" if values.get("type", "").startswith("video/") else tag
                self._add(values["src"], values.get("title", ""), kind)
            case "meta" if values.get("property") in ("og:video", "og:video:url", "og:audio"):
                self._add(values.get("content", ""), "", values["property"].split(":")[1])

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag == "a":
            self._end_link()

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = f"{self.title}{data}".strip()
        if self._link is not None:
            self._link["name"] = re.sub(r"\s+", " ", f"{self._link['name']}{data}").lstrip()

    def close(self) -> None:
        super().close()
        self._end_link()

    def _end_link(self) -> None:
        """The text inside a link is its name; one without text is named by its address."""
        if self._link is not None:
            self._link["name"] = self._link["name"].strip() or file_title(self._link["url"])
        self._link = None

    def _add(self, address: str, name: str, kind: str | None) -> dict[str, Any] | None:
        try:
            url = urldefrag(urljoin(self.base, address.strip())).url
        except ValueError:  # not an address at all, such as http://[
            return None
        if urlsplit(url).scheme not in ("http", "https") or url in self._seen:
            return None
        self._seen.add(url)
        if kind is None:
            is_file = urlsplit(url).path.lower().endswith(MEDIA_SUFFIXES)
            entry = {"name": name, "url": url, "kind": "file" if is_file else "link"}
            (self.media if is_file else self.links).append(entry)
        else:
            entry = {"name": name or file_title(url), "url": url, "kind": kind}
            self.media.append(entry)
        return entry


def decoded(body: bytes, charset: str | None) -> str:
    """The text of a page: by its header, else by what its first kilobyte says, else UTF-8."""
    found = re.search(rb"charset=[\"']?([A-Za-z0-9_.:-]+)", body[:1024])
    for name in (charset, found[1].decode("ascii") if found else None):
        if name:
            try:
                return body.decode(name, errors="replace")
            except LookupError:  # no encoding has that name
                continue
    return body.decode("utf-8", errors="replace")


def file_title(url: str) -> str:
    """The last part of an address's path, or its host."""
    parts = urlsplit(url)
    return parts.path.rstrip("/").rpartition("/")[2] or parts.netloc
