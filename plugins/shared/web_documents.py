"""Documents over HTTP: `http` and `https` only, every redirect checked, bounded in size and in time, unpacked here."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from plugins.shared.web_failures import (
    AddressRefused,
    BadStatus,
    Broken,
    FetchFailed,
    NotConnected,
    TooLarge,
    TooManyRedirects,
    TooSlow,
    retry_after_s,
)
from plugins.shared.web_origins import basic, is_same_origin, is_web_address, proxy_for
from plugins.shared.web_unpacking import ACCEPTED, Plain, Unpacker, unpacker

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

REDIRECTS = (301, 302, 303, 307, 308)
READ_BYTES = 256 * 1024
HEADER_MAX_BYTES = 64 * 1024
# With `stalls`: less than this is a server that hangs, not one that is slow.
SLOWEST_BYTES_S = 1024
BACKOFF_S = 0.5
BACKOFF_MAX_S = 10.0
RETRY_AFTER_MAX_S = 60.0
_PRIVATE = frozenset({"authorization", "cookie"})

T = TypeVar("T")


class Answer(NamedTuple):
    """What came back.

    Args:
        url: where it came from in the end, without a login.
        status: of HTTP.
        reason: the server's words for the status.
        headers: by name, whichever way that is written.
        body: unpacked; empty where it was not wanted.
        is_cut: whether there would have been more of it.
    """

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes = b""
    is_cut: bool = False


class Web:
    """Connections for some documents, to be used with `async with`; cookies last as long as it.

    Args:
        headers: sent with every request.
        timeout_s: how long an answer may take in all, in seconds.
        stalls: count those seconds anew as long as anything to speak of comes.
        redirects: how many are followed.
        retries: how often a failed `document` is tried again.
        home: the address whose host alone may see `Authorization` and `Cookie` among the headers.

    Attributes:
        received: bytes that came, unpacked, those of failed attempts too.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        stalls: bool = False,
        redirects: int = 10,
        retries: int = 0,
        home: str = "",
    ) -> None:
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._stalls = stalls
        self._redirects = redirects
        self._retries = retries
        self._home = urlsplit(home).hostname
        self._session: aiohttp.ClientSession | None = None
        self.received = 0

    async def __aenter__(self) -> Self:
        # A quarter of a second, paid with the first request: the plugins themselves load in no time.
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=0),
            cookie_jar=aiohttp.CookieJar(unsafe=True, quote_cookie=False),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            read_bufsize=READ_BYTES,
            # Some send cookies and policies that are longer than eight KiB.
            max_line_size=HEADER_MAX_BYTES,
            max_field_size=HEADER_MAX_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # the sockets are closed in the loop's next round

    async def get(
        self,
        url: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        wanted: Callable[[Answer], bool] = lambda answer: True,
        cuts: bool = False,
    ) -> Answer:
        """Get an address, whatever its status.

        Args:
            url: what to get.
            max_bytes: the largest body, unpacked.
            headers: of this request; the private ones only go where its address has them go.
            wanted: whether the body is to be read, going by the rest.
            cuts: read no further than `max_bytes` where there is more.

        Raises:
            FetchFailed: see the module; all but `BadStatus`.
        """
        async with self.open(url, headers) as stream:
            if not wanted(stream.answer):
                return stream.answer
            body = bytearray()
            while chunk := await stream.read():
                body += chunk
                if len(body) > max_bytes:
                    if cuts:
                        return stream.answer._replace(body=bytes(body[:max_bytes]), is_cut=True)
                    raise TooLarge(f"the answer is larger than {max_bytes // 1024} KiB")
            return stream.answer._replace(body=bytes(body))

    async def document(self, url: str, *, max_bytes: int) -> Answer:
        """Get what is at an address, with as many attempts as there may be.

        Raises:
            FetchFailed: see the module.
        """

        async def attempt() -> Answer:
            answer = await self.get(url, max_bytes=max_bytes, wanted=lambda answer: answer.status == 200)
            if answer.status != 200:
                raise bad_status(answer)
            return answer

        return await self.again(attempt)

    async def again(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try something until it does not raise `FetchFailed`, or has been tried often enough.

        Raises:
            FetchFailed: the last one; its `attempts` say how often it was tried.
        """
        for number in range(self._retries + 1):
            try:
                return await attempt()
            except AddressRefused:
                raise
            except FetchFailed as error:
                if number == self._retries:
                    error.attempts = number + 1
                    raise
                wait_s = error.wait_s if isinstance(error, BadStatus) else 0.0
            # Jitter, so that what failed together does not come back together.
            ceiling = min(BACKOFF_MAX_S, BACKOFF_S * 2**number)
            await asyncio.sleep(max(wait_s, ceiling * random.uniform(0.5, 1.0)))
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def open(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Stream]:
        """The answer behind all redirects, its body still to be read; in here, the seconds count.

        Args:
            url: where to begin.
            headers: of this request.

        Raises:
            FetchFailed: see the module; all but `TooLarge` and `BadStatus`. Also for what goes wrong with the
                connection while the body is read.
        """
        import aiohttp

        try:
            async with asyncio.timeout(self._timeout_s) as alarm:
                async with self._followed(url, headers or {}) as (response, address):
                    yield Stream(
                        response, address, self._rescheduled(alarm) if self._stalls else self._counted
                    )
        except FetchFailed:
            raise
        except TimeoutError:
            if self._stalls:
                raise TooSlow(f"too slow: next to nothing came for {self._timeout_s:g} s") from None
            raise TooSlow(f"no whole answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _in_words(error) from error

    def _counted(self, count: int) -> None:
        self.received += count

    def _rescheduled(self, alarm: asyncio.Timeout) -> Callable[[int], None]:
        """Counts, and puts the end off whenever enough has come."""
        loop = asyncio.get_running_loop()
        since = 0

        def count(number: int) -> None:
            nonlocal since
            self.received += number
            since += number
            if since >= SLOWEST_BYTES_S * self._timeout_s:
                since = 0
                alarm.reschedule(loop.time() + self._timeout_s)

        return count

    @asynccontextmanager
    async def _followed(
        self, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, str]]:
        if self._session is None:
            raise RuntimeError("it is used outside of its `async with`")
        begin, login = _without_login(url)
        url = owner = begin
        for _ in range(self._redirects + 1):
            sent = {"Accept-Encoding": ACCEPTED, **self._headers_for(url)}
            if login and is_same_origin(owner, url):
                sent["Authorization"] = login
            sent |= headers if is_same_origin(begin, url) else _public(headers)
            async with self._session.get(
                sendable(url), headers=sent, allow_redirects=False, proxy=_proxy_of(url)
            ) as response:
                target = response.headers.get("Location")
                if response.status not in REDIRECTS or not target:
                    yield response, url
                    return
            url, own = _without_login(target, url)
            if own:
                login, owner = own, url
        raise TooManyRedirects(f"more than {self._redirects} redirects: it is sent round again and again")

    def _headers_for(self, url: str) -> dict[str, str]:
        if self._home is None or urlsplit(url).hostname == self._home:
            return self._headers
        return _public(self._headers)


class Stream:
    """An answer whose body is still to be read.

    Args:
        response: of aiohttp.
        url: the address that gave it.
        count: told how many bytes have come.

    Attributes:
        answer: all but the body.
    """

    def __init__(self, response: aiohttp.ClientResponse, url: str, count: Callable[[int], None]) -> None:
        self._response = response
        self._count = count
        self.answer = Answer(url, response.status, response.reason or "", response.headers)
        self._unpacker: Unpacker | Plain | None = None
        self._pieces: Iterator[bytes] = iter(())
        # It is gone once all has come.
        self._protocol = response.connection.protocol if response.connection else None

    async def read(self) -> bytes:
        """More of the body, unpacked; empty at its end."""
        if self._unpacker is None:
            self._unpacker = unpacker(self.answer.headers.get("Content-Encoding", ""))
        while not (piece := next(self._pieces, b"")):
            chunk = await self._response.content.readany()
            if not chunk:
                self._unpacker.end()
                return b""
            self._pieces = self._unpacker.pieces(chunk)
        self._count(len(piece))
        return piece

    def has_excess(self) -> bool:
        """Whether more came than the length that was announced: then the end was none either."""
        from aiohttp.http_exceptions import HttpProcessingError

        return self._protocol is not None and isinstance(self._protocol.exception(), HttpProcessingError)


def bad_status(answer: Answer) -> BadStatus:
    """What a status comes to that is not success."""
    wait_s = retry_after_s(answer.headers.get("Retry-After", "")) or 0.0
    return BadStatus(answer.status, answer.reason, min(RETRY_AFTER_MAX_S, wait_s))


def sendable(url: str) -> URL:
    """The address as it goes over the wire: what is encoded stays as it is (signed addresses), the rest is encoded."""
    from yarl import URL

    try:
        parts = urlsplit(url)
        host = parts.netloc
        if not host.isascii():
            name = (parts.hostname or "").encode("idna").decode()
            host = name + (f":{parts.port}" if parts.port else "")
        path = quote(_lone_percent(parts.path or "/"), safe="/%:@!$&'()*+,;=~[]", errors="surrogateescape")
        query = quote(_lone_percent(parts.query), safe="/%:@!$&'()*+,;=~[]?", errors="surrogateescape")
        return URL(urlunsplit((parts.scheme.lower(), host, path, query, "")), encoded=True)
    except ValueError as error:  # UnicodeError is one
        raise AddressRefused("the address is not valid", url) from error


def _lone_percent(text: str) -> str:
    return re.sub(r"%(?![0-9a-fA-F]{2})", "%25", text)


def _without_login(url: str, base: str = "") -> tuple[str, str]:
    """The address, absolute and without the login in it, and that login as `Authorization`."""
    try:
        url = urljoin(base, url) if base else url
        parts = urlsplit(url)
    except ValueError as error:
        raise AddressRefused("the address is not valid", url) from error
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https"):
        scheme = scheme or "relative"
        raise AddressRefused(f"refused to go to a {scheme} address, which is neither http nor https", url)
    if not is_web_address(url):
        raise AddressRefused("the address is not valid", url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), basic(parts)


def _public(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _PRIVATE}


def _proxy_of(url: str) -> str | None:
    parts = urlsplit(url)
    found = proxy_for(parts.scheme.lower(), parts.hostname or "")
    return urlunsplit(found) if found else None


def _in_words(error: Exception) -> FetchFailed:
    import aiohttp

    match error:
        case aiohttp.InvalidURL():
            return AddressRefused("the address is not valid", str(error.url))
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return NotConnected(f"no secure connection to {error.host}:{error.port}")
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            why = os.strerror(number) if number and number > 0 else "no such host"
            return NotConnected(f"cannot connect to {error.host}:{error.port} ({why})")
        case aiohttp.ServerDisconnectedError():
            return NotConnected("the connection was closed without an answer")
        case aiohttp.ClientPayloadError():
            return Broken("the answer ended before its Content-Length")
        case aiohttp.ClientHttpProxyError():
            return NotConnected(f"the proxy answered {error.status} {error.message}")
        case aiohttp.ClientResponseError():
            return Broken("the answer is not valid HTTP, or longer than its Content-Length")
    if isinstance(error, aiohttp.ClientError | OSError):
        return NotConnected(f"the connection broke ({type(error).__name__})")
    return NotConnected(f"it cannot be asked for: {error}")
