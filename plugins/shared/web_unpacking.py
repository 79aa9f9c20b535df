"""Unpacking of bodies that are compressed for the way, bounded however small they were packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from plugins.shared.web_failures import Broken

ACCEPTED = "gzip, deflate"
PIECE_BYTES = 256 * 1024
# Windows as zlib has them: with the head and the end of gzip, of zlib, or with none.
GZIP, ZLIB, BARE = 31, 15, -15
_WINDOWS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}
_OTHERS = ("br", "zstd", "compress", "x-compress")


class Unpacker:
    """Unpacks a body bit by bit, never more of it at a time than a buffer holds.

    Args:
        window: GZIP, ZLIB or BARE.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._decoder = zlib.decompressobj(window)
        self._begun = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What some bytes come to.

        Raises:
            Broken: they are not packed, or not so.
        """
        if not self._begun and data:
            self._begun = True
            if self._window == ZLIB and data[0] & 0x0F != 8:
                # Some call that `deflate` which has no head.
                self._decoder = zlib.decompressobj(BARE)
        while data:
            if self._decoder.eof:
                if self._window != GZIP or data[:2] != b"\x1f\x8b":
                    return  # what stands behind the end is nobody's
                self._decoder = zlib.decompressobj(GZIP)
            try:
                piece = self._decoder.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise Broken(f"the answer cannot be unpacked: {error}") from error
            if piece:
                yield piece
            data = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail

    def end(self) -> None:
        """Nothing more comes; raises `Broken` where something is missing."""
        if self._begun and not self._decoder.eof:
            raise Broken("the answer ended in the middle of what is packed in it")


class Plain:
    """What unpacks a body that is not packed."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The same bytes."""
        yield data

    def end(self) -> None:
        """Nothing more comes."""


def unpacker(encoding: str) -> Unpacker | Plain:
    """What unpacks a body of that `Content-Encoding`; servers also say there what is none.

    Raises:
        Broken: it is packed in a way that nobody asked for.
    """
    name = encoding.strip().lower()
    if name in _OTHERS:
        raise Broken(f"the answer is packed with {name}, which nobody asked for")
    return Unpacker(_WINDOWS[name]) if name in _WINDOWS else Plain()
