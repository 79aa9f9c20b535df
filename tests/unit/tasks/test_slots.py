"""How many downloads run at once: nobody waits for a slot that is free, and none is ever lost."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from service.tasks.slots import Slots


class Runner:
    """Waits for a slot and holds it until it is told to give it back, or is cancelled."""

    def __init__(self, slots: Slots, plugin: str) -> None:
        self.plugin = plugin
        self.has = False
        self.done = asyncio.Event()
        self.task = asyncio.create_task(self._run(slots))

    async def _run(self, slots: Slots) -> None:
        async with slots.taken(self.plugin):
            self.has = True
            try:
                await self.done.wait()
            finally:
                self.has = False

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_they_come_in_their_order_and_a_busy_plugin_holds_up_no_other() -> None:
    slots = Slots(3, 2)
    runners = [Runner(slots, plugin) for plugin in ("a", "a", "a", "b", "b", "a")]
    await settle()
    assert [one.has for one in runners] == [True, True, False, True, False, False]
    runners[0].done.set()
    await settle()
    assert [one.has for one in runners] == [False, True, True, True, False, False]
    runners[1].done.set()
    await settle()
    # In all there are three, and the one who waited longest comes first: `b`, before the last `a`.
    assert [one.has for one in runners] == [False, False, True, True, True, False]
    for one in runners:
        one.done.set()
    await asyncio.gather(*(one.task for one in runners))


async def test_who_is_cancelled_while_waiting_or_at_the_moment_of_his_turn_takes_none_away() -> None:
    slots = Slots(1, 1)
    first, second, third = (Runner(slots, "a") for _ in range(3))
    await settle()
    await second.cancel()
    first.done.set()
    await first.task
    # Its turn has come, and it is cancelled before it takes a step.
    fourth = Runner(slots, "a")
    await third.cancel()
    await settle()
    assert fourth.has
    await fourth.cancel()
    fifth = Runner(slots, "a")
    await settle()
    assert fifth.has
    await fifth.cancel()


async def test_one_whose_body_raises_gives_it_back() -> None:
    slots = Slots(1, 1)
    with pytest.raises(RuntimeError):
        async with slots.taken("a"):
            raise RuntimeError
    async with asyncio.timeout(10), slots.taken("a"):
        pass


async def test_a_slot_that_was_taken_in_another_task_is_given_back_here() -> None:
    """As a download does, that waits for its slot and for a wish at once."""
    slots = Slots(1, 1)
    for _ in range(3):
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(10):
                await asyncio.ensure_future(stack.enter_async_context(slots.taken("a")))


async def test_whatever_comes_and_goes_the_limits_hold_and_nobody_starves() -> None:
    chance = random.Random(7)
    slots = Slots(4, 2)
    runners: list[Runner] = []
    for _ in range(2000):
        action = chance.random()
        alive = [one for one in runners if not one.task.done()]
        if action < 0.5:
            runners.append(Runner(slots, chance.choice("abc")))
        elif alive and action < 0.7:
            chance.choice(alive).task.cancel()
        elif alive and action < 0.9:
            chance.choice(alive).done.set()
        else:
            await settle()
        holding = [one.plugin for one in runners if one.has]
        assert len(holding) <= 4
        assert all(holding.count(plugin) <= 2 for plugin in "abc")
    for one in runners:
        one.done.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*(one.task for one in runners), return_exceptions=True)
    last = [Runner(slots, plugin) for plugin in "aabb"]
    await settle()
    assert all(one.has for one in last)
    for one in last:
        await one.cancel()
