"""What a request may have done to plugins: reload, delete, switch, configure. Each asks for a reconcile and waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from service.errors import ConfigInvalid, PlugbayError, PluginDisabled, PluginNotFound, PluginUnavailable
from service.host import permissions
from service.host.configuration import config_schema, entries, import_plan
from service.host.configuration.config_store import ConfigStore
from service.host.configuration.import_plan import Fitting, ImportPlan
from service.host.files.eyes import Eyes
from service.host.files.sources import SourceFlawed
from service.host.files.tree import SourceTree
from service.host.history.changeset import Wanted
from service.host.history.history import History
from service.host.loader import Loader
from service.host.plugin import Plugin
from service.host.reconciling.desks import Change, Outcome
from service.host.reconciling.reconciler import Reconciler
from service.host.registry import Registry
from service.live.event_log import EventLog
from service.model.actor import acting
from service.model.events import Cause, ConfigImported, RegistryReloaded
from service.model.plugin import LoadError, Manifest, PluginView
from service.model.states import PluginState
from service.model.text import Text

log = structlog.get_logger(__name__)

# A load has deadlines of its own, and drains and grace come on top; this is for what should not happen.
_PATIENCE_SECONDS = 90.0
# How long the answer to a purge waits for an idle plugin to end; its `stop` may take longer.
_PURGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """How one plugin's reload ended."""

    id: str
    ok: bool
    state: PluginState
    generation: int
    ms: float
    error: LoadError | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """A plugin that is gone: how many of its calls are still running, and the change that took it away."""

    running_calls: int
    change: str | None


@dataclass(frozen=True, slots=True)
class Switched:
    """A plugin that was switched on or off, and the change that did it; `None` where it was so already."""

    plugin: PluginView
    change: str | None


@dataclass(frozen=True, slots=True)
class Imported:
    """How many plugins got a new generation, and the change that gave it to them, if anything differed."""

    reloaded_count: int
    change: str | None


@dataclass(frozen=True, slots=True)
class PutConfig:
    """What was stored, passwords masked, what is odd about it, and what became of the plugin.

    Attributes:
        plugin: as it is now; where it does not load with these values, its older generation serves on (`degraded`).
        error: why it does not load, `None` where it does or is switched off.
        change: what can be undone, `None` where all was as it is stored already.
    """

    config: dict[str, Any]
    warnings: list[Any]
    plugin: PluginView
    error: LoadError | None
    change: str | None


@dataclass(frozen=True, slots=True)
class Granted:
    """What became of a plugin that was granted something, or had it taken back.

    Attributes:
        plugin: as it is now; where it does not load with that, its older generation serves on (`degraded`).
        error: why it does not load, `None` where it does or is switched off.
        change: what can be undone, `None` where it was granted just that already.
    """

    plugin: PluginView
    error: LoadError | None
    change: str | None


class Operations:
    """See the module."""

    def __init__(
        self,
        registry: Registry,
        reconciler: Reconciler,
        tree: SourceTree,
        eyes: Eyes,
        loader: Loader,
        config: ConfigStore,
        history: History,
        events: EventLog,
        *,
        tell_files: Callable[[Mapping[str, bytes | None]], None],
    ) -> None:
        self._registry = registry
        self._reconciler = reconciler
        self._tree = tree
        self._eyes = eyes
        self._loader = loader
        self._config = config
        self._journal = history.journal
        self._events = events
        self._tell_files = tell_files
        self._purges: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait for data folders that are being deleted; calling it twice is safe."""
        if self._purges:
            await asyncio.wait(self._purges, timeout=5.0)

    async def reload(self, plugin: Plugin) -> ReloadResult:
        """Load the newest files of one plugin, also where they are as before.

        Raises:
            PluginDisabled
        """
        if not plugin.enabled:
            raise PluginDisabled(str(plugin.identity))
        await asyncio.to_thread(self._eyes.look_everywhere)
        result = await self._reload(plugin)
        if plugin.removed:
            raise PluginNotFound(plugin.identity.type.value, plugin.identity.name)
        return result

    async def reload_all(self) -> list[ReloadResult]:
        """Load the newest files of all plugins that are switched on, and those that have only just come."""
        await asyncio.to_thread(self._eyes.look_everywhere)
        # What has just come is loaded anyhow, so once is enough.
        force = {plugin: True for plugin in self._registry.all() if plugin.enabled}
        force |= dict.fromkeys(self._reconciler.newcomers(), False)
        reloads = (self._reload(plugin, force=forced) for plugin, forced in force.items())
        # One that goes meanwhile is no failed reload, nor is one that turns out to be switched off.
        results = [
            result
            for plugin, result in zip(force, await asyncio.gather(*reloads), strict=True)
            if (not plugin.removed or plugin.successor is not None)
            and result.state is not PluginState.DISABLED
        ]
        succeeded = sum(result.ok for result in results)
        failed = len(results) - succeeded
        self._events.publish(RegistryReloaded(success_count=succeeded, fail_count=failed, by=acting.get()))
        return results

    async def delete(self, plugin: Plugin, *, purge: bool) -> Deleted:
        """Delete a plugin's files, its requirements file and its configuration.

        Args:
            plugin: which.
            purge: delete its data folder too, once its running calls are over.

        Raises:
            ChangeNotSaved, ConfigNotSaved: nothing was changed.
        """
        if plugin.removed:
            raise PluginNotFound(plugin.identity.type.value, plugin.identity.name)
        beside = self._tree.files_of(plugin.unit, [plugin.identity.name])
        folder = self._loader.data_dir(plugin.unit.type.value, plugin.unit.short_name)
        wanted = Wanted(
            files=await self._journal.files_of(plugin.unit.path, beside),
            config={plugin.identity.config_key: None},
            origins={plugin.file: None},
            folders={str(folder.relative_to(self._loader.home)): None} if purge else {},
        )
        version = plugin.manifest.version if plugin.manifest is not None else ""
        async with self._journal.performed(
            "delete",
            str(plugin.identity),
            wanted,
            summary={"version": version},
            on_files=self._tell_files,
            # Calls that run may still be using it.
            folders_later=True,
        ) as performed:
            pass
        self._loader.forget(folder)
        # Only now: were the deletion not recorded, its files would be back, and it shall have served all the while.
        running = plugin.running + plugin.draining_calls
        self._reconciler.set_origin(plugin.file, None)
        # Something may have been put there again meanwhile.
        await asyncio.to_thread(self._look_at, beside)
        await self._done(plugin, self._reconciler.request(plugin, Change(Cause.API)))
        if purge and performed.id is not None:
            purging = self._purge(plugin, performed.id)
            if not running:
                # Whoever puts a plugin of this name there next shall find no data of this one, nor lose its own.
                await asyncio.wait({purging}, timeout=_PURGE_SECONDS)
        return Deleted(running, performed.id)

    async def set_enabled(self, plugin: Plugin, enabled: bool) -> Switched:
        """Switch a plugin on or off, for good."""
        key = plugin.identity.config_key
        wanted = Wanted(config={key: lambda entry: entries.switched(entry, enabled)})
        async with self._journal.performed(
            "toggle", str(plugin.identity), wanted, summary={"enabled": enabled}
        ) as performed:
            pass
        change = Change(Cause.API, kind="enabled" if enabled else "loaded")
        outcome = await self._done(plugin, self._reconciler.request(plugin, change))
        return Switched(outcome.plugin or plugin.view(), performed.id)

    def get_config(self, plugin: Plugin) -> dict[str, Any]:
        """The stored values over the schema's defaults, passwords masked."""
        manifest = _manifest_of(plugin)
        values = self._config.values(plugin.identity.config_key)
        return config_schema.mask(manifest, config_schema.with_defaults(manifest.config_schema, values))

    async def put_config(self, plugin: Plugin, values: Mapping[str, Any]) -> PutConfig:
        """Check and store a plugin's configuration, and start a generation that has it.

        Raises:
            ConfigInvalid: a value does not fit; nothing is stored.
        """
        manifest = _manifest_of(plugin)
        key = plugin.identity.config_key
        checked = await config_schema.check(manifest, values, self._config.values(key))
        wanted = Wanted(config={key: lambda entry: entries.configured(entry, checked.values)})
        async with self._journal.performed("config", str(plugin.identity), wanted) as performed:
            pass
        await self._follow_config(plugin, performed.id)
        view = plugin.view()
        return PutConfig(self.get_config(plugin), list(checked.warnings), view, view.error, performed.id)

    async def grant(self, plugin: Plugin, wish: bool | Mapping[str, Any]) -> Granted:
        """Grant a plugin what its file asks for, or take that back, and start a generation that has it.

        Args:
            plugin: which.
            wish: as for `permissions.granted_for`.

        Raises:
            GrantInvalid: nothing was changed.
        """
        with contextlib.suppress(SourceFlawed):
            snapshot = self._tree.snapshot(plugin.unit, [plugin.identity.name])
            # As its file is now: what serves may be older, and nothing may ever have been loaded.
            plugin.asked = await self._loader.asked(snapshot, plugin.generation_count) or plugin.asked
        granted = permissions.granted_for(str(plugin.identity), plugin.asked, wish)
        wanted = Wanted(config={plugin.identity.config_key: lambda entry: entries.granting(entry, granted)})
        async with self._journal.performed("grant", str(plugin.identity), wanted) as performed:
            pass
        await self._follow_config(plugin, performed.id)
        view = plugin.view()
        return Granted(view, view.error, performed.id)

    def export_config(self) -> dict[str, Any]:
        """The configuration of all plugins, real values."""
        return self._config.export()

    async def import_config(self, given: Mapping[str, Mapping[str, Any]]) -> Imported:
        """Take over the configuration of many plugins: each entry fits its plugin's schema, or nothing is changed.

        Raises:
            ConfigInvalid: an entry does not fit; all that is wrong is in it.
        """
        fitting = await import_plan.fit(given, self._manifests(), self._config)
        if fitting.errors:
            raise _not_fitting(fitting)
        wanted = Wanted(config={key: dict(entry) for key, entry in fitting.entries.items()})
        async with self._journal.performed("import", None, wanted) as performed:
            pass
        count = await self.apply_config(set(performed.changeset.config))
        self._events.publish(ConfigImported(reloaded_count=count, by=acting.get()))
        return Imported(count, performed.id)

    async def plan_import(self, given: Mapping[str, Mapping[str, Any]]) -> ImportPlan:
        """What `import_config` would change, or would refuse; nothing is changed."""
        manifests = self._manifests()
        fitting = await import_plan.fit(given, manifests, self._config)
        return import_plan.plan(fitting, manifests, self._config)

    def _manifests(self) -> dict[str, Manifest | None]:
        return {plugin.identity.config_key: plugin.manifest for plugin in self._registry.all()}

    async def apply_config(self, keys: set[str]) -> int:
        """Have the plugins whose stored configuration changed follow it.

        Returns:
            how many of them are on.
        """
        plugins = [plugin for plugin in self._registry.all() if plugin.identity.config_key in keys]
        waits, count = [], 0
        for plugin in plugins:
            enabled = self._config.enabled(plugin.identity.config_key)
            count += enabled
            if not enabled and not plugin.enabled:
                self._configured_while_off(plugin)
            else:
                kind = "configured" if plugin.enabled else "enabled"
                change = Change(Cause.CONFIG, kind=kind, force=True)  # type: ignore[arg-type]  # two literals
                waits.append(self._done(plugin, self._reconciler.request(plugin, change)))
        await asyncio.gather(*waits)
        return count

    async def _follow_config(self, plugin: Plugin, changed: str | None) -> None:
        """Have a plugin follow what is stored for it, where a change of that was made."""
        if changed is not None and plugin.enabled:
            change = Change(Cause.CONFIG, kind="configured", force=True)
            await self._done(plugin, self._reconciler.request(plugin, change))
        elif changed is not None:
            self._configured_while_off(plugin)

    def _configured_while_off(self, plugin: Plugin) -> None:
        """No generation can say what is missing now."""
        self._reconciler.look_up(plugin)
        if (manifest := plugin.manifest) is not None:
            values = self._config.values(plugin.identity.config_key)
            plugin.manifest = config_schema.saying_missing(manifest, values)
        self._registry.publish(plugin, "configured", Cause.CONFIG)

    async def _reload(self, plugin: Plugin, *, force: bool = True) -> ReloadResult:
        future = self._reconciler.request(plugin, Change(Cause.API, force=force))
        outcome = await self._done(plugin, future)
        view = outcome.plugin or plugin.view()
        return ReloadResult(
            view.id, outcome.error is None, view.state, view.generation, outcome.ms, outcome.error
        )

    async def _done(self, plugin: Plugin, future: asyncio.Future[Outcome]) -> Outcome:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await future
        except (TimeoutError, asyncio.CancelledError):
            if not future.cancelled() and future.done():
                raise
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise PluginUnavailable(
                str(plugin.identity),
                Text(zh="更改没有在期限内完成", en="the change did not end in time"),
                5.0,
            ) from None

    def _look_at(self, paths: list[str]) -> None:
        for path in paths:
            self._eyes.look_at(path, may_be_open=False)

    def _purge(self, plugin: Plugin, change: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._purge_when_idle(plugin, change), name=f"purge {plugin.identity}")
        self._purges.add(task)
        task.add_done_callback(self._purges.discard)
        return task

    async def _purge_when_idle(self, plugin: Plugin, change: str) -> None:
        """Take its data folder away when nothing uses it any more; what is not done by the end, the next start does."""
        while plugin.draining:
            await plugin.wait_for_change(_PATIENCE_SECONDS)
        try:
            await self._journal.finish(change)
        except PlugbayError as error:
            log.warning("plugin.not_purged", plugin=str(plugin.identity), reason=str(error))


def _not_fitting(fitting: Fitting) -> ConfigInvalid:
    """The error that names every wrong setting by the key of its entry."""
    errors: list[dict[str, Any]] = []
    for key, wrong in fitting.errors.items():
        for field, text in wrong:
            errors.append({"field": f"{key}.{field}" if field else key, "message": text})
    return ConfigInvalid(errors)


def _manifest_of(plugin: Plugin) -> Manifest:
    if plugin.manifest is not None:
        return plugin.manifest
    # One that never loaded has no schema: what is stored for it is kept as it is.
    return Manifest(type=plugin.identity.type, name=plugin.identity.name)
