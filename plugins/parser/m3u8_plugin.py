# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20", "m3u8>=6.0"]
# ///
"""Lists what is in an `.m3u8`, and the configured resolvers' addresses of any page."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from plugins.shared.hls_playlist import (
    PLAYLIST_MAX_BYTES,
    MasterPlaylist,
    MediaPlaylist,
    PlaylistRefused,
    read_playlist,
)
from plugins.shared.lenient_values import not_negative
from plugins.shared.web_documents import Web
from plugins.shared.web_failures import FetchFailed
from plugins.shared.web_origins import is_web_address
from service.sdk import ConfigField, ParserPlugin

RETRIES = 1
CHANNELS_MAX = 5000


class Resolver(NamedTuple):
    """A service that makes something playable of a page's address; `kind` is `page` or `json`."""

    name: str
    url: str
    kind: str

    def address_for(self, url: str) -> str:
        """Where it has the answer for that address."""
        encoded = quote(url, safe="")
        return self.url.replace("{url}", encoded) if "{url}" in self.url else self.url + encoded


class M3u8Plugin(ParserPlugin):
    """The variants of a master playlist, or what a media playlist is; then one entry of each resolver."""

    name = "m3u8"
    version = "1.0.0"
    description = "解析 m3u8 清晰度与解析接口 · Qualities of an m3u8, and resolvers for pages"

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="resolvers",
                label="解析接口 · Resolvers",
                type="list",
                default=[],
                description="对任何 http(s) 地址各生成一条结果 · Each gives an entry for any http(s) address",
                fields=[
                    ConfigField(name="name", label="名称 · Name"),
                    ConfigField(
                        name="url",
                        label="地址 · Address",
                        required=True,
                        description="含 {url} 的模板，或前缀，如 https://jx.example.org/?url= · "
                        "A template with {url}, or a prefix",
                    ),
                    ConfigField(
                        name="type",
                        label="类型 · Type",
                        type="select",
                        default="page",
                        options=["page", "json"],
                        description="page 只生成地址；json 请求接口并读取其中的 url · "
                        "page only makes the address; json asks it and reads url from the answer",
                    ),
                ],
            ),
            ConfigField(
                name="patterns",
                label="更多 m3u8 地址 · More m3u8 addresses",
                description="正则表达式，空格或换行分隔 · Regular expressions, with spaces or line breaks in between",
            ),
            ConfigField(name="timeout_s", label="超时（秒）· Timeout in seconds", type="number", default=15),
            ConfigField(name="user_agent", label="User-Agent"),
            ConfigField(name="referer", label="Referer"),
        ]

    def can_parse(self, url: str) -> bool:
        return is_web_address(url) and (self._is_playlist(url) or any(self._resolvers()))

    async def parse_url(self, url: str) -> list[dict[str, Any]]:
        """`name`, `url` and `kind` (`variant`, `media`, `entry` or `resolver`) of each, with what else is known.

        Raises:
            ValueError: not an address for this parser, or no playlist there.
            RuntimeError: nothing could be had.
        """
        if not is_web_address(url):
            raise ValueError(f"{url} is not an http or https address")
        if not self.can_parse(url):
            raise ValueError(f"{url} is no m3u8 address, and no resolver is configured for others")
        jobs = [self._resolved(resolver, url) for resolver in self._resolvers()]
        if self._is_playlist(url):
            jobs.insert(0, self._playlist(url))
        entries: list[dict[str, Any]] = []
        failures: list[Exception] = []
        for outcome in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(outcome, Exception):
                failures.append(outcome)
                self.log.warning("%s: %s", url, outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                entries += outcome
        if failures and not entries:
            raise failures[0]
        return entries

    def _is_playlist(self, url: str) -> bool:
        if urlsplit(url).path.lower().endswith((".m3u8", ".m3u")):
            return True
        return any(pattern.search(url) for pattern in self._patterns())

    def _patterns(self) -> Iterator[re.Pattern[str]]:
        configured = self.config.get("patterns") or ""
        for text in configured.split() if isinstance(configured, str) else map(str, configured):
            try:
                yield re.compile(text)
            except re.error as error:
                self.log.warning("the pattern %r is not a regular expression: %s", text, error)

    def _resolvers(self) -> Iterator[Resolver]:
        """The configured ones; an entry may also be a bare address, as older lists have them."""
        configured = self.config.get("resolvers") or []
        for entry in configured if isinstance(configured, list) else str(configured).split():
            about = entry if isinstance(entry, Mapping) else {"url": str(entry)}
            address = str(about.get("url") or "").strip()
            if not is_web_address(address) or about.get("enabled") is False:
                continue
            name = str(about.get("name") or "").strip() or str(urlsplit(address).hostname)
            kind = "json" if str(about.get("type") or "").strip().lower() == "json" else "page"
            yield Resolver(name, address, kind)

    async def _fetched(self, url: str) -> tuple[str, str]:
        """The text of a document, with the address that it came from after redirects."""
        headers = {"User-Agent": str(self.config.get("user_agent") or f"Plugbay-{self.name}/{self.version}")}
        if referer := str(self.config.get("referer") or ""):
            headers["Referer"] = referer
        timeout_s = max(0.1, not_negative(self.config.get("timeout_s"), 15))
        try:
            async with Web(headers, timeout_s=timeout_s, stalls=True, retries=RETRIES) as web:
                answer = await web.document(url, max_bytes=PLAYLIST_MAX_BYTES)
        except FetchFailed as error:
            raise RuntimeError(f"{url[:2000]}: {error}") from error
        return answer.url, answer.body.decode("utf-8-sig", errors="replace")

    async def _resolved(self, resolver: Resolver, url: str) -> list[dict[str, Any]]:
        address = resolver.address_for(url)
        if resolver.kind == "page":
            return [{"name": resolver.name, "url": address, "kind": "resolver", "type": "page"}]
        final, text = await self._fetched(address)
        try:
            found = _url_in(json.loads(text))
        except ValueError as error:
            raise ValueError(f"the resolver {resolver.name} did not answer with JSON") from error
        if not found:
            raise ValueError(f"the resolver {resolver.name} gave no address: {text[:200]}")
        playable = urljoin(final, found)
        if not is_web_address(playable):
            raise ValueError(f"the resolver {resolver.name} gave {playable[:200]!r}, not a web address")
        return [{"name": resolver.name, "url": playable, "kind": "resolver", "type": "json"}]

    async def _playlist(self, url: str) -> list[dict[str, Any]]:
        address, text = await self._fetched(url)
        # A list without any HLS in it; the oldest kind has no first line to know it by.
        is_list = text.lstrip("\ufeff \r\n").startswith("#EXTM3U") or urlsplit(address).path.endswith(".m3u")
        entries = list(_entries(text, address)) if is_list and "#EXT-X-" not in text else []
        if entries and "<html" not in text.lower():
            return entries[:CHANNELS_MAX]
        try:
            playlist = read_playlist(text, address)
        except PlaylistRefused as error:
            if "#EXT-X-KEY" not in text:
                raise
            # There is a stream, only none to download; whoever asks wants to know that.
            return [{"name": _title(address), "url": address, "kind": "media", "protected": str(error)}]
        return _variants(playlist) if isinstance(playlist, MasterPlaylist) else [_media(playlist, address)]


def _variants(master: MasterPlaylist) -> list[dict[str, Any]]:
    """The best comes first."""
    return [
        {
            "name": variant.label,
            "url": variant.url,
            "kind": "variant",
            "bandwidth": variant.bandwidth,
            "width": variant.width,
            "height": variant.height,
            "codecs": variant.codecs,
            "frame_rate": variant.frame_rate,
            "audio": [
                {
                    "group": sound.group,
                    "name": sound.name,
                    "language": sound.language,
                    "default": sound.default,
                    "url": sound.url,
                }
                for sound in master.audio
                if sound.group == variant.audio
            ],
        }
        for variant in sorted(master.variants, key=lambda one: one.rank, reverse=True)
    ]


def _media(media: MediaPlaylist, url: str) -> dict[str, Any]:
    """`duration` in seconds, of what a live playlist shows now."""
    return {
        "name": _title(url),
        "url": url,
        "kind": "media",
        "duration": round(sum(segment.duration for segment in media.segments), 3),
        "segments": len(media.segments),
        "encrypted": any(segment.piece.key for segment in media.segments),
        "live": not media.ended,
    }


def _entries(text: str, base: str) -> Iterator[dict[str, Any]]:
    """The entries of a plain list, such as television channels, by their titles."""
    title = ""
    for raw in re.split(r"\r\n|\r|\n", text.lstrip("\ufeff")):
        line = raw.strip()
        if line.startswith("#EXTINF"):
            # Attributes before the title may have commas too, in quotes.
            title = re.sub(r'"[^"]*"', "", line).partition(",")[2].strip()
        elif line and not line.startswith("#"):
            url = urljoin(base, line)
            if is_web_address(url):
                yield {"name": title or _title(url), "url": url, "kind": "entry"}
            title = ""


def _url_in(answer: Any) -> str | None:
    """The `url` of a JSON answer, at its top or one level below (`data`, as many resolvers have it)."""
    if not isinstance(answer, Mapping):
        return None
    for level in (answer, *(one for one in answer.values() if isinstance(one, Mapping))):
        if isinstance(found := level.get("url"), str) and found.strip():
            return found.strip()
    return None


def _title(url: str) -> str:
    parts = urlsplit(url)
    return parts.path.rstrip("/").rpartition("/")[2] or parts.netloc
