"""Server-sent events (WHATWG HTML, 9.2) as bytes of an HTTP response.

    : {"epoch":"k3","seq":"57","recovered":true,"replayed":16}     the opening: how far the client had come
    retry: 1000
    id: k3:41

    id: k3:42                                                      an event of the log
    data: {"specversion":"1.0","id":"k3-42",…}

    data: {"specversion":"1.0",…,"type":"plugbay.heartbeat",…}     what has no place in the log has no id

Everything in `data` is one CloudEvent in one line, as it goes over the WebSocket. The opening has no data: an
EventSource learns its position by it and reports no event. It needs that on every connection: by the letter it begins
each with no id, and takes the first event without one for the news that there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from service.live.event_log import Entry, EventLog

if TYPE_CHECKING:
    from service.live.hub import Subscribed

RESET = "plugbay.stream.reset"
CLOSED = "plugbay.stream.closed"
RETRY_MS = 1000

_SUBJECT = "stream"
_LAST_CHUNK = b"0\r\n\r\n"
_POSITION = re.compile(r"([^:]{1,64}):(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class EventStream:
    """The framing of one kind of response.

    Args:
        log: where the events come from.
        chunked: whether the body is in chunks (HTTP/1.1), or ends with the connection (HTTP/1.0).
    """

    log: EventLog
    chunked: bool

    def event(self, entry: Entry) -> bytes:
        if entry.seq is None:
            return self.message(entry.payload)
        return self._chunk(b"id: %s:%d\ndata: %s\n\n" % (self.log.epoch.encode(), entry.seq, entry.payload))

    def message(self, payload: bytes) -> bytes:
        return self._chunk(b"data: %s\n\n" % payload)

    def ping(self) -> bytes:
        return b""

    def goodbye(self, code: int, reason: str) -> bytes:
        # No seq: the client need not have been given everything, and resumes from what it has.
        payload = self.log.note(CLOSED, _SUBJECT, None, {"code": code, "reason": reason})
        return self.message(payload) + (_LAST_CHUNK if self.chunked else b"")

    def opening(self, subscribed: Subscribed, since: int | None) -> bytes:
        """What comes before the first event.

        Where the client's position could not be resumed from, an event says so: comments reach no EventSource. Its new
        position comes in the same block, or a cut in between would have it go on as if nothing were missing.

        Args:
            subscribed: what became of the wish.
            since: the seq that the client had come to; None where it starts now.
        """
        start = int(subscribed.seq) if since is None or not subscribed.recovered else since
        said = msgspec.json.encode(subscribed)
        block = b": %s\nretry: %d\nid: %s:%d\n" % (said, RETRY_MS, subscribed.epoch.encode(), start)
        if not subscribed.recovered:
            block += b"data: %s\n" % self.log.note(RESET, _SUBJECT, start, subscribed)
        return self._chunk(block + b"\n")

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data


def read_position(id: str) -> tuple[str, int] | None:
    """The epoch and seq of `{epoch}:{seq}`; None where it is nothing that this server could have given."""
    match = _POSITION.fullmatch(id)
    return None if match is None else (match[1], int(match[2]))
