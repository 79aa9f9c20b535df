"""Which segments of a playlist that changes are new: no I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugins.shared.hls_playlist import Segment

REMEMBERED = 512
# So many names go into a checkpoint: more than a live playlist usually shows.
_KEPT = 64


@dataclass(frozen=True, slots=True)
class News:
    """What a look at the playlist brought.

    Args:
        fresh: the segments that were not there before, in order.
        lost: how many came and went between two looks.
        restarted: the stream began to count anew, so nobody knows whether something is missing.
    """

    fresh: Sequence[Segment]
    lost: int = 0
    restarted: bool = False


class Follower:
    """Remembers what was taken.

    Numbers tell what is new; names do where a server does not give numbers, or begins anew with them.

    Args:
        saved: what `state` gave before, to go on from there.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        self._next: int | None = None
        self._names: OrderedDict[int, str] = OrderedDict()
        self._behind: int | None = None
        if saved:
            self._next = saved.get("next")
            self._names.update((int(number), str(name)) for number, name in saved.get("names") or [])

    @property
    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"next": self._next, "names": list(self._names.items())[-_KEPT:]}

    def missed(self, segment: Segment) -> int:
        """How many are missing between the one taken last and this one."""
        return max(0, segment.sequence - self._next) if self._next is not None else 0

    def took(self, segment: Segment) -> None:
        """Remember one, where `look` did not hand it out."""
        self._remember([segment])

    def look(self, segments: Sequence[Segment], *, numbered: bool) -> News:
        """What is new in the playlist as it is now; that is remembered as taken.

        Args:
            segments: all that it has.
            numbered: it says its sequence number.
        """
        news = self._news(segments, numbered)
        self._remember(news.fresh)
        return news

    def _news(self, segments: Sequence[Segment], numbered: bool) -> News:
        if not segments:
            return News(())
        if self._next is None:
            return News(segments)
        known = self._names
        last_number = segments[-1].sequence
        before, self._behind = self._behind, None
        moved = not numbered and any(known.get(one.sequence, one.name) != one.name for one in segments)
        if not moved and last_number >= self._next - 1:
            fresh = [one for one in segments if one.sequence >= self._next]
            return News(fresh, lost=max(0, segments[0].sequence - self._next))
        names = set(known.values())
        last = max((index for index, one in enumerate(segments) if one.name in names), default=None)
        # An old copy in some cache lags a little and stands still; one that lags far and grows is a new stream.
        if not moved and last_number + len(segments) < self._next:
            self._behind = last_number
            if before is not None and last_number > before:
                last = None
        if last is None:
            return News(segments, restarted=True)
        return News(segments[last + 1 :])

    def _remember(self, segments: Sequence[Segment]) -> None:
        for one in segments:
            self._names.pop(one.sequence, None)
            self._names[one.sequence] = one.name
            self._next = one.sequence + 1
        while len(self._names) > REMEMBERED:
            self._names.popitem(last=False)
