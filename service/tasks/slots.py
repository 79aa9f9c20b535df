"""How many downloads run at once, in all and of each plugin; the others wait in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """See the module.

    Args:
        at_once: in all.
        at_once_per_plugin: of each plugin.
    """

    def __init__(self, at_once: int, at_once_per_plugin: int) -> None:
        self._at_once = at_once
        self._per_plugin = at_once_per_plugin
        self._taken: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def taken(self, plugin: str) -> AsyncIterator[None]:
        """Wait for a slot, hold it, give it back."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((plugin, turn))
        self._give()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._taken[plugin] -= 1
            else:
                self._waiting.remove((plugin, turn))
            self._give()

    def _give(self) -> None:
        """Give what is free to those who waited longest; one whose plugin is busy holds up no other."""
        for entry in list(self._waiting):
            plugin, turn = entry
            if self._taken.total() >= self._at_once:
                return
            if not turn.done() and self._taken[plugin] < self._per_plugin:
                self._taken[plugin] += 1
                self._waiting.remove(entry)
                turn.set_result(None)
