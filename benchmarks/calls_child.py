"""The server of `benchmarks.calls`: Plugbay whole, with two routes more: one calls nothing, one a process pool.

    python -m benchmarks.calls_child HOME PORT

It says `{}` when the plugin serves, then answers lines of JSON on stdin.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.calls import NAME, ROUTES
from service.api.access_log import AccessLog
from service.api.keys import CALLER, REGISTRY
from service.api.protocol import Runner
from service.api.responses import json_bytes_response
from service.app import build_app
from service.home import prepare_home
from service.logs import logging_to
from service.model.identity import PluginType
from service.sdk import SearchResult
from service.settings_reading import load_settings

_START_SECONDS = 20.0
_PARAMS: dict[str, object] = {"keyword": "x"}
_BLOCKS = 20
_Call = Callable[[], Awaitable[Any]]
_ANSWER = b'{"results":%b}'


def find(keyword: str) -> bytes:
    """What the plugin does, for the executor; the result is what a server would pass on."""
    return json.dumps([SearchResult(title=keyword, url="https://example.org/").model_dump()]).encode()


async def serve(home: Path, port: int) -> None:
    """Run the server until stdin ends."""
    prepare_home(home)
    app = build_app(load_settings(home, {"PLUGBAY_SERVER__PORT": str(port)}), home)
    body = _ANSWER % find("x")

    async def nothing(request: web.Request) -> web.Response:
        return json_bytes_response(body)

    app.router.add_get(ROUTES["nothing"], nothing)

    async def executor(request: web.Request) -> web.Response:
        found = await asyncio.get_running_loop().run_in_executor(pool, find, request.query["keyword"])
        return json_bytes_response(_ANSWER % found)

    app.router.add_get(ROUTES["executor"].partition("?")[0], executor)
    runner = Runner(app, access_log_class=AccessLog, handler_cancellation=True)
    await runner.setup()
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with asyncio.timeout(_START_SECONDS):
            await app[REGISTRY].ready.wait()
        plugin = app[REGISTRY].find(PluginType.SEARCH, NAME)
        _say({})
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            arguments = json.loads(line)
            calls: dict[str, _Call] = {
                "ours": partial(app[CALLER].call, plugin, "search", _PARAMS),
                "executor": partial(asyncio.get_running_loop().run_in_executor, pool, find, "x"),
            }
            if arguments.pop("command") == "rates":
                _say(await _rates(calls, **arguments))
            else:
                _say(await _round_trips(calls, **arguments))
    finally:
        pool.shutdown()
        await runner.cleanup()


async def _round_trips(calls: Mapping[str, _Call], count: int) -> dict[str, Any]:
    """Milliseconds of each call, one after the other."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        await call()
    # In blocks: what one leaves in the caches helps only itself.
    for _ in range(_BLOCKS):
        for name, call in calls.items():
            for _ in range(count // _BLOCKS):
                began = time.perf_counter()
                await call()
                times[name].append((time.perf_counter() - began) * 1000)
    return times


async def _rates(calls: Mapping[str, _Call], count: int, at_once: int) -> dict[str, Any]:
    """Calls a second with so many at once, one rate for each block."""
    rates: dict[str, list[float]] = {name: [] for name in calls}

    async def callers(call: _Call) -> None:
        for _ in range(count // _BLOCKS // at_once):
            await call()

    for _ in range(_BLOCKS):
        for name, call in calls.items():
            began = time.perf_counter()
            await asyncio.gather(*(callers(call) for _ in range(at_once)))
            rates[name].append(count // _BLOCKS // at_once * at_once / (time.perf_counter() - began))
    return rates


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with logging_to(level="warning"):
        asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
