"""Memory: of idle workers, of 10 to 500 plugins that serve, and of the server after thousands of reloads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import live
from benchmarks.figures import Figure, Goal, Lines, Row, Series, Size
from benchmarks.processes import Server, child, new_home, plugbay
from benchmarks.reload import in_process
from benchmarks.sources import catalogue, plugin_path, put, rename_into
from service.model.text import Text

_ACTIVE_WITHIN_S = 120.0
_LOOK_S = 0.2
# What is asked of the whole is asked of this many.
_ASKED = 200
_IN_PROCESS = Text(zh="同样的服务器，全部在自身进程内", en="the same server with all in its own process")
_RELOADED = "catalogue"
# Kept in memory until there are so many; in a short run there must be fewer for that to be over half-way.
_LOG_EVENTS_OF_A_SHORT_RUN = 100


class Memory(NamedTuple):
    """Of one process, in MB: what is its own, and that with its share of what is shared."""

    private_mb: float
    proportional_mb: float


@dataclass(frozen=True, slots=True)
class Serving:
    """What it takes that so many plugins serve."""

    server: Memory
    template: Memory
    workers: list[Memory]
    in_process: Memory

    @property
    def total_mib(self) -> float:
        """All processes together."""
        processes = (self.server, self.template, *self.workers)
        return sum(one.proportional_mb for one in processes) * 1e6 / 2**20


async def measure(size: Size) -> Figure:
    """More and more plugins at rest, then one that is reloaded and reloaded."""
    figure = Figure(Text(zh="内存", en="Memory"))
    counts = size.of((10,), (10, 100, 200, 500), (10, 100, 200, 500))
    serving = {count: await _serving(count) for count in counts}
    alone = await _alone(size.of(1, 10, 10))
    for count, one in serving.items():
        _add_many(figure, count, one, alone)
    figure.lines.append(_plot(serving))
    await _reloads(figure, size.of(20, 1000, 10_000), full=size is Size.FULL)
    return figure


async def _serving(count: int) -> Serving:
    with new_home() as home:
        for number in range(count):
            put(plugin_path(home, f"plugin_{number}"), catalogue(f"plugin_{number}", "1.0.0"))
        async with plugbay(home) as server:
            await all_active(server, count)
            itself = memory_of(server.process.pid)
            template = await template_of(server.process.pid)
            workers = [memory_of(pid) for pid in children(template)]
            with_template = memory_of(template)
        async with in_process(home) as peer:
            return Serving(itself, with_template, workers, memory_of(peer.process.pid))


async def _alone(count: int) -> list[float]:
    """Private memory, in MB, of plugins in Python processes that were started from nothing."""
    with new_home() as home:
        path = plugin_path(home, "plugin")
        put(path, catalogue("plugin", "1.0.0"))
        async with contextlib.AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(child("benchmarks.peers.alone", str(path)))
                for _ in range(count)
            ]
            pids = [(await one.answer())["pid"] for one in processes]
            return [memory_of(pid).private_mb for pid in pids]


def _add_many(figure: Figure, count: int, serving: Serving, alone: list[float]) -> None:
    figure.rows += [
        Row.of(
            Text(
                zh=f"{count} 个空闲插件：每个进程的私有内存",
                en=f"private memory of an idle worker, {count} plugins",
            ),
            "MB",
            [one.private_mb for one in serving.workers],
            peer=Text(
                zh="每个插件一个独立启动的 Python 进程",
                en="a Python process for each plugin, started from nothing",
            ),
            peer_values=alone,
            goal=Goal(at_most=5),
        ),
        Row(
            what=Text(
                zh=f"{count} 个插件在服务：合计（PSS）", en=f"{count} plugins serving: all together (PSS)"
            ),
            value=serving.total_mib,
            unit="MiB",
            peer=_IN_PROCESS,
            peer_value=serving.in_process.proportional_mb * 1e6 / 2**20,
            goal=Goal(at_most=1536) if count == _ASKED else None,
        ),
    ]
    if count == _ASKED:
        most = max(one.private_mb for one in serving.workers)
        figure.notes.append(
            Text(
                zh=f"{count} 个插件时，服务器 {serving.server.proportional_mb:.0f} MB，模板进程 "
                f"{serving.template.proportional_mb:.0f} MB；{len(serving.workers)} 个插件进程（含备用），"
                f"最大私有内存 {most:.1f} MB",
                en=f"with {count} plugins the server takes {serving.server.proportional_mb:.0f} MB of it, the template "
                f"{serving.template.proportional_mb:.0f}; {len(serving.workers)} workers, spares included, at most "
                f"{most:.1f} MB private",
            )
        )


def _plot(serving: dict[int, Serving]) -> Lines:
    return Lines(
        title=Text(zh="全部进程的内存（PSS）", en="Memory of all processes together (PSS)"),
        x=[float(count) for count in serving],
        x_label=Text(zh="插件数", en="plugins"),
        unit="MiB",
        series=[
            Series(
                label=Text(zh="Plugbay", en="Plugbay"),
                values=[one.total_mib for one in serving.values()],
                ours=True,
            ),
            Series(
                label=Text(zh="全部在自身进程内", en="all in its own process"),
                values=[one.in_process.proportional_mb * 1e6 / 2**20 for one in serving.values()],
            ),
        ],
    )


async def _reloads(figure: Figure, count: int, *, full: bool) -> None:
    settings: dict[str, Any] = {} if full else {"LIVE__LOG_EVENTS": _LOG_EVENTS_OF_A_SHORT_RUN}
    half = 0.0
    with new_home() as home:
        path = plugin_path(home, _RELOADED)
        put(path, catalogue(_RELOADED, "1.0.0"))
        async with plugbay(home, **settings) as server, live.following(server.url) as client:
            await server.until("/readyz")
            for number in range(1, count + 1):
                version = f"1.0.{number}"
                rename_into(path, catalogue(_RELOADED, version))
                await client.until(live.reloaded(_RELOADED, version))
                if number == count // 2:
                    half = memory_of(server.process.pid).private_mb
            end = memory_of(server.process.pid).private_mb
    figure.rows.append(
        Row(
            what=Text(
                zh=f"服务器内存：{count:,} 次重新加载后比 {count // 2:,} 次后多",
                en=f"server memory: growth from {count // 2:,} reloads to {count:,}",
            ),
            value=end - half,
            unit="MB",
            # Asked of the full length only: in a short run the server has not yet kept all that it keeps.
            goal=Goal(at_most=1) if full else None,
        )
    )
    short = Text(
        zh=f"；短测：事件日志限为 {_LOG_EVENTS_OF_A_SHORT_RUN} 条，以便中途已满（--size full 测 10,000 次）",
        en=f"; a short run: the event log is limited to {_LOG_EVENTS_OF_A_SHORT_RUN}, so that it is full half-way "
        "(--size full has 10,000 reloads)",
    )
    figure.notes.append(
        Text(
            zh=f"服务器私有内存 {half:.1f} MB → {end:.1f} MB" + ("" if full else short.zh),
            en=f"the server's private memory: {half:.1f} MB → {end:.1f} MB" + ("" if full else short.en),
        )
    )


async def all_active(server: Server, count: int) -> float:
    """Wait until so many plugins serve; with hundreds of them the server says that it is ready before.

    Returns:
        `time.perf_counter()` when they did.

    Raises:
        RuntimeError: one has failed, or it takes too long.
    """
    states: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ACTIVE_WITHIN_S):
            await server.until("/readyz")
            while True:
                _, body = await server.get("/api/plugins")
                now = time.perf_counter()
                states = [plugin["state"] for plugin in json.loads(body)["search"]]
                if states.count("active") == count:
                    return now
                if set(states) - {"active", "loading"}:
                    break
                await asyncio.sleep(_LOOK_S)
    raise RuntimeError(f"{states.count('active')} of {count} plugins serve: {sorted(set(states))}")


async def template_of(server_pid: int) -> int:
    """The server's template process."""
    (template,) = (pid for pid in children(server_pid) if "service.worker.template" in _command(pid))
    return template


def children(pid: int) -> list[int]:
    """The processes that it started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if not found:  # begun by another of its threads
        found = [
            child
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    return [int(one) for one in found]


def memory_of(pid: int) -> Memory:
    """What a process takes."""
    kilobytes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, amount, *_ = line.split()
        kilobytes[name.removesuffix(":")] = int(amount)
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return Memory(private * 1024 / 1e6, kilobytes["Pss"] * 1024 / 1e6)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
