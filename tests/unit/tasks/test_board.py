"""Every change of a task is kept, told once, and in its order, whoever else wants something meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.errors import PluginCrashed
from service.model.task import TaskKind, TaskStatus
from service.model.text import Text
from tests.unit.tasks.world import World, until

CRASH = PluginCrashed("download/demo", Text(zh="没了", en="gone"))


async def test_from_its_creation_to_its_end(world: World) -> None:
    live = await world.download(metadata={"a": 1})
    assert world.board.get(live.id) is live
    assert (await world.kept(live.id)).status == "pending"
    await world.board.change(live, TaskStatus.DOWNLOADING, generation=3)
    assert live.task.started_at is not None
    world.board.progress(live, progress=50.0, speed=5.0, eta=1.0)
    await world.board.change(live, TaskStatus.COMPLETED, progress=100.0)
    assert live.rests.is_set()
    assert world.board.get(live.id) is None
    assert world.board.all() == []
    assert world.events.came == ["created", "started", "progress 50", "completed"]
    kept = await world.kept(live.id)
    assert (kept.status, kept.progress, kept.speed, kept.eta) == ("completed", 100, None, None)
    assert kept.completed_at is not None


async def test_an_end_is_an_end(world: World) -> None:
    live = await world.download()
    await world.board.change(live, TaskStatus.DOWNLOADING)
    await world.board.fail(live, CRASH)
    assert (live.task.error, live.task.problem and live.task.problem.code) == (
        CRASH.text.zh,
        "plugin_crashed",
    )
    for status in (TaskStatus.FAILED, TaskStatus.COMPLETED, TaskStatus.CANCELLED):
        with pytest.raises(ValueError, match="cannot become"):
            await world.board.change(live, status)
    await world.board.fail_broken(live, RuntimeError("late"))
    world.board.progress(live, progress=70.0)
    world.board.add_results(live, [{"title": "late"}])
    assert world.events.came == ["created", "started", "failed"]


async def test_what_nobody_foresaw_ends_it_with_a_reason(world: World) -> None:
    live = await world.download()
    await world.board.fail_broken(live, RuntimeError("secret"))
    assert live.task.problem is not None
    assert (live.task.status, live.task.problem.code) == ("failed", "internal")
    assert "RuntimeError" in live.task.problem.detail
    assert "secret" not in live.task.problem.detail


async def test_changes_at_once_come_one_after_the_other(world: World) -> None:
    live = await world.download()
    await world.board.change(live, TaskStatus.DOWNLOADING)
    world.disk.open_gate.clear()
    pausing = asyncio.create_task(world.board.change(live, TaskStatus.PAUSED))
    await asyncio.sleep(0)
    queueing = asyncio.create_task(world.board.change(live, TaskStatus.PENDING))
    settled = asyncio.create_task(live.settled())
    await asyncio.sleep(0.02)
    assert not pausing.done()
    assert not queueing.done()
    assert not settled.done()
    world.disk.open_gate.set()
    await asyncio.gather(pausing, queueing, settled)
    assert world.events.came == ["created", "started", "paused", "queued"]
    assert [task.status for task in world.events.tasks[-2:]] == ["paused", "pending"]
    assert not live.rests.is_set()


async def test_two_ends_at_once_are_one(world: World) -> None:
    live = await world.download()
    await world.board.change(live, TaskStatus.DOWNLOADING)
    ends = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)
    outcomes = await asyncio.gather(
        *(world.board.change(live, status) for status in ends), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError]
    assert world.events.came == ["created", "started", "completed"]


async def test_who_is_cancelled_while_the_end_is_being_kept_has_ended_it(world: World) -> None:
    live = await world.download()
    await world.board.change(live, TaskStatus.DOWNLOADING)
    world.disk.waiting.clear()
    world.disk.open_gate.clear()
    ending = asyncio.create_task(world.board.change(live, TaskStatus.COMPLETED))
    await world.disk.waiting.wait()
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    assert world.events.came[-1] == "completed"
    assert live.rests.is_set()
    assert world.board.get(live.id) is None
    await asyncio.wait_for(live.settled(), 1)


async def test_a_full_disk_costs_the_record_until_there_is_room(world: World) -> None:
    live, other = await world.download(), await world.download()
    await world.board.change(live, TaskStatus.DOWNLOADING)
    await world.board.save(live)
    world.disk.full = True
    await world.board.change(live, TaskStatus.COMPLETED)
    assert world.events.came[-1] == "completed"
    old = await world.kept(live.id)
    assert old.status == "downloading"
    assert world.board.newest(old).status == "completed"
    await world.board.keep_rest()
    assert (await world.kept(live.id)).status == "downloading"
    world.disk.full = False
    await world.board.change(other, TaskStatus.CANCELLED)
    assert (await world.kept(live.id)).status == "completed"


async def test_progress_is_told_four_times_a_second_and_the_last_one_always(world: World) -> None:
    live = await world.download()
    await world.board.change(live, TaskStatus.DOWNLOADING)
    for number in range(1, 101):
        world.board.progress(live, progress=float(number))
        await asyncio.sleep(0)
    assert world.events.came[2:] == ["progress 1"]
    await until(lambda: len(world.events.came) > 3)
    assert world.events.came[2:] == ["progress 1", "progress 100"]
    world.board.progress(live, progress=100.0)
    await world.board.change(live, TaskStatus.CANCELLED)
    await asyncio.sleep(0.3)
    # Neither a timer nor what it held back outlives the end.
    assert world.events.came[2:] == ["progress 1", "progress 100", "cancelled"]


async def test_results_are_told_together_and_before_the_end(world: World) -> None:
    live = await world.board.create(TaskKind.SEARCH, keyword="x")
    await world.board.change(live, TaskStatus.RUNNING)
    for number in range(5):
        world.board.add_results(live, [{"title": f"{number}"}])
    await until(lambda: "results 5" in world.events.came)
    world.board.add_results(live, [{"title": "5"}])
    await world.board.change(live, TaskStatus.COMPLETED)
    assert world.events.came == ["created", "started", "results 5", "results 1", "completed"]
    kept = await world.kept(live.id)
    assert kept.result_count == 6
    assert [one["title"] for one in kept.results or []] == [f"{number}" for number in range(6)]


async def test_to_cancel_is_the_stronger_wish(world: World) -> None:
    live = await world.download()
    wishes: list[Any] = []
    for wish in ("pause", "cancel", "pause"):
        live.want(wish)
        wishes.append(live.wish)
    assert wishes == ["pause", "cancel", "cancel"]
    assert live.wished.is_set()
    live.forget_wish()
    assert (live.wish, live.wished.is_set()) == (None, False)


async def test_a_task_that_cannot_be_kept_is_none(world: World) -> None:
    world.disk.full = True
    with pytest.raises(Exception, match="full"):
        await world.download()
    assert world.board.all() == []
    assert world.events.came == []
