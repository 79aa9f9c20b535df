"""Who fetches which bytes of a file: decides, and does no I/O."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

# A second connection pays from here on; below, the first has it all before another has shaken hands.
FIRST_PIECE_BYTES = 2 * 1024 * 1024
# Near the end even small pieces are worth sharing, where their connection is slow.
LAST_PIECE_BYTES = 64 * 1024
STALLED_S = 5.0
# What is on its way to the connection that is relieved is lost, so there must be something to win.
SHARED_S = 0.2
FIRST_BYTE_S = 1.0


@dataclass(slots=True, eq=False)
class Segment:
    """A stretch of the file that one connection fetches.

    Attributes:
        start: its first byte.
        position: the first byte that is not written yet.
        end: the byte after its last; None while the length is unknown. It shrinks when another connection takes over.
        taken: whether a connection works on it.
        began_at: when that connection began, in seconds of the monotonic clock, and `began_from` at which byte.
        moved_at: when it last brought anything.
    """

    start: int
    position: int
    end: int | None
    taken: bool = False
    began_at: float = 0.0
    began_from: int = 0
    moved_at: float = 0.0

    @property
    def left(self) -> int | None:
        """Bytes that are missing, None where nobody knows."""
        return None if self.end is None else max(0, self.end - self.position)

    def begin(self, now: float) -> None:
        """A connection takes it."""
        self.taken = True
        self.began_at = self.moved_at = now
        self.began_from = self.position

    def move(self, count: int, now: float) -> None:
        """So many more bytes are written."""
        self.position += count
        if self.end is not None and self.position > self.end:
            self.position = self.end  # another connection has taken the rest meanwhile
        self.moved_at = now

    def seconds_left(self, now: float) -> float:
        """How long its connection still needs, as fast as it has been."""
        brought = self.position - self.began_from
        return (self.left or 0) * (now - self.began_at) / brought if brought else float("inf")


class Ranges:
    """All segments of a file.

    Args:
        total: bytes of the file, None where nobody knows.
        finished: pairs of first byte and byte after the last that are written already.
        pieces: how many connections are to have one.
    """

    def __init__(self, total: int | None, finished: Iterable[Iterable[int]] = (), pieces: int = 1) -> None:
        self.total = total
        self.segments: list[Segment] = []
        self._written = merged(finished)
        if total is None:
            self.segments.append(Segment(0, 0, None))
            return
        gaps = _gaps(self._written, total)
        missing = sum(end - start for start, end in gaps)
        size = max(FIRST_PIECE_BYTES, -(-missing // max(1, pieces)))
        for start, end in gaps:
            count = max(1, (end - start) // size) if pieces > 1 else 1
            cuts = [start + (end - start) * number // count for number in range(count + 1)]
            self.segments += [Segment(a, a, b) for a, b in pairwise(cuts)]

    @property
    def downloaded(self) -> int:
        """Bytes that are written."""
        return sum(end - start for start, end in self._written) + sum(
            segment.position - segment.start for segment in self.segments
        )

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return all(segment.left == 0 for segment in self.segments)

    @property
    def moved_at(self) -> float:
        """When any connection last brought anything."""
        return max((segment.moved_at for segment in self.segments), default=0.0)

    def finished(self) -> list[list[int]]:
        """What is written, as pairs of first byte and byte after the last."""
        mine = [[segment.start, segment.position] for segment in self.segments]
        return merged([*self._written, *mine])

    def take(self, now: float, request_s: float) -> Segment | None:
        """Work for a connection that has none: a free segment, else half of the one that would end last.

        Args:
            now: the monotonic clock.
            request_s: what a request takes until its answer comes; less work than that is not worth sharing.
        """
        for segment in self.segments:
            if not segment.taken and segment.left != 0:
                segment.begin(now)
                return segment
        if self.total is None:
            return None
        busy = [segment for segment in self.segments if segment.left]
        for last in sorted(busy, key=lambda one: (one.seconds_left(now), one.left or 0), reverse=True):
            if (middle := self._shared_from(last, now, request_s)) is not None:
                break
        else:
            return None
        rest = Segment(middle, middle, last.end)
        last.end = middle
        self.segments.insert(self.segments.index(last) + 1, rest)
        rest.begin(now)
        return rest

    @staticmethod
    def _shared_from(segment: Segment, now: float, request_s: float) -> int | None:
        """From which byte on another connection had better fetch it; None where it is not worth it."""
        assert segment.left is not None
        at_least_s = max(2 * request_s, SHARED_S)
        # A connection that has only just begun says nothing of its speed yet.
        known_after_s = at_least_s if segment.position > segment.began_from else max(at_least_s, FIRST_BYTE_S)
        if now - segment.began_at < known_after_s or segment.seconds_left(now) < at_least_s:
            return None
        if segment.left >= 2 * LAST_PIECE_BYTES:
            return segment.position + segment.left // 2
        return segment.position if now - segment.moved_at > STALLED_S else None

    def give_back(self, segment: Segment) -> None:
        """Its connection is gone; whoever is free goes on with it."""
        segment.taken = False


def merged(ranges: Iterable[Iterable[int]]) -> list[list[int]]:
    """The same bytes in order and in as few pairs as there can be; empty and senseless ones are left out."""
    result: list[list[int]] = []
    for start, end in sorted([int(start), int(end)] for start, end in ranges):
        if start < 0 or end <= start:
            continue
        if result and start <= result[-1][1]:
            result[-1][1] = max(result[-1][1], end)
        else:
            result.append([start, end])
    return result


def written_before(ranges: list[list[int]], position: int) -> int:
    """How many bytes just before this one are written."""
    index = bisect.bisect_left(ranges, [position, 0]) - 1
    return position - ranges[index][0] if index >= 0 and ranges[index][1] >= position else 0


def _gaps(written: list[list[int]], total: int) -> list[tuple[int, int]]:
    ends = [0, *(end for _, end in written)]
    starts = [*(start for start, _ in written), total]
    return [(end, start) for end, start in zip(ends, starts, strict=True) if end < start]
