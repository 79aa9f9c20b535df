"""How what the hub says becomes the bytes of a transport: the only part of it that transports differ in."""

from __future__ import annotations

from typing import Protocol

from service.live.event_log import Entry
from service.live.frames import close_frame, ping_frame, text_frame


class Framing(Protocol):
    """One kind of connection. Clients whose framings are equal share what is made for an event.

    Whatever it makes can be joined with whatever else it makes.
    """

    def event(self, entry: Entry) -> bytes:
        """An event; one of the log carries its place in it."""

    def message(self, payload: bytes) -> bytes:
        """What has no place in the log, such as a heartbeat. `payload` is JSON in UTF-8."""

    def ping(self) -> bytes:
        """Asks the client for a sign of life; empty where it can give none but by reading on."""

    def goodbye(self, code: int, reason: str) -> bytes:
        """The last that a client gets: why, and whether to come back."""


class _WebSocket:
    """Frames of RFC 6455; those of events are made when they are published."""

    def event(self, entry: Entry) -> bytes:
        return entry.frame

    def message(self, payload: bytes) -> bytes:
        return text_frame(payload)

    def ping(self) -> bytes:
        return ping_frame()

    def goodbye(self, code: int, reason: str) -> bytes:
        return close_frame(code, reason)


WEB_SOCKET: Framing = _WebSocket()
