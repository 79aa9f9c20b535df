"""Reading the body of a response without ever holding more of it than is allowed, whatever its headers claim."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import aiohttp

from service.errors import PlugbayError

_CHUNK_BYTES = 64 * 1024


async def read_body(
    response: aiohttp.ClientResponse,
    max_bytes: int,
    *,
    too_large: Callable[[], PlugbayError],
    broken: Callable[[str], PlugbayError],
) -> bytes:
    """All of the body, decompressed where the server compressed it unasked.

    Args:
        response: of a session that does not decompress by itself.
        max_bytes: of the body, compressed and not.
        too_large: makes the error for more than that.
        broken: makes the error for a body that cannot be understood, from an English reason.
    """
    if response.content_length is not None and response.content_length > max_bytes:
        raise too_large()
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise broken(f"Content-Encoding {encoding[:40]} although none was asked for")
    body = _Inflated(max_bytes, encoding) if encoding not in ("identity", "") else _Plain()
    received = 0
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        received += len(chunk)
        # Empty gzip members can go on for ever and give nothing, so what comes in is counted too.
        if received > max_bytes:
            raise too_large()
        try:
            body.feed(chunk)
        except zlib.error as error:
            raise broken(f"{encoding}: {error}") from None
        if len(body.content) > max_bytes:
            raise too_large()
    if not body.complete:
        raise broken(f"{encoding}: it ends too early")
    return bytes(body.content)


class _Plain:
    complete = True

    def __init__(self) -> None:
        self.content = bytearray()

    def feed(self, chunk: bytes) -> None:
        self.content += chunk


class _Inflated:
    def __init__(self, max_bytes: int, encoding: str) -> None:
        self.content = bytearray()
        self._max_bytes = max_bytes
        self._window = -zlib.MAX_WBITS if encoding == "deflate" else 16 + zlib.MAX_WBITS
        self._raw = encoding == "deflate"
        self._stream: zlib._Decompress | None = None
        self._ended_whole = False

    @property
    def complete(self) -> bool:
        return self._ended_whole

    def feed(self, chunk: bytes) -> None:
        while chunk and len(self.content) <= self._max_bytes:
            if self._stream is None:
                if self._ended_whole and not chunk.startswith(b"\x1f"):
                    # Padding after the last member means nothing.
                    return
                if self._raw and chunk[0] & 0x0F == zlib.DEFLATED:
                    # `deflate` is zlib by the standard and raw by habit.
                    self._window = zlib.MAX_WBITS
                self._stream = zlib.decompressobj(self._window)
                self._ended_whole = False
            self.content += self._stream.decompress(chunk, self._max_bytes + 1 - len(self.content))
            if self._stream.eof:
                chunk, self._stream, self._ended_whole = self._stream.unused_data, None, True
            else:
                chunk = self._stream.unconsumed_tail
