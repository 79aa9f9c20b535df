"""Names: each belongs to one file. Who is first, who has to wait for whom, and what becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from service.errors import LoadFailed
from service.host.conflicts import identity_taken
from service.host.desks import Desk
from service.host.generation import Generation
from service.host.registry import Plugin, Registry
from service.host.tree import SourceTree
from service.model.events import Cause
from service.model.identity import Identity

# At start the first of two files that claim one name keeps it, so names are given in the order of paths. A plugin that
# takes its time holds the others up only while some other one gets on within so many seconds.
_START_ORDER_SECONDS = 1.0


class Naming:
    """See the module.

    Args:
        registry: what runs.
        tree: what the files hold.
        desks: all desks by path, in the order of paths at start.
        retire: stops a generation that drains.
    """

    def __init__(
        self,
        registry: Registry,
        tree: SourceTree,
        desks: Mapping[str, Desk],
        retire: Callable[[Plugin, Generation], object],
    ) -> None:
        self._registry = registry
        self._tree = tree
        self._desks = desks
        self._retire = retire
        self._in_order_until: float | None = None

    def begin_in_order(self) -> None:
        """Give names in the order of paths to all desks that there are by now."""
        self._in_order_until = asyncio.get_running_loop().time() + _START_ORDER_SECONDS

    def passed(self, desk: Desk) -> None:
        """The desk's first round is over; nobody waits for it any more."""
        if desk.passed.is_set():
            return
        desk.passed.set()
        now = asyncio.get_running_loop().time()
        if self._in_order_until is not None and self._in_order_until > now:
            self._in_order_until = now + _START_ORDER_SECONDS

    async def turn(self, desk: Desk) -> None:
        """At start, wait for the plugins whose paths sort before this one's."""
        if self._in_order_until is None or desk.passed.is_set():
            return
        for other in list(self._desks.values()):
            if other is desk:
                return
            while other.unit.type is desk.unit.type and not other.passed.is_set():
                until = self._in_order_until
                if until <= asyncio.get_running_loop().time():
                    return
                try:
                    async with asyncio.timeout_at(until):
                        await other.passed.wait()
                except TimeoutError:
                    continue

    def claim(self, desk: Desk, plugin: Plugin, generation: Generation, cause: Cause) -> bool:
        """Have the plugin listed under the name that it gives.

        Returns:
            whether clients know that very name already, of this plugin or of the file that it was before.

        Raises:
            LoadFailed: another file has that name.
        """
        identity = Identity(desk.unit.type, generation.manifest.name)
        holder = self._registry.get(identity)
        if holder is plugin:
            return True
        if holder is None:
            self._registry.rename(plugin, identity, cause)
            return False
        if not self._tree.has(holder.unit):
            displaced = self._registry.take_over(plugin, holder, cause)
            if displaced is not None:
                self._retire(plugin, displaced)
            generation.number = plugin.generation_count + 1
            return True
        rival = self._desks.get(holder.unit.path)
        if rival is not None and rival.conflict == plugin.identity and self._registry.lists(plugin):
            # Each claims the name of the other: the two files have changed places.
            self._registry.exchange(plugin, holder)
            generation.number = plugin.generation_count + 1
            return True
        if holder.manifest is None or holder.manifest.name != identity.name:
            # It has the name by its file only and never said it.
            self._registry.make_way(holder, identity)
            self._registry.publish(holder, "loading" if holder.error is None else "failed", cause)
            self._registry.rename(plugin, identity, cause)
            return False
        desk.conflict = identity
        raise LoadFailed(identity_taken(identity, plugin, holder, generation.number))

    def now_free(self) -> list[Desk]:
        """The desks of the plugins that only failed because of a name that is free now."""
        found = [
            desk
            for desk in self._desks.values()
            if desk.conflict is not None
            and self._registry.get(desk.conflict) in (None, self._registry.at(desk.unit.path))
        ]
        for desk in found:
            desk.conflict = None
        return found
