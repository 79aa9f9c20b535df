"""What runs: every known plugin with its generations. Each change is published in the step that makes it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog

from service.errors import PluginDisabled, PluginNotFound, PluginUnavailable
from service.host import permissions
from service.host.files.sources import Unit
from service.host.generation import Generation
from service.host.plugin import Plugin
from service.live.event_log import EventLog
from service.model.actor import acting
from service.model.events import (
    Cause,
    InstallProgress,
    PluginChange,
    PluginChanged,
    PluginInstalling,
    Timings,
    asked_by,
)
from service.model.identity import Identity, PluginType
from service.model.plugin import LoadError
from service.model.states import GenerationState, PluginState
from service.model.text import Text

log = structlog.get_logger(__name__)

_LOGGED_MAX_LENGTH = 2000

_WAIT_WHILE_STARTING_SECONDS = 2.0


class Registry:
    """All plugins.

    Args:
        events: where changes are published.
        call_s: seconds that a call waits for an exclusive plugin to change over.

    Attributes:
        ready: set when the first scan is through.
    """

    def __init__(self, events: EventLog, *, call_s: float) -> None:
        self._events = events
        self._call_s = call_s
        self._by_identity: dict[Identity, Plugin] = {}
        self._by_path: dict[str, Plugin] = {}
        self.ready = asyncio.Event()

    # -- looking up ----------------------------------------------------------------------------------------------

    def all(self) -> list[Plugin]:
        """Every plugin, sorted by type and name."""
        return [self._by_identity[identity] for identity in sorted(self._by_identity)]

    def __iter__(self) -> Iterator[Plugin]:
        """Every plugin, in no order."""
        return iter(self._by_identity.values())

    def at(self, path: str) -> Plugin | None:
        """The plugin whose file or folder this is, relative to the plugin folder."""
        return self._by_path.get(path)

    def get(self, identity: Identity) -> Plugin | None:
        """The plugin of that identity."""
        return self._by_identity.get(identity)

    def find(self, type: PluginType, name: str) -> Plugin:
        """The plugin that a request names: by its exact name first, then by its file's stem.

        Raises:
            PluginNotFound
        """
        exact = self._by_identity.get(Identity(type, name))
        if exact is not None:
            return exact
        for plugin in self.all():
            if plugin.identity.type is type and name in (plugin.unit.stem, plugin.unit.short_name):
                return plugin
        raise PluginNotFound(type.value, name)

    def snapshot(self) -> dict[str, Any]:
        """Every plugin by type, with the position in the event log that this is the state at."""
        views: dict[str, Any] = {type_.value: [] for type_ in PluginType}
        for plugin in self.all():
            views[plugin.identity.type.value].append(plugin.view())
        return {**views, "epoch": self._events.epoch, "seq": str(self._events.head)}

    # -- serving -------------------------------------------------------------------------------------------------

    async def serving(self, plugin: Plugin) -> Generation:
        """The generation that a new call begins in; take its lease before the next `await`.

        A call that comes while the plugin starts anew waits a little for it.

        Raises:
            PluginNotFound, PluginDisabled, PluginUnavailable
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _WAIT_WHILE_STARTING_SECONDS
        while True:
            while plugin.successor is not None:
                plugin = plugin.successor
            if plugin.removed:
                raise PluginNotFound(plugin.identity.type.value, plugin.identity.name)
            if not plugin.enabled:
                raise PluginDisabled(str(plugin.identity))
            generation = plugin.serving
            if generation is not None and not generation.worker.has_ended():
                return generation
            if plugin.switching:
                deadline = max(deadline, loop.time() + self._call_s)
            elif generation is None and plugin.error is not None:
                raise PluginUnavailable(str(plugin.identity), plugin.error.text, 5.0)
            restart_in = (plugin.restart_at or 0.0) - loop.time()
            left = deadline - loop.time()
            if restart_in > left or left <= 0 or not await plugin.wait_for_change(left):
                raise PluginUnavailable(
                    str(plugin.identity),
                    Text(zh="正在启动，请稍后重试", en="it is starting; try again in a moment"),
                    max(1.0, restart_in),
                )

    # -- changing ------------------------------------------------------------------------------------------------

    def add(self, unit: Unit) -> Plugin:
        """Make a plugin known, though not listed: most say their own name before anybody has to be told another."""
        plugin = Plugin(unit, self._free_identity(unit))
        self._by_path[unit.path] = plugin
        return plugin

    def list(self, plugin: Plugin, identity: Identity | None = None) -> None:
        """List a plugin; until it says another, its name is its file's."""
        if not self.lists(plugin):
            plugin.identity = identity or self._free_identity(plugin.unit)
            self._by_identity[plugin.identity] = plugin

    def lists(self, plugin: Plugin) -> bool:
        """Whether clients know of it."""
        return self._by_identity.get(plugin.identity) is plugin

    def rename(self, plugin: Plugin, identity: Identity, cause: Cause) -> None:
        """List a plugin by another name from now on; the entry of the old one ends with `unloaded`."""
        if self.lists(plugin):
            if plugin.identity == identity:
                return
            self.publish(plugin, "unloaded", cause)
            self._by_identity.pop(plugin.identity)
        plugin.identity = identity
        self._by_identity[identity] = plugin

    def take_over(self, plugin: Plugin, older: Plugin, cause: Cause) -> Generation | None:
        """Continue an identity under another file: the older entry's generations become this one's.

        Returns:
            the generation that served the older one and drains now, where this one has its own already.
        """
        if self.lists(plugin):
            self.publish(plugin, "unloaded", cause)
            self._by_identity.pop(plugin.identity)
        self._by_path.pop(older.unit.path, None)
        plugin.identity = older.identity
        plugin.generation_count = max(plugin.generation_count, older.generation_count)
        plugin.draining.extend(older.draining)
        displaced = None
        if plugin.serving is None:
            plugin.serving, older.serving = older.serving, None
        else:
            displaced, older.serving = older.serving, None
            self._drain(plugin, displaced)
        older.removed = True
        older.successor = plugin
        older.changed()
        self._by_identity[plugin.identity] = plugin
        return displaced

    def rotate(self, plugins: Sequence[Plugin]) -> None:
        """Give each the identity of the next, and the last that of the first, as their files have changed places.

        With an identity goes what serves under it.
        """
        taken = [(one.identity, one.serving, one.manifest) for one in plugins]
        count = max(one.generation_count for one in plugins)
        for plugin, (identity, serving, manifest) in zip(plugins, taken[1:] + taken[:1], strict=True):
            plugin.identity, plugin.serving, plugin.manifest = identity, serving, manifest
            plugin.generation_count = count
            self._by_identity[identity] = plugin

    def make_way(self, plugin: Plugin, identity: Identity) -> None:
        """List a plugin that has a name by its file only under another one: a plugin that says that name came."""
        plugin.identity = self._free_identity(plugin.unit)
        self._by_identity[plugin.identity] = plugin
        self._by_identity.pop(identity)

    def swap(
        self, plugin: Plugin, generation: Generation, error: LoadError | None = None
    ) -> Generation | None:
        """Let a ready generation serve.

        Args:
            plugin: whose it is.
            generation: which shall serve.
            error: why the newest file does not, where this is an older one that was started again.

        Returns:
            the one that served before, which drains now.
        """
        older = plugin.serving
        generation.set_state(GenerationState.SERVING)
        plugin.serving = generation
        plugin.manifest = generation.manifest
        plugin.generation_count = generation.number
        plugin.error = error
        plugin.restart_at = None
        plugin.loaded_at = datetime.now(UTC)
        plugin.asked = generation.asked or permissions.DEFAULT
        self._drain(plugin, older)
        return older

    def retire(self, plugin: Plugin) -> Generation | None:
        """Let nothing serve; the generation that did drains now."""
        older, plugin.serving = plugin.serving, None
        self._drain(plugin, older)
        return older

    def remove(self, plugin: Plugin) -> Generation | None:
        """Know a plugin no more; the generation that served drains now."""
        older = self.retire(plugin)
        plugin.removed = True
        if self.lists(plugin):
            self._by_identity.pop(plugin.identity)
        self._by_path.pop(plugin.unit.path, None)
        plugin.changed()
        return older

    def publish(
        self, plugin: Plugin, change: PluginChange, cause: Cause, timings: Timings | None = None
    ) -> None:
        """Tell everybody, and wake whoever waits for this plugin."""
        plugin.changed()
        view = plugin.told = plugin.view()
        by = asked_by(cause)
        self._events.publish(PluginChanged(change=change, plugin=view, cause=cause, by=by, timings=timings))
        level = (
            log.warning if change in ("failed", "crashed") else log.debug if change == "loading" else log.info
        )
        told: dict[str, Any] = {"generation": view.generation, "cause": cause.value}
        if by is not None:
            told["by"] = by.address
        if timings is not None:
            told["ms"] = round(timings.total_ms, 1)
        if (error := view.error) is not None:
            place = ":".join(str(part) for part in (error.file, error.line) if part is not None)
            # A plugin's own words, which may be many.
            told["error"] = f"{place}: {error.text.en}"[:_LOGGED_MAX_LENGTH]
        if view.state is PluginState.DEGRADED:
            told["serves"] = "older code"
        # Only then: it wakes the thread that writes the log, which would come before whoever gets the event.
        asyncio.get_running_loop().call_soon(
            functools.partial(level, f"plugin.{change}", plugin=view.id, **told)
        )

    def installing(self, plugin: Plugin, progress: InstallProgress) -> None:
        """Tell everybody how far a plugin's dependencies are."""
        self._events.publish(
            PluginInstalling(
                id=str(plugin.identity), stage="dependencies", url=None, by=acting.get(), progress=progress
            )
        )

    @contextmanager
    def switching(self, plugin: Plugin) -> Iterator[None]:
        """While an exclusive plugin changes over, new calls wait instead of failing."""
        plugin.switching = True
        try:
            yield
        finally:
            plugin.switching = False
            plugin.changed()

    def _drain(self, plugin: Plugin, older: Generation | None) -> None:
        if older is not None and older.state is GenerationState.SERVING:
            older.set_state(GenerationState.DRAINING)
            plugin.draining.append(older)

    def _free_identity(self, unit: Unit) -> Identity:
        # A stem with the suffix cannot be the name of a plugin's file, a path cannot be a name at all.
        for name in (unit.short_name, unit.stem, unit.path.rpartition("/")[2]):
            identity = Identity(unit.type, name)
            if identity not in self._by_identity:
                return identity
        return Identity(unit.type, unit.path)
