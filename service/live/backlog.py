"""What has been published and not yet been taken by a round: ordered, conflated, bounded. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from service.live.event_log import ENTRY_OVERHEAD_BYTES, Entry


class Backlog:
    """The entries between the log and the rounds that hand them out.

    Of passing entries with one `conflate_key` only the newest waits. Too many passing entries are dropped and counted.
    When there are too many of the others, which only happens where the server itself cannot keep up, the oldest go and
    `lost` says so: whoever needed them has to start over.

    Args:
        max_events: passing entries, and as many others, that may wait.
        max_bytes: the memory that all may take.
        taken: position of the newest entry that is none of this object's business.
        taken_seq: the seq of the newest of the log's entries up to there.
    """

    def __init__(self, *, max_events: int, max_bytes: int, taken: int, taken_seq: int) -> None:
        self.taken = taken
        self.taken_seq = taken_seq
        self.lost = 0
        self.passing_dropped = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str | int, Entry] = OrderedDict()
        self._round: Sequence[Entry] = ()
        self._bytes = 0
        self._passing = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Queue an entry, the newest of all."""
        key: str | int = entry.position
        if entry.seq is None:
            if entry.conflate_key is not None:
                key = entry.conflate_key
                older = self._entries.pop(key, None)
                if older is not None:
                    self._count(older, -1)
            if self._passing >= self._max_events:
                self.passing_dropped += 1
                return
        self._entries[key] = entry
        self._count(entry, 1)
        while len(self._entries) > 1 and (
            len(self._entries) - self._passing > self._max_events or self._bytes > self._max_bytes
        ):
            _, dropped = self._entries.popitem(last=False)
            self._count(dropped, -1)
            if dropped.seq is None:
                self.passing_dropped += 1
            else:
                self.lost = dropped.position

    def skip(self, entry: Entry) -> None:
        """Let an entry pass, and all that waits: nobody wants any of it."""
        self._entries.clear()
        self._bytes = self._passing = 0
        self.taken = entry.position
        if entry.seq is not None:
            self.taken_seq = entry.seq

    def take(self, max_bytes: int) -> Sequence[Entry]:
        """The oldest entries, about `max_bytes` of them and at least one; they are the round until `end_round`."""
        batch: list[Entry] = []
        size = 0
        while self._entries and size < max_bytes:
            _, entry = self._entries.popitem(last=False)
            self._count(entry, -1)
            batch.append(entry)
            size += len(entry.frame)
            if entry.seq is not None:
                self.taken_seq = entry.seq
        self.taken = batch[-1].position
        self._round = batch
        return batch

    def end_round(self) -> None:
        """Everyone has been served what was taken."""
        self._round = ()

    def after(self, position: int) -> list[Entry]:
        """What a client that has been served up to `position` is still to get from this round and the next ones."""
        due = [entry for entry in self._round if entry.position > position]
        due += [entry for entry in self._entries.values() if entry.position > position]
        return due

    def _count(self, entry: Entry, sign: int) -> None:
        self._bytes += sign * (len(entry.frame) + ENTRY_OVERHEAD_BYTES)
        if entry.seq is None:
            self._passing += sign
