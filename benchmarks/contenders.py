"""What a save is measured beside in `reload`: servers of other makes with a client each, and the floor."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from benchmarks import machine
from benchmarks.figures import Goal
from benchmarks.processes import ROOT, Server, free_port, new_home, running
from benchmarks.sources import catalogue, plugin_path, put, rename_into
from service.model.text import Text

NAME = "catalogue"
_TIMEOUT_S = 15.0
_POLL_SECONDS = 0.002
_NODE_MODULES = ROOT / "web" / "node_modules"

# Saves the next version and returns how many milliseconds it took until the client had it.
Save = Callable[[int], Awaitable[float]]


class Parts(NamedTuple):
    """What a save took, one part after the other, in milliseconds.

    Args:
        noticed: until the file system's notice was taken: the server's until the file was read.
        begun: until the load began: a fork, or with Plugbay all that leads to a worker.
        loaded: the load.
        told: until the client had it.
    """

    noticed: float
    begun: float
    loaded: float
    told: float


class Contender(NamedTuple):
    """One that a save is measured beside.

    Args:
        text: how it is named.
        start: gives its `Save` while it runs.
        goal: what is asked of Plugbay beside it, and of its p99.
        absent: why it cannot run here, if so.
        every: it takes part in one of so many turns.
        rest: seconds that it needs from one answer to the next save.
    """

    text: Text
    start: Callable[[], AbstractAsyncContextManager[Save]]
    goal: Goal = Goal(at_most=1, ratio=True)
    p99_goal: Goal | None = None
    absent: Text | None = None
    every: int = 1
    rest: float = 0.0


# -- the floor -------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def floor(mode: str, parts: list[Parts]) -> AsyncIterator[Save]:
    """inotify, fork, compile and a write; `mode` is `compile`, or `run` to run the module, too."""
    with new_home() as home:
        path = plugin_path(home, NAME)
        put(path, catalogue(NAME, "1.0.0"))
        port = free_port()
        async with running("-m", "benchmarks.peers.floor", str(home), str(port), mode, port=port, alive=None):
            reader, writer = await _connected(port)

            async def save(turn: int) -> float:
                version = f"1.0.{turn}"
                began = rename_into(path, catalogue(NAME, version))
                async with asyncio.timeout(_TIMEOUT_S):
                    while True:
                        line = await reader.readline()
                        received = time.perf_counter()
                        message = json.loads(line)
                        if message["version"] == version:
                            at = [began, *message["times"], received]
                            parts.append(Parts(*((b - a) * 1000 for a, b in itertools.pairwise(at))))
                            return (received - began) * 1000

            yield save
            writer.close()


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(_TIMEOUT_S):
        while True:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(_POLL_SECONDS)


# -- servers that start anew -----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def uvicorn_reload() -> AsyncIterator[Save]:
    """`uvicorn --reload`, which watches with watchfiles; the client connects again."""
    with new_home() as home:
        port = free_port()
        command = (
            f"-m uvicorn benchmarks.peers.restarted:app --port {port} --reload --reload-dir {home}".split()
        )
        async with _restarted(home, port, command) as save:
            yield save


@contextlib.asynccontextmanager
async def adev_runserver() -> AsyncIterator[Save]:
    """`adev runserver` of aiohttp-devtools; the client connects again."""
    with new_home() as home:
        port = free_port()
        (home / "app.py").write_text("from benchmarks.peers.developed import create_app\n", encoding="utf-8")
        ports = f"--port {port} --aux-port {free_port()}"
        command = f"-m aiohttp_devtools runserver {home} --root {home} {ports} --no-livereload".split()
        async with _restarted(home, port, command) as save:
            yield save


@contextlib.asynccontextmanager
async def _restarted(home: Path, port: int, command: list[str]) -> AsyncIterator[Save]:
    path = plugin_path(home, NAME)
    put(path, catalogue(NAME, "1.0.0"))
    environ = {"BENCH_HOME": str(home), "PYTHONPATH": str(ROOT)}
    async with running(*command, port=port, alive="/livez", environ=environ) as server:

        async def save(turn: int) -> float:
            version = f"1.0.{turn}"
            began = rename_into(path, catalogue(NAME, version))
            return (await _answers(server, version) - began) * 1000

        yield save


async def _answers(server: Server, version: str) -> float:
    """When a client that connects again and again was first told this version."""
    async with asyncio.timeout(_TIMEOUT_S), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with session.ws_connect(f"{server.url}/ws") as websocket:
                    message = await websocket.receive()
                    received = time.perf_counter()
                    if message.type is aiohttp.WSMsgType.TEXT and message.json()["version"] == version:
                        return received
            await asyncio.sleep(_POLL_SECONDS)


# -- Vite ------------------------------------------------------------------------------------------------------------


def no_vite() -> Text | None:
    """Why Vite cannot run here."""
    if machine.node() is None:
        return Text(zh="未安装 node", en="node is not installed")
    if machine.package("vite") == "-":
        return Text(zh="web/node_modules 中没有 vite", en="there is no vite in web/node_modules")
    return None


@contextlib.asynccontextmanager
async def vite() -> AsyncIterator[Save]:
    """Vite's dev server: a client on its HMR socket is told of the update, then fetches the module, as a page does."""
    with new_home() as home:
        module = home / "catalogue.js"
        put(module, _javascript("1.0.0"))
        (home / "index.html").write_text('<script type="module" src="/main.js"></script>', encoding="utf-8")
        main = "import { version } from './catalogue.js';\nimport.meta.hot.accept('./catalogue.js', () => version);\n"
        (home / "main.js").write_text(main, encoding="utf-8")
        port = free_port()
        options = f"--host 127.0.0.1 --port {port} --strictPort --logLevel error".split()
        command = [str(_NODE_MODULES / "vite" / "bin" / "vite.js"), str(home), *options]
        async with (
            running(*command, port=port, alive="/index.html", program=machine.node() or "node") as server,
            aiohttp.ClientSession(server.url) as http,
            http.ws_connect("/", protocols=["vite-hmr"]) as socket,
        ):
            for file in ("main.js", "catalogue.js"):  # as a page does that has loaded them
                await _text(http, file)

            async def save(turn: int) -> float:
                version = f"1.0.{turn}"
                began = rename_into(module, _javascript(version))
                async with asyncio.timeout(_TIMEOUT_S):
                    update = await _update(socket)
                    source = await _text(http, f"catalogue.js?t={update['timestamp']}")
                received = time.perf_counter()
                if f'"{version}"' not in source:
                    raise RuntimeError("Vite served another version than it announced")
                return (received - began) * 1000

            yield save


async def _update(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    while True:
        message = await socket.receive_json()
        if message["type"] == "update":
            update: dict[str, Any] = message["updates"][0]
            return update


async def _text(http: aiohttp.ClientSession, path: str) -> str:
    async with http.get(f"/{path}") as response:
        response.raise_for_status()
        return await response.text()


def _javascript(version: str) -> bytes:
    """A module of as many lines as the plugin that is measured has."""
    lines = [f'export const version = "{version}";']
    while len(lines) < catalogue(NAME, version).count(b"\n"):
        number = len(lines)
        lines.append(f"export function field{number}(record) {{ return record.field{number} ?? {number}; }}")
    return "\n".join(lines).encode() + b"\n"
