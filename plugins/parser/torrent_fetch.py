"""Gets the torrent behind an address: a `.torrent` file, or a magnet link that the address leads to."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import aiohttp

from plugins.parser.metainfo import is_magnet

MAX_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)


class FetchError(ConnectionError):
    """The address gave nothing; the message says why and what to do."""


async def fetch_torrent(url: str, *, timeout_s: float = 10.0, max_bytes: int = MAX_BYTES) -> bytes | str:
    """What is behind an `http` or `https` address: the bytes of a file, or the magnet link that it redirects to.

    Indexers such as Jackett answer their download addresses with a redirect to a magnet link.

    Args:
        url: where to begin; every redirect is held to the same rules.
        timeout_s: seconds for all of it.
        max_bytes: the largest file.

    Raises:
        FetchError: it could not be had.
        ValueError: an address that is not `http` or `https`, or a file that is too large.
    """
    limits = aiohttp.ClientTimeout(total=timeout_s)
    headers = {"User-Agent": "Plugbay", "Accept": "application/x-bittorrent, */*;q=0.5"}
    try:
        async with aiohttp.ClientSession(timeout=limits, headers=headers, trust_env=True) as session:
            for _ in range(MAX_REDIRECTS + 1):
                if is_magnet(url):
                    return url
                _check(url)
                async with session.get(url, allow_redirects=False) as response:
                    if response.status in _REDIRECTS and (target := response.headers.get("Location")):
                        url = target if is_magnet(target) else urljoin(url, target)
                        continue
                    return await _body(response, url, max_bytes)
    except TimeoutError as error:
        raise FetchError(f"{url} did not answer within {timeout_s:g} s; try again later") from error
    except aiohttp.ClientError as error:
        raise FetchError(f"{url} cannot be fetched: {error or type(error).__name__}") from error
    raise FetchError(f"{url} redirects more than {MAX_REDIRECTS} times")


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url} is not an http or https address")


async def _body(response: aiohttp.ClientResponse, url: str, max_bytes: int) -> bytes:
    if response.status in (401, 403):
        raise FetchError(f"{url} answered {response.status}: it asks for a sign-in or a key in the address")
    if response.status != 200:
        raise FetchError(f"{url} answered {response.status} {response.reason or ''}".rstrip())
    body = bytearray()
    # Counted as it comes, since the length that a server names may be another, or none, or before unpacking.
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > max_bytes:
            raise ValueError(f"{url} has more than {max_bytes:,} bytes; that is no torrent file")
    return bytes(body)
