"""Length-prefixed frames: a JSON header, and a body that need not be decoded to be passed on.

    0        4        8                 8+h                8+h+b
    | h: u32 | b: u32 | header, h bytes | body, b bytes    |

Both lengths are big-endian. The codec does no I/O.
"""

from __future__ import annotations

import struct

_LENGTHS = struct.Struct("!II")
PREFIX_SIZE = _LENGTHS.size
HEADER_MAX_SIZE = 1024 * 1024


class FrameError(ValueError):
    """The peer sent something that is no frame, or one over the limit; the stream cannot be used any more."""


def encode(header: bytes, body: bytes = b"") -> bytes:
    """One frame.

    Args:
        header: UTF-8 JSON, at most `HEADER_MAX_SIZE` bytes.
        body: any bytes.
    """
    return b"".join((_LENGTHS.pack(len(header), len(body)), header, body))


class FrameDecoder:
    """Takes bytes as they come and gives whole frames.

    Args:
        max_size: the largest header and body together, in bytes.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Every frame that `data` completes, as `(header, body)`.

        Raises:
            FrameError: the lengths of a frame are over the limit.
        """
        # Most often whole frames come, and nothing has to be kept.
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
        frames: list[tuple[bytes, bytes]] = []
        start = 0
        while len(buffer) - start >= PREFIX_SIZE:
            header_size, body_size = _LENGTHS.unpack_from(buffer, start)
            if header_size > HEADER_MAX_SIZE or header_size + body_size > self._max_size:
                raise FrameError(f"a frame of {header_size} + {body_size} bytes is over the limit")
            body_start = start + PREFIX_SIZE + header_size
            end = body_start + body_size
            if len(buffer) < end:
                break
            frames.append((bytes(buffer[start + PREFIX_SIZE : body_start]), bytes(buffer[body_start:end])))
            start = end
        if buffer is self._buffer:
            del self._buffer[:start]
        elif start < len(data):
            self._buffer += data[start:]
        return frames
