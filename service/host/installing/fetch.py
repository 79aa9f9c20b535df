"""Fetching what is to be installed: over HTTP, from where it is allowed, no more and no longer than is allowed.

Redirects are followed here and not by the client library, because each address on the way is checked like the first.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from service.errors import FetchFailed, PlugbayError, RequestRefused
from service.host.installing.addresses import address_reason, check_url, refuse, shown, without_credentials
from service.host.installing.fetch_failures import fetch_failed, reason_of, status_failed
from service.host.installing.resolver import Check, GuardedResolver, guarded_socket
from service.host.installing.response_body import read_body
from service.host.installing.text_check import ensure_text
from service.model.text import Text

REQUIREMENTS_MAX_BYTES = 64 * 1024

# HTTP tells whole seconds (RFC 9110, section 8.8.2.2).
_TIME_STEP = timedelta(seconds=2)
_REDIRECTS = {301, 302, 303, 307, 308}
_ABSENT = {403, 404, 410}
_HEADERS = {
    "Accept": "text/x-python, text/plain;q=0.9, */*;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": "plugbay",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave.

    `url` is the last of the redirects, without credentials. `filename` is a bare name, empty where none is known.
    `etag` and `modified` are what the server said of it, to ask later whether it is still the same.
    """

    content: bytes
    url: str
    filename: str
    sha256: str
    etag: str | None = None
    modified: str | None = None


def open_session(
    resolver: AbstractResolver | None = None, *, check: Check = address_reason, reuse: bool = False
) -> aiohttp.ClientSession:
    """A session for `fetch`, whose connections go to checked addresses only. The caller closes it.

    Args:
        resolver: looks hosts up; what it finds is checked.
        check: says why an IP address is refused, None where it is not.
        reuse: whether a connection may serve more than one request.
    """
    connector = aiohttp.TCPConnector(
        resolver=GuardedResolver(resolver, check),
        # A cached address would be one that was checked for an earlier install.
        use_dns_cache=False,
        force_close=not reuse,
        limit=16,
        socket_factory=functools.partial(guarded_socket, check=check),
    )
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # A proxy would look the host up itself, unchecked.
        trust_env=False,
        headers=_HEADERS,
        timeout=aiohttp.ClientTimeout(total=None),
    )


async def fetch(
    url: str,
    *,
    max_bytes: int,
    timeout_s: float,
    redirects: int = 5,
    allowed_hosts: Sequence[str] = (),
    session: aiohttp.ClientSession | None = None,
) -> Fetched:
    """Get a plugin's file.

    Args:
        url: `http` or `https`; a user and password in it are sent to its host only and appear nowhere else.
        max_bytes: of the file.
        timeout_s: for all of it, lookups and redirects included, in seconds.
        redirects: how many are followed.
        allowed_hosts: the only hosts to fetch from, where not empty.
        session: one of `open_session`, and no other: the checks of looked-up addresses are in it.

    Raises:
        RequestRefused: `url_refused`, or `too_large`.
        FetchFailed: the address did not deliver; `fetch_timeout` where it took too long.
        LoadFailed: what came is no text; stage `fetch`, code `not_text`.
    """
    answer = await _get(
        url,
        max_bytes=max_bytes,
        timeout_s=timeout_s,
        redirects=redirects,
        allowed_hosts=allowed_hosts,
        session=session,
    )
    return await asyncio.to_thread(_checked, answer)


async def fetch_bytes(
    url: str,
    *,
    accept: str,
    max_bytes: int,
    timeout_s: float,
    redirects: int = 5,
    allowed_hosts: Sequence[str] = (),
    session: aiohttp.ClientSession | None = None,
) -> bytes:
    """Get what is at an address, whatever it is.

    Args:
        accept: the media types that are wanted, as a header says it.
        url: as for `fetch`, like all that is not named here.

    Raises:
        RequestRefused, FetchFailed: as `fetch` does.
    """
    answer = await _get(
        url,
        max_bytes=max_bytes,
        timeout_s=timeout_s,
        redirects=redirects,
        allowed_hosts=allowed_hosts,
        session=session,
        headers={"Accept": accept},
    )
    return answer.content


async def fetch_newer(
    url: str,
    *,
    etag: str | None,
    modified: str | None,
    max_bytes: int,
    timeout_s: float,
    redirects: int = 5,
    allowed_hosts: Sequence[str] = (),
    session: aiohttp.ClientSession | None = None,
) -> Fetched | None:
    """Get a plugin's file where it is another than it was.

    Args:
        url: as for `fetch`, like all that is not named here.
        etag: what the server said of the file that is there.
        modified: its `Last-Modified`, likewise.

    Returns:
        the file, None where the server says that it is the same (RFC 9110, section 13).

    Raises:
        RequestRefused, FetchFailed, LoadFailed: as `fetch` does.
    """
    conditions = {"If-None-Match": etag, "If-Modified-Since": modified}
    try:
        answer = await _get(
            url,
            max_bytes=max_bytes,
            timeout_s=timeout_s,
            redirects=redirects,
            allowed_hosts=allowed_hosts,
            session=session,
            absent={304} if etag or modified else (),
            headers={name: value for name, value in conditions.items() if value},
        )
    except _Absent:
        return None
    return await asyncio.to_thread(_checked, answer)


async def fetch_requirements(
    url: str,
    *,
    names: Sequence[str],
    timeout_s: float,
    redirects: int = 5,
    allowed_hosts: Sequence[str] = (),
    session: aiohttp.ClientSession | None = None,
) -> Fetched | None:
    """Get the requirements file beside a plugin's address.

    Args:
        url: the plugin's, as it was asked for.
        names: what stands before `_requirements.txt`, tried in this order: `demo`, `demo_plugin`.
        timeout_s: for all of them, in seconds; the rest as for `fetch`.

    Returns:
        The first that is there, None where none is.

    Raises:
        RequestRefused, FetchFailed: as `fetch` does, but not for a file that is absent.
    """
    base = check_url(url, allowed_hosts)
    deadline = asyncio.get_running_loop().time() + timeout_s
    for name in names:
        folder = base.raw_path.rpartition("/")[0]
        file = quote(f"{name}_requirements.txt", safe="")
        beside = base.with_path(f"{folder}/{file}", encoded=True, keep_query=True)
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            answer = await _get(
                str(beside),
                max_bytes=REQUIREMENTS_MAX_BYTES,
                timeout_s=left,
                redirects=redirects,
                allowed_hosts=allowed_hosts,
                session=session,
                absent=_ABSENT,
            )
        except _Absent:
            continue
        # Many servers answer for an absent file with a page.
        if not answer.content.lstrip().startswith(b"<"):
            return _fetched(answer)
    return None


@dataclass(frozen=True, slots=True)
class _Answer:
    content: bytes
    url: URL
    names: list[str]
    etag: str | None
    modified: str | None


class _Absent(Exception):
    """The address says that nothing is there."""


async def _get(
    url: str,
    *,
    max_bytes: int,
    timeout_s: float,
    redirects: int,
    allowed_hosts: Sequence[str],
    session: aiohttp.ClientSession | None,
    absent: Collection[int] = (),
    headers: Mapping[str, str] | None = None,
) -> _Answer:
    first = target = check_url(url, allowed_hosts)
    try:
        async with asyncio.timeout(timeout_s), _opened(session) as client:
            for _ in range(redirects + 1):
                async with client.get(target, allow_redirects=False, headers=headers) as response:
                    if response.status in _REDIRECTS:
                        target = _next(target, response, allowed_hosts)
                        continue
                    if response.status in absent:
                        raise _Absent
                    if response.status not in (200, 203):
                        raise status_failed(target, response.status)
                    content = await _body(target, response, max_bytes)
                    disposition = response.content_disposition
                    named = disposition.filename if disposition is not None else None
                    return _Answer(
                        content,
                        target,
                        [named or "", target.name, first.name],
                        response.headers.get("ETag"),
                        _telling_time(response),
                    )
    except TimeoutError:
        raise FetchFailed(
            Text(
                zh=f"{shown(target)} 在 {timeout_s:g} 秒内没有下载完成；请稍后重试，或换一个地址",
                en=f"{shown(target)} did not deliver within {timeout_s:g} s; try again later or another address",
            ),
            code="fetch_timeout",
            url=shown(target),
        ) from None
    except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError, ValueError) as error:
        raise fetch_failed(target, reason_of(error)) from error
    raise fetch_failed(
        target,
        Text(zh=f"重定向超过 {redirects} 次", en=f"it redirects more than {redirects} times"),
    )


@asynccontextmanager
async def _opened(session: aiohttp.ClientSession | None) -> AsyncIterator[aiohttp.ClientSession]:
    if session is not None:
        yield session
    else:
        async with open_session() as own:
            yield own


async def _body(target: URL, response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    def too_large() -> PlugbayError:
        size = f"{max_bytes / 1024:g} KiB"
        return RequestRefused(
            Text(
                zh=f"{shown(target)} 超过 {size} 的大小上限；请缩小文件，或调大 limits.plugin_file_kib",
                en=f"{shown(target)} is larger than {size}; make it smaller, or raise limits.plugin_file_kib",
            ),
            code="too_large",
            limit=max_bytes,
        )

    def broken(reason: str) -> PlugbayError:
        return fetch_failed(
            target, Text(zh=f"响应内容无法解读（{reason}）", en=f"its body is broken ({reason})")
        )

    return await read_body(response, max_bytes, too_large=too_large, broken=broken)


def _next(target: URL, response: aiohttp.ClientResponse, allowed_hosts: Sequence[str]) -> URL:
    location = response.headers.get("Location") or response.headers.get("URI")
    if not location:
        raise fetch_failed(target, Text(zh="重定向没有给出新地址", en="it redirects to nowhere"))
    try:
        following = target.join(URL(location))
    except ValueError as error:
        raise fetch_failed(
            target, Text(zh="重定向的地址无效", en="it redirects to no valid address")
        ) from error
    following = check_url(following, allowed_hosts)
    if target.scheme == "https" and following.scheme == "http":
        raise refuse(
            shown(following),
            Text(zh="不接受从 https 重定向到 http", en="a redirect from https to http is not followed"),
        )
    return following


def _telling_time(response: aiohttp.ClientResponse) -> str | None:
    """`Last-Modified`, where it tells one content from the next: not within a second or two of its being asked for."""
    modified = response.headers.get("Last-Modified")
    try:
        asked_at = parsedate_to_datetime(response.headers.get("Date", ""))
        age = asked_at - parsedate_to_datetime(modified or "")
    except (ValueError, TypeError):
        return None
    return modified if age >= _TIME_STEP else None


def _checked(answer: _Answer) -> Fetched:
    fetched = _fetched(answer)
    ensure_text(fetched.content, file=fetched.filename or shown(answer.url))
    return fetched


def _fetched(answer: _Answer) -> Fetched:
    names = [name for name in map(_bare_name, answer.names) if name]
    return Fetched(
        content=answer.content,
        url=str(without_credentials(answer.url)),
        filename=next((name for name in names if name.endswith(".py")), names[0] if names else ""),
        sha256=hashlib.sha256(answer.content).hexdigest(),
        etag=answer.etag,
        modified=answer.modified,
    )


def _bare_name(name: str) -> str:
    name = re.split(r"[/\\]", name)[-1]
    if name.startswith(".") or not name.isprintable() or len(name.encode(errors="replace")) > 200:
        return ""
    return name
