"""Work that several want at once: done once for all of them, and anew for whoever comes later."""

from __future__ import annotations

import asyncio

from service.host.flights import Flights


async def test_work_that_fails_fails_for_all_and_is_begun_anew_for_the_next() -> None:
    flights: Flights[int, str] = Flights("test")
    go = asyncio.Event()
    begun = 0

    async def work(tell: object) -> int:
        nonlocal begun
        begun += 1
        tell("news")
        await go.wait()
        if begun == 1:
            raise ValueError("once")
        return begun

    first: list[str] = []
    late: list[str] = []
    waiting = [asyncio.create_task(flights.join("key", work, first.append))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(flights.join("key", work, late.append)))
    await asyncio.sleep(0)
    go.set()
    failures = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(one) for one in failures] == ["once", "once"]
    assert (first, late, begun) == (["news"], ["news"], 1)
    assert await flights.join("key", work, first.append) == 2
    await flights.close()
