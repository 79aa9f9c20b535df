"""The processes of `benchmarks.fanout`: two servers, and the clients that receive. Commands come as lines on stdin."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import resource
import select
import selectors
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web
from websockets.asyncio.server import ServerConnection, broadcast, serve

from service.api.keys import EVENT_LOG, HUB
from service.api.websocket import websocket_handler
from service.live.event_log import Entry, EventLog
from service.live.hub import Hub
from service.live.limits import LiveLimits
from service.live.selector import FairSelector
from service.model.events import Cause, PluginChanged, Timings
from service.model.identity import PluginType
from service.model.plugin import ConfigField, Origin, Permissions, PluginView
from service.model.states import PluginState

_MARK = b'"type":"plugbay.plugin.'
_HEADER = struct.Struct("!BB")
_Commands = dict[str, Callable[[dict[str, Any]], dict[str, Any]]]


class HeldTime:
    """The longest time between two visits of an event loop to its selector: that is how long it was held.

    By the clock, which on a busy machine also counts what other processes took; and by the thread's own processor time.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.longest_s = self.longest_cpu_s = 0.0
        self._left, self._left_cpu = time.perf_counter(), time.thread_time()
        self._select = selector.select
        selector.select = self._timed  # type: ignore[method-assign]

    def _timed(self, timeout: float | None = None) -> Any:
        self.longest_s = max(self.longest_s, time.perf_counter() - self._left)
        self.longest_cpu_s = max(self.longest_cpu_s, time.thread_time() - self._left_cpu)
        ready = self._select(timeout)
        self._left, self._left_cpu = time.perf_counter(), time.thread_time()
        return ready


def event() -> PluginChanged:
    """A reload as it is told in earnest."""
    plugin = PluginView(
        id="search/demo",
        type=PluginType.SEARCH,
        name="demo",
        version="1.2.3",
        description="A plugin as there are many",
        config_schema=[ConfigField(name=f"field_{n}", label=f"Field {n}") for n in range(5)],
        enabled=True,
        state=PluginState.ACTIVE,
        generation=17,
        revision="0" * 64,
        file="plugins/search/demo_plugin.py",
        loaded_at="2026-11-22T12:00:00.123456Z",
        load_ms=4.9,
        error=None,
        running_calls=0,
        draining=[],
        origin=Origin(kind="file", sha256="0" * 64),
        permissions=Permissions(asked={"network": True}, granted={"network": True}, lacking={}),
        config_missing=[],
    )
    timings = Timings(detect_ms=0.4, load_ms=4.1, total_ms=4.9)
    return PluginChanged(change="reloaded", plugin=plugin, cause=Cause.FILE, by=None, timings=timings)


@contextlib.asynccontextmanager
async def plugbay() -> AsyncIterator[tuple[int, _Commands]]:
    """Plugbay's hub behind its own route, with the limits that it ships with."""
    log = EventLog(max_events=10_000, max_bytes=32 * 1024 * 1024, node="bench")
    hub = Hub(log, LiveLimits())
    app = web.Application()
    app[EVENT_LOG], app[HUB] = log, hub
    app.router.add_get("/api/ws", websocket_handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()

    def publish(count: int) -> None:
        for _ in range(count):
            log.publish(event())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hub.run())
        yield _port(runner.addresses[0]), _commands(publish, lambda: hub.clients)
        raise SystemExit


@contextlib.asynccontextmanager
async def peer() -> AsyncIterator[tuple[int, _Commands]]:
    """A server of the websockets library, as its documentation shows broadcasting."""
    connections: set[ServerConnection] = set()
    log = EventLog(max_events=10, max_bytes=1024 * 1024, node="bench")
    frames: list[Entry] = []
    log.listen(frames.append)
    log.publish(event())
    message = frames[0].payload.decode()

    async def handler(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            connections.remove(connection)

    def publish(count: int) -> None:
        for _ in range(count):
            broadcast(connections, message)

    async with serve(handler, "127.0.0.1", 0, backlog=1024) as server:
        port = _port(next(iter(server.sockets)).getsockname())
        yield port, _commands(publish, lambda: len(connections))


def _commands(publish: Callable[[int], None], clients: Callable[[], int]) -> _Commands:
    def on_publish(arguments: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic_ns()
        publish(arguments["count"])
        return {"at": began}

    def on_memory(arguments: dict[str, Any]) -> dict[str, Any]:
        with open("/proc/self/statm", "rb") as file:
            return {"mib": round(int(file.read().split()[1]) * resource.getpagesize() / 2**20)}

    return {
        "publish": on_publish,
        "clients": lambda arguments: {"clients": clients()},
        "memory": on_memory,
    }


async def _serve(name: str, held: HeldTime) -> None:
    async with {"plugbay": plugbay, "websockets": peer}[name]() as (port, commands):

        def on_hold(arguments: dict[str, Any]) -> dict[str, Any]:
            answer = {"ms": held.longest_s * 1e3, "cpu_ms": held.longest_cpu_s * 1e3}
            held.longest_s = held.longest_cpu_s = 0.0
            return answer

        commands["hold"] = on_hold
        _say({"port": port})
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            arguments = json.loads(line)
            _say(commands[arguments["command"]](arguments))


def _port(address: Any) -> int:
    return int(address[1])


def _say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


# The clients


class Receivers:
    """Thousands of clients that count the events they get and answer pings."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._rests: dict[int, bytes] = {}
        self._missing: dict[int, int] = {}

    def connect(self, port: int, count: int, subscribe: bool) -> None:
        """Open all connections, one after the other."""
        key = base64.b64encode(bytes(16)).decode()
        handshake = (
            f"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        wish = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": ["plugins/**"]}}
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(handshake)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(4096)
            if not answer.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(answer.decode())
            if subscribe:
                connection.sendall(_masked(0x1, json.dumps(wish).encode()))
                answer = answer.partition(b"\r\n\r\n")[2]
                while b'"recovered"' not in answer:
                    answer += connection.recv(4096)
            connection.setblocking(False)
            number = connection.fileno()
            self._sockets[number] = connection
            self._rests[number] = b""
            self._epoll.register(number, select.EPOLLIN)

    def serve(self) -> None:
        """Follow the commands on stdin."""
        self._epoll.register(0, select.EPOLLIN)
        pending = b""
        while True:
            for number, _ in self._epoll.poll(maxevents=256):
                if number:
                    self._receive(number)
                    continue
                data = os.read(0, 65536)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))

    def _obey(self, command: dict[str, Any]) -> None:
        if command["command"] == "connect":
            self.connect(command["port"], command["clients"], sys.argv[2] == "plugbay")
        else:
            self._missing = dict.fromkeys(self._sockets, command["count"])
        _say({})

    def _receive(self, number: int) -> None:
        data = self._sockets[number].recv(262144)
        if not data:
            raise RuntimeError("a server closed a connection")
        rest = self._rests[number] + data if self._rests[number] else data
        events = at = 0
        while len(rest) >= at + 2:
            first, size = _HEADER.unpack_from(rest, at)
            start = at + 2
            if size == 126:
                if len(rest) < start + 2:
                    break
                size, start = int.from_bytes(rest[start : start + 2], "big"), start + 2
            if len(rest) < start + size:
                break
            if first == 0x89:
                self._sockets[number].send(_masked(0xA, rest[start : start + size]))
            elif rest.find(_MARK, start, start + size) >= 0:
                events += 1
            at = start + size
        self._rests[number] = rest[at:]
        if events and number in self._missing:
            self._missing[number] -= events
            if self._missing[number] <= 0:
                del self._missing[number]
                if not self._missing:
                    _say({"at": time.monotonic_ns()})


def _masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame; its mask is zero, which leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB4x", 0x80 | opcode, 0x80 | size) + payload
    return struct.pack("!BBH4x", 0x80 | opcode, 0x80 | 126, size) + payload


def main() -> None:
    """Be one of the processes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.argv[1] == "receive":
        Receivers().serve()
        return
    # Each on the loop that it ships with.
    selector = FairSelector() if sys.argv[2] == "plugbay" else selectors.DefaultSelector()
    held = HeldTime(selector)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(_serve(sys.argv[2], held))


if __name__ == "__main__":
    main()
