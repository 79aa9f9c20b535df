"""A page over HTTP, and of what is no page only what its headers say."""

from __future__ import annotations

import asyncio
import re
from email.message import Message
from typing import NamedTuple

from plugins.shared.web_documents import Answer, Web, bad_status, sendable
from plugins.shared.web_failures import (
    AddressRefused,
    BadStatus,
    Broken,
    FetchFailed,
    TooManyRedirects,
    TooSlow,
)

REDIRECTS_AT_MOST = 8
_HTML_TYPES = ("text/html", "application/xhtml+xml")


class Fetched(NamedTuple):
    """What an address gave.

    Args:
        url: where it came from in the end.
        type: its media type.
        charset: what the header says of its encoding.
        size: bytes, where they are known.
        name: the file name of its `Content-Disposition`, or empty.
        body: the page; empty where it is none.
        is_cut: whether only the beginning was read.
    """

    url: str
    type: str
    charset: str | None
    size: int | None
    name: str
    body: bytes
    is_cut: bool

    @property
    def is_page(self) -> bool:
        """Whether it is HTML; without a type, whether it begins so."""
        if self.type:
            return self.type in _HTML_TYPES
        return bool(
            re.search(rb"<(?:!doctype\s+html|html|head|body|title)\b", self.body[:2048], re.IGNORECASE)
        )


def fetch(url: str, *, user_agent: str, timeout_s: float, max_bytes: int) -> Fetched:
    """Get an `http` or `https` address; blocks, in a thread that has no event loop.

    Args:
        timeout_s: seconds for all of it.
        max_bytes: what is read of a page at most; a longer one is cut.

    Raises:
        ConnectionError: no answer, an error status, half an answer, too many redirects or one to another scheme.
        TimeoutError: it took longer.
    """
    headers = {
        "User-Agent": user_agent,
        "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
        "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8",
    }
    try:
        return asyncio.run(_fetched(url, headers, timeout_s, max_bytes))
    except TooSlow as error:
        raise TimeoutError(f"{error} from {url}") from error
    except AddressRefused as error:
        if error.target == url:
            raise ConnectionError(f"cannot get {url}: {error}") from error
        raise ConnectionError(
            f"{url} redirects to {error.target[:200]}, which is neither http nor https"
        ) from error
    except TooManyRedirects as error:
        raise ConnectionError(f"{url} redirects without end") from error
    except BadStatus as error:
        raise ConnectionError(f"{url} answered with HTTP {error.status}") from error
    except Broken as error:
        raise ConnectionError(f"{url} answered with something broken: {error}") from error
    except FetchFailed as error:
        raise ConnectionError(f"cannot get {url}: {error}") from error


async def _fetched(url: str, headers: dict[str, str], timeout_s: float, max_bytes: int) -> Fetched:
    async with Web(headers, timeout_s=timeout_s, redirects=REDIRECTS_AT_MOST) as web:
        answer = await web.get(
            url.strip().partition("#")[0],
            max_bytes=max_bytes,
            cuts=True,
            wanted=lambda answer: answer.status < 300 and _may_be_page(answer),
        )
    if answer.status >= 300:
        raise bad_status(answer)
    return _described(answer)._replace(body=answer.body, is_cut=answer.is_cut)


def _may_be_page(answer: Answer) -> bool:
    found = _described(answer)
    return not found.type or found.is_page


def _described(answer: Answer) -> Fetched:
    headers = Message()
    for name in ("Content-Type", "Content-Disposition"):
        if value := answer.headers.get(name):
            headers[name] = value
    length = answer.headers.get("Content-Length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    ranges = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    return Fetched(
        str(sendable(answer.url)),
        headers.get_content_type() if "Content-Type" in headers else "",
        headers.get_content_charset(),
        int(ranges[1]) if ranges else size,
        headers.get_filename() or "",
        b"",
        False,
    )
