"""Installing plugins with dependencies: what other requests notice of it, and how long it takes where all was fetched.

The package registry is one of this machine, so that its distance plays no part.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import aiohttp

from benchmarks import windows
from benchmarks.figures import Figure, Goal, Row, Size, median, p99
from benchmarks.processes import Server, child, new_home, plugbay
from benchmarks.sources import plugin_path, put, small
from service.model.text import Text
from tests.registry import Registry

_INSTALLED = "installed"
# About what an HTTP client with all that it needs comes to.
_PACKAGES, _MODULES, _LINES = 8, 25, 120
_MOST_INSTALLS_A_WINDOW = 25
_WARM_UP = 2
_WITHIN_SECONDS = 60.0


async def measure(size: Size) -> Figure:
    """Windows of a few seconds, one with installs after one without; then warm installs, one after the other."""
    figure = Figure(Text(zh="安装带依赖的插件", en="Installing plugins with dependencies"))
    with _elsewhere() as registry, tempfile.TemporaryDirectory(prefix="plugbay-bench-") as cache:
        variables = registry.environment(Path(cache))
        await _others(figure, size.of(1, 8, 40), registry, variables)
        await _warm(figure, size.of(3, 40, 200), registry, variables)
    return figure


@contextlib.contextmanager
def _elsewhere() -> Iterator[Registry]:
    """A registry whose own work is of the lowest priority, as in earnest it is done on another machine."""
    registry = Registry()

    def enter() -> None:
        # Of this thread only, and of those that it starts.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        registry.__enter__()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    try:
        yield registry
    finally:
        registry.close()


# -- other requests --------------------------------------------------------------------------------------------------


async def _others(figure: Figure, count: int, registry: Registry, variables: Mapping[str, str]) -> None:
    with new_home() as home:
        put(plugin_path(home, windows.CALLED), small(windows.CALLED))
        async with _plugbay(home, variables) as (server, client), child("benchmarks.load") as load:
            installs = _Installs(client, registry)
            await windows.compare(
                figure,
                load,
                server.port,
                count,
                installs.going_on,
                named=Text(zh="安装期间{}", en="{} during installs"),
                peer=Text(zh="没有安装时", en="without installs"),
            )
    figure.notes.append(
        Text(
            zh=f"{windows.REQUESTS_PER_SECOND} 次请求/秒，每种各 {count * windows.WINDOW_SECONDS:g} 秒；"
            f"期间不间断安装，共 {len(installs.took)} 次，每次 {_PACKAGES} 个从未下载过的包、"
            f"{_PACKAGES * _MODULES} 个模块，中位数 {median(installs.took):.0f} ms",
            en=f"{windows.REQUESTS_PER_SECOND} requests/s, {count * windows.WINDOW_SECONDS:g} s of each; "
            f"{len(installs.took)} installs without a pause, each of {_PACKAGES} packages with "
            f"{_PACKAGES * _MODULES} modules that were never fetched before, median {median(installs.took):.0f} ms",
        )
    )


class _Installs:
    """Installs a plugin again and again, each time on packages of other versions."""

    def __init__(self, client: _Client, registry: Registry) -> None:
        self._client = client
        self._registry = registry
        self._offered = 0
        self._next = 0
        self.took: list[float] = []

    def _offer_more(self) -> None:
        """Have the registry ready for the next window; making the wheels takes the processor."""
        while self._offered < self._next + _MOST_INSTALLS_A_WINDOW:
            version = f"1.{self._offered}"
            needs = [f"part{number}=={version}" for number in range(1, _PACKAGES)]
            for number in range(_PACKAGES):
                name = f"part{number}"
                self._registry.add(name, version, _modules(name), requires=[] if number else needs)
            self._offered += 1

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Meanwhile."""
        await asyncio.to_thread(self._offer_more)
        async with windows.going_on(self._go_on):
            yield

    async def _go_on(self) -> None:
        while True:
            version = f"1.{self._next}"
            self._next += 1
            took = await self._client.install(_INSTALLED, [f"part0=={version}"], imports="part0")
            self.took.append(took)


def _modules(package: str) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {f"{package}/__init__.py": ""}
    for number in range(_MODULES):
        lines = [f"VALUE_{line} = {random.random()!r}" for line in range(_LINES)]
        files[f"{package}/module_{number}.py"] = "\n".join(lines) + "\n"
    return files


# -- warm installs ---------------------------------------------------------------------------------------------------


async def _warm(figure: Figure, count: int, registry: Registry, variables: Mapping[str, str]) -> None:
    registry.add("dependency", "1.0", _modules("dependency"))
    cases: dict[str, Sequence[str]] = {"with": ["dependency"], "without": []}
    times: dict[str, list[float]] = {name: [] for name in cases}
    with new_home() as home:
        async with _plugbay(home, variables) as (_, client):
            for turn in range(count + _WARM_UP):
                for name, dependencies in cases.items():
                    took = await client.install(name, dependencies, imports="".join(dependencies) or "json")
                    if turn >= _WARM_UP:
                        times[name].append(took)
                    await client.remove(name)
    peer = Text(zh="没有依赖的插件", en="a plugin without any")
    figure.rows += [
        Row(
            what=Text(
                zh="安装有一个依赖的插件（已下载过），从请求到应答，中位数",
                en="install of a plugin with one dependency that was fetched before, request to answer, median",
            ),
            value=median(times["with"]),
            unit="ms",
            peer=peer,
            peer_value=median(times["without"]),
            goal=Goal(at_most=300),
        ),
        Row(
            what=Text(zh="同上，p99", en="the same, p99"),
            value=p99(times["with"]),
            unit="ms",
            peer=peer,
            peer_value=p99(times["without"]),
        ),
    ]
    figure.notes.append(
        Text(
            zh=f"各 {count} 次；每次之前删除插件及其依赖（包括解析结果），保留 uv 的缓存",
            en=f"{count} times each; before each the plugin, its packages and what they resolved to are removed, and "
            "uv's cache is kept",
        )
    )


# -- the client ------------------------------------------------------------------------------------------------------


class _Client:
    """Installs and removes search plugins over HTTP."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self._url = f"{server.url}/api"
        self._http = http

    async def install(self, name: str, dependencies: Sequence[str], *, imports: str) -> float:
        """Upload a plugin, in place of the one that has its name.

        Returns:
            how long it took until the answer, in ms.
        """
        source = small(name, needs=dependencies, imports=imports)
        form = aiohttp.FormData({"plugin_type": "search", "replace": "true"})
        form.add_field("file", source, filename=f"{name}_plugin.py")
        began = time.perf_counter()
        async with self._http.post(f"{self._url}/plugins/install", data=form) as response:
            text = await response.text()
        took = (time.perf_counter() - began) * 1000
        if response.status != 200:
            raise RuntimeError(f"{name} was not installed: {text}")
        return took

    async def remove(self, name: str) -> None:
        """Delete a plugin, and its packages once its worker is gone."""
        await self._post("plugins/delete", {"plugin_type": "search", "plugin_name": name, "purge": True})
        async with asyncio.timeout(_WITHIN_SECONDS):
            while any(one["used_by"] for one in (await self._environments())):
                await asyncio.sleep(0.005)
        await self._post("environments/prune", {})

    async def _environments(self) -> list[dict[str, object]]:
        async with self._http.get(f"{self._url}/environments") as response:
            listed: list[dict[str, object]] = (await response.json())["environments"]
            return listed

    async def _post(self, path: str, body: object) -> None:
        async with self._http.post(f"{self._url}/{path}", json=body) as response:
            response.raise_for_status()


@contextlib.asynccontextmanager
async def _plugbay(home: Path, variables: Mapping[str, str]) -> AsyncIterator[tuple[Server, _Client]]:
    """A server with these variables, ready, and a client of it."""
    timeout = aiohttp.ClientTimeout(total=_WITHIN_SECONDS)
    async with (
        plugbay(home, environ=variables) as server,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        await server.until("/readyz")
        yield server, _Client(server, http)
