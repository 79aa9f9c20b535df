"""What is told of calls and loads: all of it to whoever asks, and what is new every two seconds to who subscribes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from service.host.plugin import Plugin
from service.host.statistics.calls import NOTHING, STEP_S, STEPS, CallCounts
from service.host.statistics.loads import Loads
from service.host.statistics.tallies import Tallies
from service.live.event_log import Entry, EventLog
from service.model.events import Activity, StatsTold
from service.model.statistics import Load, PluginStats

_NO_CALLS = (0, 0, 0.0)
_IDLE = (0, 0)
# What no plugin can be: not all were told the same of it.
_DIVIDED = (-1, -1)
_UNLOADED = "plugbay.plugin.unloaded"
# Timers may be early by the clock's resolution.
_BEHIND_S = 0.005


class Statistics:
    """See the module.

    Args:
        counts: where calls are counted.
        events: where loads are seen and what is new is published.
        plugins: gives every plugin.
        wanted: whether anybody would get what is published.

    Attributes:
        tallies: what has happened since this was made.
    """

    def __init__(
        self,
        counts: CallCounts,
        events: EventLog,
        *,
        plugins: Callable[[], Iterable[Plugin]],
        wanted: Callable[[], bool],
    ) -> None:
        self._counts = counts
        self._events = events
        self._plugins = plugins
        self._wanted = wanted
        self._loads = Loads()
        self.tallies = Tallies()
        # What subscribers were told last of the calls under way: only what is different by then is news.
        self._told: dict[str, tuple[int, int]] = {}
        self._told_step = counts.step
        self._stop_listening = events.listen(self._see)

    @property
    def step(self) -> int:
        """The newest step that is over."""
        return self._counts.step

    @property
    def at(self) -> str:
        """When that step ended, as RFC 3339 in UTC."""
        return self._at(0)

    def plugins(self) -> dict[str, PluginStats]:
        """How each plugin is called; those that never were, and are not being called, are left out."""
        busy = self._busy()
        known = {str(plugin.identity) for plugin in self._plugins()}
        self._counts.forget_all_but(known)
        called = set(self._counts.ids())
        for id in self._changed(busy):
            # Whoever asks now sees what subscribers have not been told: to the ones or the others it is news next time.
            self._told[id] = _DIVIDED
        found: dict[str, PluginStats] = {}
        for id in sorted(known & (called | busy.keys())):
            total, (running, draining) = self._counts.total(id), busy.get(id, _IDLE)
            found[id] = PluginStats(
                calls=total.calls,
                errors=total.errors,
                mean_ms=total.mean_ms,
                running=running,
                draining=draining,
                series=[
                    _NO_CALLS if one is NOTHING else (one.calls, one.errors, one.mean_ms)
                    for one in self._counts.series(id)
                ],
            )
        return found

    def loads(self) -> list[Load]:
        """The loads of all plugins that ended last, the oldest first."""
        return self._loads.newest()

    async def run(self) -> None:
        """Tell every two seconds what is new, until cancelled."""
        while True:
            await asyncio.sleep(STEP_S - self._counts.since_step_s + _BEHIND_S)
            self.tell()

    def tell(self) -> None:
        """Publish the steps that are over since the last time, if anybody wants them and there is something in them."""
        last = self._counts.step
        first, self._told_step = max(self._told_step + 1, last - STEPS + 1), last
        if not self._wanted():
            return
        busy = self._busy()
        for step in range(first, last + 1):
            counts = dict(self._counts.in_step(step))
            changed = self._changed(busy)
            self._told = dict(busy)
            plugins: dict[str, Activity] = {}
            for id in sorted(counts.keys() | changed):
                count, total = counts.get(id, NOTHING), self._counts.total(id)
                running, draining = busy.get(id, _IDLE)
                plugins[id] = Activity(
                    calls=count.calls,
                    errors=count.errors,
                    mean_ms=count.mean_ms,
                    running=running,
                    draining=draining,
                    total_calls=total.calls,
                    total_errors=total.errors,
                )
            if plugins:
                at = self._at((last - step) * STEP_S)
                self._events.publish(StatsTold(at=at, step=step, step_s=STEP_S, plugins=plugins))

    def close(self) -> None:
        """See no more; calling it twice is safe."""
        self._stop_listening()

    def _busy(self) -> dict[str, tuple[int, int]]:
        """The calls under way of the plugins that have any: in what serves, and in what drains."""
        return {
            str(plugin.identity): (running, draining)
            for plugin in self._plugins()
            if (running := plugin.running) | (draining := plugin.draining_calls)
        }

    def _changed(self, busy: Mapping[str, tuple[int, int]]) -> set[str]:
        """The plugins of which subscribers were told something else."""
        return {
            id for id in busy.keys() | self._told.keys() if busy.get(id, _IDLE) != self._told.get(id, _IDLE)
        }

    def _see(self, entry: Entry) -> None:
        self.tallies.see(entry)
        if entry.type == _UNLOADED:
            id = entry.subject.removeprefix("plugins/")
            self._counts.forget(id)
            self.tallies.forget(id)
        elif (load := self._loads.take(entry)) is not None:
            self.tallies.see_load(load)

    def _at(self, before_s: float) -> str:
        at = datetime.now(UTC) - timedelta(seconds=self._counts.since_step_s + before_s)
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
