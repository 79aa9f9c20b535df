"""Calls to plugins, counted in steps of two seconds. Counting costs a look-up; who is never called costs nothing.

monotonic clock ──┬──────┬──────┬──────┬─────►
            step  │  41  │  42  │  43  │ 44 …      a plugin keeps those of the last two minutes in which it was called
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from typing import NamedTuple

from service.host.statistics.histogram import LATENCY_S, Buckets, Histogram

STEP_S = 2.0
STEPS = 60

# These come back before the plugin is asked for anything.
_NOT_CALLED = frozenset({"plugin_not_found", "plugin_disabled"})
# Whoever called has gone, or has enough: no fault of the plugin's.
_NO_ERRORS = frozenset({"ok", "cancelled"})

# Different ends of calls that are told apart for one plugin; there are a dozen methods and as many codes.
_OUTCOMES = 256


class Count(NamedTuple):
    """Calls that have ended, how many of them gave no result, and the time that all of them took."""

    calls: int
    errors: int
    seconds: float

    @property
    def mean_ms(self) -> float:
        """How long a call took; 0 where there was none."""
        return round(self.seconds * 1000 / self.calls, 2) if self.calls else 0.0


NOTHING = Count(0, 0, 0.0)


class Outcomes(NamedTuple):
    """How all calls of a plugin ended, by method and outcome, also those that it was not asked for; and how long the
    others took."""

    counts: Mapping[tuple[str, str], int]
    latency: Buckets


class _Plugin:
    """One plugin's counts: of all time, and of the steps in which it was called."""

    __slots__ = ("calls", "errors", "latency", "outcomes", "seconds", "steps")

    def __init__(self) -> None:
        self.calls = self.errors = 0
        self.seconds = 0.0
        self.latency = Histogram(LATENCY_S)
        self.outcomes: dict[tuple[str, str], int] = {}
        # Number, calls, errors and seconds. One more than is told, for the step that is not over.
        self.steps: deque[list[float]] = deque(maxlen=STEPS + 1)


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

    def count(self, id: str, method: str, outcome: str, seconds: float) -> None:
        """Note a call that has ended.

        Args:
            id: the plugin's.
            method: of the interface.
            outcome: `ok`, `cancelled`, or the error's code.
            seconds: how long it took.
        """
        plugin = self._plugins.get(id)
        if plugin is None:
            plugin = self._plugins[id] = _Plugin()
        outcomes, key = plugin.outcomes, (method, outcome)
        if key in outcomes or len(outcomes) < _OUTCOMES:
            outcomes[key] = outcomes.get(key, 0) + 1
        else:
            key = ("other", "ok" if outcome == "ok" else "other")
            outcomes[key] = outcomes.get(key, 0) + 1
        if outcome in _NOT_CALLED:
            return
        failed = outcome not in _NO_ERRORS
        plugin.latency.count(seconds)
        plugin.calls += 1
        plugin.errors += failed
        plugin.seconds += seconds
        now, steps = int(self._clock() // STEP_S), plugin.steps
        if steps and steps[-1][0] == now:
            newest = steps[-1]
            newest[1] += 1
            newest[2] += failed
            newest[3] += seconds
        else:
            steps.append([now, 1, failed, seconds])

    def forget(self, id: str) -> None:
        """The plugin is gone."""
        self._plugins.pop(id, None)

    def forget_all_but(self, known: Set[str]) -> None:
        """Forget the plugins that are gone: their last calls may have ended after they were."""
        for id in self._plugins.keys() - known:
            del self._plugins[id]

    def ids(self) -> Iterator[str]:
        """Every plugin that was called since the start."""
        return (id for id, plugin in self._plugins.items() if plugin.calls)

    def asked_for(self) -> list[str]:
        """Every plugin that somebody wanted to call."""
        return list(self._plugins)

    def outcomes(self, id: str) -> Outcomes | None:
        """What came of the calls of a plugin; None where there were none."""
        plugin = self._plugins.get(id)
        return None if plugin is None else Outcomes(dict(plugin.outcomes), plugin.latency.buckets())

    def total(self, id: str) -> Count:
        """All calls of a plugin since the start."""
        plugin = self._plugins.get(id)
        return NOTHING if plugin is None else Count(plugin.calls, plugin.errors, plugin.seconds)

    def series(self, id: str) -> list[Count]:
        """A plugin's last `STEPS` steps that are over, the newest last."""
        series, plugin = [NOTHING] * STEPS, self._plugins.get(id)
        if plugin is not None:
            before = self.step - STEPS
            for step in plugin.steps:
                if 0 < (place := int(step[0]) - before) <= STEPS:
                    series[place - 1] = _count(step)
        return series

    def in_step(self, number: int) -> Iterator[tuple[str, Count]]:
        """The plugins that were called in a step, and what came of it."""
        for id, plugin in self._plugins.items():
            for step in reversed(plugin.steps):
                if step[0] == number:
                    yield id, _count(step)
                if step[0] <= number:
                    break


def _count(step: list[float]) -> Count:
    _, calls, errors, seconds = step
    return Count(int(calls), int(errors), seconds)
