"""Names: each belongs to one file. Who is first, who has to wait for whom, and what becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from service.errors import LoadFailed
from service.host.files.tree import SourceTree
from service.host.generation import Generation
from service.host.plugin import Plugin
from service.host.reconciling.conflicts import identity_taken
from service.host.reconciling.desks import Desk
from service.host.registry import Registry
from service.model.events import Cause
from service.model.identity import Identity

# At start the first of two files that claim one name keeps it, so names are given in the order of paths. A plugin that
# takes its time holds the others up only while some other one gets on within so many seconds; if it turns out after
# that to be the first, the other makes way.
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
        self._at_start: frozenset[str] = frozenset()

    def begin_in_order(self) -> None:
        """Give names in the order of paths to all desks that there are by now."""
        self._in_order_until = asyncio.get_running_loop().time() + _START_ORDER_SECONDS
        self._at_start = frozenset(self._desks)

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

    async def settle(self, desk: Desk, plugin: Plugin, generation: Generation, seconds: float) -> None:
        """Before a serving plugin gives its name up for one whose file has gone: wait a moment whether that comes back.

        While files change places, each of them is gone for an instant.
        """
        holder = self._registry.get(Identity(desk.unit.type, generation.manifest.name))
        if holder is None or holder is plugin or plugin.serving is None or not self._registry.lists(plugin):
            return
        rival = self._desks.get(holder.unit.path)
        if rival is not None and not self._tree.has(holder.unit):
            await rival.arrival_within(seconds)

    async def change_places(self, desk: Desk, seconds: float) -> bool:
        """While a file is worked on that may give up the name which this one claims, wait for what comes of it.

        Returns:
            whether something is wanted of this desk by then.
        """
        try:
            async with asyncio.timeout(seconds):
                while desk.pending is None and (work := self._undecided(desk)) is not None:
                    await desk.arrival_before(work)
        except TimeoutError:
            pass
        return desk.pending is not None

    def claim(self, desk: Desk, plugin: Plugin, generation: Generation, cause: Cause) -> bool:
        """Have the plugin listed under the name that it gives.

        Returns:
            whether that very name served until now, by this plugin or by the file that it was before.

        Raises:
            LoadFailed: another file has that name.
        """
        identity = Identity(desk.unit.type, generation.manifest.name)
        holder = self._registry.get(identity)
        served = holder is not None and (holder.serving is not None or holder.switching)
        if holder is plugin:
            return served
        if holder is None:
            self._registry.rename(plugin, identity, cause)
            return False
        if not self._tree.has(holder.unit):
            displaced = self._registry.take_over(plugin, holder, cause)
            if displaced is not None:
                self._retire(plugin, displaced)
            generation.number = plugin.generation_count + 1
            return served
        rival = self._desks.get(holder.unit.path)
        if (circle := self._circle(plugin, holder)) is not None:
            # Each claims the name of the next: the files have changed places.
            self._registry.rotate(circle)
            generation.number = plugin.generation_count + 1
            return served
        if holder.manifest is None or holder.manifest.name != identity.name:
            # It has the name by its file only and never said it.
            self._registry.make_way(holder, identity)
            self._registry.publish(holder, "loading" if holder.error is None else "failed", cause)
            self._registry.rename(plugin, identity, cause)
            return False
        if rival is not None and self._was_first(desk, rival, cause):
            self._displace(plugin, rival, holder, cause)
            return served
        desk.conflict = identity
        raise LoadFailed(identity_taken(identity, plugin, holder, generation.number))

    def _undecided(self, desk: Desk) -> asyncio.Task[None] | None:
        """The work on the first of those that are not known yet to keep their names: this one claims the name of the
        next, which may itself only wait for that of one more.
        """
        asked = [desk]
        while (claimed := asked[-1].conflict) is not None:
            holder = self._registry.get(claimed)
            rival = self._desks.get(holder.unit.path) if holder is not None else None
            if rival is None or rival in asked:
                return None
            if rival.task is not None and (rival.loading or rival.conflict is None):
                return rival.task
            asked.append(rival)
        return None

    def _circle(self, plugin: Plugin, holder: Plugin) -> list[Plugin] | None:
        """The plugins of which each one's newest file claims the name of the next, and the last one's that of this."""
        found = [plugin]
        next_one: Plugin | None = holder
        while next_one is not None and next_one not in found:
            found.append(next_one)
            desk = self._desks.get(next_one.unit.path)
            claimed = desk.conflict if desk is not None else None
            next_one = self._registry.get(claimed) if claimed is not None else None
        return found if next_one is plugin and self._registry.lists(plugin) else None

    def _was_first(self, desk: Desk, rival: Desk, cause: Cause) -> bool:
        """Whether a plugin that took long at start has the name by its path, though another was ready sooner."""
        return (
            cause is Cause.STARTUP
            and not desk.passed.is_set()
            and rival.unit.path in self._at_start
            and desk.unit.path < rival.unit.path
        )

    def _displace(self, plugin: Plugin, rival: Desk, holder: Plugin, cause: Cause) -> None:
        identity = rival.conflict = holder.identity
        self._registry.make_way(holder, identity)
        older = self._registry.retire(holder)
        holder.error = identity_taken(identity, holder, plugin, holder.generation_count)
        self._registry.publish(holder, "failed", cause)
        if older is not None:
            self._retire(holder, older)
        self._registry.rename(plugin, identity, cause)

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
