from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.uri import parse_uri

from service.live import frames


def parsed(data: bytes) -> Frame:
    """What another implementation makes of it."""
    protocol = ClientProtocol(parse_uri("ws://x/"))
    protocol.reader = type(protocol.reader)()
    protocol.state = protocol.state.OPEN
    protocol.parser = protocol.parse()
    next(protocol.parser)
    protocol.receive_data(data)
    [event] = protocol.events_received()
    assert isinstance(event, Frame)
    return event


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300_000])
def test_text(size: int) -> None:
    payload = b"x" * size
    data = frames.text_frame(payload)
    frame = parsed(data)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, payload)
    assert data[: -size or None] == frames.text_header(size)


def test_close_has_its_code_and_a_reason_that_fits() -> None:
    frame = parsed(frames.close_frame(4008, "slow consumer; reconnect"))
    assert Close.parse(frame.data) == Close(4008, "slow consumer; reconnect")
    frame = parsed(frames.close_frame(1001, "关" * 100))
    assert Close.parse(frame.data) == Close(1001, "关" * 41)
    assert frames.empty_close_frame() == b"\x88\x00"


def test_ping_and_pong() -> None:
    assert parsed(frames.ping_frame()).opcode is Opcode.PING
    frame = parsed(frames.pong_frame(b"x" * 125))
    assert (frame.opcode, bytes(frame.data)) == (Opcode.PONG, b"x" * 125)
