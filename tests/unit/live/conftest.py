from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from service.live.client import Client
from service.live.event_log import EventLog
from service.live.hub import Hub
from service.live.limits import LiveLimits
from service.model.events import Event


class Happened(Event, frozen=True, kw_only=True):
    """An event of the log about any subject."""

    name: str = "a"
    value: Any = 0

    @property
    def type(self) -> str:
        return "plugbay.test"

    @property
    def subject(self) -> str:
        return self.name

    @property
    def data(self) -> Any:
        return self.value


class Passing(Happened, frozen=True, kw_only=True):
    """A passing event; those of one `key` are conflated."""

    passing = True

    key: str | None = None

    @property
    def conflate_key(self) -> str | None:
        return self.key


class FakeTransport(asyncio.Transport):
    """Takes what is written; holds it back as long as it is `stuck`."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.stuck = False
        self.closed = False
        self.ended = False
        self.aborted = False
        self.on_write: Callable[[], None] = lambda: None
        self._buffered = 0
        self._high = 0
        self._drained = asyncio.Event()
        self._drained.set()

    def write(self, data: Any) -> None:
        assert not (self.closed or self.ended), "written after the end"
        self.on_write()
        self.written += data
        if self.stuck:
            self._buffered += len(data)
            if self._buffered > self._high:
                self._drained.clear()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or 0

    def get_write_buffer_size(self) -> int:
        return self._buffered

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.closed = self.aborted = True
        self._drained.set()

    async def drain(self) -> None:
        await self._drained.wait()

    def unstick(self) -> None:
        self.stuck = False
        self._buffered = 0
        self._drained.set()

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """All that was written, as (first byte, payload)."""
        found, rest = [], bytes(self.written)
        while rest:
            first, size, start = rest[0], rest[1], 2
            if size == 126:
                size, start = int.from_bytes(rest[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(rest[2:10], "big"), 10
            found.append((first, rest[start : start + size]))
            rest = rest[start + size :]
        return found

    @property
    def messages(self) -> list[Any]:
        """The text frames."""
        return [json.loads(payload) for first, payload in self.frames if first == 0x81]

    @property
    def values(self) -> list[Any]:
        """The data of the events, heartbeats excepted."""
        return [message["data"] for message in self.messages if message.get("type") == "plugbay.test"]

    @property
    def close_code(self) -> int | None:
        return next(
            (int.from_bytes(payload[:2], "big") for first, payload in self.frames if first == 0x88), None
        )


class Bench:
    """A hub that runs, and its log."""

    def __init__(self, log: EventLog, hub: Hub) -> None:
        self.log = log
        self.hub = hub

    def attach(self, address: str | None = None) -> tuple[Client, FakeTransport]:
        transport = FakeTransport()
        client = self.hub.attach(transport, transport.drain, address)
        return client, transport

    async def subscribe(self, client: Client, *topics: str, since: int | None = None) -> None:
        position = None if since is None else (self.log.epoch, since)
        await self.hub.subscribe(client, topics, position, lambda result: b"")

    async def settle(self) -> None:
        """Let the hub do all that it can do now."""
        for _ in range(200):
            await asyncio.sleep(0)


Begin = Callable[..., Bench]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    tasks: list[asyncio.Task[None]] = []
    hubs: list[Hub] = []

    def begin_bench(*, max_events: int = 1000, max_bytes: int = 2**25, **limits: Any) -> Bench:
        log = EventLog(max_events=max_events, max_bytes=max_bytes, node="test")
        hub = Hub(log, LiveLimits(**{"close_s": 0.05, "heartbeat_s": 3600.0, **limits}))
        hubs.append(hub)
        tasks.append(asyncio.create_task(hub.run()))
        return Bench(log, hub)

    yield begin_bench
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        assert task.cancelled() or task.exception() is None
