"""What runs, and the names that it is known by."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from service.errors import PluginDisabled, PluginNotFound, PluginUnavailable
from service.host.files.sources import unit_of
from service.host.generation import Generation
from service.host.plugin import Plugin
from service.host.registry import Registry
from service.live.event_log import EventLog
from service.model.events import Cause, PluginChanged
from service.model.identity import Identity, PluginType
from service.model.plugin import LoadError, Manifest, Stage
from service.model.states import GenerationState
from service.model.text import Text


class Events:
    """Keeps what is published, short."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.epoch, self.head = "e", 7

    def publish(self, event: PluginChanged) -> int:
        self.came.append(f"{event.change} {event.plugin.id}")
        return 1


class FakeWorker:
    def has_ended(self) -> bool:
        return False


class FakeGeneration:
    """A generation without a process."""

    def __init__(self, number: int = 1, name: str = "demo") -> None:
        self.number, self.leases, self.load_ms = number, 0, 1.0
        self.manifest = Manifest(type=PluginType.SEARCH, name=name)
        self.state = GenerationState.READY
        self.asked: dict[str, Any] | None = None
        self.worker = FakeWorker()
        self.snapshot = msgspec.defstruct("S", [("revision", str), ("sha256", str)])("r", "s")

    def set_state(self, state: GenerationState) -> None:
        self.state = state


class World:
    def __init__(self) -> None:
        self.events = Events()
        self.registry = Registry(cast(EventLog, self.events), call_s=0.1)

    def add(self, stem: str, identity: str | None = None, *, serve: bool = False) -> Plugin:
        unit = unit_of(f"search/{stem}_plugin.py")
        assert unit is not None
        plugin = self.registry.add(unit)
        self.registry.list(plugin, Identity(PluginType.SEARCH, identity) if identity else None)
        if serve:
            self.registry.swap(plugin, generation())
        return plugin


def generation(number: int = 1, name: str = "demo") -> Generation:
    return cast(Generation, FakeGeneration(number, name))


@pytest.fixture
async def world() -> World:
    return World()


def error() -> LoadError:
    return LoadError(
        stage=Stage.IMPORT,
        code="x",
        type="",
        message="x",
        file=None,
        line=None,
        column=None,
        traceback=None,
        generation=1,
        messages=Text(zh="x", en="x"),
    )


def demo(name: str = "demo") -> Identity:
    return Identity(PluginType.SEARCH, name)


async def test_states_follow_from_facts(world: World) -> None:
    plugin = world.add("demo")
    states = [plugin.state]
    plugin.error = error()
    states.append(plugin.state)
    world.registry.swap(plugin, generation(), plugin.error)
    states.append(plugin.state)
    plugin.error = None
    states.append(plugin.state)
    plugin.enabled = False
    states.append(plugin.state)
    assert states == ["loading", "failed", "degraded", "active", "disabled"]


async def test_a_name_counts_before_a_file(world: World) -> None:
    by_file, by_name = world.add("demo", "other"), world.add("x", "demo")
    assert world.registry.find(PluginType.SEARCH, "demo") is by_name
    assert world.registry.find(PluginType.SEARCH, "demo_plugin") is by_file
    with pytest.raises(PluginNotFound):
        world.registry.find(PluginType.PARSER, "demo")


async def test_files_whose_name_is_taken_are_listed_all_the_same(world: World) -> None:
    world.add("x", "demo")
    second = world.add("demo")
    assert second.identity == demo("demo_plugin")


async def test_a_rename_ends_the_old_entry(world: World) -> None:
    plugin = world.add("demo", serve=True)
    world.registry.rename(plugin, demo("new"), Cause.FILE)
    assert world.events.came == ["unloaded search/demo"]
    assert world.registry.get(demo()) is None and world.registry.get(demo("new")) is plugin


async def test_swapping_drains_the_older(world: World) -> None:
    plugin = world.add("demo", serve=True)
    first = plugin.serving
    assert world.registry.swap(plugin, generation(2)) is first
    assert first is not None and first.state is GenerationState.DRAINING
    assert [one.generation for one in plugin.view().draining] == [1]
    assert plugin.view().generation == 2
    plugin.drained(first)
    assert plugin.draining == []


async def test_another_file_takes_over(world: World) -> None:
    old, new = world.add("old", "demo", serve=True), world.add("new")
    older = world.registry.swap(old, generation(2))
    assert older is not None
    world.registry.take_over(new, old, Cause.FILE)
    assert world.events.came == ["unloaded search/new"]
    assert world.registry.get(demo()) is new and old.removed
    assert new.serving is not None and new.serving.number == 2 and new.generation_count == 2
    # Its generations drain for the older entry, and are gone for the new one too.
    old.drained(older)
    assert new.draining == []
    assert await world.registry.serving(old) is new.serving


async def test_one_that_serves_takes_over_and_the_other_generation_drains(world: World) -> None:
    old, new = world.add("old", "demo", serve=True), world.add("new", serve=True)
    mine, displaced = new.serving, old.serving
    assert world.registry.take_over(new, old, Cause.FILE) is displaced
    assert new.serving is mine and displaced in new.draining


async def test_two_files_change_places(world: World) -> None:
    one, two = world.add("one", serve=True), world.add("two", serve=True)
    first, second = one.serving, two.serving
    world.registry.rotate([one, two])
    assert (one.identity, two.identity) == (demo("two"), demo("one"))
    assert (one.serving, two.serving) == (second, first)
    assert world.registry.get(demo("two")) is one


async def test_three_files_change_places(world: World) -> None:
    plugins = [world.add(name, serve=True) for name in ("one", "two", "three")]
    serving = [plugin.serving for plugin in plugins]
    world.registry.rotate(plugins)
    assert [plugin.identity for plugin in plugins] == [demo("two"), demo("three"), demo("one")]
    assert [plugin.serving for plugin in plugins] == [serving[1], serving[2], serving[0]]
    assert world.registry.get(demo("one")) is plugins[2]


async def test_who_may_be_called(world: World) -> None:
    plugin = world.add("demo", serve=True)
    assert await world.registry.serving(plugin) is plugin.serving
    plugin.enabled = False
    with pytest.raises(PluginDisabled):
        await world.registry.serving(plugin)
    plugin.enabled, plugin.error = True, error()
    world.registry.retire(plugin)
    with pytest.raises(PluginUnavailable):
        await world.registry.serving(plugin)
    world.registry.remove(plugin)
    with pytest.raises(PluginNotFound):
        await world.registry.serving(plugin)


async def test_the_snapshot_has_the_position_that_it_is_of(world: World) -> None:
    world.add("demo")
    snapshot = world.registry.snapshot()
    assert (snapshot["epoch"], snapshot["seq"]) == ("e", "7")
    assert [one.id for one in snapshot["search"]] == ["search/demo"] and snapshot["parser"] == []
