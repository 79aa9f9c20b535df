"""What users wish of tasks, at the moments at which it goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from service.host.calls import Caller
from service.host.database_file import StoreFailed
from service.host.registry import Registry
from service.limiting import limits_of_plugins
from service.live.event_log import EventLog
from service.model.task import Task, TaskKind, TaskStatus
from service.settings import Settings
from service.tasks.board import LiveTask
from service.tasks.downloads import Downloads
from service.tasks.following import Following
from service.tasks.parsers import Parsers
from service.tasks.runners import Runners
from service.tasks.searches import Searches
from service.tasks.slots import Slots
from service.tasks.tasks import TaskConflict, TaskNotFound, Tasks
from tests.unit.tasks.world import World, until


class Whole:
    """Everything there is of tasks, without plugins. The only slot is taken, so that downloads wait for theirs."""

    def __init__(self, world: World) -> None:
        self.world, self.board = world, world.board
        self.registry = Registry(cast(EventLog, world.events), call_s=1.0)
        caller = Caller(self.registry, limits_of_plugins(Settings()), count=lambda *_: None)
        self.runners = Runners()
        self.slots = Slots(1, 1)
        following = Following(self.board, self.registry, caller)
        self.downloads = Downloads(
            self.board, self.registry, caller, self.runners, self.slots, following, prefer=[]
        )
        parsers = Parsers(self.registry, caller)
        self.searches = Searches(self.board, self.registry, caller, parsers, self.runners)
        self.tasks = Tasks(
            self.board, world.store, self.searches, self.downloads, self.runners, self.registry, caller
        )

    async def queued(self, **facts: Any) -> LiveTask:
        live = await self.world.download(**facts)
        self.downloads.run(live)
        return live


@pytest.fixture
async def whole(world: World) -> Any:
    found = Whole(world)
    async with found.slots.taken("other"):
        yield found
    await found.tasks.close(0)


def came(whole: Whole) -> list[str]:
    return [one for one in whole.world.events.came if not one.startswith("progress")]


async def test_pause_resume_and_cancel_of_one_that_waits_for_its_slot(whole: Whole) -> None:
    live = await whole.queued(resumable=False)
    assert (await whole.tasks.pause(live.id)).status == "paused"
    assert (await whole.tasks.pause(live.id)).status == "paused"
    assert (await whole.tasks.resume(live.id)).status == "pending"
    assert (await whole.world.kept(live.id)).status == "pending"
    assert (await whole.tasks.cancel(live.id)).status == "cancelled"
    for verb in (whole.tasks.cancel, whole.tasks.pause, whole.tasks.resume):
        with pytest.raises(TaskConflict):
            await verb(live.id)
    assert (await whole.tasks.retry(live.id)).status == "pending"
    assert came(whole) == ["created", "paused", "queued", "cancelled", "queued"]


@pytest.mark.parametrize("first", ["pause", "cancel"])
async def test_wished_by_two_at_once(whole: Whole, first: str) -> None:
    live = await whole.queued()
    verbs = [getattr(whole.tasks, first), whole.tasks.cancel, whole.tasks.pause]
    answers = await asyncio.gather(*(verb(live.id) for verb in verbs), return_exceptions=True)
    for one in answers:
        assert isinstance(one, TaskConflict) or (isinstance(one, Task) and one.status == "cancelled")
    assert came(whole) == ["created", "cancelled"]


async def test_one_resume_of_many_counts_also_while_the_pause_is_still_being_kept(whole: Whole) -> None:
    live = await whole.queued()
    whole.world.disk.open_gate.clear()
    pausing = asyncio.create_task(whole.tasks.pause(live.id))
    await until(lambda: live.task.status is TaskStatus.PAUSED)
    resuming = [asyncio.create_task(whole.tasks.resume(live.id)) for _ in range(4)]
    await asyncio.sleep(0.02)
    whole.world.disk.open_gate.set()
    answers = await asyncio.gather(*resuming, return_exceptions=True)
    await pausing
    assert sorted(type(one).__name__ for one in answers) == ["Task"] + ["TaskConflict"] * 3
    assert came(whole) == ["created", "paused", "queued"]


async def test_a_resume_that_cannot_be_kept_leaves_it_paused(whole: Whole) -> None:
    live = await whole.queued()
    await whole.tasks.pause(live.id)
    whole.world.disk.full = True
    with pytest.raises(StoreFailed):
        await whole.tasks.resume(live.id)
    await until(lambda: live.task.status is TaskStatus.PAUSED)
    whole.world.disk.full = False
    assert (await whole.tasks.resume(live.id)).status == "pending"
    assert (await whole.tasks.cancel(live.id)).status == "cancelled"


async def test_a_retry_that_cannot_be_kept_changes_nothing(whole: Whole) -> None:
    live = await whole.queued()
    await whole.tasks.cancel(live.id)
    whole.world.disk.full = True
    with pytest.raises(StoreFailed):
        await whole.tasks.retry(live.id)
    assert whole.board.all() == []
    whole.world.disk.full = False
    assert (await whole.tasks.get(live.id)).status == "cancelled"
    assert (await whole.tasks.retry(live.id)).status == "pending"


async def test_one_retry_of_many_counts(whole: Whole) -> None:
    live = await whole.queued()
    await whole.tasks.cancel(live.id)
    answers = await asyncio.gather(*(whole.tasks.retry(live.id) for _ in range(5)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in answers) == ["Task"] + ["TaskConflict"] * 4
    assert len(whole.board.all()) == 1


async def test_a_search_is_cancelled_before_it_has_taken_a_step(whole: Whole) -> None:
    live = await whole.searches.start("x", None)
    async with asyncio.timeout(10):  # no task of its own, which would let the search begin first
        assert (await whole.tasks.cancel(live.id)).status == "cancelled"
    assert came(whole) == ["created", "cancelled"]


async def test_a_search_whose_end_is_being_kept_has_ended_when_it_is_cancelled(whole: Whole) -> None:
    live = await whole.searches.start("x", None)
    whole.world.disk.open_gate.clear()
    await until(lambda: live.task.status is TaskStatus.COMPLETED)
    cancelling = asyncio.create_task(whole.tasks.cancel(live.id))
    await asyncio.sleep(0.02)
    whole.world.disk.open_gate.set()
    with pytest.raises(TaskConflict):
        await cancelling
    assert came(whole) == ["created", "started", "completed"]
    assert whole.board.all() == []


async def test_what_goes_wrong_unforeseen_ends_the_task(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(whole.searches, "_named", broken)
    search = await whole.searches.start("x", None)
    await asyncio.wait_for(search.rests.wait(), 2)
    monkeypatch.setattr(whole.downloads, "_turn", broken)
    download = await whole.queued()
    await asyncio.wait_for(download.rests.wait(), 2)
    for live in (search, download):
        kept = await whole.world.kept(live.id)
        assert (kept.status, kept.problem and kept.problem.code) == ("failed", "internal")


async def test_pages_show_what_was_asked_for_also_while_tasks_change(whole: Whole) -> None:
    live = await whole.world.download()
    whole.world.disk.open_gate.clear()
    ending = asyncio.create_task(whole.board.change(live, TaskStatus.CANCELLED))
    await until(lambda: live.task.has_ended)
    assert (await whole.tasks.page(statuses=[TaskStatus.PENDING], limit=5)).tasks == []
    [shown] = (await whole.tasks.page(limit=5)).tasks
    assert shown.status == "cancelled"
    whole.world.disk.open_gate.set()
    await ending
    with pytest.raises(TaskNotFound):
        await whole.tasks.get("none")


async def test_what_a_start_finds(whole: Whole) -> None:
    store = whole.world.store
    made = {}
    for name, status, kind, facts in (
        ("search", TaskStatus.RUNNING, TaskKind.SEARCH, {"keyword": "x"}),
        ("asked", TaskStatus.PENDING, TaskKind.SEARCH, {"keyword": "x"}),
        ("paused", TaskStatus.PAUSED, TaskKind.DOWNLOAD, {}),
        ("lost", TaskStatus.DOWNLOADING, TaskKind.DOWNLOAD, {"resumable": False}),
        ("going_on", TaskStatus.DOWNLOADING, TaskKind.DOWNLOAD, {"resumable": True}),
    ):
        live = await whole.board.create(kind, plugin_name="demo", **facts)
        made[name] = live.id
        live.task = live.task.__class__(
            **{field: getattr(live.task, field) for field in live.task.__struct_fields__} | {"status": status}
        )
        await store.save(live.task)
        whole.board.put_back(live)
    await store.set_checkpoint(made["going_on"], b'{"at":1}')
    whole.world.events.came.clear()
    await whole.tasks.start()
    await until(lambda: whole.board.get(made["asked"]) is None)
    found = {name: await whole.tasks.get(id) for name, id in made.items()}
    assert {name: str(task.status) for name, task in found.items()} == {
        "search": "failed",
        "asked": "completed",
        "paused": "paused",
        "lost": "failed",
        "going_on": "pending",
    }
    assert {task.problem.code for task in found.values() if task.problem} == {"server_stopped"}
    assert (await asyncio.wait_for(whole.tasks.cancel(made["paused"]), 5)).status == "cancelled"
