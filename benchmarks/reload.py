"""From the rename of a saved plugin to the WebSocket client that knows that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import contenders, live
from benchmarks.contenders import NAME, Contender, Parts, Save
from benchmarks.figures import Figure, Goal, Row, Series, Size, Spread, median
from benchmarks.peers import absence
from benchmarks.processes import Server, free_port, new_home, plugbay, running
from benchmarks.sources import LINES, catalogue, plugin_path, put, rename_into
from service.model.text import Text

# People do not save faster than this; meanwhile a spare worker takes the place of the one that was used.
PAUSE_SECONDS = (0.05, 0.1)
_WARM_UP = 3


async def measure(size: Size) -> Figure:
    """Plugbay, everything that it is measured beside and the floor, all running at once and taking turns."""
    figure = Figure(
        Text(
            zh=f"从保存（rename）到 WebSocket 客户端，{LINES} 行的插件",
            en=f"From a save (rename) to the WebSocket client, a plugin of {LINES} lines",
        )
    )
    seldom = size.of(2, 20, 20)
    parts: dict[str, list[Parts]] = {"Plugbay": [], "compile": [], "run": []}
    ours = Contender(Text(zh="Plugbay", en="Plugbay"), lambda: _plugbay(parts["Plugbay"]))
    others = _contenders(seldom, parts)
    async with contextlib.AsyncExitStack() as stack:
        race = _Race(ours)
        for one in (ours, *others):
            await race.enter(stack, one)
        for turn in range(1, size.of(3, 200, 1000) + _WARM_UP + 1):
            await race.turn(turn, warm_up=turn <= _WARM_UP)
    values = race.times[ours.text]
    figure.rows += [_row(values, one, race) for one in others]
    figure.spreads.append(
        Spread(
            title=figure.title,
            unit="ms",
            series=[
                Series(label=one.text, values=race.times[one.text], ours=one is ours)
                for one in (*others[:2], ours, *others[2:])
            ],
        )
    )
    counts = ", ".join(str(len(race.times[one.text])) for one in (ours, *others))
    figure.notes += [
        Text(zh=f"保存次数：{counts}", en=f"saves, of Plugbay and in the order of the rows: {counts}"),
        _parts(parts["Plugbay"], Text(zh="Plugbay", en="Plugbay")),
        *(_parts(parts[mode], one.text) for mode, one in zip(("compile", "run"), others, strict=False)),
    ]
    return figure


def _contenders(seldom: int, parts: dict[str, list[Parts]]) -> list[Contender]:
    """The floor first, then whom people would use instead; those that start anew take part seldom."""
    return [
        Contender(
            Text(zh="下限：inotify、fork、编译、写套接字", en="the floor: inotify, fork, compile, socket write"),
            lambda: contenders.floor("compile", parts["compile"]),
            goal=Goal(at_most=1.3, ratio=True),
            p99_goal=Goal(at_most=10),
        ),
        Contender(
            Text(zh="下限，并运行模块、创建插件", en="the floor, and the module run, the plugin made"),
            lambda: contenders.floor("run", parts["run"]),
            goal=Goal(at_most=1.3, ratio=True),
        ),
        Contender(
            Text(zh="同样的服务器，在自身进程内导入", en="the same server importing in its own process"),
            _in_process,
        ),
        Contender(
            Text(zh="Vite 开发服务器，HMR 通知后取得模块", en="Vite's dev server, told by HMR and the module fetched"),
            contenders.vite,
            absent=contenders.no_vite(),
        ),
        Contender(
            Text(zh="uvicorn --reload（watchfiles），客户端重连", en="uvicorn --reload (watchfiles), connecting again"),
            contenders.uvicorn_reload,
            absent=absence(libraries=("uvicorn", "watchfiles", "starlette")),
            every=seldom,
            rest=1.0,
        ),
        Contender(
            Text(zh="adev runserver（aiohttp-devtools），客户端重连",
                 en="adev runserver (aiohttp-devtools), connecting again"),
            contenders.adev_runserver,
            absent=absence(libraries=("aiohttp-devtools",)),
            every=seldom,
            # It looks at nothing for a second after a change.
            rest=1.5,
        ),
    ]  # fmt: skip


def _row(values: list[float], one: Contender, race: _Race) -> Row:
    return Row.of(
        Text(zh="保存到客户端得知", en="save to client"),
        "ms",
        values,
        peer=one.text,
        peer_values=race.times[one.text],
        absent=race.absent.get(one.text),
        goal=one.goal,
        p99_goal=one.p99_goal,
    )


class _Race:
    """Everybody saves in turns.

    Args:
        ours: who must not be absent.

    Attributes:
        times: milliseconds of each.
        absent: who does not take part, or no longer, and why.
    """

    def __init__(self, ours: Contender) -> None:
        self._ours = ours
        self._running: list[tuple[Contender, Save]] = []
        self._rested: dict[Text, float] = {}
        self.times: dict[Text, list[float]] = {}
        self.absent: dict[Text, Text] = {}

    async def enter(self, stack: contextlib.AsyncExitStack, one: Contender) -> None:
        """Start one; where it does not start, that is why it is absent."""
        self.times[one.text] = []
        if one.absent is not None:
            self.absent[one.text] = one.absent
            return
        try:
            self._running.append((one, await stack.enter_async_context(one.start())))
        except (OSError, RuntimeError, TimeoutError, aiohttp.ClientError) as error:
            self._lose(one, error)

    async def turn(self, number: int, *, warm_up: bool) -> None:
        """A save of everybody whose turn it is, forwards and backwards by turns."""
        for one, save in self._running[:: 1 if number % 2 else -1]:
            if number % one.every and not (warm_up and number == _WARM_UP):
                continue
            wait = max(random.uniform(*PAUSE_SECONDS), self._rested.get(one.text, 0.0) - time.monotonic())
            await asyncio.sleep(wait)
            try:
                took = await save(number)
            except (OSError, RuntimeError, TimeoutError, aiohttp.ClientError) as error:
                self._running.remove((one, save))
                self._lose(one, error)
                continue
            self._rested[one.text] = time.monotonic() + one.rest
            if not warm_up:
                self.times[one.text].append(took)

    def _lose(self, one: Contender, error: Exception) -> None:
        if one is self._ours:
            raise error
        # What a process said last before it ended is what it failed of.
        said = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {said[-1].strip()}"
        self.absent[one.text] = Text(zh=f"失败：{reason}", en=f"it failed: {reason}")


def _parts(parts: list[Parts], who: Text) -> Text:
    if not parts:
        return Text(zh=f"{who.zh}：没有分段", en=f"{who.en}: no parts")
    noticed, begun, loaded, told = (median(one) for one in zip(*parts, strict=True))
    return Text(
        zh=f"{who.zh}，各段中位数（毫秒）：得知 {noticed:.2f}，开始加载前 {begun:.2f}，加载 {loaded:.2f}，"
        f"告知客户端 {told:.2f}",
        en=f"{who.en}, medians of its parts in ms: noticed {noticed:.2f}, until the load begins {begun:.2f}, the load "
        f"{loaded:.2f}, until the client has it {told:.2f}",
    )


@contextlib.asynccontextmanager
async def _plugbay(parts: list[Parts]) -> AsyncIterator[Save]:
    with new_home() as home:
        path = plugin_path(home, NAME)
        put(path, catalogue(NAME, "1.0.0"))
        async with plugbay(home) as server:
            await server.until("/readyz")
            async with live.following(server.url) as client:

                async def save(turn: int) -> float:
                    took, message = await _saved(path, client, turn)
                    timings = message["data"]["timings"]
                    noticed, load, total = (timings[name] for name in ("detect_ms", "load_ms", "total_ms"))
                    parts.append(Parts(noticed, total - noticed - load, load, took - total))
                    return took

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
