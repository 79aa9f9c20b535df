"""How a round ends without a new generation: it failed, the plugin is switched off, or its files are gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from service.errors import LoadFailed
from service.host import permissions
from service.host.configuration.config_schema import saying_missing
from service.host.dependencies.problems import DISK_FULL, WAITED_IN_VAIN
from service.host.files.sources import SourceFlawed, Unit
from service.host.files.tree import SourceTree
from service.host.plugin import Plugin
from service.host.reconciling.attempts import Attempts, Config
from service.host.reconciling.crashes import Crashes
from service.host.reconciling.desks import Change, Desk
from service.host.reconciling.handover import Handover, is_exclusive
from service.host.reconciling.known import Known
from service.host.reconciling.naming import Naming
from service.host.reconciling.retirement import Retirement
from service.host.registry import Registry
from service.host.statistics.histogram import LOAD_S, Histograms
from service.model.events import Cause
from service.model.plugin import PluginView

# How soon what failed for want of the package registry is tried again; twice as long each time.
_RETRY_SECONDS = (5.0, 600.0)
# Where the machine lacks processes, descriptors or room, of which nobody tells when there are some again.
_LACKING = frozenset({"worker_unavailable", "data_dir_unusable", DISK_FULL})
_LACKING_RETRY_SECONDS = (1.0, 60.0)

# How long a plugin whose file is gone serves on while a new file loads that may turn out to be the same plugin.
_RENAME_SECONDS = 3.0

# How long a name that another file has is not told to be taken while that file itself is loaded anew.
_CHANGE_PLACES_SECONDS = 3.0


class Endings:
    """See the module.

    Args:
        registry: what runs.
        tree: what the files hold.
        desks: all desks by path; the one of a plugin that is gone is taken out.
        attempts: takes snapshots.
        naming: gives names.
        handover: has exclusive plugins change places.
        crashes: starts again what crashed.
        retirement: stops.
        known: what is remembered.
        config: which plugins are on.
        want: asks for a change.
        settle_s: seconds that a failure or a disappearance has to stand before it is believed.

    Attributes:
        failures: by cause, how long it took from the notice of a change until it was told that it does not load.
    """

    def __init__(
        self,
        registry: Registry,
        tree: SourceTree,
        desks: dict[str, Desk],
        attempts: Attempts,
        naming: Naming,
        handover: Handover,
        crashes: Crashes,
        retirement: Retirement,
        known: Known,
        config: Config,
        *,
        want: Callable[[Unit, Change], None],
        settle_s: float,
    ) -> None:
        self._registry = registry
        self._tree = tree
        self._desks = desks
        self._attempts = attempts
        self._naming = naming
        self._handover = handover
        self._crashes = crashes
        self._retirement = retirement
        self._known = known
        self._config = config
        self._want = want
        self._settle_s = settle_s
        self.failures = Histograms(LOAD_S)

    async def failed(self, desk: Desk, plugin: Plugin, change: Change, failure: LoadFailed) -> bool:
        """What was tried does not load; what served before serves on.

        Returns:
            whether that stands; `False` when something newer came meanwhile.
        """
        if change.settles and (
            await desk.arrival_within(self._settle_s)
            or await self._naming.change_places(desk, _CHANGE_PLACES_SECONDS)
        ):
            desk.attempted = None
            return False
        if not await self._handover.await_leavers(desk):
            desk.attempted = None
            return False
        await self._naming.turn(desk)
        if (
            change.snapshot is not None
            and plugin.serving is None
            and self._crashes.start_again(desk, plugin, change.snapshot)
        ):
            return True
        plugin.error = failure.error
        plugin.restart_at = None
        self.know(plugin)
        self._registry.list(plugin)
        self._registry.publish(plugin, "failed", change.cause)
        self.failures.count(change.cause.value, max(0.0, (time.time_ns() - change.noticed_ns) / 1e9))
        if plugin.serving is None and desk.crashed is not None and desk.restart is None:
            # Its worker ended while the new file, which does not load, was tried.
            self._crashes.start_again(desk, plugin, desk.crashed)
        self._try_later(desk, change, failure)
        return True

    def _try_later(self, desk: Desk, change: Change, failure: LoadFailed) -> None:
        """What is no fault of the plugin's is tried again in a while: no answer of the registry, no process left."""
        code = failure.error.code
        if code not in WAITED_IN_VAIN and code not in _LACKING:
            desk.retries = 0
            return
        first, most = _RETRY_SECONDS if code in WAITED_IN_VAIN else _LACKING_RETRY_SECONDS
        delay = min(most, first * 2**desk.retries)
        desk.retries += 1
        again = Change(change.cause, kind=change.kind, force=True, snapshot=change.snapshot)
        desk.forget_retry()
        desk.retry = asyncio.get_running_loop().call_later(delay, self._want, desk.unit, again)

    def disable(self, desk: Desk, plugin: Plugin, cause: Cause) -> None:
        """Let nothing serve; what it is called and does is known from when these bytes last ran."""
        self._registry.list(plugin)
        try:
            known = self._known.manifest(self._attempts.snapshot(desk, plugin).revision)
        except SourceFlawed:
            known = None
        if (manifest := known or plugin.manifest) is not None:
            values = self._config.values(plugin.identity.config_key)
            plugin.manifest = saying_missing(manifest, values)
        was_enabled, plugin.enabled = plugin.enabled, False
        plugin.error = None
        plugin.restart_at = None
        desk.attempted = None
        desk.conflict = None
        desk.forget_crash()
        desk.forget_retry()
        older = self._registry.retire(plugin)
        self.know(plugin)
        if (
            was_enabled
            or cause is Cause.STARTUP
            or plugin.told is None
            or _differ(plugin.told, plugin.view())
        ):
            self._registry.publish(plugin, "disabled", cause)
        if older is not None:
            self._retirement.begin(plugin, older)

    async def vanish(self, desk: Desk, change: Change) -> bool:
        """The files are gone. They may come back in a moment, or under another name."""
        plugin = self._registry.at(desk.unit.path)
        if plugin is not None and change.settles:
            if await desk.arrival_within(self._settle_s):
                return False
            if is_exclusive(plugin):
                if not await self._handover.leave(desk, plugin):
                    return False
            elif await self._comes_back_elsewhere(desk, self._offer_name(plugin)):
                return False
            plugin = self._registry.at(desk.unit.path)
        desk.forget_crash()
        desk.forget_retry()
        if plugin is not None:
            was_listed = self._registry.lists(plugin)
            older = self._registry.remove(plugin)
            if was_listed:
                self._registry.publish(plugin, "unloaded", change.cause)
            if older is not None:
                gone = self._retirement.begin(plugin, older)
                if older.manifest.exclusive:
                    self._handover.gone(desk.unit, gone)
                    gone.add_done_callback(lambda _: self._try_failed_again(desk))
            self.give_names()
        if desk.pending is None:
            self._desks.pop(desk.unit.path, None)
        return True

    def _offer_name(self, plugin: Plugin) -> list[asyncio.Task[None]]:
        """Have the first of those load again that claim the name too: no call is refused while it takes over."""
        for path in sorted(self._desks):
            rival = self._desks[path]
            if rival.conflict == plugin.identity:
                rival.conflict = None
                self._want(rival.unit, Change(Cause.FILE, force=True))
                return [rival.task] if rival.task is not None else []
        return []

    async def _comes_back_elsewhere(self, desk: Desk, heirs: list[asyncio.Task[None]]) -> bool:
        """Wait for the loads of files that served nothing so far, of which one may turn out to be this plugin.

        Returns:
            whether something is wanted of this desk meanwhile.
        """
        loads = heirs + [
            other.task
            for other in self._desks.values()
            if other is not desk
            and other.unit.type is desk.unit.type
            and other.loading
            and other.task is not None
            and self._serves_nothing(other)
        ]
        if loads:
            await asyncio.wait(loads, timeout=_RENAME_SECONDS)
        return desk.pending is not None

    def _serves_nothing(self, desk: Desk) -> bool:
        plugin = self._registry.at(desk.unit.path)
        return plugin is None or plugin.serving is None

    def know(self, plugin: Plugin) -> None:
        """Bring what is told of a plugin besides its code up to date."""
        digest = plugin.serving.snapshot.sha256 if plugin.serving else self._tree.sha256_of(plugin.unit)
        if digest is not None:
            plugin.origin = self._known.origin(plugin.file, digest)
        granted = self._config.granted(plugin.identity.config_key)
        if granted is None:
            granted = plugin.asked if plugin.origin.kind == "bundled" else permissions.DEFAULT
        plugin.granted = granted

    def give_names(self) -> None:
        """Have those loaded again that only failed because of a name that is free now."""
        for desk in self._naming.now_free():
            self._want(desk.unit, Change(Cause.FILE, force=True))

    def _try_failed_again(self, gone: Desk) -> None:
        """What one that ran alone had held is free now; a new file may only have failed because of that."""
        for desk in list(self._desks.values()):
            plugin = self._registry.at(desk.unit.path)
            if (
                plugin is not None
                and desk.unit.type is gone.unit.type
                and plugin.serving is None
                and (plugin.error is not None or desk.task is not None)
                and desk.conflict is None
            ):
                self._want(desk.unit, Change(Cause.FILE, force=True))


def _differ(before: PluginView, after: PluginView) -> bool:
    return msgspec.structs.replace(before, running_calls=0, draining=[]) != msgspec.structs.replace(
        after, running_calls=0, draining=[]
    )
