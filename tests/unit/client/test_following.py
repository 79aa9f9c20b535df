from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.client import Client, ServerRefused, ServerUnreachable, TaskView
from tests.unit.cli.task_server import ID, TaskServer, results, task


def test_results_that_are_known_already_are_not_taken_twice() -> None:
    view = TaskView()
    view.replace(task("search", results=["a", "b"], result_count=2))
    assert view.apply(results(2, ["b"]))
    assert view.apply(results(3, ["b", "c"]))
    assert view.results == ["a", "b", "c"]
    assert not view.is_stale
    assert view.apply(results(9, ["i"]))
    assert view.is_stale, "some are missing: the task has to be asked for"


async def watched(server: TaskServer, patience_s: float = 20) -> list[tuple[str, list[Any]]]:
    async with Client(server.url) as client:
        return [
            (one["status"], list(one["results"] or []))
            async for one in client.watch_task(ID, patience_s=patience_s)
        ]


async def test_a_task_is_told_as_it_stands_and_then_as_it_changes(server: TaskServer) -> None:
    server.add(task("search"))
    await server.tell("results", results=["a"], status="running")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(watched(server))
        await server.followed()
        await server.tell("results", results=["b"])
        await server.cut()
        server.sockets.clear()
        await server.tell("results", results=["c"])  # while nobody is connected
        await server.followed()
        await server.tell("completed", status="completed")
    seen = running.result()
    assert seen[0] == ("running", ["a"])
    assert seen[-1] == ("completed", ["a", "b", "c"])
    assert [len(found) for _, found in seen] == sorted(len(found) for _, found in seen)


async def test_one_that_is_not_there_is_refused(server: TaskServer) -> None:
    server.refusal = 404, {"code": "task_not_found", "detail": "none", "status": 404}
    with pytest.raises(ServerRefused):
        async with asyncio.timeout(20):
            await watched(server)


async def test_a_server_that_stays_away_is_not_waited_for(server: TaskServer) -> None:
    server.add(task("search"))
    async with asyncio.timeout(20):
        running = asyncio.create_task(watched(server, patience_s=0.3))
        await server.followed()
        server.refusal = 503, {"code": "shutting_down", "status": 503}
        server.url = "http://127.0.0.1:9"
        for socket in list(server.sockets):
            await socket.close()
        with pytest.raises(ServerUnreachable) as caught:
            await running
    assert caught.value.code == "server_gone"
