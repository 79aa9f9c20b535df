"""What one plugin may take: of its processes, of the time of a call, of its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.model.identity import Identity


@dataclass(frozen=True, slots=True)
class PluginLimits:
    """The limits of one plugin.

    Attributes:
        memory_bytes: private data of a process; with all that it started it may have little more.
        open_files: descriptors of a process.
        processes: what a process may have started that still runs.
        call_s: seconds for a call.
        search_s: seconds for a search.
        log_bytes: of its log on disk.
        line_bytes: of one line in it.
        own: names of the settings that were set for it alone.
        id: its identity, where any were.
    """

    memory_bytes: int
    open_files: int
    processes: int
    call_s: float
    search_s: float
    log_bytes: int
    line_bytes: int
    own: frozenset[str] = frozenset()
    id: str = ""

    def seconds(self, method: str) -> float:
        """How long a call of a method may take."""
        return self.search_s if method == "search" else self.call_s

    def setting(self, name: str) -> str:
        """Where a limit was set, for whoever runs into it."""
        return f'limits.plugins."{self.id}".{name}' if name in self.own else f"limits.{name}"


class LimitsOfPlugins:
    """The limits of all plugins.

    Args:
        usual: of those that have none of their own.
        own: of the others, by identity (`search/demo`).

    Attributes:
        usual: as above.
        most: the largest of each.
        least_processes: the smallest of `processes`.
    """

    def __init__(self, usual: PluginLimits, own: Mapping[str, PluginLimits] | None = None) -> None:
        self.usual = usual
        self._own = dict(own or {})
        every = [usual, *self._own.values()]
        self.most = PluginLimits(
            memory_bytes=max(one.memory_bytes for one in every),
            open_files=max(one.open_files for one in every),
            processes=max(one.processes for one in every),
            call_s=max(one.call_s for one in every),
            search_s=max(one.search_s for one in every),
            log_bytes=max(one.log_bytes for one in every),
            line_bytes=max(one.line_bytes for one in every),
        )
        self.least_processes = min(one.processes for one in every)

    def of(self, identity: Identity) -> PluginLimits:
        """The limits of a plugin."""
        return self._own.get(str(identity), self.usual) if self._own else self.usual
