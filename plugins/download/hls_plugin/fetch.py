"""Fetches what a playlist names: playlists, keys and pieces, each again until it is whole or has failed too often.

HlsFailed
├── FetchFailed    an address did not give what it should, after all attempts
└── CannotWrite    this machine's disk, not the network
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import unquote_to_bytes

from plugins.download.hls_plugin.decoding import Decoder, decoder_for
from plugins.download.hls_plugin.spool import HlsFailed, Spool
from plugins.shared import web_failures
from plugins.shared.hls_playlist import PLAYLIST_MAX_BYTES, Piece, Span
from plugins.shared.web_documents import Answer, Stream, Web, bad_status
from plugins.shared.web_failures import Broken

KEY_BYTES = 16
KEY_MAX_BYTES = 4096
KEYS_KEPT = 1024
# These are the connection's own, or would break what is counted here.
_OWN_HEADERS = frozenset(
    "accept-encoding connection content-length host if-range keep-alive range te transfer-encoding upgrade".split()
)

T = TypeVar("T")


class FetchFailed(HlsFailed):
    """An address did not give what it should, after all attempts.

    Args:
        url: the address.
        reason: what went wrong the last time.
        attempts: how often it was tried.
        status: the HTTP status, where that was it.
    """

    def __init__(self, url: str, reason: str, attempts: int, status: int | None = None) -> None:
        super().__init__(f"{url}: {reason} ({attempts} attempts)" if attempts > 1 else f"{url}: {reason}")
        self.url = url
        self.reason = reason
        self.status = status
        self.attempts = attempts


class Fetcher:
    """One download's connections.

    Args:
        headers: sent with every request, such as `Referer` and `User-Agent`.
        home: the address whose host may see `Cookie` and `Authorization` among them.
        parallel: how many pieces are fetched at once.
        timeout_s: how long nothing, or next to nothing, may come, in seconds.
        retries: how often a failed address is tried again.
    """

    def __init__(
        self, headers: Mapping[str, str], home: str, *, parallel: int, timeout_s: float, retries: int
    ) -> None:
        own = {name: value for name, value in headers.items() if name.lower() not in _OWN_HEADERS}
        self._web = Web(own, timeout_s=timeout_s, stalls=True, retries=retries, home=home)
        # Playlists, keys and tracks come beside the pieces, and must not wait for them.
        self._slots = asyncio.Semaphore(parallel)
        self._keys: OrderedDict[str, bytes] = OrderedDict()
        self._key_locks: dict[str, asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        await self._web.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._web.__aexit__(kind, error, trace)

    @property
    def received(self) -> int:
        """Bytes that came, the failed attempts' too."""
        return self._web.received

    async def playlist(self, url: str) -> tuple[str, str]:
        """A playlist's text, with the address that it came from after redirects.

        Raises:
            FetchFailed
        """
        answer = await self._tried(url, lambda: self._web.document(url, max_bytes=PLAYLIST_MAX_BYTES))
        return answer.url, answer.body.decode("utf-8-sig", errors="replace")

    async def key(self, url: str) -> bytes:
        """An AES-128 key; fetched once, however many segments ask for it at a time.

        Raises:
            FetchFailed
        """
        async with self._key_locks.setdefault(url, asyncio.Lock()):
            if url not in self._keys:
                self._keys[url] = await self._tried(url, lambda: self._web.again(lambda: self._key(url)))
            self._keys.move_to_end(url)
        if len(self._keys) > KEYS_KEPT:
            oldest, _ = self._keys.popitem(last=False)
            self._key_locks.pop(oldest, None)
        return self._keys[url]

    async def piece(self, piece: Piece, folder: Path) -> Spool:
        """A piece, whole and decrypted; whoever gets it closes it.

        Args:
            piece: what to fetch.
            folder: where it may be spooled to.

        Raises:
            FetchFailed
            CannotWrite
        """
        key = await self.key(piece.key.url) if piece.key else None
        spool = Spool(folder)

        async def attempt() -> None:
            async with self._slots:
                await self._piece(piece, key, spool)

        try:
            await self._tried(piece.url, lambda: self._web.again(attempt))
        except BaseException:
            spool.close()
            raise
        return spool

    async def _tried(self, url: str, attempts: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempts()
        except web_failures.AddressRefused as error:
            raise HlsFailed(
                f"redirected to {error.target[:200]}; only http and https addresses are fetched"
            ) from error
        except web_failures.FetchFailed as error:
            status = error.status if isinstance(error, web_failures.BadStatus) else None
            raise FetchFailed(url[:2000], str(error), error.attempts, status) from error

    async def _key(self, url: str) -> bytes:
        if url[:5].lower() == "data:":
            body = _data_of(url)
        else:
            answer = await self._web.get(url, max_bytes=KEY_MAX_BYTES)
            if answer.status != 200:
                raise bad_status(answer)
            body = answer.body
        if len(body) != KEY_BYTES:
            raise Broken(f"a key has {KEY_BYTES} bytes, this one {len(body)}")
        return body

    async def _piece(self, piece: Piece, key: bytes | None, spool: Spool) -> None:
        await spool.clear()
        headers = {"Accept-Encoding": "identity"}
        if piece.span:
            headers["Range"] = f"bytes={piece.span.start}-{piece.span.start + piece.span.length - 1}"
        decoder = decoder_for(piece, key)
        async with self._web.open(piece.url, headers) as stream:
            _require_success(stream.answer, piece.span)
            await _take(stream, piece.span, spool, decoder)
        if decoder:
            await spool.write(decoder.end())
        if not spool.size:
            raise Broken("it is empty")
        if spool.looks_like_html():
            raise Broken("the server answered with a web page")


def _require_success(answer: Answer, span: Span | None) -> None:
    if answer.status not in (200, 206):
        raise bad_status(answer)
    if answer.status == 206 and span is None:
        raise Broken("HTTP 206: a part of it came that nobody asked for")


async def _take(stream: Stream, span: Span | None, spool: Spool, decoder: Decoder | None) -> None:
    """Read the bytes that are wanted into the spool."""
    skip = _unwanted_start(stream.answer, span)
    missing = span.length if span else None
    while chunk := await stream.read():
        if skip:
            skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
        if missing is not None:
            chunk = chunk[:missing]
            missing -= len(chunk)
        if chunk:
            await spool.write(decoder.take(chunk) if decoder else chunk)
        if missing == 0 and stream.answer.status == 200:
            break  # the rest of the file is the other segments
    if missing:
        raise Broken(f"{missing} bytes of its byte range are missing")
    if stream.has_excess():
        raise Broken("more came than its Content-Length says")


def _unwanted_start(answer: Answer, span: Span | None) -> int:
    """How many bytes come before the wanted ones: all before them where the server does not know ranges."""
    if span is None or answer.status != 206:
        return span.start if span else 0
    found = re.match(r"\s*bytes\s+(\d+)-(\d+)/", answer.headers.get("Content-Range", ""), re.IGNORECASE)
    if not found or int(found[1]) > span.start or int(found[2]) < span.start + span.length - 1:
        given = answer.headers.get("Content-Range", "none")[:80]
        raise Broken(f"asked for bytes {span.start}-{span.start + span.length - 1}, got the range {given}")
    return span.start - int(found[1])


def _data_of(url: str) -> bytes:
    about, _, body = url[5:].partition(",")
    data = unquote_to_bytes(body)
    if not about.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise Broken("the key in the playlist is not Base64") from error
