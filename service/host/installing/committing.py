"""What puts things in place does so one after the other, and to its end, though its client may go away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal, TypeVar

from service.errors import PlugbayError
from service.host.conversation import EndedAtOnce
from service.host.history.errors import ChangeNotSaved

T = TypeVar("T")

_CLOSE_S = 10.0
_TRIES = 3


class NotSaved(PlugbayError):
    """The plugin loads, but could not be put in place; nothing was changed."""

    code = "plugin_not_saved"


async def in_several_tries(attempt: Callable[[], Awaitable[T]]) -> T:
    """Load and put in place, and once more where a process ended in between: it may have been lost with its template.

    Raises:
        EndedAtOnce: it did so every time.
    """
    for _ in range(_TRIES - 1):
        try:
            return await attempt()
        except EndedAtOnce:
            continue
    return await attempt()


class _Turn(asyncio.Lock):
    """A lock that knows how many wait for it."""

    waiting = 0

    async def acquire(self) -> Literal[True]:
        self.waiting += 1
        try:
            return await super().acquire()
        finally:
            self.waiting -= 1


class Commits:
    """What is being put in place.

    Attributes:
        one_by_one: held while something is.
    """

    def __init__(self) -> None:
        self.one_by_one = _Turn()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def waiting(self) -> int:
        """How much waits for its turn."""
        return self.one_by_one.waiting

    async def close(self) -> None:
        """Wait for what is being put in place; calling it twice is safe."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)

    async def shielded(self, commit: Coroutine[Any, Any, T]) -> T:
        """Finish a commit though the client may go away in the middle of it; it cleans up after itself.

        Raises:
            NotSaved
        """
        task = asyncio.create_task(commit, name="install")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except ChangeNotSaved as error:
            raise NotSaved(error.text) from error
