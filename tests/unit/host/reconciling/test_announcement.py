"""That a load is under way is told once at most."""

from __future__ import annotations

import asyncio

import pytest

from service.host.reconciling.announcement import Announcement


@pytest.fixture
def told() -> asyncio.Queue[str]:
    return asyncio.Queue()


async def test_it_is_told_by_itself_and_not_twice(told: asyncio.Queue[str]) -> None:
    announcement = Announcement(lambda: told.put_nowait("loading"), 0.001)
    assert told.empty(), "the load comes first"
    assert await asyncio.wait_for(told.get(), 15) == "loading"
    announcement.now()
    assert told.empty()


async def test_it_is_told_early_and_not_twice(told: asyncio.Queue[str]) -> None:
    announcement = Announcement(lambda: told.put_nowait("loading"), 0)
    announcement.now()
    await asyncio.sleep(0.01)
    assert told.qsize() == 1


async def test_what_is_given_up_is_not_told(told: asyncio.Queue[str]) -> None:
    announcement = Announcement(lambda: told.put_nowait("loading"), 0)
    announcement.cancel()
    announcement.now()
    await asyncio.sleep(0.01)
    assert told.empty()
