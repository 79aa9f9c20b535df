"""Frames come out as they went in, however the bytes are cut; what is over the limit is refused at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.wire.frames import HEADER_MAX_SIZE, FrameDecoder, FrameError, encode

frames = st.lists(st.tuples(st.binary(max_size=200), st.binary(max_size=500)), max_size=8)


@given(frames, st.lists(st.integers(1, 64), min_size=1, max_size=16))
def test_frames_survive_any_cuts(sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(encode(header, body) for header, body in sent)
    decoder = FrameDecoder(4096)
    received = []
    position = turn = 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        received += decoder.feed(stream[position : position + size])
        position, turn = position + size, turn + 1
    assert received == sent


@given(st.binary(max_size=64))
def test_garbage_gives_frames_or_an_error_and_nothing_else(data: bytes) -> None:
    decoder = FrameDecoder(1024)
    try:
        decoder.feed(data)
    except FrameError:
        pass


def test_a_frame_over_the_limit_is_refused_by_its_lengths() -> None:
    with pytest.raises(FrameError, match="over the limit"):
        FrameDecoder(100).feed(encode(b"h" * 10, b"b" * 91)[:8])
    with pytest.raises(FrameError):
        FrameDecoder(1 << 30).feed((HEADER_MAX_SIZE + 1).to_bytes(4, "big") + b"\0\0\0\0")


def test_a_frame_of_just_the_limit_is_taken() -> None:
    assert FrameDecoder(100).feed(encode(b"h" * 10, b"b" * 90)) == [(b"h" * 10, b"b" * 90)]
