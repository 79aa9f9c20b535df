"""The server of `benchmarks.calls`: Plugbay whole, with one route more, which calls no plugin.

    python -m benchmarks.calls_child HOME PORT

It says `{}` when the plugin serves, then answers lines of JSON on stdin.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.calls import NAME, ROUTES
from service.api.access_log import AccessLog
from service.api.keys import CALLER, REGISTRY
from service.api.responses import json_bytes_response
from service.app import build_app
from service.home import prepare_home
from service.logs import logging_to
from service.model.identity import PluginType
from service.sdk import SearchResult
from service.settings_reading import load_settings

_START_SECONDS = 20.0
_PARAMS: dict[str, object] = {"keyword": "x"}
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
    runner = web.AppRunner(app, access_log_class=AccessLog, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with asyncio.timeout(_START_SECONDS):
            await app[REGISTRY].ready.wait()
        _say({})
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            _say(await _calls(app, json.loads(line)["count"]))
    finally:
        await runner.cleanup()


async def _calls(app: web.Application, count: int) -> dict[str, Any]:
    """Milliseconds of each call, Plugbay's and the executor's in turns."""
    plugin = app[REGISTRY].find(PluginType.SEARCH, NAME)
    loop = asyncio.get_running_loop()
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "ours": lambda: app[CALLER].call(plugin, "search", _PARAMS),
            "peer": lambda: loop.run_in_executor(pool, find, "x"),
        }
        for call in calls.values():
            await call()
        # In blocks: what one leaves in the caches helps only itself.
        for _ in range(10):
            for name, call in calls.items():
                for _ in range(count // 10):
                    began = time.perf_counter()
                    await call()
                    times[name].append((time.perf_counter() - began) * 1000)
    return times


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with logging_to(level="warning"):
        asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
