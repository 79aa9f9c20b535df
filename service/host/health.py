"""How the server is: each part of it, and how late its event loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from service.host.statistics.histogram import LAG_S, Buckets, Histogram
from service.model.text import Text

_BEAT_SECONDS = 0.25


class Part(msgspec.Struct, frozen=True):
    """One part of the server and whether it is well."""

    ok: bool
    text: Text


class Health:
    """Collects what the parts say of themselves.

    Args:
        parts: by name, a function that gives what is wrong, `None` where nothing is.
    """

    def __init__(self, parts: Mapping[str, Callable[[], Text | None]]) -> None:
        self._parts = dict(parts)
        self._task: asyncio.Task[None] | None = None
        self._due: float | None = None
        self._lag_ms = 0.0
        self._lags = Histogram(LAG_S)

    @property
    def loop_lag_ms(self) -> float:
        """How late the loop came to its last beat, or is now, in milliseconds."""
        if self._due is None:
            return self._lag_ms
        return max(self._lag_ms, (asyncio.get_running_loop().time() - self._due) * 1000)

    def lags(self) -> Buckets:
        """How late it came to each of its beats, four times a second."""
        return self._lags.buckets()

    def start(self) -> None:
        """Measure from now on."""
        self._task = asyncio.create_task(self._beat(), name="loop lag")

    async def close(self) -> None:
        """Measure no more; calling it twice is safe."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def parts(self) -> dict[str, Part]:
        """Every part as it is now."""
        fine = Text(zh="正常", en="fine")
        found = {}
        for name, problem_of in self._parts.items():
            problem = problem_of()
            found[name] = Part(problem is None, problem or fine)
        return found

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._due = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._lag_ms = max(0.0, (loop.time() - self._due) * 1000)
            self._lags.count(self._lag_ms / 1000)
