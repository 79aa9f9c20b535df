"""Changes that a request began: they are carried through, also when the client has gone meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import structlog
from aiohttp import web

from service.api.keys import CHANGES

T = TypeVar("T")

CLOSE_TIMEOUT_S = 10.0

_log = structlog.get_logger(__name__)


class Changes:
    """Owns the changes under way.

    A handler is cancelled when its client goes away. For a call to a plugin that is right; a delete or a new
    configuration would stop halfway.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def carry_through(self, change: Coroutine[Any, Any, T]) -> T:
        """Run a change to its end and give its result; cancelling the wait does not cancel the change."""
        task = asyncio.get_running_loop().create_task(change)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_report)
            raise

    async def close(self) -> None:
        """Wait for the changes under way, then cancel those that take longer; calling it twice is safe."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def carry_through(request: web.Request, change: Coroutine[Any, Any, T]) -> T:
    """`Changes.carry_through` for the application of a request."""
    return await request.app[CHANGES].carry_through(change)


async def changes_context(app: web.Application) -> AsyncIterator[None]:
    """For `cleanup_ctx`: what is under way ends before the parts that it needs."""
    changes = app[CHANGES] = Changes()
    yield
    await changes.close()


def _report(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this one any more, so an error of it would be lost."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("change failed after its client had gone", error=str(error))
