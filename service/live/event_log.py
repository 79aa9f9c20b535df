"""The one ordered log of events: bounded, in memory, each event encoded once for all who want it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from service.live.frames import text_header
from service.model.events import Event

# What an entry costs besides its frame: the object, its strings, its place in the list.
ENTRY_OVERHEAD_BYTES = 400

# So many entries are looked at before others have the loop: some 30 ms with the most and dearest patterns.
_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it is kept and sent.

    `position` counts all entries, passing ones included; `seq` only those of the log, and is None for a passing one.
    """

    position: int
    seq: int | None
    type: str
    subject: str
    conflate_key: str | None
    frame: bytes
    header_bytes: int

    @property
    def payload(self) -> bytes:
        """The CloudEvents JSON without the WebSocket header, for transports of another kind."""
        return self.frame[self.header_bytes :]


Listener = Callable[[Entry], None]


class EventLog:
    """Numbers events, encodes them and keeps the newest; a reader is nothing but the number that it has come to.

    All of it belongs to the thread of the event loop. To follow the log from a position that a client names:
    `resumable`, then `read` until it gives nothing, then wait for what `listen` reports.

    Args:
        max_events: how many are kept.
        max_bytes: how much memory they may take; the newest is kept in any case.
        node: the name of this server in the events' `source`.
    """

    def __init__(self, *, max_events: int, max_bytes: int, node: str) -> None:
        self.epoch = secrets.token_hex(4)
        self.head = 0
        self.position = 0
        self.max_events = max_events
        self.max_bytes = max_bytes
        self._source = f"/plugbay/{quote(node, safe='')}"
        # A list with its dead front cut off now and then: indexed by seq in one step, which a deque is not.
        self._entries: list[Entry | None] = []
        self._dead = 0
        self._bytes = 0
        self._listeners: list[Listener] = []
        self._notes = 0

    @property
    def tail(self) -> int:
        """The seq after which everything is still here."""
        return self.head - (len(self._entries) - self._dead)

    @property
    def size_bytes(self) -> int:
        """How much memory the events take that are kept."""
        return self._bytes

    def publish(self, event: Event) -> int:
        """Append an event and tell the listeners, all in this one step.

        Whoever changes state and publishes without an `await` in between may take a snapshot together with `head` at
        any time: it is consistent.

        Returns:
            The event's seq; of a passing event, which has none, the head's.
        """
        self.position += 1
        if event.passing:
            entry = self._encode(event, None, f"{self.epoch}-{self.head}-{self.position}")
        else:
            self.head += 1
            entry = self._encode(event, self.head, f"{self.epoch}-{self.head}")
            self._entries.append(entry)
            self._bytes += len(entry.frame) + ENTRY_OVERHEAD_BYTES
            self._evict()
        for listener in self._listeners:
            listener(entry)
        return self.head

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called with every entry in the step in which it is published. Returns what ends that."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def resumable(self, epoch: str, seq: int) -> bool:
        """Whether everything after `seq` of that epoch is still here."""
        return epoch == self.epoch and self.tail <= seq <= self.head

    def since(self, seq: int) -> Sequence[Entry] | None:
        """All entries after `seq`; None where some of them are gone, or where `seq` is in the future."""
        return self.read(seq, self.max_events)

    def read(self, seq: int, count: int) -> Sequence[Entry] | None:
        """At most `count` entries after `seq`, oldest first; None as for `since`."""
        tail = self.tail
        if not tail <= seq <= self.head:
            return None
        start = self._dead + seq - tail
        return [entry for entry in self._entries[start : start + count] if entry is not None]

    async def newest(self, count: int, matches: Callable[[str], bool]) -> list[Entry]:
        """At most `count` entries whose subjects match, the newest of them, the oldest first; all as of the call.

        Of thousands of entries and dozens of patterns the loop is not kept busy in one go.
        """
        found: list[Entry] = []
        for number, entry in enumerate(self._entries[::-1]):
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
            if entry is not None and matches(entry.subject):
                found.append(entry)
                if len(found) == count:
                    break
        return found[::-1]

    def heartbeat(self, seq: int) -> bytes:
        """The payload of a heartbeat that says: everything up to `seq` has been sent. It is in no log."""
        return self.note("plugbay.heartbeat", "heartbeat", seq, {})

    def note(self, type: str, subject: str, seq: int | None, data: Any) -> bytes:
        """The payload of what is said to one client about its stream; it is in no log and uses up no seq.

        `seq` is how far the client has been served, None where that is not to be told.
        """
        self._notes += 1
        return _ENCODER.encode(
            _Envelope(
                id=f"{self.epoch}-{self.head if seq is None else seq}-note{self._notes}",
                source=self._source,
                type=type,
                subject=subject,
                time=_now(),
                epoch=self.epoch,
                seq=msgspec.UNSET if seq is None else str(seq),
                data=data,
            )
        )

    def _encode(self, event: Event, seq: int | None, id: str) -> Entry:
        subject = event.subject
        envelope = _Envelope(
            id=id,
            source=self._source,
            type=event.type,
            subject=subject,
            time=_now(),
            epoch=self.epoch,
            seq=msgspec.UNSET if seq is None else str(seq),
            data=event.data,
        )
        try:
            payload = _ENCODER.encode(envelope)
        except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
            # What a plugin says of itself may hold what JSON cannot; a change must not fail over that.
            payload = _ENCODER.encode(_encodable(envelope, 0))
        header = text_header(len(payload))
        return Entry(
            self.position, seq, event.type, subject, event.conflate_key, header + payload, len(header)
        )

    def _evict(self) -> None:
        kept = len(self._entries) - self._dead
        while kept > 1 and (kept > self.max_events or self._bytes > self.max_bytes):
            entry = self._entries[self._dead]
            self._entries[self._dead] = None
            self._dead += 1
            kept -= 1
            if entry is not None:
                self._bytes -= len(entry.frame) + ENTRY_OVERHEAD_BYTES
        if self._dead > 256 and self._dead > kept:
            del self._entries[: self._dead]
            self._dead = 0


class _Envelope(msgspec.Struct, kw_only=True):
    """CloudEvents 1.0 in JSON, with `epoch` and `seq` as extension attributes."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    epoch: str
    seq: str | msgspec.UnsetType
    data: Any


_ENCODER = msgspec.json.Encoder()
_MAX_DEPTH = 64


def _now() -> str:
    """RFC 3339 in UTC, always with microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _encodable(value: Any, depth: int) -> Any:
    """The nearest thing that JSON can say."""
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        value = {name: field for name, field in fields.items() if field is not msgspec.UNSET}
    if isinstance(value, dict):
        return {_encodable(str(key), depth): _encodable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encodable(item, depth + 1) for item in value]
    return _encodable(str(value), depth)
