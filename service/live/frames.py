"""WebSocket frames as a server sends them (RFC 6455, 5.2): whole, not masked, so one serves every client."""

from __future__ import annotations

from struct import pack

_FINAL = 0x80
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_CONTROL_MAX_BYTES = 125


def text_frame(payload: bytes) -> bytes:
    """A text message in one frame. `payload` is UTF-8."""
    return text_header(len(payload)) + payload


def text_header(size: int) -> bytes:
    """What goes before a text message of `size` bytes."""
    if size < 126:
        return pack("!BB", _FINAL | _TEXT, size)
    if size < 65536:
        return pack("!BBH", _FINAL | _TEXT, 126, size)
    return pack("!BBQ", _FINAL | _TEXT, 127, size)


def close_frame(code: int, reason: str = "") -> bytes:
    """The end of a connection. `reason` is cut to what a control frame holds."""
    text = reason.encode()[: _CONTROL_MAX_BYTES - 2].decode("utf-8", "ignore").encode()
    return pack("!BBH", _FINAL | _CLOSE, len(text) + 2, code) + text


def empty_close_frame() -> bytes:
    """The answer to a close frame that gave no code: none is to be made up (RFC 6455, 7.1.5)."""
    return pack("!BB", _FINAL | _CLOSE, 0)


def ping_frame() -> bytes:
    """Asks the other side whether it is still there."""
    return pack("!BB", _FINAL | _PING, 0)


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping, with the ping's own payload of at most 125 bytes."""
    return pack("!BB", _FINAL | _PONG, len(payload)) + payload
