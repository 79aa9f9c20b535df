"""Calls to plugins, counted in steps of two seconds. Counting costs a look-up; who is never called costs nothing.

monotonic clock ──┬──────┬──────┬──────┬─────►
            step  │  41  │  42  │  43  │ 44 …      a plugin keeps those of the last two minutes in which it was called
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

STEP_S = 2.0
STEPS = 60

# These come back before the plugin is asked for anything.
_NOT_CALLED = frozenset({"plugin_not_found", "plugin_disabled"})
# Whoever called has gone, or has enough: no fault of the plugin's.
_NO_ERRORS = frozenset({"ok", "cancelled"})


class Count(NamedTuple):
    """Calls that have ended, how many of them gave no result, and the time that all of them took."""

    calls: int
    errors: int
    seconds: float

    @property
    def mean_ms(self) -> float:
        """How long a call took; 0 where there was none."""
        return round(self.seconds * 1000 / self.calls, 2) if self.calls else 0.0

    def plus(self, other: Count) -> Count:
        """Both together."""
        return Count(self.calls + other.calls, self.errors + other.errors, self.seconds + other.seconds)


NOTHING = Count(0, 0, 0.0)


class _Plugin:
    """One plugin's counts: of all time, and of the steps in which it was called."""

    __slots__ = ("steps", "total")

    def __init__(self) -> None:
        self.total = NOTHING
        # One more than is told, for the step that is not over.
        self.steps: deque[tuple[int, Count]] = deque(maxlen=STEPS + 1)


class CallCounts:
    """See the module.

    Args:
        clock: seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._plugins: dict[str, _Plugin] = {}

    @property
    def step(self) -> int:
        """The number of the newest step that is over."""
        return int(self._clock() // STEP_S) - 1

    @property
    def since_step_s(self) -> float:
        """How long ago that step ended, in seconds."""
        return self._clock() % STEP_S

    def count(self, id: str, outcome: str, seconds: float) -> None:
        """Note a call that has ended.

        Args:
            id: the plugin's.
            outcome: `ok`, `cancelled`, or the error's code.
            seconds: how long it took.
        """
        if outcome in _NOT_CALLED:
            return
        plugin = self._plugins.get(id)
        if plugin is None:
            plugin = self._plugins[id] = _Plugin()
        call = Count(1, outcome not in _NO_ERRORS, seconds)
        plugin.total = plugin.total.plus(call)
        now, steps = self.step + 1, plugin.steps
        if steps and steps[-1][0] == now:
            steps[-1] = (now, steps[-1][1].plus(call))
        else:
            steps.append((now, call))

    def forget(self, id: str) -> None:
        """The plugin is gone."""
        self._plugins.pop(id, None)

    def ids(self) -> Iterator[str]:
        """Every plugin that was called since the start."""
        return iter(self._plugins)

    def total(self, id: str) -> Count:
        """All calls of a plugin since the start."""
        plugin = self._plugins.get(id)
        return NOTHING if plugin is None else plugin.total

    def series(self, id: str) -> list[Count]:
        """A plugin's last `STEPS` steps that are over, the newest last."""
        series, plugin = [NOTHING] * STEPS, self._plugins.get(id)
        if plugin is not None:
            before = self.step - STEPS
            for number, count in plugin.steps:
                if 0 < (place := number - before) <= STEPS:
                    series[place - 1] = count
        return series

    def in_step(self, number: int) -> Iterator[tuple[str, Count]]:
        """The plugins that were called in a step, and what came of it."""
        for id, plugin in self._plugins.items():
            for step, count in reversed(plugin.steps):
                if step == number:
                    yield id, count
                if step <= number:
                    break
