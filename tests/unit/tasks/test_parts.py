"""One plugin's part of a search: its order, its parsed addresses, its end - whatever end that is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from service.errors import PluginRaised
from service.host.calls import Caller
from service.host.files.sources import unit_of
from service.host.plugin import Plugin
from service.model.identity import Identity, PluginType
from service.model.task import TaskKind, TaskStatus
from service.tasks.board import LiveTask
from service.tasks.parsers import Parsers
from service.tasks.parts import Part, TooManyResults
from tests.unit.tasks.world import World, until

OnItem = Callable[[bytes, Callable[[int], None]], None]
RAISED = PluginRaised("search/demo", {"type": "RuntimeError", "message": "no"})


def result(title: str, *, episodes: bool = False) -> dict[str, Any]:
    metadata = {"episodes": [{"play_url": f"http://{title}"}]} if episodes else {}
    return {"title": title, "metadata": metadata}


class FakeCaller:
    """A plugin that yields what it is told to, and ends when it is told to."""

    def seconds(self, plugin: Plugin, method: str) -> float:
        return 5.0

    def __init__(self) -> None:
        self.on_item: OnItem | None = None
        self.end: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.credit = 0
        self.is_cancelled = False

    async def stream(
        self, plugin: Plugin, method: str, params: dict[str, object], on_item: OnItem, *, timeout_s: float
    ) -> bytes:
        self.on_item = on_item
        try:
            return await self.end
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise

    def yield_(self, *results: dict[str, Any]) -> None:
        assert self.on_item is not None
        for one in results:
            self.on_item(msgspec.json.encode(one), self._done)

    def _done(self, count: int) -> None:
        self.credit += count


class FakeParsers:
    """Parsers that answer when their gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked: list[int] = []

    async def add_parsed_urls(self, results: bytes, *, seconds: float | None = None) -> bytes:
        decoded: list[dict[str, Any]] = msgspec.json.decode(results)
        self.asked.append(len(decoded))
        await self.gate.wait()
        for one in decoded:
            for episode in one["metadata"].get("episodes", ()):
                episode["parsed_urls"] = ["parsed"]
        return msgspec.json.encode(decoded)


class Search:
    """A part under way."""

    def __init__(self, world: World, live: LiveTask) -> None:
        unit = unit_of("search/demo_plugin.py")
        assert unit is not None
        self.live = live
        self.caller, self.parsers, self.enough = FakeCaller(), FakeParsers(), asyncio.Event()
        plugin = Plugin(unit, Identity(PluginType.SEARCH, "demo"))
        part = Part(
            live,
            plugin,
            world.board,
            cast(Caller, self.caller),
            cast(Parsers, self.parsers),
            self.enough,
        )
        self.task = asyncio.create_task(part.run())

    @property
    def titles(self) -> list[str]:
        return [one["title"] for one in self.live.results]

    @property
    def parsed(self) -> list[bool]:
        return [
            "parsed_urls" in episode
            for one in self.live.results
            for episode in one["metadata"].get("episodes", ())
        ]


async def search(world: World, **facts: Any) -> Search:
    live = await world.board.create(TaskKind.SEARCH, keyword="x", **facts)
    await world.board.change(live, TaskStatus.RUNNING)
    found = Search(world, live)
    await until(lambda: found.caller.on_item)
    return found


async def test_what_is_yielded_comes_at_once_and_the_rest_after_it(world: World) -> None:
    found = await search(world)
    found.caller.yield_(result("a"), result("b"))
    assert found.titles == ["a", "b"]
    assert found.caller.credit == 2
    found.caller.end.set_result(msgspec.json.encode([result("c")]))
    await found.task
    assert found.titles == ["a", "b", "c"]
    assert {one["plugin"] for one in found.live.results} == {"demo"}


async def test_the_order_stays_while_parsers_take_their_time(world: World) -> None:
    found = await search(world)
    found.caller.yield_(result("a"), result("b", episodes=True), result("c"))
    await until(lambda: found.parsers.asked)
    found.caller.yield_(result("d", episodes=True))
    found.caller.end.set_result(msgspec.json.encode([result("e", episodes=True)]))
    assert (found.titles, found.caller.credit) == (["a"], 1)
    found.parsers.gate.set()
    await found.task
    assert found.titles == ["a", "b", "c", "d", "e"]
    assert found.parsed == [True, True, True]
    assert found.caller.credit == 4


async def test_what_was_found_before_it_fails_is_told_with_its_parsed_addresses(world: World) -> None:
    found = await search(world)
    found.caller.yield_(result("a", episodes=True))
    found.caller.end.set_exception(RAISED)
    await until(lambda: found.parsers.asked)
    found.parsers.gate.set()
    with pytest.raises(PluginRaised):
        await found.task
    assert (found.titles, found.parsed) == (["a"], [True])


@pytest.mark.parametrize("call_is_over", [False, True])
async def test_cancelled_it_waits_for_no_parser_and_tells_what_it_has(
    world: World, call_is_over: bool
) -> None:
    found = await search(world)
    found.caller.yield_(result("a"), result("b", episodes=True), result("c"))
    await until(lambda: found.parsers.asked)
    found.caller.yield_(result("d"))
    if call_is_over:
        found.caller.end.set_result(b"null")
        await asyncio.sleep(0.01)
    found.task.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(found.task, return_exceptions=True)
    assert found.task.cancelled()
    assert found.titles == ["a", "b", "c", "d"]
    assert found.parsed == [False]
    assert found.caller.is_cancelled is not call_is_over


async def test_a_list_is_not_lost_where_it_is_cancelled_during_its_parsing(world: World) -> None:
    found = await search(world)
    found.caller.end.set_result(msgspec.json.encode([result("a", episodes=True), result("b")]))
    await until(lambda: found.parsers.asked)
    found.task.cancel()
    await asyncio.gather(found.task, return_exceptions=True)
    assert found.titles == ["a", "b"]


async def test_the_limit_is_of_all_plugins_together(world: World) -> None:
    found = await search(world, limit=3)
    world.board.add_results(found.live, [{"title": "another's", "metadata": {}}])
    found.caller.yield_(result("a"))
    assert not found.enough.is_set()
    found.caller.yield_(result("b"), result("c"))
    assert found.enough.is_set()
    assert found.titles == ["another's", "a", "b"]
    found.caller.end.set_result(msgspec.json.encode([result("d")]))
    await found.task
    assert len(found.live.results) == 3


async def test_results_without_end_are_too_many(world: World) -> None:
    found = await search(world)
    one = result("x" * 1_000_000)
    for _ in range(40):
        found.caller.yield_(one)
    with pytest.raises(TooManyResults):
        await found.task
    assert found.caller.is_cancelled
    assert len(found.live.results) == 16
