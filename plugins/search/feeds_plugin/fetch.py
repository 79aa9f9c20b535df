"""Getting documents over HTTP: bounded in size and time, asked for again only when they may have changed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from plugins.shared import web_failures
from plugins.shared.web_documents import Web
from plugins.shared.web_origins import basic, is_web_address
from plugins.shared.web_unpacking import GZIP, Unpacker

DOCUMENT_MAX_BYTES = 8 * 1024 * 1024
CACHED_DOCUMENTS_MAX = 200
# How long a copy stands in for a feed that cannot be had.
STALE_MAX_S = 7 * 24 * 3600
_ACCEPT = (
    "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.9,"
    " application/json;q=0.8, */*;q=0.5"
)


class FetchFailed(Exception):
    """A document could not be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """What was fetched.

    Args:
        url: where it was in the end.
        content_type: as the server says.
        body: without its encoding for the transfer.
        etag: as the server says, or empty.
        last_modified: likewise.
        checked_at: when the server last said that it is current, in seconds since 1970.
    """

    url: str
    content_type: str
    body: bytes
    etag: str = ""
    last_modified: str = ""
    checked_at: float = 0.0

    @property
    def digest(self) -> str:
        """Tells this content from another."""
        return hashlib.sha256(self.body).hexdigest()


class Cache:
    """Documents on disk, the ones used last; two generations may share it.

    Args:
        folder: of the cache alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, url: str) -> Document | None:
        """The copy of a document, where there is a whole one."""
        try:
            head, _, body = self._path(url).read_bytes().partition(b"\n")
            fields = json.loads(head)
            if len(body) != fields.pop("size"):
                return None
            return Document(**fields, body=body)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def save(self, url: str, document: Document) -> None:
        """Keep a copy; the name appears only when all of it is written."""
        fields = asdict(document)
        body = fields.pop("body")
        head = json.dumps(fields | {"size": len(body)}).encode()
        self._folder.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=self._folder, prefix=".")
        try:
            with open(fd, "wb") as file:
                file.write(head + b"\n" + body)
            os.replace(name, self._path(url))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        self._trim()

    def _path(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode('utf-8', 'replace')).hexdigest()[:40]}.feed"

    def _trim(self) -> None:
        found = list(self._folder.glob("*.feed"))
        if len(found) <= CACHED_DOCUMENTS_MAX:
            return
        with contextlib.suppress(OSError):  # another generation is at it, too
            found.sort(key=lambda path: path.stat().st_mtime)
            for path in found[:-CACHED_DOCUMENTS_MAX]:
                path.unlink(missing_ok=True)


class Fetcher:
    """Gets documents.

    Args:
        cache: where copies are kept.
        refresh_s: a copy younger than this is not asked for again.
        timeout_s: for one document in all.
        user_agent: what to say one is.
    """

    def __init__(self, cache: Cache, *, refresh_s: float, timeout_s: float, user_agent: str) -> None:
        self._cache = cache
        self._refresh_s = refresh_s
        self._timeout_s = timeout_s
        self._headers = {"User-Agent": user_agent, "Accept": _ACCEPT}
        self._locks: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, tuple[float, FetchFailed]] = {}
        self._logins: dict[tuple[str, str | None, int | None], str] = {}

    def web(self) -> Web:
        """Connections for some documents."""
        return Web(self._headers, timeout_s=self._timeout_s)

    async def get(self, web: Web, url: str) -> tuple[Document, str | None]:
        """A document as it is now, or as it was shortly ago.

        Returns:
            the document, and why it is an old copy where it could not be had.

        Raises:
            FetchFailed
        """
        asked_at = time.monotonic()
        # Whoever asks for the same meanwhile waits, and then finds the copy, or shares the failure.
        async with self._locks.setdefault(url, asyncio.Lock()):
            copy = await asyncio.to_thread(self._cache.load, url)
            age = time.time() - copy.checked_at if copy is not None else float("inf")
            if copy is not None and 0 <= age < self._refresh_s:
                return copy, None
            try:
                failed_at, failure = self._failed.get(url, (0.0, None))
                if failure is not None and failed_at > asked_at:
                    raise FetchFailed(str(failure))
                document = await self._request(web, url, copy)
            except FetchFailed as error:
                self._failed[url] = time.monotonic(), error
                if copy is None or age > STALE_MAX_S:
                    raise
                return copy, str(error)
            with contextlib.suppress(OSError):  # without a copy it is merely slower
                await asyncio.to_thread(self._cache.save, url, document)
            return document, None

    async def get_once(self, web: Web, url: str) -> Document:
        """A document that is not kept, such as the answer to a search.

        Raises:
            FetchFailed
        """
        return await self._request(web, url, None)

    async def _request(self, web: Web, url: str, copy: Document | None) -> Document:
        if not is_web_address(url):
            raise FetchFailed("its address is not one of http or https")
        headers = self._login(url)
        if copy is not None and copy.etag:
            headers["If-None-Match"] = copy.etag
        if copy is not None and copy.last_modified:
            headers["If-Modified-Since"] = copy.last_modified
        try:
            answer = await web.get(
                url,
                max_bytes=DOCUMENT_MAX_BYTES,
                headers=headers,
                wanted=lambda answer: answer.status == 200,
            )
            if answer.status == 304 and copy is not None:
                return _checked(copy, answer.headers)
            if answer.status != 200:
                raise FetchFailed(f"the server answered {answer.status} {answer.reason}".rstrip())
            return Document(
                url=answer.url,
                content_type=answer.headers.get("Content-Type", ""),
                body=await asyncio.to_thread(_unzipped, answer.body),
                etag=answer.headers.get("ETag", ""),
                last_modified=answer.headers.get("Last-Modified", ""),
                checked_at=time.time(),
            )
        except web_failures.NotConnected as error:
            raise FetchFailed(f"the connection failed: {error}") from error
        except web_failures.TooLarge as error:
            raise FetchFailed(f"it has more than {DOCUMENT_MAX_BYTES // (1024 * 1024)} MiB") from error
        except web_failures.FetchFailed as error:
            raise FetchFailed(str(error)) from error

    def _login(self, url: str) -> dict[str, str]:
        """What a name and a password in an address come to; they also count for the links that lead to that server."""
        parts = urlsplit(url)
        server = parts.scheme, parts.hostname, parts.port
        if login := basic(parts):
            self._logins[server] = login
        return {"Authorization": self._logins[server]} if server in self._logins else {}


def _checked(copy: Document, headers: Mapping[str, str]) -> Document:
    return Document(
        url=copy.url,
        content_type=copy.content_type,
        body=copy.body,
        etag=headers.get("ETag", copy.etag),
        last_modified=headers.get("Last-Modified", copy.last_modified),
        checked_at=time.time(),
    )


def _unzipped(body: bytes) -> bytes:
    """The document in a file that is compressed itself, else the file."""
    if body[:2] != b"\x1f\x8b":
        return body
    unpacker, text = Unpacker(GZIP), bytearray()
    for piece in unpacker.pieces(body):
        text += piece
        if len(text) > DOCUMENT_MAX_BYTES:
            raise web_failures.TooLarge
    unpacker.end()
    return bytes(text)
