"""The loads that are under way: how many there may be at once, who waits, and how long they take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import LoadFailed
from service.host.statistics.histogram import LOAD_S, Histograms

_LONG_LOAD_SECONDS = 1.0
_PARALLEL_LOADS = 8


class LoadsUnderWay:
    """See the module.

    Attributes:
        times: how long loads took, dependencies included: those that `succeeded`, and those that `failed`.
        running: how many there are.
        waiting: how many of these wait, since as many are in workers as may be at once.
    """

    def __init__(self) -> None:
        self.times = Histograms(LOAD_S)
        self.running = self.waiting = 0
        self._places = asyncio.Semaphore(_PARALLEL_LOADS)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """A load from its start to its end; one that is given up for something newer counts for nothing."""
        began_s = time.perf_counter()
        self.running += 1
        try:
            yield
        except LoadFailed:
            self.times.count("failed", time.perf_counter() - began_s)
            raise
        else:
            self.times.count("succeeded", time.perf_counter() - began_s)
        finally:
            self.running -= 1

    def place(self) -> _Place:
        """One of the places for loads in workers, to be entered."""
        return _Place(self)

    async def take_place(self) -> None:
        """Wait for a place; `_Place` gives it back."""
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1

    def give_place(self) -> None:
        """Give one back."""
        self._places.release()


class _Place:
    """A place, given up early by a load that takes long: a plugin that hangs must not keep others from loading."""

    def __init__(self, loads: LoadsUnderWay) -> None:
        self._loads = loads
        self._held = False

    async def __aenter__(self) -> None:
        await self._loads.take_place()
        self._held = True
        self._timer = asyncio.get_running_loop().call_later(_LONG_LOAD_SECONDS, self._give_up)

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        self._give_up()

    def _give_up(self) -> None:
        if self._held:
            self._held = False
            self._loads.give_place()
