"""Following a task: nothing is missed and nothing comes twice, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from service.cli import task_feed
from service.cli.output import Output
from service.cli.task_feed import Ended, Screen, View, follow_task, see_through
from service.client import Client, ServerRefused, ServerUnreachable
from tests.unit.cli.task_server import ID, TaskServer, results, task


@pytest.fixture
async def server() -> AsyncIterator[TaskServer]:
    fake = TaskServer()
    async with TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        yield fake


def test_results_that_are_known_already_are_not_taken_twice() -> None:
    view = View()
    view.replace(task("search", results=["a", "b"], result_count=2))
    assert view.apply(results(2, ["b"]))
    assert view.apply(results(3, ["b", "c"]))
    assert view.results == ["a", "b", "c"]
    assert not view.is_stale
    assert view.apply(results(9, ["i"]))
    assert view.is_stale, "some are missing: the task has to be asked for"


def test_events_of_other_tasks_change_nothing() -> None:
    view = View()
    view.replace(task("search"))
    other = {"type": "plugbay.task.results", "data": {"task": task("search", "f" * 32), "results": ["a"]}}
    assert not view.apply(other)
    assert not view.apply({"type": "plugbay.heartbeat", "data": {}})
    assert view.results == []


class Followed:
    """A view that is being kept up to date."""

    def __init__(self, server: TaskServer) -> None:
        self.view = View()
        self.view.task = {"id": ID, "status": "pending"}
        self.troubles: list[str] = []
        self._server = server

    async def run(self) -> View:
        async with Client(self._server.url, None) as client:
            async with aclosing(follow_task(client, self.view)) as news:
                async for trouble in news:
                    self.troubles.append(trouble)
        return self.view


async def test_what_came_before_it_listened_counts(server: TaskServer) -> None:
    server.add(task("search"))
    await server.tell("results", results=["a"])
    followed = Followed(server)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(followed.run())
        await server.followed()
        await server.tell("results", results=["b"])
        await server.tell("completed", status="completed")
    assert running.result().results == ["a", "b"]


async def test_one_that_has_ended_already_is_not_waited_for(server: TaskServer) -> None:
    server.add(task("search", status="completed"))
    async with asyncio.timeout(20):
        assert (await Followed(server).run()).has_ended


async def test_it_goes_on_after_a_cut_and_in_a_server_that_began_anew(server: TaskServer) -> None:
    server.add(task("search"))
    followed = Followed(server)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(followed.run())
        await server.followed()
        await server.tell("results", results=["a"])
        await server.cut()
        server.sockets.clear()
        await server.tell("results", results=["b"])  # while nobody is connected
        await server.followed()
        await server.tell("results", results=["c"])
        server.epoch, server.seq, server.log = "k2", 0, []
        await server.cut()
        server.sockets.clear()
        server.results[ID].append("d")  # of which no event can tell
        await server.followed()
        await server.tell("results", results=["e"])
        await server.tell("completed", status="completed")
    assert running.result().results == ["a", "b", "c", "d", "e"]
    assert any(followed.troubles)
    assert followed.troubles[-1] == ""


async def test_a_server_that_does_not_know_the_task_is_no_reason_to_wait(server: TaskServer) -> None:
    server.refusal = 404, {"code": "task_not_found", "detail": "none", "status": 404}
    with pytest.raises(ServerRefused):
        async with asyncio.timeout(20):
            await Followed(server).run()


async def test_one_that_shuts_down_is_waited_for(server: TaskServer) -> None:
    server.add(task("search"))
    server.refusal = 503, {"code": "shutting_down", "detail": "going", "status": 503}
    followed = Followed(server)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(followed.run())
        await server.subscriptions.get()
        while not followed.troubles:
            await asyncio.sleep(0.01)
        server.refusal = None
        await server.tell("completed", status="completed")
    assert running.result().has_ended
    assert "going" in followed.troubles


async def test_one_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_feed, "PATIENCE_S", 0.5)
    fake = TaskServer()
    fake.add(task("search"))
    async with asyncio.timeout(20), TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        followed = asyncio.create_task(Followed(fake).run())
        await fake.followed()
        assert running.runner is not None
        for site in list(running.runner.sites):
            await site.stop()
        await fake.cut()
        with pytest.raises(ServerUnreachable, match="plugbay tasks show 01234567"):
            await followed


class Said(Screen):
    """Presses Ctrl-C when it is shown something, and again when it says so."""

    def __init__(self, again: bool = False) -> None:
        self.again = again
        self.cancelled = False

    def show(self, view: View, trouble: str) -> None:
        if not self.cancelled:
            press()

    def cancelling(self) -> None:
        self.cancelled = True
        if self.again:
            press()


def press() -> None:
    """What Ctrl-C does to the task that runs."""
    current = asyncio.current_task()
    assert current is not None
    current.cancel()


async def see(server: TaskServer, screen: Screen) -> Ended:
    async def start(client: Client) -> dict[str, Any]:
        return {"id": (await client.start_search("x"))["task_id"], "status": "pending"}

    async with asyncio.timeout(20), Client(server.url, None) as client:
        return await see_through(client, Output(False), start(client), screen)


async def test_ctrl_c_cancels_the_task(server: TaskServer) -> None:
    ended = await see(server, Said())
    assert (ended.interrupted, ended.view.task["status"]) == (True, "cancelled")
    assert server.requests[-1][1] == f"/api/tasks/{ID}/cancel"


async def test_ctrl_c_while_the_task_is_begun_waits_for_its_id(server: TaskServer) -> None:
    loop = asyncio.get_running_loop()
    seeing = asyncio.create_task(see(server, Said()))
    loop.call_soon(seeing.cancel)  # before the request is answered
    ended = await seeing
    assert (ended.interrupted, ended.view.task["status"]) == (True, "cancelled")


async def test_one_that_had_just_ended_is_shown_as_it_is(server: TaskServer) -> None:
    server.refused_changes[ID] = {"code": "task_conflict", "detail": "it has ended", "status": 409}
    ended = await see(server, Said())
    assert (ended.interrupted, ended.view.is_stale) == (True, False)
    assert server.requests[-1] == ("GET", f"/api/tasks/{ID}", None)


async def test_what_could_not_be_cancelled_is_said(
    server: TaskServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refused_changes[ID] = {"code": "plugin_error", "detail": "it does not answer", "status": 502}
    assert (await see(server, Said())).interrupted
    assert "it does not answer" in (said := capsys.readouterr().err)
    assert "plugbay tasks cancel 01234567" in said


async def test_a_second_one_says_what_may_go_on(
    server: TaskServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(asyncio.CancelledError):
        await see(server, Said(again=True))
    assert "plugbay tasks cancel 01234567" in capsys.readouterr().err


async def test_a_refused_start_has_nothing_to_cancel(server: TaskServer) -> None:
    server.refusal = 404, {"code": "plugin_not_found", "detail": "none", "status": 404}
    seeing = asyncio.create_task(see(server, Said()))
    asyncio.get_running_loop().call_soon(seeing.cancel)
    with pytest.raises(ServerRefused):
        await seeing
