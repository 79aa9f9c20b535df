"""Clients that know plugins by events alone: one that stays, one that comes back for each look, one over SSE."""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import aiohttp

from tests.integration.event_source import Interpreter

TOPICS = ["plugins/**", "registry", "config"]
PASSING = {"running_calls", "draining"}
ANNOUNCEMENTS = {"loading", "installing"}
PLUGIN = "plugbay.plugin."
Plugins = dict[str, dict[str, Any]]


class Told(NamedTuple):
    """One event of the log."""

    seq: int
    type: str
    subject: str

    @property
    def id(self) -> str:
        """The plugin's."""
        return self.subject.removeprefix("plugins/")

    @property
    def kind(self) -> str:
        """The last part of its type, where it ends a change of a plugin; else nothing."""
        kind = self.type.removeprefix(PLUGIN)
        return "" if kind == self.type or kind in ANNOUNCEMENTS else kind


class Follower(ABC):
    """One client.

    Attributes:
        plugins: what there is, as it knows.
        events: all that it was told, in order.
        seq: where it has come to.
        restarts: how often its position was gone, so that it had to begin anew.
    """

    _reading: asyncio.Task[None] | None = None

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.plugins: Plugins = {}
        self.events: list[Told] = []
        self.epoch = ""
        self.seq = 0
        self.restarts = 0
        self.came = asyncio.Event()
        self._http = http
        self._url = url

    @abstractmethod
    async def look(self) -> None:
        """Do what it takes to learn of what is new."""

    async def close(self) -> None:  # noqa: B027  # one has nothing to end
        """End; calling it twice is safe."""

    async def begin(self) -> None:
        """Begin with the state that the server tells, and its position in the events."""
        async with self._http.get(self._url + "/api/plugins") as response:
            told = await response.json()
        self.epoch, self.seq = told["epoch"], int(told["seq"])
        self.plugins = by_id(told)

    async def start_anew(self) -> None:
        """The position is gone: nothing but to begin again."""
        self.restarts += 1
        self.events.clear()
        await self.begin()

    def take(self, event: dict[str, Any]) -> None:
        """Take one event."""
        if "seq" not in event or event["type"] == "plugbay.heartbeat":
            return
        told = Told(int(event["seq"]), event["type"], event["subject"])
        assert event["epoch"] == self.epoch and told.seq > self.seq, (self.seq, told)
        self.seq = told.seq
        self.events.append(told)
        if "plugin" in event["data"]:
            if told.kind == "unloaded":
                self.plugins.pop(told.id, None)
            else:
                self.plugins[told.id] = _lasting(event["data"]["plugin"])
        self.came.set()


class Staying(Follower):
    """A WebSocket that stays open."""

    async def look(self) -> None:
        if self._reading is None:
            self._socket = await self._http.ws_connect(self._url + "/api/ws", max_msg_size=0)
            await _subscribe(self._socket, self)
            self._reading = asyncio.create_task(self._read(), name="staying")
        elif self._reading.done():
            self._reading.result()
            raise AssertionError(f"the socket was closed with {self._socket.close_code}")

    async def close(self) -> None:
        if self._reading is not None:
            await _cancelled(self._reading)
            await self._socket.close()

    async def _read(self) -> None:
        async for message in self._socket:
            self.take(json.loads(message.data))


class Returning(Follower):
    """A WebSocket that is opened for each look, resumes where it was, and goes."""

    async def look(self) -> None:
        async with self._http.ws_connect(self._url + "/api/ws", max_msg_size=0) as socket:
            subscribed = await _subscribe(socket, self)
            for _ in range(subscribed["replayed"]):
                self.take(await socket.receive_json(timeout=15))
            self.seq = max(self.seq, int(subscribed["seq"]))


class Streaming(Follower):
    """Server-sent events; after a cut it comes back with its last id."""

    async def look(self) -> None:
        if self._reading is not None and not self._reading.done():
            return
        if self._reading is not None and not self._reading.cancelled():
            self._reading.result()
        response = await self._http.get(
            self._url + "/api/events",
            params={"topics": ",".join(TOPICS)},
            headers={"Last-Event-ID": f"{self.epoch}:{self.seq}"},
            timeout=aiohttp.ClientTimeout(total=None),
        )
        assert response.status == 200, await response.text()
        self._reading = asyncio.create_task(self._read(response), name="streaming")

    async def cut(self) -> None:
        """Lose the connection."""
        if self._reading is not None:
            await _cancelled(self._reading)

    async def close(self) -> None:
        await self.cut()

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        interpreter = Interpreter()
        async with response:
            while data := await response.content.readany():
                for message in interpreter.feed(data):
                    if message.type == "plugbay.stream.reset":
                        await self.start_anew()
                    elif int(message.event.get("seq", 0)) > self.seq:
                        self.take(message.event)


def by_id(told: dict[str, Any]) -> Plugins:
    """The plugins of `GET /api/plugins` by id, without what is only as of an event."""
    return {one["id"]: _lasting(one) for type_ in ("search", "download", "parser") for one in told[type_]}


def _lasting(plugin: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plugin.items() if name not in PASSING}


async def _subscribe(socket: aiohttp.ClientWebSocketResponse, follower: Follower) -> dict[str, Any]:
    while True:
        since = {"epoch": follower.epoch, "seq": str(follower.seq)}
        await socket.send_json(
            {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": TOPICS, "since": since}}
        )
        result: dict[str, Any] = (await socket.receive_json(timeout=15))["result"]
        if result["recovered"]:
            return result
        await follower.start_anew()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
