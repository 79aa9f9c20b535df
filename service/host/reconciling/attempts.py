"""Attempts to load what a plugin's files hold, given up where the files come to hold something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from service.errors import LoadFailed
from service.host.files.sources import Snapshot, SourceFlawed
from service.host.files.tree import SourceTree
from service.host.generation import Generation
from service.host.loader import Loader, imports_of
from service.host.reconciling.desks import Desk
from service.host.registry import Plugin
from service.model.identity import Identity
from service.model.text import Text

# How long a load goes on once something newer is wanted: nearly every load is over by then.
STALE_GRACE_SECONDS = 0.5


class Config(Protocol):
    """What is asked of the configuration."""

    def enabled(self, key: str) -> bool:
        """Whether the plugin is switched on."""

    def values(self, key: str) -> dict[str, Any]:
        """Its stored values."""

    def granted(self, key: str) -> dict[str, Any] | None:
        """What it was granted, if somebody said so."""


class Attempts:
    """See the module.

    Args:
        tree: what the files hold.
        loader: loads.
        config: which plugins are on, and their values.
        output: makes what takes a generation's output.
    """

    def __init__(
        self,
        tree: SourceTree,
        loader: Loader,
        config: Config,
        output: Callable[[Plugin, int], Callable[[bytes], None]],
    ) -> None:
        self._tree = tree
        self._loader = loader
        self._config = config
        self._output = output

    def snapshot(self, desk: Desk, plugin: Plugin) -> Snapshot:
        """The plugin's code as the files hold it.

        Raises:
            SourceFlawed: they hold none.
        """
        names = (plugin.identity.name, desk.said) if desk.said else (plugin.identity.name,)
        return self._tree.snapshot(desk.unit, names)

    def note(self, plugin: Plugin, text: Text) -> None:
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
        load = asyncio.ensure_future(self.load(desk, plugin, snapshot, newest=newest))
        desk.loading = True
        try:
            while not load.done():
                if await desk.arrival_before(load) and self.outdates(desk, plugin, snapshot):
                    await asyncio.wait((load,), timeout=STALE_GRACE_SECONDS)
                    break
            if not load.done():
                return None, None
            return load.result(), None
        except LoadFailed as failure:
            return None, failure
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
        guessed = plugin.identity.config_key
        values = self._config.values(guessed)
        try:
            generation = await self._loader.load(snapshot, values, number, self._output(plugin, number))
            real = Identity(desk.unit.type, generation.manifest.name).config_key
            if real != guessed and self._config.values(real) != values:
                await generation.end()
                generation = await self._loader.load(
                    snapshot, self._config.values(real), number, self._output(plugin, number)
                )
        except LoadFailed as failure:
            plugin.generation_count = number
            if newest:
                desk.missed = imports_of(failure) or _all_helpers(snapshot)
            raise
        if newest:
            desk.missed = frozenset()
            desk.said = generation.manifest.name
        desk.imports = generation.imports
        return generation

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
