"""Who may use the event loop next, when many want to at the same moment."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter

STEP_S = 0.001


class Turns:
    """Keeps thousands of small pieces of work from making one long one.

    Whoever has a piece to do awaits `take` first. As long as there is time left in the current millisecond that is at
    once; then it is one piece in each round of the loop, first come, first served.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._began = 0.0
        self._scheduled = False

    async def take(self) -> None:
        """Wait for a turn, and use it up in less than a millisecond or take another."""
        if not self._waiting and perf_counter() - self._began < STEP_S:
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.done() or turn.cancelled():
                self._forget(turn)
            raise

    def _next(self) -> None:
        self._scheduled = False
        self._began = perf_counter()
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        if self._waiting:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _forget(self, turn: asyncio.Future[None]) -> None:
        try:
            self._waiting.remove(turn)
        except ValueError:
            pass
