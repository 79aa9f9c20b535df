"""Who fetches which bytes: `plugins/download/http_plugin/ranges.py`, which does no I/O."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plugins.download.http_plugin.ranges import (
    LAST_PIECE_BYTES,
    STALLED_S,
    Ranges,
    Segment,
    merged,
    written_before,
)

MIB = 1024 * 1024


def take(ranges: Ranges, now: float) -> Segment:
    segment = ranges.take(now, 0.01)
    assert segment is not None
    return segment


def test_the_file_is_cut_into_equal_pieces_that_are_worth_a_connection() -> None:
    assert [(one.start, one.end) for one in Ranges(8 * MIB, (), 4).segments] == [
        (number * 2 * MIB, (number + 1) * 2 * MIB) for number in range(4)
    ]
    assert len(Ranges(5 * MIB, (), 4).segments) == 2
    assert len(Ranges(1, (), 4).segments) == 1
    assert Ranges(0, (), 4).complete
    assert [(one.start, one.end) for one in Ranges(10, [[0, 3], [5, 7]]).segments] == [(3, 5), (7, 10)]
    assert Ranges(10, [[0, 10]]).complete


def test_half_of_the_slowest_is_taken_over() -> None:
    ranges = Ranges(8 * MIB, (), 2)
    fast, slow = take(ranges, 0), take(ranges, 0)
    slow.move(MIB, 1)
    fast.move(4 * MIB, 1)
    ranges.give_back(fast)
    other = take(ranges, 1)
    assert (slow.end, other.start, other.end) == (4 * MIB + 5 * MIB // 2, 4 * MIB + 5 * MIB // 2, 8 * MIB)
    # What it has read beyond its new end counts once only.
    slow.move(2 * MIB, 2)
    assert slow.left == 0
    assert ranges.downloaded == 4 * MIB + 5 * MIB // 2


def test_what_ends_soon_anyway_is_left_to_its_connection() -> None:
    ranges = Ranges(8 * MIB, ())
    only = take(ranges, 0)
    assert ranges.take(0.005, 0.01) is None
    only.move(7 * MIB, 1)
    assert ranges.take(1, 0.01) is None
    assert Ranges(None).take(0, 0.01) is not None


def test_a_small_rest_is_taken_over_whole_when_nothing_comes() -> None:
    ranges = Ranges(MIB, ())
    only = take(ranges, 0)
    only.move(MIB - LAST_PIECE_BYTES, 1)
    assert ranges.take(1 + STALLED_S - 0.1, 0.01) is None
    rest = take(ranges, 2 + STALLED_S)
    assert (only.left, rest.start, rest.end) == (0, MIB - LAST_PIECE_BYTES, MIB)


@given(st.data())
def test_every_byte_is_fetched_whatever_happens(data: st.DataObject) -> None:
    total = data.draw(st.integers(0, 20 * MIB))
    ranges = Ranges(total, (), data.draw(st.integers(1, 8)))
    held: list[Segment] = []
    now = 0.0
    for step in range(1000):
        if ranges.complete:
            break
        now += 1
        what = data.draw(st.sampled_from(["take", "move", "give back"])) if step < 100 else "move"
        if what == "take" or not held:
            if segment := ranges.take(now, 0.01):
                assert all(segment is not other for other in held)
                held.append(segment)
            continue
        segment = held[data.draw(st.integers(0, len(held) - 1)) if step < 100 else 0]
        if what == "move" and segment.left:
            segment.move(
                segment.left if step >= 100 else min(segment.left, data.draw(st.integers(1, 9 * MIB))), now
            )
        if what == "give back" or not segment.left:
            ranges.give_back(segment)
            held.remove(segment)
        assert ranges.downloaded == sum(end - start for start, end in ranges.finished())
    assert ranges.complete
    assert ranges.finished() == ([[0, total]] if total else [])


def test_ranges_are_merged() -> None:
    assert merged([[5, 7], [0, 3], [2, 4], [7, 7], [9, 8], [-1, 2], [7, 8]]) == [[0, 4], [5, 8]]
    assert [written_before([[0, 4], [6, 8]], position) for position in (0, 4, 5, 6, 8)] == [0, 4, 0, 0, 2]
