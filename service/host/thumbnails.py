"""The pictures of search results, fetched by the server and kept in memory for a while.

A page that loaded them itself would tell every site that a plugin names who searches for what, and its content policy
would have to allow pictures from anywhere. Plugins choose these addresses, so what may be asked is less than for
installs: the public internet, and the private hosts that a setting names. What comes is a picture by its own first
bytes and not by what its server says; SVG is none, since it can hold scripts.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver

from service.errors import PlugbayError, RequestRefused
from service.host.flights import Flights
from service.host.installing.addresses import check_url, matches_any, public_reason, shown
from service.host.installing.fetch import fetch_bytes, open_session
from service.model.text import Text

MAX_BYTES = 5 * 1024 * 1024

_TIMEOUT_S = 10.0
_REDIRECTS = 3
_AT_ONCE = 12
_ACCEPT = "image/avif, image/webp, image/png, image/jpeg, image/gif"
_KEPT_BYTES = 48 * 1024 * 1024
_KEPT_FAILURES = 1000
_FAILURE_KEPT_S = 60.0

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


class Picture(NamedTuple):
    """A picture; `format` is `png`, `jpeg`, `gif`, `webp` or `avif`."""

    content: bytes
    format: str

    @property
    def media_type(self) -> str:
        """What HTTP calls the format."""
        return f"image/{self.format}"


class Thumbnails:
    """See the module.

    Args:
        private_hosts: hosts that are asked although they are not on the public internet: `nas.lan`, or `*.lan`.
        resolver: looks hosts up; what it finds is checked.
    """

    def __init__(self, private_hosts: Sequence[str] = (), resolver: AbstractResolver | None = None) -> None:
        self._private_hosts = private_hosts
        self._resolver = resolver
        self._public: aiohttp.ClientSession | None = None
        self._private: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._fetching: Flights[Picture, None] = Flights("thumbnail")
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._kept_bytes = 0
        self._failed: OrderedDict[str, tuple[float, PlugbayError]] = OrderedDict()

    async def get(self, url: str) -> Picture:
        """The picture at an address.

        Raises:
            RequestRefused: `url_refused`, `too_large`; or `picture_invalid` where it is no picture that is allowed.
            FetchFailed: the address did not deliver.
        """
        address = str(check_url(url))
        kept = self._kept.get(address)
        if kept is not None:
            self._kept.move_to_end(address)
            return kept
        self._raise_known_failure(address)
        # A list that somebody scrolls past leaves pictures behind that would be fetched before those in sight: what
        # nobody waits for any more is given up.
        return await self._fetching.join(address, lambda tell: self._fetch(address), lambda news: None)

    async def close(self) -> None:
        """Stop what is under way. Calling it twice is safe."""
        await self._fetching.close()
        for session in (self._public, self._private):
            if session is not None:
                await session.close()
        self._public = self._private = None

    async def _fetch(self, address: str) -> Picture:
        try:
            async with self._slots:
                content = await self._content(address)
            format = _format_of(content)
            if format is None:
                raise _no_picture(address)
        except PlugbayError as error:
            self._keep_failure(address, error)
            raise
        return self._keep(address, Picture(content, format))

    async def _content(self, address: str) -> bytes:
        is_private = bool(self._private_hosts) and matches_any(check_url(address), self._private_hosts)
        try:
            return await fetch_bytes(
                address,
                accept=_ACCEPT,
                max_bytes=MAX_BYTES,
                timeout_s=_TIMEOUT_S,
                redirects=_REDIRECTS,
                # Such a host is trusted to name others like it, and no further ones.
                allowed_hosts=self._private_hosts if is_private else (),
                session=self._session(is_private),
            )
        except RequestRefused as error:
            raise _too_large(address) if error.code == "too_large" else error from None

    def _session(self, is_private: bool) -> aiohttp.ClientSession:
        if is_private:
            self._private = self._private or open_session(self._resolver, reuse=True)
            return self._private
        self._public = self._public or open_session(self._resolver, check=public_reason, reuse=True)
        return self._public

    def _keep(self, address: str, picture: Picture) -> Picture:
        self._kept[address] = picture
        self._kept_bytes += len(picture.content)
        while self._kept_bytes > _KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.content)
        return picture

    def _keep_failure(self, address: str, error: PlugbayError) -> None:
        self._failed[address] = (asyncio.get_running_loop().time() + _FAILURE_KEPT_S, error)
        while len(self._failed) > _KEPT_FAILURES:
            self._failed.popitem(last=False)

    def _raise_known_failure(self, address: str) -> None:
        until_s, error = self._failed.get(address, (0.0, None))
        if error is None:
            return
        if asyncio.get_running_loop().time() < until_s:
            # A new one each time: the traceback of an error that is raised twice grows.
            raise type(error)(error.text, code=error.code, **error.fields)
        del self._failed[address]


def _format_of(content: bytes) -> str | None:
    for start, format in _SIGNATURES:
        if content.startswith(start):
            return format
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[4:8] == b"ftyp":
        # The brands of the file: the major one, its version, then those that it is compatible with.
        brands = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
        if any(brands[at : at + 4] in (b"avif", b"avis") for at in range(0, len(brands), 4)):
            return "avif"
    return None


def _no_picture(address: str) -> RequestRefused:
    where = shown(check_url(address))
    return RequestRefused(
        Text(
            zh=f"{where} 不是 PNG、JPEG、GIF、WebP 或 AVIF 图片；请检查插件给出的 thumbnail",
            en=f"{where} is no PNG, JPEG, GIF, WebP or AVIF picture; check the `thumbnail` that the plugin gives",
        ),
        code="picture_invalid",
    )


def _too_large(address: str) -> RequestRefused:
    where, size = shown(check_url(address)), f"{MAX_BYTES // 1024**2} MiB"
    return RequestRefused(
        Text(
            zh=f"{where} 超过图片 {size} 的大小上限；插件应给出较小的 thumbnail",
            en=f"{where} is larger than {size}, the most for a picture; the plugin should give a smaller `thumbnail`",
        ),
        code="too_large",
        limit=MAX_BYTES,
    )
