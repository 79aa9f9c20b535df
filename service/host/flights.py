"""Work that several want at once and that is done once, for as long as somebody still waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")
News = TypeVar("News")


class _Flight(Generic[Result, News]):
    def __init__(self) -> None:
        self.task: asyncio.Task[Result] | None = None
        self.listeners: list[Callable[[News], None]] = []
        self.last: News | None = None

    def tell(self, news: News) -> None:
        self.last = news
        for listener in list(self.listeners):
            listener(news)


class Flights(Generic[Result, News]):
    """One task for each key. A waiter that goes away cancels the task only if it was the last.

    Args:
        name: of the tasks.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._flights: dict[str, _Flight[Result, News]] = {}

    async def join(
        self,
        key: str,
        work: Callable[[Callable[[News], None]], Awaitable[Result]],
        on_news: Callable[[News], None],
    ) -> Result:
        """The result of the work for `key`: of that under way, or else of `work`, which is begun.

        Args:
            key: what is worked on.
            work: is given a function that tells every waiter how far it is.
            on_news: called with that; whoever joins late is told the latest at once.

        Raises:
            Exception: whatever the work raised, to every waiter.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            flight.task = asyncio.create_task(self._fly(key, flight, work), name=f"{self._name} {key}")
            # Also where nobody waits for it any more.
            flight.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        elif flight.last is not None:
            on_news(flight.last)
        assert flight.task is not None
        flight.listeners.append(on_news)
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.listeners.remove(on_news)
            if not flight.listeners and not flight.task.done():
                self._flights.pop(key, None)
                flight.task.cancel()
                # What it started is gone before its last waiter is.
                await asyncio.wait([flight.task])

    async def close(self) -> None:
        """Cancel all work; whoever waits sees it cancelled."""
        tasks = [flight.task for flight in self._flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _fly(
        self,
        key: str,
        flight: _Flight[Result, News],
        work: Callable[[Callable[[News], None]], Awaitable[Result]],
    ) -> Result:
        try:
            return await work(flight.tell)
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
