"""Gets the torrent behind an address: a `.torrent` file, or a magnet link that the address leads to."""

from __future__ import annotations

from plugins.shared.torrent_metainfo import is_magnet
from plugins.shared.web_documents import Answer, Web
from plugins.shared.web_failures import AddressRefused, FetchFailed, TooLarge, TooManyRedirects, TooSlow

MAX_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10
HEADERS = {"User-Agent": "Plugbay", "Accept": "application/x-bittorrent, */*;q=0.5"}


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
    if is_magnet(url):
        return url
    try:
        async with Web(HEADERS, timeout_s=timeout_s, redirects=MAX_REDIRECTS) as web:
            answer = await web.get(url, max_bytes=max_bytes, wanted=lambda answer: answer.status == 200)
    except AddressRefused as error:
        if is_magnet(error.target):
            return error.target
        raise ValueError(f"{error.target} is not an http or https address") from error
    except TooLarge as error:
        raise ValueError(f"{url} has more than {max_bytes:,} bytes; that is no torrent file") from error
    except TooSlow as error:
        raise FetchError(f"{url} did not answer within {timeout_s:g} s; try again later") from error
    except TooManyRedirects as error:
        raise FetchError(f"{url} redirects more than {MAX_REDIRECTS} times") from error
    except FetchFailed as error:
        raise FetchError(f"{url} cannot be fetched: {error}") from error
    return _file_in(answer)


def _file_in(answer: Answer) -> bytes:
    if answer.status in (401, 403):
        raise FetchError(
            f"{answer.url} answered {answer.status}: it asks for a sign-in or a key in the address"
        )
    if answer.status != 200:
        raise FetchError(f"{answer.url} answered {answer.status} {answer.reason}".rstrip())
    return answer.body
