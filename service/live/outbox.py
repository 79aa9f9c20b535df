"""What one client still has to get, in order: events, answers, and stretches of the log to be replayed. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from service.live.event_log import Entry, EventLog
from service.live.framing import WEB_SOCKET, Framing

# An event can be in here with a key of its own (all events of that key are one) or under a running number.
_Key = str | int

_READ_AT_ONCE = 64


class ReplayLost(Exception):
    """The log dropped events before the client that was to be given them took them."""


class Replay:
    """A stretch of the log: what comes after `cursor` up to and with `end`, as far as it is `wanted`."""

    __slots__ = ("cursor", "end", "wanted")

    def __init__(self, cursor: int, end: int, wanted: Callable[[Entry], bool]) -> None:
        self.cursor = cursor
        self.end = end
        self.wanted = wanted


class Hold:
    """The place of an answer that is not known yet; nothing behind it is given out before it is `frame`."""

    __slots__ = ("frame",)

    def __init__(self) -> None:
        self.frame: bytes | None = None


class Outbox:
    """A bounded queue of one client.

    Events are bounded in number and bytes; of events with one `conflate_key` only the newest is kept. A replay is no
    queue at all: it reads the log as it goes.

    Args:
        log: where replays read.
        max_events: events that may wait.
        max_bytes: the same in bytes.
        framing: how what is given out looks.
    """

    __slots__ = (
        "_bytes",
        "_events",
        "_framing",
        "_log",
        "_max_bytes",
        "_max_events",
        "_number",
        "_pieces",
        "answers",
    )

    def __init__(
        self, log: EventLog, *, max_events: int, max_bytes: int, framing: Framing = WEB_SOCKET
    ) -> None:
        self._log = log
        self._framing = framing
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._pieces: OrderedDict[_Key, Entry | Replay | Hold | bytes] = OrderedDict()
        self._number = 0
        self._events = 0
        self._bytes = 0
        self.answers = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._pieces

    @property
    def events(self) -> int:
        """How many events wait; those of replays are not counted."""
        return self._events

    @property
    def held(self) -> bool:
        """Whether nothing can be given out because the next piece is not known yet."""
        piece = next(iter(self._pieces.values()), None)
        return isinstance(piece, Hold) and piece.frame is None

    def extend(self, entries: Iterable[Entry]) -> bool:
        """Queue events. False when they are too many: the client has to go, the queue is of no use any more."""
        for entry in entries:
            key: _Key | None = entry.conflate_key
            if key is None:
                key = self._next_number()
            else:
                older = self._pieces.pop(key, None)
                if isinstance(older, Entry):
                    self._events -= 1
                    self._bytes -= len(older.frame)
            self._pieces[key] = entry
            self._events += 1
            self._bytes += len(entry.frame)
        return self._events <= self._max_events and self._bytes <= self._max_bytes

    def answer(self, frame: bytes) -> None:
        """Queue a frame that answers the client's own."""
        self._pieces[self._next_number()] = frame
        self.answers += 1

    def hold(self) -> Hold:
        """Keep a place for an answer."""
        hold = Hold()
        self._pieces[self._next_number()] = hold
        self.answers += 1
        return hold

    def replay(self, replay: Replay) -> None:
        """Queue a stretch of the log."""
        if replay.cursor < replay.end:
            self._pieces[self._next_number()] = replay

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self._events = self._bytes = self.answers = 0

    def take(self, max_bytes: int) -> bytes:
        """The next frames, joined: at least one where there is one to give, else about `max_bytes`.

        A step in which a replay finds nothing that is wanted gives nothing although more is to come: `empty` tells.

        Raises:
            ReplayLost: the log no longer has what was to be replayed.
        """
        frames: list[bytes] = []
        size = 0
        while self._pieces and size < max_bytes:
            key, piece = next(iter(self._pieces.items()))
            if isinstance(piece, Replay):
                size += self._read(piece, frames, max_bytes - size)
                if piece.cursor < piece.end:
                    break
            elif isinstance(piece, Entry):
                frames.append(self._framing.event(piece))
                size += len(frames[-1])
                self._events -= 1
                self._bytes -= len(piece.frame)
            else:
                frame = piece.frame if isinstance(piece, Hold) else piece
                if frame is None:
                    break
                frames.append(frame)
                size += len(frame)
                self.answers -= 1
            del self._pieces[key]
        return b"".join(frames)

    def _read(self, replay: Replay, frames: list[bytes], max_bytes: int) -> int:
        """Move a replay on by a bounded number of entries; returns the bytes that came of it."""
        size = 0
        entries = self._log.read(replay.cursor, min(_READ_AT_ONCE, replay.end - replay.cursor))
        if entries is None:
            raise ReplayLost
        for entry in entries:
            if size >= max_bytes:
                break
            if replay.wanted(entry):
                frames.append(self._framing.event(entry))
                size += len(frames[-1])
            assert entry.seq is not None
            replay.cursor = entry.seq
        return size

    def _next_number(self) -> int:
        self._number += 1
        return self._number
