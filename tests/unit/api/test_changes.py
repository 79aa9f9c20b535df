from __future__ import annotations

import asyncio

import pytest

from service.api import changes
from service.api.changes import Changes


async def test_a_change_ends_although_nobody_waits_for_it() -> None:
    owner, gate, done = Changes(), asyncio.Event(), asyncio.Event()

    async def change() -> None:
        await gate.wait()
        done.set()

    waiting = asyncio.create_task(owner.carry_through(change()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    await owner.close()
    assert done.is_set()


async def test_results_and_errors_come_back() -> None:
    owner = Changes()

    async def give() -> int:
        return 7

    async def fail() -> None:
        raise ValueError("no")

    assert await owner.carry_through(give()) == 7
    with pytest.raises(ValueError, match="no"):
        await owner.carry_through(fail())


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "CLOSE_TIMEOUT_S", 0.01)
    owner = Changes()
    waiting = asyncio.create_task(owner.carry_through(asyncio.Event().wait()))
    await asyncio.sleep(0)
    await owner.close()
    await owner.close()
    assert waiting.cancelled() or isinstance(
        (await asyncio.gather(waiting, return_exceptions=True))[0], BaseException
    )
