"""Starting with 10, 100 and 500 plugins: when the port answers, and when all of them serve."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from benchmarks.figures import Figure, Goal, Lines, Row, Series, Size, median, p99
from benchmarks.memory import all_active
from benchmarks.processes import Server, new_home, plugbay
from benchmarks.reload import in_process
from benchmarks.sources import catalogue, plugin_path, put
from service.model.text import Text

# What is asked is asked of this many.
_ASKED = 100
_PEER = Text(
    zh="同样的服务器，监听前在自身进程内全部导入",
    en="the same server importing all in its own process before it listens",
)


class Starts:
    """Seconds of each start."""

    def __init__(self) -> None:
        self.answered: list[float] = []
        self.serving: list[float] = []
        self.peer: list[float] = []


async def measure(size: Size) -> Figure:
    """Plugbay and a server that imports in its own process, in turns."""
    figure = Figure(Text(zh="启动，200 行的插件", en="Start with plugins of 200 lines"))
    counts = size.of({10: 1}, {10: 9, 100: 7, 500: 3}, {10: 15, 100: 15, 500: 9})
    starts = {count: await _starts(count, repeats) for count, repeats in counts.items()}
    for count, one in starts.items():
        figure.rows += [
            Row.of(
                Text(zh=f"从启动到端口应答，{count} 个插件", en=f"start to the port's answer, {count} plugins"), "s",
                one.answered, peer=_PEER, peer_values=one.peer, goal=Goal(at_most=0.5),
            ),
            Row.of(
                Text(zh=f"从启动到 {count} 个插件全部在服务", en=f"start to all {count} plugins serving"), "s",
                one.serving, peer=_PEER, peer_values=one.peer, goal=Goal(at_most=3) if count == _ASKED else None,
            ),
        ]  # fmt: skip
    figure.lines.append(_plot(starts))
    shown = ", ".join(f"{repeats} × {count}" for count, repeats in counts.items())
    figure.notes.append(
        Text(
            zh=f"启动次数 × 插件数：{shown}；每种的第一次启动（编译字节码）不计",
            en=f"starts × plugins: {shown}; the first start of each, which compiles, is not counted",
        )
    )
    return figure


async def _starts(count: int, repeats: int) -> Starts:
    starts = Starts()
    with contextlib.ExitStack() as stack:
        homes = [stack.enter_context(new_home()) for _ in range(2)]
        for home in homes:
            for number in range(count):
                put(plugin_path(home, f"plugin_{number}"), catalogue(f"plugin_{number}", "1.0.0"))
        for turn in range(repeats + 1):
            answered, ready = await _start(plugbay, homes[0], count)
            peer, _ = await _start(in_process, homes[1], None)
            if turn:  # the first compiles
                starts.answered.append(answered)
                starts.serving.append(ready)
                starts.peer.append(peer)
    return starts


def _plot(starts: dict[int, Starts]) -> Lines:
    lines: tuple[tuple[Text, bool, Callable[[Starts], list[float]]], ...] = (
        (Text(zh="Plugbay：端口应答", en="Plugbay: the port answers"), False, lambda one: one.answered),
        (Text(zh="Plugbay：全部在服务", en="Plugbay: all serve"), True, lambda one: one.serving),
        (Text(zh="在自身进程内全部导入", en="all in its own process"), False, lambda one: one.peer),
    )
    return Lines(
        title=Text(zh="启动时间", en="Start"),
        x=[float(count) for count in starts],
        x_label=Text(zh="插件数", en="plugins"),
        unit="s",
        series=[
            Series(
                label=label,
                values=[median(times(one)) for one in starts.values()],
                upper=[p99(times(one)) for one in starts.values()],
                ours=ours,
            )
            for label, ours, times in lines
        ],
    )


async def _start(
    start: Callable[[Path], AbstractAsyncContextManager[Server]], home: Path, count: int | None
) -> tuple[float, float]:
    """Seconds until it answers, and until all its plugins serve where that comes later."""
    async with start(home) as server:
        ready = server.answered
        if count is not None:
            ready = await all_active(server, count)
        return server.answered - server.started, ready - server.started
