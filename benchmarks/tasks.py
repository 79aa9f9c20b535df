"""Tasks: a search over many plugins beside one direct call, and the list of tasks with a long history."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import aiohttp

from benchmarks import live
from benchmarks.figures import Figure, Goal, Row, Size, median, p99
from benchmarks.memory import memory_of
from benchmarks.processes import Server, new_home, plugbay
from benchmarks.sources import plugin_path, put, small
from service.host.database import Database
from service.model.task import Task, TaskKind, TaskStatus
from service.model.text import Text
from service.tasks.store import TaskStore

_PLUGINS = 20
_PAUSE_SECONDS = 0.01
_PAGE = "/api/tasks?limit=50"


async def measure(size: Size) -> Figure:
    """The fan-out and the direct call in turns; then the list, with two lengths of history, in turns too."""
    figure = Figure(Text(zh="任务", en="Tasks"))
    await _fan_out(figure, size.of(5, 300, 1000))
    await _history(figure, size.of(100, 10_000, 10_000), size.of(5, 300, 1000))
    return figure


async def _fan_out(figure: Figure, turns: int) -> None:
    names = [f"small{number}" for number in range(_PLUGINS)]
    direct: list[float] = []
    over_all: list[float] = []
    with new_home() as home:
        for name in names:
            put(plugin_path(home, name), small(name))
        async with (
            plugbay(home) as server,
            aiohttp.ClientSession(server.url) as http,
            live.connected(f"{server.url}/api/ws") as client,
        ):
            await server.until("/readyz")
            await client.subscribe("tasks/**")
            for turn in range(turns + 3):
                await asyncio.sleep(_PAUSE_SECONDS)
                began = time.perf_counter()
                async with http.get(f"/api/search/{names[0]}", params={"keyword": "x"}) as answer:
                    await answer.read()
                one = time.perf_counter() - began
                await asyncio.sleep(_PAUSE_SECONDS)
                began = time.perf_counter()
                async with http.post("/api/search", json={"keyword": "x"}) as answer:
                    id = (await answer.json())["task_id"]
                subject = f"tasks/{id}"
                ended, event = await client.until(
                    lambda message, subject=subject: (  # type: ignore[misc]  # a lambda with a default
                        message.get("subject") == subject and message["type"] == "plugbay.task.completed"
                    )
                )
                if event["data"]["task"]["result_count"] < _PLUGINS:
                    raise RuntimeError("a plugin gave nothing")
                if turn >= 3:  # the first are for warming up
                    direct.append(one * 1000)
                    over_all.append((ended - began) * 1000)
    figure.rows.append(
        Row(
            what=Text(
                zh=f"在 {_PLUGINS} 个插件中搜索，比直接调用一个多用的时间，中位数",
                en=f"a search over {_PLUGINS} plugins, on top of a direct call of one, median",
            ),
            value=median(over_all) - median(direct),
            unit="ms",
            goal=Goal(at_most=5),
        )
    )
    figure.notes.append(
        Text(
            zh=f"{turns} 次：从请求到 WebSocket 客户端收到 completed {median(over_all):.2f} ms"
            f"（p99 {p99(over_all):.2f}）；直接调用 {median(direct):.2f} ms",
            en=f"{turns} times: from the request until a WebSocket client has `completed` {median(over_all):.2f} ms "
            f"(p99 {p99(over_all):.2f}); the direct call {median(direct):.2f} ms",
        )
    )


async def _history(figure: Figure, count: int, turns: int) -> None:
    with new_home() as short, new_home() as full:
        await _fill(short, count // 10)
        await _fill(full, count)
        async with plugbay(short) as without, plugbay(full) as within:
            servers = {"without": without, "within": within}
            times: dict[str, list[float]] = {name: [] for name in servers}
            memory: dict[str, float] = {}
            for server in servers.values():
                await server.until("/readyz")
            for turn in range(turns + 3):
                for name, server in servers.items() if turn % 2 else reversed(servers.items()):
                    took = await _page(server)
                    if turn >= 3:
                        times[name].append(took)
            for name, server in servers.items():
                memory[name] = (await asyncio.to_thread(memory_of, server.process.pid)).private_mb
    peer = Text(zh="历史为十分之一时", en="with a tenth of the history")
    figure.rows += [
        Row(
            what=Text(zh=f"{count} 个已结束任务时的列表页", en=f"a page of the list of {count} finished tasks"),
            value=median(times["within"]), unit="ms", peer=peer, peer_value=median(times["without"]),
            goal=Goal(at_most=10),
        ),
        Row(
            what=Text(zh="服务器私有内存", en="the server's private memory"),
            value=memory["within"], unit="MB", peer=peer, peer_value=memory["without"],
            goal=Goal(at_most=1.05, ratio=True),
        ),
    ]  # fmt: skip


async def _page(server: Server) -> float:
    began = time.perf_counter()
    status, body = await server.get(_PAGE)
    took = (time.perf_counter() - began) * 1000
    if status != 200 or "tasks" not in json.loads(body):
        raise RuntimeError(f"the list answered {status}")
    return took


async def _fill(home: Path, count: int) -> None:
    """A history, as the server writes it."""
    database = Database(home / "data" / "plugbay.db")
    await database.open()
    store = TaskStore(database)
    tasks = [
        Task(
            id=f"{number:032x}",
            kind=TaskKind.DOWNLOAD if number % 2 else TaskKind.SEARCH,
            status=TaskStatus.COMPLETED,
            title=f"斗罗大陆 {number}",
            plugin_name="http",
            created_at="2026-11-28T00:00:00.000Z",
            completed_at="2026-11-28T00:00:01.000Z",
        )
        for number in range(count)
    ]
    await asyncio.gather(*(store.save(task) for task in tasks))
    for task in tasks[::2]:
        store.add_results_soon(task.id, 0, [{"title": task.title, "url": "u"}] * 20)
    await database.close()
