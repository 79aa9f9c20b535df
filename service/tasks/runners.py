"""Who works on tasks: one asyncio task each, owned here, ended with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from service.model.request_id import named, request_id
from service.tasks.board import LiveTask

log = structlog.get_logger(__name__)


class Runners:
    """Owns the asyncio tasks that work on tasks."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def begin(self, live: LiveTask, work: Coroutine[Any, Any, None]) -> None:
        """Have somebody do the work on a task."""
        # After a restart of the server nobody asks for it: the one who once did is named.
        with named(request_id.get() or live.task.request_id):
            live.runner = self.spawn(work, name=f"task {live.id}")

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Have something done that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, seconds: float) -> None:
        """Wait for all of them, then cancel what is left; calling it twice is safe."""
        if self._running and seconds > 0:
            await asyncio.wait(self._running, timeout=seconds)
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task.runner_failed", name=task.get_name(), exc_info=error)
