"""Handing over: the file of an exclusive plugin has gone, and another that is new may be the same plugin.

Both cannot run at once, so the old generation drains and stops first, while new calls wait; then the new file loads.

    a_plugin.py gone ─► settles ─► drain, stop ─► b_plugin.py loads ─► the same name: goes on as that plugin
                                                                   └─► another, or none: a's plugin is unloaded
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from service.host.files.sources import Snapshot, Unit
from service.host.files.tree import SourceTree
from service.host.plugin import Plugin
from service.host.reconciling.desks import Change, Desk
from service.host.reconciling.retirement import Retirement
from service.host.registry import Registry
from service.model.events import Cause
from service.model.identity import PluginType

# How long the heirs may take to load before the plugin is given up.
_HEIR_SECONDS = 20.0


class Handover:
    """See the module.

    Args:
        registry: what runs.
        tree: what the files hold.
        desks: all desks by path.
        retirement: stops.
        want: asks for a change.
    """

    def __init__(
        self,
        registry: Registry,
        tree: SourceTree,
        desks: Mapping[str, Desk],
        retirement: Retirement,
        want: Callable[[Unit, Change], None],
    ) -> None:
        self._registry = registry
        self._tree = tree
        self._desks = desks
        self._retirement = retirement
        self._want = want
        self._stopped: set[Desk] = set()
        self._going: dict[asyncio.Task[None], PluginType] = {}

    async def leave(self, desk: Desk, plugin: Plugin) -> bool:
        """Have an exclusive plugin whose file has gone make room for those that may be it.

        Args:
            desk: its desk.
            plugin: it serves, and is exclusive.

        Returns:
            whether that is over; `False` when something else is wanted of it meanwhile.
        """
        heirs = [
            other
            for other in self._desks.values()
            if other is not desk
            and other.unit.type is desk.unit.type
            and other.task is not None
            and self._serves_nothing(other)
        ]
        if not heirs:
            return True
        with self._registry.switching(plugin):
            older = self._registry.retire(plugin)
            if older is not None:
                gone = self._retirement.begin(plugin, older)
                while not gone.done():
                    if await desk.arrival_before(gone):
                        return False
            self._stopped.add(desk)
            try:
                return await self._let_load(desk, heirs)
            finally:
                self._stopped.discard(desk)

    async def _let_load(self, desk: Desk, heirs: Sequence[Desk]) -> bool:
        for heir in heirs:
            self._want(heir.unit, Change(Cause.FILE, force=True, settles=True))
        loads = [heir.task for heir in heirs if heir.task is not None]
        over = asyncio.ensure_future(asyncio.wait(loads, timeout=_HEIR_SECONDS))
        try:
            while not over.done():
                if await desk.arrival_before(over):
                    return False
        finally:
            over.cancel()
        return True

    async def await_room(self, desk: Desk, snapshot: Snapshot) -> bool:
        """Before a load: wait while an exclusive plugin leaves whose very text this is.

        Returns:
            whether there is room; `False` when something else is wanted meanwhile.
        """
        return await self._await_leavers(
            desk,
            lambda plugin: plugin.serving is not None and plugin.serving.snapshot.sha256 == snapshot.sha256,
        )

    def gone(self, unit: Unit, end: asyncio.Task[None]) -> None:
        """An exclusive plugin is unloaded, and holds what it holds until its end."""
        self._going[end] = unit.type
        end.add_done_callback(self._going.pop)

    async def await_leavers(self, desk: Desk) -> bool:
        """After a load that failed: wait while any exclusive plugin of its type leaves, as that may be why.

        Returns:
            whether there is none; `False` when the load is worth another try, or something else is wanted meanwhile.
        """
        for end, type_ in list(self._going.items()):
            if type_ is desk.unit.type and self._serves_nothing(desk):
                await desk.arrival_before(end)
                return False
        return await self._await_leavers(desk, lambda _: True)

    async def _await_leavers(self, desk: Desk, may_be: Callable[[Plugin], bool]) -> bool:
        if not self._serves_nothing(desk):
            return True
        for other in list(self._desks.values()):
            plugin = self._registry.at(other.unit.path)
            if (
                plugin is not None
                and other is not desk
                and other.unit.type is desk.unit.type
                and other.task is not None
                and other not in self._stopped
                and not self._tree.has(other.unit)
                and is_exclusive(plugin)
                and may_be(plugin)
                and await desk.arrival_before(other.task)
            ):
                return False
        return desk.pending is None

    def _serves_nothing(self, desk: Desk) -> bool:
        plugin = self._registry.at(desk.unit.path)
        return plugin is None or plugin.serving is None


def is_exclusive(plugin: Plugin) -> bool:
    """Whether a plugin serves, or did until just now, that may not run twice."""
    return (plugin.serving is not None or plugin.switching) and (
        plugin.manifest is not None and plugin.manifest.exclusive
    )
