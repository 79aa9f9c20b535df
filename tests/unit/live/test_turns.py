from __future__ import annotations

import asyncio
import itertools
from time import perf_counter

from service.live.turns import Turns


def spin(seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


async def test_many_pieces_do_not_make_one_long_one() -> None:
    """200 pieces of half a millisecond, ready at the same moment; the loop gets around in between."""
    turns = Turns()
    order: list[int] = []
    rounds: list[int] = []

    async def piece(number: int) -> None:
        await turns.take()
        spin(0.0005)
        order.append(number)

    async def watch() -> None:
        while len(order) < 200:
            rounds.append(len(order))
            await asyncio.sleep(0)
        rounds.append(len(order))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        for number in range(200):
            tasks.create_task(piece(number))
    assert order == sorted(order)
    steps = [after - before for before, after in itertools.pairwise(rounds)]
    assert max(steps) <= 4


async def test_one_that_is_cancelled_gives_its_turn_away() -> None:
    turns = Turns()
    await turns.take()
    spin(0.002)
    first, second = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(5):
        await second
        await turns.take()
    assert first.cancelled()
