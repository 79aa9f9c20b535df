"""What has happened since the start, counted as the event log tells of it."""

from __future__ import annotations

from collections import Counter

from service.host.statistics.histogram import LOAD_S, Histograms
from service.live.event_log import Entry
from service.model.statistics import Load

_CRASHED = "plugbay.plugin.crashed"
_RESTART = "crash"
_PLUGINS = "plugins/"


class Tallies:
    """See the module.

    Attributes:
        published: events, by type.
        crashes: by the plugin's id, how often its process ended of its own.
        restarts: likewise, how often it was started again for that.
        changes: by cause, how long it took from a change until it served.
    """

    def __init__(self) -> None:
        self.published: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.restarts: Counter[str] = Counter()
        self.changes = Histograms(LOAD_S)

    def see(self, entry: Entry) -> None:
        """Count an event."""
        self.published[entry.type] += 1
        if entry.type == _CRASHED:
            self.crashes[entry.subject.removeprefix(_PLUGINS)] += 1

    def see_load(self, load: Load) -> None:
        """Count a load that has ended."""
        if load.ok and load.cause == _RESTART:
            self.restarts[load.id] += 1
        if load.ok and load.ms is not None:
            self.changes.count(load.cause.value, load.ms / 1000)

    def forget(self, id: str) -> None:
        """A plugin is gone."""
        self.crashes.pop(id, None)
        self.restarts.pop(id, None)
