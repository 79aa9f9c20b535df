"""Downloads that another program goes on with: whatever it answers, and however long it does not."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from service.errors import PluginTimeout
from service.host.calls import Caller
from service.host.files.sources import unit_of
from service.host.generation import Generation
from service.host.registry import Registry
from service.live.event_log import EventLog
from service.model.identity import Identity, PluginType
from service.model.plugin import Manifest
from service.model.states import GenerationState
from service.model.task import TaskStatus
from service.tasks import following
from service.tasks.board import LiveTask
from service.tasks.following import Following
from tests.unit.tasks.world import World, until

SILENT = PluginTimeout("download/demo", "get_progress", 10)


class FakeWorker:
    def has_ended(self) -> bool:
        return False


class FakeGeneration:
    """A generation without a process."""

    def __init__(self) -> None:
        unit = unit_of("download/demo_plugin.py")
        self.manifest = Manifest(type=PluginType.DOWNLOAD, name="demo")
        self.state = GenerationState.SERVING
        self.worker = FakeWorker()
        self.snapshot = msgspec.defstruct("S", [("unit", object)])(unit)
        self.leases = 0

    def set_state(self, state: GenerationState) -> None:
        self.state = state

    def lease(self) -> FakeGeneration:
        return self

    def __enter__(self) -> FakeGeneration:
        self.leases += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.leases -= 1


class Follower:
    """One that is followed; `answers` are given one after the other, the last one for ever."""

    def __init__(self, world: World, live: LiveTask, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.live = live
        self.generation = FakeGeneration()
        self.registry = Registry(cast(EventLog, world.events), call_s=1.0)
        self.registry.ready.set()
        unit = unit_of("download/demo_plugin.py")
        assert unit is not None
        self.plugin = self.registry.add(unit)
        self.registry.list(self.plugin, Identity(PluginType.DOWNLOAD, "demo"))
        self.plugin.serving = cast(Generation, self.generation)
        follow = Following(world.board, self.registry, cast(Caller, self))
        self.task = asyncio.create_task(follow.follow(live, cast(Generation, self.generation)))

    async def call_in(self, *_: Any, **__: Any) -> bytes:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return msgspec.json.encode(answer)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ASK_INTERVAL_SECONDS", "_ASK_PAUSED_INTERVAL_SECONDS", "_BACKOFF_SECONDS_MAX"):
        monkeypatch.setattr(following, name, 0.0005)


async def followed(world: World, *answers: Any) -> Follower:
    live = await world.download(external_id="g")
    await world.board.change(live, TaskStatus.DOWNLOADING)
    return Follower(world, live, *answers)


async def test_to_its_end(world: World) -> None:
    found = await followed(world, 10, {"progress": 20, "status": "paused"}, {"status": "active"}, "99.5", 100)
    await found.task
    assert (found.live.task.status, found.live.task.progress) == ("completed", 100)
    came = [one for one in world.events.came if not one.startswith("progress")]
    assert came == ["created", "started", "paused", "started", "completed"]
    assert found.generation.leases == 0


@pytest.mark.parametrize(
    "garbage",
    [
        [],
        {"progress": "x", "speed": [], "eta": {}, "downloaded": None, "title": 5, "save_path": 7},
        {"progress": 1e400},
        {"progress": -5, "downloaded": 1e30, "total": "9" * 400, "speed": True},
        {"progress": 10**400, "status": 7, "message": {"a": 1}},
        "text",
        True,
    ],
)
async def test_garbage_is_no_end(world: World, garbage: Any) -> None:
    found = await followed(world, 10, garbage, garbage, {"status": "completed"})
    await asyncio.wait_for(found.task, 5)
    assert found.live.task.status == "completed"
    assert (await world.kept(found.live.id)).status == "completed"


async def test_a_program_that_is_silent_for_days_is_asked_on(world: World) -> None:
    found = await followed(world, *[SILENT] * 1500, 100)
    await asyncio.wait_for(found.task, 30)
    assert found.asked == 1501
    assert found.live.task.status == "completed"


async def test_one_that_the_program_does_not_know_any_more_is_lost(world: World) -> None:
    found = await followed(world, None, False, 10, None)
    with pytest.raises(following.ExternalFailed):
        await asyncio.wait_for(found.task, 5)
    assert found.asked == 8
    assert found.generation.leases == 0


async def test_who_goes_on_being_asked_when_the_plugin_is_gone(world: World) -> None:
    found = await followed(world, 10)
    await until(lambda: found.asked > 1)
    found.registry.remove(found.plugin)
    assert found.generation.state is GenerationState.DRAINING
    before = found.asked
    await until(lambda: found.asked > before + 1)
    assert found.generation.leases == 1
    plugin, generation = following.who_to_ask(found.registry, found.live)
    assert (str(plugin.identity), id(generation)) == ("download/demo", id(found.generation))
    found.generation.state = GenerationState.STOPPED
    await asyncio.wait_for(found.task, 5)
    assert (found.live.task.status, found.generation.leases) == ("handed_over", 0)


async def test_cancelled_also_while_it_is_paused(world: World) -> None:
    found = await followed(world, {"status": "paused"})
    await until(lambda: found.live.task.status is TaskStatus.PAUSED)
    found.live.want("cancel")
    await asyncio.wait_for(found.task, 5)
    assert found.live.task.status == "cancelled"


async def test_asked_on_after_it_was_paused_and_resumed(world: World) -> None:
    found = await followed(world, {"progress": 20, "status": "paused"})
    await until(lambda: found.live.task.status is TaskStatus.PAUSED)
    found.answers[:] = [{"progress": 30, "status": "downloading"}]
    await world.board.change(found.live, TaskStatus.DOWNLOADING)
    await until(lambda: found.live.task.progress == 30)
    found.answers[:] = [100]
    await asyncio.wait_for(found.task, 5)
    assert found.live.task.status == "completed"
