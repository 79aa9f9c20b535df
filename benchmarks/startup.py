"""Starting with 100 plugins: when the port answers, and when all of them serve."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from benchmarks.figures import Figure, Goal, Row, Size, median
from benchmarks.memory import all_active
from benchmarks.processes import Server, new_home, plugbay
from benchmarks.reload import in_process
from benchmarks.sources import catalogue, plugin_path, put
from service.model.text import Text


async def measure(size: Size) -> Figure:
    """Plugbay and a server that imports in its own process, in turns."""
    count = size.of(10, 100, 100)
    repeats = size.of(1, 7, 15)
    figure = Figure(Text(zh=f"启动，{count} 个 200 行的插件", en=f"Start with {count} plugins of 200 lines"))
    answers: list[float] = []
    serving: list[float] = []
    peers: list[float] = []
    with contextlib.ExitStack() as stack:
        homes = [stack.enter_context(new_home()) for _ in range(2)]
        for home in homes:
            for number in range(count):
                put(plugin_path(home, f"plugin_{number}"), catalogue(f"plugin_{number}", "1.0.0"))
        for turn in range(repeats + 1):
            answered, ready = await _start(plugbay, homes[0], count)
            peer, _ = await _start(in_process, homes[1], None)
            if turn:  # the first compiles
                answers.append(answered)
                serving.append(ready)
                peers.append(peer)
    peer_text = Text(
        zh="同样的服务器，监听前在自身进程内全部导入",
        en="the same server importing all in its own process before it listens",
    )
    figure.rows += [
        Row(
            what=Text(zh="从启动到端口应答，中位数", en="start to the port's answer, median"),
            value=median(answers),
            unit="s",
            peer=peer_text,
            peer_value=median(peers),
            goal=Goal(at_most=0.5),
        ),
        Row(
            what=Text(
                zh=f"从启动到 {count} 个插件全部在服务，中位数", en=f"start to all {count} serving, median"
            ),
            value=median(serving),
            unit="s",
            peer=peer_text,
            peer_value=median(peers),
            goal=Goal(at_most=3),
        ),
    ]
    figure.notes.append(
        Text(
            zh=f"{repeats} 次启动；最慢：应答 {max(answers):.2f} 秒，全部在服务 {max(serving):.2f} 秒",
            en=f"{repeats} starts; the slowest: {max(answers):.2f} s to the answer, {max(serving):.2f} s to all",
        )
    )
    return figure


async def _start(
    start: Callable[[Path], AbstractAsyncContextManager[Server]], home: Path, count: int | None
) -> tuple[float, float]:
    """Seconds until it answers, and until all its plugins serve where that comes later."""
    async with start(home) as server:
        ready = server.answered
        if count is not None:
            ready = await server.until("/readyz")
            await all_active(server, count)
        return server.answered - server.started, ready - server.started
