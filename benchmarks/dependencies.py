"""Plugins with heavy libraries: how long a reload takes, and what ten of them weigh on one set and on ten."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import live
from benchmarks.figures import Figure, Goal, Row, Size, median, p99
from benchmarks.memory import children, memory_of
from benchmarks.processes import Server, new_home, plugbay
from benchmarks.reload import PAUSE_SECONDS
from benchmarks.sources import plugin_path, put, rename_into, small
from service.model.text import Text

_HEAVY = "pandas"
# Ten small packages of pure Python; with each of them pandas makes a set of its own.
_TELLING_APART = "attrs certifi click idna iniconfig packaging pluggy pygments toml wcwidth".split()
_PLUGINS = len(_TELLING_APART)
_WARM_UP = 5
_WARM_UP_PAUSE_SECONDS = 0.5
# The first time the packages come from the index.
_INSTALL_SECONDS = 600.0
_QUIET_SECONDS = 1.0
_QUIET_MB = 1.0


async def measure(size: Size) -> Figure:
    """Reloads of a plugin on pandas and of one on nothing in turns; then ten plugins, on one set and on ten."""
    figure = Figure(Text(zh="依赖大型库的插件（pandas）", en="Plugins with a heavy library (pandas)"))
    try:
        await _reloads(figure, size.of(5, 150, 500))
        if size is not Size.SMOKE:
            await _memory(figure)
    except _NotInstalled as error:
        figure.notes.append(
            Text(zh=f"未能安装，未测量：{error}", en=f"not measured, as it did not install: {error}")
        )
    return figure


class _NotInstalled(Exception):
    """The packages are not to be had here."""


def _plugin(name: str, version: str, dependencies: Sequence[str]) -> bytes:
    return small(name, version, needs=dependencies, imports=_HEAVY if dependencies else "")


async def _reloads(figure: Figure, count: int) -> None:
    plugins: dict[str, Sequence[str]] = {"heavy": [_HEAVY], "light": []}
    times: dict[str, list[float]] = {name: [] for name in plugins}
    with new_home() as home:
        for name, dependencies in plugins.items():
            put(plugin_path(home, name), _plugin(name, "1.0.0", dependencies))
        async with plugbay(home) as server:
            first_ms = (await _all_active(server, len(plugins)))["heavy"]
            async with live.following(server.url) as client:
                for turn in range(1, count + _WARM_UP + 1):
                    warm_up = turn <= _WARM_UP
                    for name in sorted(plugins, reverse=turn % 2 == 0):
                        pause = _WARM_UP_PAUSE_SECONDS if warm_up else random.uniform(*PAUSE_SECONDS)
                        await asyncio.sleep(pause)
                        version = f"1.0.{turn}"
                        began = rename_into(plugin_path(home, name), _plugin(name, version, plugins[name]))
                        received, _ = await client.until(live.reloaded(name, version))
                        if not warm_up:
                            times[name].append((received - began) * 1000)
    peer = Text(zh="不导入任何库的插件", en="a plugin that imports nothing")
    figure.rows += [
        Row(
            what=Text(
                zh="重新加载导入 pandas 的插件，中位数", en="reload of a plugin that imports pandas, median"
            ),
            value=median(times["heavy"]),
            unit="ms",
            peer=peer,
            peer_value=median(times["light"]),
            goal=Goal(at_most=2, ratio=True),
        ),
        Row(
            what=Text(zh="同上，p99", en="the same, p99"),
            value=p99(times["heavy"]),
            unit="ms",
            peer=peer,
            peer_value=p99(times["light"]),
        ),
    ]
    figure.notes.append(
        Text(
            zh=f"{count} 次保存；第一次加载（进程自行导入）{first_ms:.0f} ms",
            en=f"{count} saves each; the first load, in which the worker imports for itself: {first_ms:.0f} ms",
        )
    )


async def _memory(figure: Figure) -> None:
    one, _ = await _weight([[_HEAVY]] * _PLUGINS)
    ten, alone = await _weight([[_HEAVY, other] for other in _TELLING_APART])
    figure.rows.append(
        Row(
            what=Text(
                zh=f"{_PLUGINS} 个插件共用一组依赖：全部进程合计（PSS）",
                en=f"{_PLUGINS} plugins on one dependency set: all processes (PSS)",
            ),
            value=one,
            unit="MB",
            peer=Text(zh="各有一组依赖", en="a set for each"),
            peer_value=ten,
        )
    )
    figure.notes.append(
        Text(
            zh=f"服务器重启之后，每组依赖一个模板进程；没有插件的服务器 {alone:.0f} MB",
            en=f"after a restart, with one template for each set; of it the server itself {alone:.0f} MB",
        )
    )


async def _weight(dependencies: Sequence[Sequence[str]]) -> tuple[float, float]:
    """What plugins with these dependencies weigh after a restart, and the server alone of it, in MB."""
    with new_home() as home:
        for number, declared in enumerate(dependencies):
            put(plugin_path(home, f"plugin_{number}"), _plugin(f"plugin_{number}", "1.0.0", declared))
        async with plugbay(home) as server:
            await _all_active(server, len(dependencies))
        async with plugbay(home) as server:
            await _all_active(server, len(dependencies))
            return await _at_rest(server.process.pid), memory_of(server.process.pid).proportional_mb


async def _at_rest(pid: int) -> float:
    """The weight of a process and of all below it, once that stays the same."""
    before = 0.0
    async with asyncio.timeout(_INSTALL_SECONDS):
        while True:
            now = _tree_mb(pid)
            if abs(now - before) < _QUIET_MB:
                return now
            before = now
            await asyncio.sleep(_QUIET_SECONDS)


def _tree_mb(pid: int) -> float:
    found = [pid]
    for one in found:  # which grows meanwhile
        if Path(f"/proc/{one}").exists():
            found.extend(children(one))
    total = 0.0
    for one in found:
        try:
            total += memory_of(one).proportional_mb
        except (OSError, KeyError):  # it has just ended
            continue
    return total


async def _all_active(server: Server, count: int) -> dict[str, float]:
    """Wait until all plugins serve.

    Returns:
        how long each took to load, in ms.

    Raises:
        _NotInstalled: one does not.
    """
    deadline = time.monotonic() + _INSTALL_SECONDS
    while time.monotonic() < deadline:
        _, body = await server.get("/api/plugins")
        plugins = json.loads(body)["search"]
        for plugin in plugins:
            if plugin["state"] == "failed":
                raise _NotInstalled(plugin["error"]["message"])
        if len(plugins) == count and all(plugin["state"] == "active" for plugin in plugins):
            return {plugin["name"]: plugin["load_ms"] for plugin in plugins}
        await asyncio.sleep(0.1)
    raise _NotInstalled(f"{_INSTALL_SECONDS:g} s were not enough")
