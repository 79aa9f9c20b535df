"""From the rename of a saved plugin to the WebSocket client that knows that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import live, machine
from benchmarks.figures import Figure, Goal, Row, Size, median, p99
from benchmarks.processes import Server, free_port, new_home, plugbay, running
from benchmarks.sources import LINES, catalogue, plugin_path, put, rename_into
from service.model.text import Text

NAME = "catalogue"
# People do not save faster than this; meanwhile a spare worker takes the place of the one that was used.
PAUSE_SECONDS = (0.05, 0.1)
_WARM_UP = 3
_TIMEOUT_S = 30.0

Save = Callable[[int], Awaitable[float]]


async def measure(size: Size) -> Figure:
    """Plugbay and a server that imports in its own process in turns, then a server that is started anew."""
    figure = Figure(
        Text(
            zh=f"从保存（rename）到 WebSocket 客户端，{LINES} 行的插件",
            en=f"From a save (rename) to the WebSocket client, a plugin of {LINES} lines",
        )
    )
    ours: list[float] = []
    peers: list[float] = []
    parts: list[dict[str, float]] = []
    async with _plugbay(parts) as save_ours, _in_process() as save_theirs:
        turns = [(save_ours, ours), (save_theirs, peers)]
        for turn in range(size.of(3, 300, 1000) + _WARM_UP):
            for save, times in turns if turn % 2 else reversed(turns):
                await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
                took = await save(turn + 1)
                if turn >= _WARM_UP:
                    times.append(took)
    peer = Text(zh="同样的服务器，在自身进程内导入", en="the same server importing in its own process")
    figure.rows += [
        Row(what=Text(zh="保存到客户端得知，中位数", en="save to client, median"), value=median(ours), unit="ms",
            peer=peer, peer_value=median(peers), goal=Goal(at_most=1.4, ratio=True)),
        Row(what=Text(zh="保存到客户端得知，p99", en="save to client, p99"), value=p99(ours), unit="ms",
            peer=peer, peer_value=p99(peers), goal=Goal(at_most=10)),
    ]  # fmt: skip
    figure.notes.append(_parts(parts, len(ours)))
    restarts = await _restarts(size.of(1, 5, 15))
    if restarts is None:
        figure.notes.append(
            Text(
                zh="未安装 uvicorn、watchfiles 或 starlette，未与其比较",
                en="uvicorn, watchfiles or starlette is not installed: not compared with it",
            )
        )
    else:
        figure.rows.append(
            Row(what=Text(zh="同上，中位数", en="the same, median"), value=median(ours), unit="ms",
                peer=Text(zh="uvicorn --reload（watchfiles），客户端重连", en="uvicorn --reload with watchfiles, "
                "the client connecting again"), peer_value=median(restarts))
        )  # fmt: skip
    return figure


def _parts(parts: list[dict[str, float]], count: int) -> Text:
    shown = ", ".join(f"{name} {median([one[name] for one in parts]):.2f}" for name in parts[0])
    return Text(
        zh=f"{count} 次保存；服务器自己测得的中位数（毫秒）：{shown}",
        en=f"{count} saves; what the server itself measured of them, medians in ms: {shown}",
    )


@contextlib.asynccontextmanager
async def _plugbay(parts: list[dict[str, float]]) -> AsyncIterator[Save]:
    with new_home() as home:
        path = plugin_path(home, NAME)
        put(path, catalogue(NAME, "1.0.0"))
        async with plugbay(home) as server:
            await server.until("/readyz")
            async with live.following(server.url) as client:

                async def save(turn: int) -> float:
                    received, message = await _saved(path, client, turn)
                    parts.append(message["data"]["timings"])
                    return received

                yield save


@contextlib.asynccontextmanager
async def _in_process() -> AsyncIterator[Save]:
    with new_home() as home:
        path = plugin_path(home, NAME)
        put(path, catalogue(NAME, "1.0.0"))
        async with in_process(home) as server, live.connected(f"{server.url}/ws") as client:

            async def save(turn: int) -> float:
                return (await _saved(path, client, turn))[0]

            yield save


@contextlib.asynccontextmanager
async def in_process(home: Path) -> AsyncIterator[Server]:
    """The peer that imports in its own process."""
    port = free_port()
    async with running(
        "-m", "benchmarks.peers.in_process", str(home), str(port), port=port, alive="/livez"
    ) as server:
        yield server


async def _saved(path: Path, client: live.Client, turn: int) -> tuple[float, dict[str, Any]]:
    version = f"1.0.{turn}"
    began = rename_into(path, catalogue(NAME, version))
    received, message = await client.until(live.reloaded(NAME, version))
    return (received - began) * 1000, message


async def _restarts(count: int) -> list[float] | None:
    """The same with `uvicorn --reload`; None where it is not installed."""
    if "-" in [machine.installed(name) for name in ("uvicorn", "watchfiles", "starlette")]:
        return None
    times = []
    with new_home() as home:
        path = plugin_path(home, NAME)
        put(path, catalogue(NAME, "1.0.0"))
        port = free_port()
        command = f"-m uvicorn benchmarks.peers.restarted:app --port {port} --reload --reload-dir".split()
        environ = {"BENCH_HOME": str(home)}
        async with running(*command, str(home), port=port, alive="/livez", environ=environ) as server:
            for turn in range(1, count + 1):
                # It looks for changes in the background and would take one that comes too early for none.
                await asyncio.sleep(1)
                began = rename_into(path, catalogue(NAME, f"1.0.{turn}"))
                times.append((await _answers(server, f"1.0.{turn}") - began) * 1000)
    return times


async def _answers(server: Server, version: str) -> float:
    async with asyncio.timeout(_TIMEOUT_S), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with session.ws_connect(f"{server.url}/ws") as websocket:
                    message = await websocket.receive()
                    received = time.perf_counter()
                    if message.type is aiohttp.WSMsgType.TEXT and message.json()["version"] == version:
                        return received
            await asyncio.sleep(0.002)
