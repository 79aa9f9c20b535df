"""Servers that tell WebSocket clients of events, for `benchmarks.fanout` and `benchmarks.resume`.

    python -m benchmarks.broadcasters plugbay|websockets|uvicorn

It says `{"port": …}`, then answers lines of JSON on stdin: `publish` an event `count` times (which has no answer), keep
`count` events for clients that come back (`fill`), and say when it `published` last, how many `clients` there are, how
long the event loop was held since it was last asked (`hold`, where that can be told), and how much `memory` it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from aiohttp import web

from benchmarks.processes import free_port, new_home
from service.api.access_log import AccessLog
from service.api.keys import EVENT_LOG, HUB, REGISTRY
from service.api.protocol import Runner
from service.app import build_app
from service.home import prepare_home
from service.live.event_log import Entry, EventLog
from service.live.selector import FairSelector
from service.logs import logging_to
from service.model.events import Cause, PluginChanged, Timings
from service.model.identity import PluginType
from service.model.plugin import ConfigField, Origin, Permissions, PluginView
from service.model.states import PluginState
from service.settings_reading import load_settings

_BACKLOG = 1024
_START_TIMEOUT_S = 20.0
# What a server says first to a client that asked for events: the peers as Plugbay does.
_ANSWER = '{"jsonrpc":"2.0","id":1,"result":{"epoch":"bench","seq":"0","recovered":true,"replayed":0}}'
_Commands = dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]]


class HeldTime:
    """The longest time between two visits of an event loop to its selector: that is how long it was held.

    By the clock, which on a busy machine also counts what other processes took; and by the thread's own processor time.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.longest_s = self.longest_cpu_s = 0.0
        self._left, self._left_cpu = time.perf_counter(), time.thread_time()
        self._select = selector.select
        selector.select = self._timed  # type: ignore[method-assign]

    def taken(self) -> dict[str, float]:
        """The longest since the last time that it was asked, in ms."""
        answer = {"ms": self.longest_s * 1e3, "cpu_ms": self.longest_cpu_s * 1e3}
        self.longest_s = self.longest_cpu_s = 0.0
        return answer

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
    """Plugbay whole, as it ships, with no plugin."""
    port = free_port()
    with new_home() as home, logging_to(level="warning"):
        prepare_home(home)
        app = build_app(load_settings(home, {"PLUGBAY_SERVER__PORT": str(port)}), home)
        runner = Runner(app, access_log_class=AccessLog, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port, backlog=_BACKLOG).start()
            async with asyncio.timeout(_START_TIMEOUT_S):
                await app[REGISTRY].ready.wait()
            yield port, _commands(partial(_publish, app), partial(_fill, app), lambda: app[HUB].clients)
        finally:
            await runner.cleanup()


def _publish(app: web.Application, count: int) -> None:
    for _ in range(count):
        app[EVENT_LOG].publish(event())


def _fill(app: web.Application, count: int) -> dict[str, Any]:
    _publish(app, count)
    log = app[EVENT_LOG]
    return {"epoch": log.epoch, "seq": str(log.head - count)}


@contextlib.asynccontextmanager
async def websockets() -> AsyncIterator[tuple[int, _Commands]]:
    """A server of the websockets library, broadcasting as its documentation shows; a resume sends a list in a loop."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    connections: set[ServerConnection] = set()
    kept: list[str] = []
    told = json.loads(frames(1)[0])

    async def handler(connection: ServerConnection) -> None:
        wish = json.loads(await connection.recv())
        await connection.send(_ANSWER)
        if "since" in wish["params"]:
            for frame in kept:
                await connection.send(frame)
        connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            connections.remove(connection)

    def publish(count: int) -> None:
        for _ in range(count):
            broadcast(connections, json.dumps(told))

    def fill(count: int) -> dict[str, Any]:
        kept[:] = frames(count)
        return {"epoch": "bench", "seq": "0"}

    # Pings of thousands of connections that nobody asked for would only disturb what is measured.
    async with serve(handler, "127.0.0.1", 0, backlog=_BACKLOG, ping_interval=None) as server:
        port = _port(next(iter(server.sockets)).getsockname())
        yield port, _commands(publish, fill, lambda: len(connections))


@contextlib.asynccontextmanager
async def uvicorn() -> AsyncIterator[tuple[int, _Commands]]:
    """A starlette application under uvicorn that keeps its WebSockets in a set and sends to one after the other."""
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect
    from uvicorn import Config, Server

    connections: set[WebSocket] = set()
    sending: set[asyncio.Task[None]] = set()
    kept: list[str] = []
    told = json.loads(frames(1)[0])

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        wish = await websocket.receive_json()
        await websocket.send_text(_ANSWER)
        if "since" in wish["params"]:
            for frame in kept:
                await websocket.send_text(frame)
        connections.add(websocket)
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive_text()
        connections.discard(websocket)

    async def tell(count: int) -> None:
        for _ in range(count):
            message = json.dumps(told)
            for websocket in list(connections):
                await websocket.send_text(message)

    def publish(count: int) -> None:
        task = asyncio.ensure_future(tell(count))
        sending.add(task)
        task.add_done_callback(sending.discard)

    def fill(count: int) -> dict[str, Any]:
        kept[:] = frames(count)
        return {"epoch": "bench", "seq": "0"}

    app = Starlette(routes=[WebSocketRoute("/api/ws", handler)])
    server = Server(Config(app, lifespan="off", log_level="error", backlog=_BACKLOG, ws_ping_interval=None))
    listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    serving = asyncio.ensure_future(server.serve([listening]))
    try:
        yield _port(listening.getsockname()), _commands(publish, fill, lambda: len(connections))
    finally:
        server.should_exit = server.force_exit = True
        await serving


def frames(count: int) -> list[str]:
    """The texts of so many events, as Plugbay sends them."""
    log = EventLog(max_events=1, max_bytes=1024 * 1024, node="bench")
    entries: list[Entry] = []
    log.listen(entries.append)
    for _ in range(count):
        log.publish(event())
    return [entry.payload.decode() for entry in entries]


def _commands(
    publish: Callable[[int], None], fill: Callable[[int], dict[str, Any]], clients: Callable[[], int]
) -> _Commands:
    def on_publish(arguments: dict[str, Any]) -> None:
        # Nobody is told, who would then want the processor while the event is sent.
        published["at"] = time.monotonic_ns()
        publish(arguments["count"])

    published = {"at": 0}

    def on_memory(arguments: dict[str, Any]) -> dict[str, Any]:
        with open("/proc/self/statm", "rb") as file:
            return {"mib": round(int(file.read().split()[1]) * resource.getpagesize() / 2**20)}

    return {
        "publish": on_publish,
        "published": lambda arguments: published,
        "fill": lambda arguments: fill(arguments["count"]),
        "clients": lambda arguments: {"clients": clients()},
        "memory": on_memory,
    }


async def _serve(name: str, held: HeldTime | None) -> None:
    async with {"plugbay": plugbay, "websockets": websockets, "uvicorn": uvicorn}[name]() as (port, commands):

        def on_hold(arguments: dict[str, Any]) -> dict[str, Any]:
            return {"ms": None, "cpu_ms": None} if held is None else held.taken()

        commands["hold"] = on_hold
        _say({"port": port, "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0]})
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            arguments = json.loads(line)
            if (answer := commands[arguments["command"]](arguments)) is not None:
                _say(answer)


def _port(address: Any) -> int:
    return int(address[1])


def _say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Be one of the servers, on the event loop that it ships with."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    name = sys.argv[1]
    held: HeldTime | None = None
    if name == "uvicorn":
        from uvicorn import Config

        factory = Config("", loop="auto").get_loop_factory()
    else:
        selector = FairSelector() if name == "plugbay" else selectors.DefaultSelector()
        held = HeldTime(selector)

        def factory() -> asyncio.AbstractEventLoop:
            return asyncio.SelectorEventLoop(selector)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(name, held))


if __name__ == "__main__":
    main()
