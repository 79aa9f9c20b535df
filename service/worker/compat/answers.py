"""Answers that are there at once and can be awaited too: some of the original's plugins await, others do not."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any


class _Answer:
    """What is awaited gives `_value`, once `_pending` has happened. `asyncio.create_task` takes it for a coroutine."""

    _value: Any = None
    _pending: Awaitable[Any] | None = None
    _steps: Generator[Any, Any, Any] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._pending is not None:
            yield from self._pending.__await__()
        return self._value

    def send(self, value: Any) -> Any:
        """Go on, as a coroutine does."""
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """Have an exception raised in it, as in a coroutine."""
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.throw(*error)

    def close(self) -> None:
        """End it, as a coroutine is ended."""
        if self._steps is not None:
            self._steps.close()


class Done(_Answer, int):
    """True, also when awaited."""

    def __new__(cls, pending: Awaitable[Any] | None = None) -> Done:
        done = super().__new__(cls, 1)
        done._value = True
        done._pending = pending
        return done

    def __repr__(self) -> str:
        return "True"


class Record(_Answer, dict[str, Any]):
    """What is known of something, as a dictionary; of nothing known it is empty, and `None` when awaited.

    Args:
        known: the keys and values, or `None`.
    """

    def __init__(self, known: dict[str, Any] | None) -> None:
        super().__init__(known or {})
        self._value = None if known is None else dict(known)
