"""Attempts to load what a plugin's files hold, given up where the files come to hold something else."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from service.errors import LoadFailed
from service.host.dependencies.leases import Lease
from service.host.files.sources import Snapshot, SourceFlawed
from service.host.files.tree import SourceTree
from service.host.generation import Generation
from service.host.loader import Loader, imports_of
from service.host.plugin import Plugin
from service.host.reconciling.desks import Desk
from service.host.stored import Stored, StoredConfig, load_by_name
from service.model.events import InstallProgress
from service.model.identity import Identity
from service.model.text import Text

# How long a load goes on once something newer is wanted: nearly every load is over by then.
STALE_GRACE_SECONDS = 0.5

T = TypeVar("T")


class Outdated(Exception):
    """The files hold something else by now."""


class Config(StoredConfig, Protocol):
    """What is asked of the configuration."""

    def enabled(self, key: str) -> bool:
        """Whether the plugin is switched on."""


class Attempts:
    """See the module.

    Args:
        tree: what the files hold.
        loader: loads.
        config: which plugins are on, and their values.
        output: makes what takes a generation's output.
        installing: told how far a plugin's dependencies are.
    """

    def __init__(
        self,
        tree: SourceTree,
        loader: Loader,
        config: Config,
        output: Callable[[Plugin, int], Callable[[bytes], None]],
        installing: Callable[[Plugin, InstallProgress], None],
    ) -> None:
        self._tree = tree
        self._loader = loader
        self._config = config
        self._output = output
        self._installing = installing

    def snapshot(self, desk: Desk, plugin: Plugin) -> Snapshot:
        """The plugin's code as the files hold it.

        Raises:
            SourceFlawed: they hold none.
        """
        names = (plugin.identity.name, desk.said) if desk.said else (plugin.identity.name,)
        return self._tree.snapshot(desk.unit, names)

    def warn(self, plugin: Plugin, text: Text) -> None:
        """Put a warning of the server's in the plugin's log, under the generation that is to come."""
        take = self._output(plugin, plugin.generation_count + 1)
        take(f"<4>{text.zh} / {text.en}\n".encode())

    def is_wanted(self, desk: Desk, plugin: Plugin) -> bool:
        """Whether the plugin shall run at all."""
        return (
            not plugin.removed
            and self._tree.has(desk.unit)
            and self._config.enabled(plugin.identity.config_key)
        )

    def outdates(self, desk: Desk, plugin: Plugin, snapshot: Snapshot) -> bool:
        """Whether what is wanted by now is something else than this code."""
        pending = desk.pending
        if pending is not None and pending.force and pending.snapshot is None:
            return True
        if not self.is_wanted(desk, plugin):
            return True
        try:
            newest = self.snapshot(desk, plugin)
        except SourceFlawed:
            return True
        return newest.revision != snapshot.revision or self._imports_differ(desk, newest, snapshot)

    def is_behind(self, desk: Desk, plugin: Plugin, generation: Generation) -> bool:
        """Whether what serves has not the files, the helpers or the configuration that there are by now."""
        key = Identity(desk.unit.type, generation.manifest.name).config_key
        return self._config.values(key) != generation.config or self.outdates(
            desk, plugin, generation.snapshot
        )

    def helpers_changed(self, desk: Desk, plugin: Plugin, snapshot: Snapshot) -> bool:
        """Whether a helper has changed since the snapshot was taken, of which nobody knew then that it is one."""
        try:
            return self._imports_differ(desk, self.snapshot(desk, plugin), snapshot)
        except SourceFlawed:
            return False

    async def load_unless_newer(
        self, desk: Desk, plugin: Plugin, snapshot: Snapshot, *, newest: bool
    ) -> tuple[Generation | None, LoadFailed | None]:
        """Load, but do not go on for long once the files hold something else; neither is given then."""
        load = self.load(desk, plugin, snapshot, newest=newest)
        try:
            return await self._unless_newer(desk, plugin, snapshot, load), None
        except Outdated:
            return None, None
        except LoadFailed as failure:
            return None, failure

    async def prepare(self, desk: Desk, plugin: Plugin, snapshot: Snapshot, *, newest: bool) -> Lease | None:
        """Have what the plugin depends on there before its load, while what it will replace serves.

        Returns:
            what keeps it there until it is given back.

        Raises:
            LoadFailed, Outdated
        """
        number = plugin.generation_count + 1
        tell = functools.partial(self._installing, plugin)
        try:
            return await self._unless_newer(
                desk, plugin, snapshot, self._loader.prepare(snapshot, number, tell)
            )
        except LoadFailed as failure:
            self._note(desk, plugin, snapshot, number, failure, newest=newest)
            raise

    async def _unless_newer(
        self, desk: Desk, plugin: Plugin, snapshot: Snapshot, work: Coroutine[Any, Any, T]
    ) -> T:
        load = asyncio.ensure_future(work)
        desk.loading = True
        try:
            while not load.done():
                if await desk.arrival_before(load) and self.outdates(desk, plugin, snapshot):
                    await asyncio.wait((load,), timeout=STALE_GRACE_SECONDS)
                    break
            if not load.done():
                raise Outdated
            return load.result()
        finally:
            desk.loading = False
            if not load.done():
                load.cancel()
                await asyncio.wait((load,))

    async def load(self, desk: Desk, plugin: Plugin, snapshot: Snapshot, *, newest: bool) -> Generation:
        """Load with the configuration of the name that the plugin turns out to have.

        Args:
            desk: its desk.
            plugin: which.
            snapshot: its code.
            newest: whether that is what the files hold, and not what served before.

        Raises:
            LoadFailed
        """
        number = plugin.generation_count + 1
        tell = functools.partial(self._installing, plugin)

        async def load(stored: Stored) -> Generation:
            output = self._output(plugin, number)
            return await self._loader.load(
                snapshot, stored.values, number, output, tell, granted=stored.granted, limits=stored.limits
            )

        try:
            generation = await load_by_name(
                plugin.identity, self._config, self._loader.limits_of_plugins, load
            )
        except LoadFailed as failure:
            self._note(desk, plugin, snapshot, number, failure, newest=newest)
            if newest:
                # What it lacks may be why it does not load, and can be granted all the same.
                plugin.asked = await self._loader.asked(snapshot, number) or plugin.asked
            raise
        if newest:
            desk.missed = frozenset()
            desk.said = generation.manifest.name
        desk.imports = generation.imports
        return generation

    @staticmethod
    def _note(
        desk: Desk, plugin: Plugin, snapshot: Snapshot, number: int, failure: LoadFailed, *, newest: bool
    ) -> None:
        plugin.generation_count = number
        if newest:
            # What does not load claims no name.
            desk.conflict = None
            desk.missed = imports_of(failure) or _all_helpers(snapshot)

    def _imports_differ(self, desk: Desk, newest: Snapshot, snapshot: Snapshot) -> bool:
        names = (desk.imports or frozenset()) | desk.missed
        if not names:
            return False
        then = {one.name: one.content for one in snapshot.modules if one.name in names}
        now = {one.name: one.content for one in newest.modules if one.name in names}
        return then != now


def _all_helpers(snapshot: Snapshot) -> frozenset[str]:
    """Where a worker could not say what it imports: everything that it was given."""
    return frozenset(one.name for one in snapshot.modules if one.name != snapshot.unit.module)
