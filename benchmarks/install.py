"""Installing plugins with dependencies: what other requests notice of it, and how long it takes.

It is timed beside an operator who installs the packages with uv or pip and restarts the server. The package registry is
one of this machine, so that its distance plays no part.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from benchmarks import windows
from benchmarks.figures import Figure, Goal, Row, Series, Size, Spread, median
from benchmarks.installers import BY_HAND, MODULES, PACKAGES, ByHand, Cold, InstallClient, modules, serving
from benchmarks.peers import absence
from benchmarks.processes import child, new_home
from benchmarks.sources import plugin_path, put, small
from service.model.text import Text
from tests.registry import Registry

_OURS = "with"
_WITHOUT = "without"
_INSTALLED = "installed"
_MOST_INSTALLS_A_WINDOW = 25
_WARM_UP = 2
_WARM = Text(
    zh="安装有一个依赖的插件（已下载过），从请求到应答",
    en="install of a plugin with one dependency that was fetched before, request to answer",
)
_COLD = Text(
    zh=f"安装有 {PACKAGES} 个依赖的插件（从未下载过），从请求到应答",
    en=f"install of a plugin with {PACKAGES} packages that were never fetched, request to answer",
)


async def measure(size: Size) -> Figure:
    """Windows of a few seconds, one with installs after one without; then installs by themselves."""
    figure = Figure(Text(zh="安装带依赖的插件", en="Installing plugins with dependencies"))
    with _elsewhere() as registry, tempfile.TemporaryDirectory(prefix="plugbay-bench-") as folder:
        variables = registry.environment(Path(folder, "cache"))
        await _others(figure, size.of(1, 6, 40), windows.window_seconds(size), registry, variables)
        await _compared(figure, size.of(2, 30, 200), size.of(1, 8, 40), registry, variables)
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


async def _others(
    figure: Figure, count: int, seconds: float, registry: Registry, variables: Mapping[str, str]
) -> None:
    with new_home() as home:
        put(plugin_path(home, windows.CALLED), small(windows.CALLED))
        async with serving(home, variables) as (server, client), child("benchmarks.load") as load:
            installs = _Installs(client, registry)
            await installs.one()
            await windows.compare(
                figure,
                load,
                server.port,
                count,
                installs.going_on,
                seconds=seconds,
                named=Text(zh="安装期间{}", en="{} during installs"),
                peer=Text(zh="没有安装时", en="without installs"),
            )
    figure.notes.append(
        Text(
            zh=f"{windows.REQUESTS_PER_SECOND} 次请求/秒，每种各 {count * seconds:g} 秒；"
            f"期间不间断安装，共 {len(installs.took)} 次，每次 {PACKAGES} 个从未下载过的包、"
            f"{PACKAGES * MODULES} 个模块，中位数 {median(installs.took):.0f} ms",
            en=f"{windows.REQUESTS_PER_SECOND} requests/s, {count * seconds:g} s of each; "
            f"{len(installs.took)} installs without a pause, each of {PACKAGES} packages with "
            f"{PACKAGES * MODULES} modules that were never fetched before, median {median(installs.took):.0f} ms",
        )
    )


class _Installs:
    """Installs a plugin again and again, each time on packages of other versions."""

    def __init__(self, client: InstallClient, registry: Registry) -> None:
        self._client = client
        self._cold = Cold(registry, 1)
        self.took: list[float] = []

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Meanwhile."""
        await asyncio.to_thread(self._cold.offer, _MOST_INSTALLS_A_WINDOW)
        async with windows.going_on(self._go_on):
            yield

    async def one(self) -> None:
        """One install."""
        self._cold.offer(1)
        self.took.append(await self._client.install(_INSTALLED, [self._cold.fresh()], imports="part0"))

    async def _go_on(self) -> None:
        while True:
            await self.one()


# -- installs by themselves ------------------------------------------------------------------------------------------


async def _compared(
    figure: Figure, count: int, count_by_hand: int, registry: Registry, variables: Mapping[str, str]
) -> None:
    """One after the other; by hand it is done less often, since it takes so long."""
    registry.add("dependency", "1.0", modules("dependency"))
    absent = {name: absence(libraries=(name,)) for name in BY_HAND}
    warm: dict[str, list[float]] = {}
    cold: dict[str, list[float]] = {}
    with new_home() as home:
        async with contextlib.AsyncExitStack() as stack:
            _, client = await stack.enter_async_context(serving(home, variables))
            hands = [
                await stack.enter_async_context(ByHand.at_work(name, registry, variables))
                for name, reason in absent.items()
                if reason is None
            ]
            await _fetched_before(warm, client, hands, count, count_by_hand)
            await _never_fetched(cold, client, hands, count_by_hand, Cold(registry, 2))
    figure.rows.append(
        Row.of(_WARM, "ms", warm[_OURS], peer=Text(zh="没有依赖的插件", en="a plugin without any"),
               peer_values=warm[_WITHOUT], goal=Goal(at_most=300))
    )  # fmt: skip
    titles = (
        Text(zh="安装，依赖已下载过", en="An install, its dependency fetched before"),
        Text(zh=f"安装，{PACKAGES} 个包从未下载过", en=f"An install, {PACKAGES} packages never fetched"),
    )
    for what, title, times in zip((_WARM, _COLD), titles, (warm, cold), strict=True):
        figure.rows += [
            Row.of(what, "ms", times[_OURS], peer=peer, peer_values=times.get(name, ()), absent=absent[name],
                   goal=Goal(at_most=1, ratio=True))
            for name, peer in BY_HAND.items()
        ]  # fmt: skip
        labels = {
            _OURS: Text(zh="Plugbay", en="Plugbay"),
            **{name: Text(zh=f"{name} 与重启", en=f"{name} and a restart") for name in BY_HAND},
        }
        series = [
            Series(label=labels[name], values=times[name], ours=name == _OURS)
            for name in labels
            if name in times
        ]
        figure.spreads.append(Spread(title=title, unit="ms", series=series))
    figure.notes.append(
        Text(
            zh=f"已下载过的：Plugbay {count} 次，uv 与 pip 各 {count_by_hand} 次；从未下载过的：各 {count_by_hand} 次；"
            "每次之前删除插件及其依赖（包括解析结果），保留缓存",
            en=f"fetched before: {count} times, uv and pip {count_by_hand} times each; never fetched: {count_by_hand} "
            "times each; before each the plugin, its packages and what they resolved to are removed, and the caches "
            "are kept",
        )
    )


async def _fetched_before(
    times: dict[str, list[float]], client: InstallClient, hands: list[ByHand], count: int, count_by_hand: int
) -> None:
    needs = {_OURS: ["dependency"], _WITHOUT: []}
    for turn in range(count + _WARM_UP):
        for name, dependencies in needs.items():
            took = await client.install(name, dependencies, imports="".join(dependencies) or "json")
            await client.remove(name)
            if turn >= _WARM_UP:
                times.setdefault(name, []).append(took)
        for hand in hands if turn <= count_by_hand else ():
            took = await hand.install("dependency", imports="dependency")
            if turn:
                times.setdefault(hand.name, []).append(took)


async def _never_fetched(
    times: dict[str, list[float]], client: InstallClient, hands: list[ByHand], count: int, cold: Cold
) -> None:
    for _ in range(count):
        await asyncio.to_thread(cold.offer, 1 + len(hands))
        took = await client.install(_OURS, [cold.fresh()], imports="part0")
        await client.remove(_OURS)
        times.setdefault(_OURS, []).append(took)
        for hand in hands:
            times.setdefault(hand.name, []).append(await hand.install(cold.fresh(), imports="part0"))
