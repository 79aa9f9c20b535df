"""Fetches what a playlist names: playlists, keys and pieces, each again until it is whole or has failed too often.

HlsFailed
├── FetchFailed    an address did not give what it should, after all attempts
└── CannotWrite    this machine's disk, not the network
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit, urlunsplit

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from yarl import URL

from plugins.download.hls_playlist import Key, Piece, Span
from plugins.download.hls_spool import HlsFailed, Spool

PLAYLIST_MAX_BYTES = 32 * 1024 * 1024
KEY_BYTES = 16
KEYS_KEPT = 1024
INIT_MAX_BYTES = 16 * 1024 * 1024
REDIRECTS_MAX = 10
READ_BYTES = 256 * 1024
# Less than this is a segment that hangs, not one that comes slowly.
SLOWEST_BYTES_S = 1024
BACKOFF_S = 0.5
BACKOFF_MAX_S = 10.0
RETRY_AFTER_MAX_S = 60.0
# These are the connection's own, or would break what is counted here.
_OWN_HEADERS = frozenset(
    "accept-encoding connection content-length host if-range keep-alive range te transfer-encoding upgrade".split()
)
# Meant for one server; an address on another must not see them.
_PRIVATE_HEADERS = frozenset({"authorization", "cookie"})

T = TypeVar("T")


class FetchFailed(HlsFailed):
    """An address did not give what it should, after all attempts.

    Args:
        url: the address.
        reason: what went wrong the last time.
        status: the HTTP status, where that was it.
        attempts: how often it was tried.
    """

    def __init__(self, url: str, reason: str, attempts: int, status: int | None = None) -> None:
        super().__init__(f"{url}: {reason} ({attempts} attempts)" if attempts > 1 else f"{url}: {reason}")
        self.url = url
        self.reason = reason
        self.status = status
        self.attempts = attempts


class _BadAnswer(Exception):
    """One attempt's answer is not what was asked for; another may be."""

    def __init__(self, reason: str, status: int | None = None, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.wait_s = wait_s


class Fetcher:
    """One download's connections.

    Args:
        headers: sent with every request, such as `Referer` and `User-Agent`.
        home: the address whose host may see `Cookie` and `Authorization` among them.
        parallel: how many pieces are fetched at once.
        timeout_s: how long nothing, or next to nothing, may come, in seconds.
        retries: how often a failed address is tried again.

    Attributes:
        received: bytes that came, the failed attempts' too.
    """

    def __init__(
        self, headers: Mapping[str, str], home: str, *, parallel: int, timeout_s: float, retries: int
    ) -> None:
        self._headers = {name: value for name, value in headers.items() if name.lower() not in _OWN_HEADERS}
        self._home = urlsplit(home).hostname
        self._timeout_s = timeout_s
        self._retries = retries
        self._slots = asyncio.Semaphore(parallel)
        self._keys: OrderedDict[str, bytes] = OrderedDict()
        self._key_locks: dict[str, asyncio.Lock] = {}
        self._session = aiohttp.ClientSession(
            # Playlists, keys and tracks come beside the pieces, and must not wait for them.
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=0),
            cookie_jar=aiohttp.CookieJar(unsafe=True, quote_cookie=False),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout_s),
            read_bufsize=READ_BYTES,
        )
        self.received = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # the sockets are closed in the loop's next round

    async def playlist(self, url: str) -> tuple[str, str]:
        """A playlist's text, with the address that it came from after redirects.

        Raises:
            FetchFailed
        """
        address, body = await self._attempts(url, lambda: self._whole(url, PLAYLIST_MAX_BYTES, "playlist"))
        return address, body.decode("utf-8-sig", errors="replace")

    async def key(self, url: str) -> bytes:
        """An AES-128 key; fetched once, however many segments ask for it at a time.

        Raises:
            FetchFailed
        """
        async with self._key_locks.setdefault(url, asyncio.Lock()):
            if url not in self._keys:
                self._keys[url] = await self._attempts(url, lambda: self._key(url))
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
            await self._attempts(piece.url, attempt)
        except BaseException:
            spool.close()
            raise
        return spool

    async def _attempts(self, url: str, attempt: Callable[[], Awaitable[T]]) -> T:
        for number in range(self._retries + 1):
            try:
                return await attempt()
            except (_BadAnswer, aiohttp.ClientError, OSError, ValueError) as error:
                if number == self._retries:
                    status = error.status if isinstance(error, _BadAnswer) else None
                    raise FetchFailed(url[:2000], self._reason(error), number + 1, status) from error
                wait_s = error.wait_s if isinstance(error, _BadAnswer) else 0.0
            # Jitter, so that pieces which failed together do not come back together.
            ceiling = min(BACKOFF_MAX_S, BACKOFF_S * 2**number)
            await asyncio.sleep(max(wait_s, ceiling * random.uniform(0.5, 1.0)))
        raise AssertionError("unreachable")

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"too slow: next to nothing came for {self._timeout_s:g} s"
        text = str(error).splitlines()[0] if str(error) else ""
        if isinstance(error, aiohttp.ClientPayloadError):
            return f"it ended before its Content-Length ({text[:200]})"
        if isinstance(error, aiohttp.ClientResponseError):
            return f"the answer is not valid HTTP, or longer than its Content-Length ({text[:200]})"
        return text[:300] or type(error).__name__

    async def _whole(self, url: str, limit: int, what: str) -> tuple[str, bytes]:
        async with asyncio.timeout(self._timeout_s) as alarm:
            async with self._open(url, {}) as (response, address):
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    self.received += len(chunk)
                    if len(body) > limit:
                        raise _BadAnswer(f"longer than the {limit} bytes that a {what} may have")
                    alarm.reschedule(asyncio.get_running_loop().time() + self._timeout_s)
        return address, bytes(body)

    async def _key(self, url: str) -> bytes:
        if url[:5].lower() == "data:":
            body = _data_of(url)
        else:
            _, body = await self._whole(url, READ_BYTES, "key")
        if len(body) != KEY_BYTES:
            raise _BadAnswer(f"a key has {KEY_BYTES} bytes, this one {len(body)}")
        return body

    async def _piece(self, piece: Piece, key: bytes | None, spool: Spool) -> None:
        await spool.clear()
        headers = {"Accept-Encoding": "identity"}
        if piece.span:
            headers["Range"] = f"bytes={piece.span.start}-{piece.span.start + piece.span.length - 1}"
        decoder = None
        if piece.key and key:
            decoder = (_InitDecoder if piece.is_init else _Decoder)(piece.key, key)
        loop = asyncio.get_running_loop()
        count = checked = 0
        async with asyncio.timeout(self._timeout_s) as alarm:
            async with self._open(piece.url, headers) as (response, _):
                skip = _unwanted_start(response, piece.span)
                missing = piece.span.length if piece.span else None
                protocol = response.connection.protocol if response.connection else None
                async for chunk in response.content.iter_any():
                    self.received += len(chunk)
                    count += len(chunk)
                    if count - checked >= SLOWEST_BYTES_S * self._timeout_s:
                        checked = count
                        alarm.reschedule(loop.time() + self._timeout_s)
                    if skip:
                        skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
                    if missing is not None:
                        chunk = chunk[:missing]
                        missing -= len(chunk)
                    if chunk:
                        await spool.write(decoder.take(chunk) if decoder else chunk)
                    if missing == 0 and response.status == 200:
                        break  # the rest of the file is the other segments
                if missing:
                    raise _BadAnswer(f"{missing} bytes of its byte range are missing")
                if protocol is not None and isinstance(protocol.exception(), HttpProcessingError):
                    # What came behind the end is no answer, so the end was none either.
                    raise _BadAnswer("more came than its Content-Length says")
        if decoder:
            await spool.write(decoder.end())
        if not spool.size:
            raise _BadAnswer("it is empty")
        if spool.looks_like_html():
            raise _BadAnswer("the server answered with a web page")

    @asynccontextmanager
    async def _open(
        self, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, str]]:
        """The answer, after redirects, and the address that gave it."""
        for _ in range(REDIRECTS_MAX + 1):
            request = self._session.get(
                sendable(url), headers={**self._headers_for(url), **headers}, allow_redirects=False
            )
            async with request as response:
                target = response.headers.get("Location")
                if response.status not in (301, 302, 303, 307, 308) or not target:
                    if response.status not in (200, 206):
                        raise _BadAnswer(
                            f"HTTP {response.status} {response.reason or ''}".strip(),
                            response.status,
                            _retry_after_s(response),
                        )
                    if response.status == 206 and "Range" not in headers:
                        raise _BadAnswer("HTTP 206: a part of it came that nobody asked for", 206)
                    yield response, url
                    return
            url = urljoin(url, target)
            if urlsplit(url).scheme.lower() not in ("http", "https"):
                raise HlsFailed(f"redirected to {url[:200]}; only http and https addresses are fetched")
        raise _BadAnswer(f"more than {REDIRECTS_MAX} redirects")

    def _headers_for(self, url: str) -> dict[str, str]:
        if urlsplit(url).hostname == self._home:
            return self._headers
        return {name: value for name, value in self._headers.items() if name.lower() not in _PRIVATE_HEADERS}


class _Decoder:
    """Decrypts AES-128-CBC as it comes and takes the padding off."""

    def __init__(self, key: Key, secret: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(secret), modes.CBC(key.iv)).decryptor()
        self._padding = PKCS7(128).unpadder()

    def take(self, data: bytes) -> bytes:
        return self._padding.update(self._cipher.update(data))

    def end(self) -> bytes:
        try:
            return self._padding.update(self._cipher.finalize()) + self._padding.finalize()
        except ValueError as error:
            raise _BadAnswer(
                "it cannot be decrypted: its end is missing, or the key is another one"
            ) from error


class _InitDecoder(_Decoder):
    """An initialisation section below a key is often left clear by mistake; a box at its head tells."""

    def __init__(self, key: Key, secret: bytes) -> None:
        super().__init__(key, secret)
        self._raw = bytearray()

    def take(self, data: bytes) -> bytes:
        self._raw += data
        if len(self._raw) > INIT_MAX_BYTES:
            raise _BadAnswer(
                f"longer than the {INIT_MAX_BYTES} bytes that an initialisation section may have"
            )
        return b""

    def end(self) -> bytes:
        if bytes(self._raw[4:8]) in (b"ftyp", b"styp", b"moov"):
            return bytes(self._raw)
        return super().take(bytes(self._raw)) + super().end()


def sendable(url: str) -> URL:
    """The address as it goes over the wire: what is encoded stays as it is (signed addresses), the rest is encoded."""
    parts = urlsplit(url)
    host = parts.netloc
    if not host.isascii():
        user, at, _ = host.rpartition("@")
        name = (parts.hostname or "").encode("idna").decode()
        host = f"{user}{at}{name}" + (f":{parts.port}" if parts.port else "")
    path = quote(_lone_percent(parts.path or "/"), safe="/%:@!$&'()*+,;=~[]")
    query = quote(_lone_percent(parts.query), safe="/%:@!$&'()*+,;=~[]?")
    return URL(urlunsplit((parts.scheme.lower(), host, path, query, "")), encoded=True)


def _lone_percent(text: str) -> str:
    return re.sub(r"%(?![0-9a-fA-F]{2})", "%25", text)


def _unwanted_start(response: aiohttp.ClientResponse, span: Span | None) -> int:
    """How many bytes come before the wanted ones: all before them where the server does not know ranges."""
    if span is None or response.status != 206:
        return span.start if span else 0
    found = re.match(r"\s*bytes\s+(\d+)-(\d+)/", response.headers.get("Content-Range", ""), re.IGNORECASE)
    if not found or int(found[1]) > span.start or int(found[2]) < span.start + span.length - 1:
        given = response.headers.get("Content-Range", "none")[:80]
        raise _BadAnswer(
            f"asked for bytes {span.start}-{span.start + span.length - 1}, got the range {given}"
        )
    return span.start - int(found[1])


def _retry_after_s(response: aiohttp.ClientResponse) -> float:
    value = response.headers.get("Retry-After", "")
    return min(RETRY_AFTER_MAX_S, float(value)) if value.isdecimal() and len(value) < 9 else 0.0


def _data_of(url: str) -> bytes:
    about, _, body = url[5:].partition(",")
    data = unquote_to_bytes(body)
    if not about.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise _BadAnswer("the key in the playlist is not Base64") from error
