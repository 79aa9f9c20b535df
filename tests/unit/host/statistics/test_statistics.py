from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from service.host.plugin import Plugin
from service.host.statistics.calls import STEP_S, CallCounts
from service.host.statistics.loads import LOADS
from service.host.statistics.statistics import Statistics
from service.live.event_log import Entry, EventLog
from service.model.events import Cause, LogLine, PluginChange, PluginChanged, Timings
from service.model.plugin import PluginView
from tests.unit.api.fakes import LOAD_ERROR
from tests.unit.api.test_events_document import PLUGIN
from tests.unit.host.statistics.test_calls import Clock


@dataclass
class FakePlugin:
    identity: str
    running: int = 0
    draining_calls: int = 0


@dataclass
class World:
    """Statistics of two plugins, with a clock that goes when it is told to, and all that was published."""

    clock: Clock = field(default_factory=Clock)
    demo: FakePlugin = field(default_factory=lambda: FakePlugin("search/demo"))
    other: FakePlugin = field(default_factory=lambda: FakePlugin("search/other"))
    wanted: bool = True
    told: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = CallCounts(self.clock)
        self.log = EventLog(max_events=1000, max_bytes=2**24, node="test")
        self.log.listen(self._hear)
        self.statistics = Statistics(
            self.counts,
            self.log,
            plugins=lambda: cast(list[Plugin], [self.demo, self.other]),
            wanted=lambda: self.wanted,
        )

    def _hear(self, entry: Entry) -> None:
        if entry.type == "plugbay.stats":
            self.told.append(json.loads(entry.payload)["data"])

    def step(self) -> list[dict[str, Any]]:
        """Let a step pass; what was told of it."""
        before = len(self.told)
        self.clock.now += STEP_S
        self.statistics.tell()
        return self.told[before:]

    def change(self, change: PluginChange, timings: Timings | None = None, **more: Any) -> None:
        plugin: PluginView = msgspec.structs.replace(PLUGIN, **more)
        self.log.publish(
            PluginChanged(change=change, plugin=plugin, cause=Cause.FILE, by=None, timings=timings)
        )


def test_what_happened_in_a_step_is_told_once() -> None:
    world = World()
    assert world.step() == []
    world.counts.count("search/demo", "search", "ok", 0.004)
    world.counts.count("search/demo", "search", "plugin_error", 0.002)
    [told] = world.step()
    assert told["step"] == world.statistics.step
    assert told["step_s"] == STEP_S
    assert told["plugins"] == {
        "search/demo": {
            "calls": 2,
            "errors": 1,
            "mean_ms": 3.0,
            "running": 0,
            "draining": 0,
            "total_calls": 2,
            "total_errors": 1,
        }
    }
    assert world.step() == [], "nothing is new"
    world.counts.count("search/demo", "search", "ok", 0.0)
    [told] = world.step()
    assert told["plugins"]["search/demo"]["calls"] == 1
    assert told["plugins"]["search/demo"]["total_calls"] == 3


def test_calls_under_way_are_told_when_their_number_changes() -> None:
    world = World()
    world.demo.running, world.other.draining_calls = 2, 1
    [told] = world.step()
    under_way = {id: (one["running"], one["draining"]) for id, one in told["plugins"].items()}
    assert under_way == {"search/demo": (2, 0), "search/other": (0, 1)}
    assert world.step() == []
    world.demo.running = 0
    [told] = world.step()
    assert told["plugins"]["search/demo"]["running"] == 0
    assert list(told["plugins"]) == ["search/demo"]


def test_whoever_asked_meanwhile_is_told_of_the_end_of_what_they_saw() -> None:
    world = World()
    world.step()
    world.demo.running = 1
    assert world.statistics.plugins()["search/demo"].running == 1
    world.demo.running = 0
    [told] = world.step()
    assert told["plugins"]["search/demo"]["running"] == 0


def test_that_somebody_asked_keeps_no_news_from_subscribers() -> None:
    world = World()
    world.step()
    world.demo.running = 1
    world.statistics.plugins()
    [told] = world.step()
    assert told["plugins"]["search/demo"]["running"] == 1
    assert world.step() == []


def test_nothing_is_told_to_nobody_and_what_was_missed_is_in_the_totals() -> None:
    world = World(wanted=False)
    world.counts.count("search/demo", "search", "ok", 0.001)
    assert world.step() == []
    world.wanted = True
    assert world.step() == []
    found = world.statistics.plugins()
    assert list(found) == ["search/demo"]
    assert [one for one in found["search/demo"].series if one[0]] == [(1, 0, 1.0)]
    assert found["search/demo"].calls == 1


def test_a_late_tick_tells_of_every_step() -> None:
    world = World()
    world.counts.count("search/demo", "search", "ok", 0.001)
    world.clock.now += STEP_S
    world.counts.count("search/other", "search", "ok", 0.001)
    first, second = world.step()
    assert (list(first["plugins"]), list(second["plugins"])) == (["search/demo"], ["search/other"])
    assert second["step"] == first["step"] + 1
    assert first["at"] < second["at"]


def test_a_plugin_that_is_gone_leaves_nothing() -> None:
    world = World()
    world.counts.count("search/demo", "search", "ok", 0.001)
    world.change("unloaded")
    assert world.statistics.plugins() == {}
    world.counts.count("search/gone", "search", "ok", 0.001)
    assert world.statistics.plugins() == {}, "only what is listed is told of"
    assert not list(world.counts.ids())


def test_loads_are_kept_as_they_end() -> None:
    world = World()
    timings = Timings(detect_ms=1.0, load_ms=3.0, total_ms=5.0)
    world.change("loading")
    world.change("reloaded", timings, generation=4)
    world.change("failed", generation=4, error=LOAD_ERROR)
    world.change("configured")
    world.log.publish(LogLine(id="search/demo", at="", level="info", generation=1, message=""))
    good, bad = world.statistics.loads()
    assert (good.id, good.generation, good.cause, good.ok) == ("search/demo", 4, Cause.FILE, True)
    assert (good.ms, good.load_ms) == (5.0, 3.0)
    assert (bad.generation, bad.ok, bad.ms) == (LOAD_ERROR.generation, False, None)
    for _ in range(LOADS):
        world.change("reloaded", timings, generation=5)
    assert {one.generation for one in world.statistics.loads()} == {5}
    assert len(world.statistics.loads()) == LOADS
    world.statistics.close()
    world.statistics.close()
    world.change("reloaded", timings, generation=6)
    assert {one.generation for one in world.statistics.loads()} == {5}
