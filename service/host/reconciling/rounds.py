"""One round of work on one plugin: from what its files hold to what serves, and the one event that says so."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from service.errors import LoadFailed
from service.host.files.sources import Snapshot, SourceFlawed, Unit
from service.host.files.tree import SourceTree
from service.host.generation import Generation
from service.host.loader import flawed
from service.host.plugin import Plugin
from service.host.reconciling.announcement import Announcement
from service.host.reconciling.attempts import Attempts, Config, Outdated
from service.host.reconciling.crashes import Crashes
from service.host.reconciling.desks import Change, Desk
from service.host.reconciling.endings import Endings
from service.host.reconciling.handover import Handover
from service.host.reconciling.known import Known
from service.host.reconciling.naming import Naming
from service.host.reconciling.record import Record
from service.host.reconciling.retirement import Retirement
from service.host.reconciling.room import Room
from service.host.reconciling.timings import timings_of
from service.host.registry import Registry
from service.model.events import Cause, PluginChange
from service.model.plugin import LoadError

log = structlog.get_logger(__name__)

# One that everybody knows is announced when its load has begun, which takes a millisecond or two.
_ANNOUNCE_LISTED_AFTER_SECONDS = 0.003
# A new file is announced under its file's name only where its load takes long enough to be seen.
_ANNOUNCE_AFTER_SECONDS = 0.25

# So long after the last of a new package's files it is taken to be whole.
_PACKAGE_ARRIVES_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class RoundLimits:
    """Seconds and counts that rounds keep."""

    settle_s: float
    plugin_file_bytes: int


class Rounds:
    """See the module.

    Args:
        registry: what runs.
        tree: what the files hold.
        desks: all desks by path.
        attempts: loads.
        naming: gives names.
        handover: has exclusive plugins change places.
        crashes: cares for what serves.
        room: has loads wait for it.
        retirement: stops.
        endings: does what ends a round without a new generation.
        known: what is remembered.
        record: keeps what served.
        config: which plugins are on.
        want: asks for a change.
        limits: counts.
    """

    def __init__(
        self,
        registry: Registry,
        tree: SourceTree,
        desks: Mapping[str, Desk],
        attempts: Attempts,
        naming: Naming,
        handover: Handover,
        crashes: Crashes,
        room: Room,
        retirement: Retirement,
        endings: Endings,
        known: Known,
        record: Record,
        config: Config,
        *,
        want: Callable[[Unit, Change], None],
        limits: RoundLimits,
    ) -> None:
        self._registry = registry
        self._tree = tree
        self._desks = desks
        self._attempts = attempts
        self._naming = naming
        self._handover = handover
        self._crashes = crashes
        self._room = room
        self._retirement = retirement
        self._endings = endings
        self._known = known
        self._record = record
        self._config = config
        self._want = want
        self._limits = limits

    async def do(self, desk: Desk, change: Change, *, may_be_stale: bool) -> bool:
        """Do what is wanted.

        Args:
            desk: of which plugin.
            change: what is wanted.
            may_be_stale: whether to try again, should the files hold something newer by the end.

        Returns:
            whether it is done; `False` when something newer came that shall be done instead.
        """
        unit = desk.unit
        if not self._tree.has(unit):
            if not await self._endings.vanish(desk, change):
                return False
            await self._record.gone(unit.path)
            return True
        plugin = self._registry.at(unit.path) or self._registry.add(unit)
        if not self._config.enabled(plugin.identity.config_key):
            self._endings.disable(desk, plugin, change.cause)
            return True
        if _is_passed(plugin, change):
            return True
        was_disabled, plugin.enabled = not plugin.enabled, True
        if not await self._room.wait(desk, plugin):
            return False
        is_arriving = plugin.manifest is None and unit.is_package and change.settles and may_be_stale
        if is_arriving and await desk.arrival_within(_PACKAGE_ARRIVES_SECONDS):
            return False  # a new package comes file by file, and is loaded when it has come whole
        try:
            snapshot = change.snapshot or self._attempts.snapshot(desk, plugin)
        except SourceFlawed as flaw:
            revision = f"{flaw.flaw}:{flaw.detail}"
            if revision == desk.attempted and not change.force:
                return True
            desk.attempted = revision
            desk.conflict = None
            desk.forget_retry()
            plugin.generation_count += 1
            failure = flawed(flaw, plugin.generation_count, self._limits.plugin_file_bytes)
            if await self._recall(desk, plugin, change, failure, None):
                return True
            return await self._endings.failed(desk, plugin, change, failure)
        stands = plugin.serving is not None or plugin.error is not None or desk.restart is not None
        if snapshot.revision == desk.attempted and stands and not (change.force or was_disabled):
            return True
        return await self._replace(desk, plugin, change, snapshot, may_be_stale=may_be_stale)

    def serve(
        self, desk: Desk, plugin: Plugin, generation: Generation, change: Change, error: LoadError | None
    ) -> None:
        """Swap a ready generation in and tell everybody.

        Raises:
            LoadFailed: its name is another plugin's; the generation is ended.
        """
        try:
            served_before = self._naming.claim(desk, plugin, generation, change.cause)
        except LoadFailed:
            generation.worker.kill()
            raise
        desk.conflict = None
        desk.retries = 0
        if not self._config.enabled(plugin.identity.config_key):
            self._known.learn(generation.snapshot.revision, generation.manifest)
            generation.worker.kill()
            self._endings.disable(desk, plugin, change.cause)
            return
        # It may have been off by the name of its file, which is not the one that it says.
        plugin.enabled = True
        older = self._put_in_place(desk, plugin, generation, error)
        if change.snapshot is None:
            desk.forget_retry()
        kind: PluginChange = change.kind
        if kind == "loaded" and served_before:
            kind = "reloaded"
        self._registry.publish(plugin, kind, change.cause, timings_of(change, generation))
        # All else comes after: whoever waits for the change shall not wait for what is written down of it.
        self._known.learn(generation.snapshot.revision, generation.manifest)
        if change.snapshot is None:
            self._record.served(plugin, generation)
        if older is not None:
            self._retirement.begin(plugin, older)
        self._endings.give_names()

    def catch_up(self, desk: Desk, plugin: Plugin, generation: Generation, cause: Cause) -> None:
        """Want a newer one where something was saved while this one, which serves now, was loaded elsewhere."""
        if plugin.serving is generation and self._attempts.is_behind(desk, plugin, generation):
            self._want(desk.unit, Change(cause, force=True))

    # -- towards a new generation --------------------------------------------------------------------------------

    async def _replace(
        self, desk: Desk, plugin: Plugin, change: Change, snapshot: Snapshot, *, may_be_stale: bool
    ) -> bool:
        is_listed = self._registry.lists(plugin)
        if is_listed:
            tell = functools.partial(self._registry.publish, plugin, "loading", change.cause)
            announcement = Announcement(tell, _ANNOUNCE_LISTED_AFTER_SECONDS)
        else:
            tell = functools.partial(self._announce, plugin, change.cause)
            announcement = Announcement(tell, _ANNOUNCE_AFTER_SECONDS)
        older, newest = plugin.serving, change.snapshot is None
        if newest:
            desk.forget_retry()
        try:
            if older is not None and older.manifest.exclusive:
                if is_listed:
                    announcement.now()
                return await self._replace_exclusive(desk, plugin, change, snapshot, older)
            if not await self._handover.await_room(desk, snapshot):
                return False
            generation, failure = await self._attempts.load_unless_newer(
                desk, plugin, snapshot, newest=newest
            )
            if is_listed:
                announcement.now()
        finally:
            announcement.cancel()
        if generation is None and failure is None:
            return False
        if generation is not None:
            await self._naming.settle(desk, plugin, generation, self._limits.settle_s)
        if newest and may_be_stale and self._attempts.outdates(desk, plugin, snapshot):
            if generation is not None:
                generation.worker.kill()
            return False
        if newest:
            desk.attempted = snapshot.revision
        if generation is not None:
            await self._naming.turn(desk)
        if _is_passed(plugin, change):
            if generation is not None:
                generation.worker.kill()
            return True
        if generation is not None:
            try:
                self.serve(desk, plugin, generation, change, None if newest else plugin.error)
                return True
            except LoadFailed as conflict:
                failure = conflict
        assert failure is not None
        if await self._recall(desk, plugin, change, failure, snapshot):
            return True
        return await self._endings.failed(desk, plugin, change, failure)

    async def _recall(
        self, desk: Desk, plugin: Plugin, change: Change, failure: LoadFailed, failed: Snapshot | None
    ) -> bool:
        """Where the newest files do not load at a start or after an undo, have the code serve that served last.

        Returns:
            whether the round is over: under the name that this code gives the plugin is switched off.
        """
        # Others may have asked for it, too, before it was through.
        is_start = change.cause is Cause.STARTUP or (desk.at_start and not desk.passed.is_set())
        if not (is_start or change.cause is Cause.ROLLBACK) or plugin.serving is not None:
            return False
        good = await self._record.last_good(desk.unit.path)
        if good is None or (failed is not None and _same_code(good, failed)):
            return False
        await self._naming.turn(desk)
        generation = None
        try:
            generation = await self._attempts.load(desk, plugin, good, newest=False)
            self._naming.claim(desk, plugin, generation, change.cause)
        except LoadFailed as again:
            if generation is not None:
                await generation.end()
            log.warning("plugin.not_back", plugin=str(plugin.identity), reason=str(again))
            return False
        if is_off := not self._config.enabled(plugin.identity.config_key):
            generation.worker.kill()
            self._endings.disable(desk, plugin, change.cause)
        else:
            self._put_in_place(desk, plugin, generation, failure.error)
        return is_off

    async def _replace_exclusive(
        self, desk: Desk, plugin: Plugin, change: Change, snapshot: Snapshot, older: Generation
    ) -> bool:
        """The old generation stops first, as both could not hold what it holds; it comes back if the new one fails.

        But it serves while what the new one depends on is installed, which may take long.
        """
        newest = change.snapshot is None
        try:
            lease = await self._attempts.prepare(desk, plugin, snapshot, newest=newest)
        except Outdated:
            return False
        except LoadFailed as failure:
            desk.attempted = snapshot.revision
            return await self._endings.failed(desk, plugin, change, failure)
        try:
            # It may have ended of itself meanwhile: then there is nothing to stop.
            return plugin.serving is older and await self._exchange(desk, plugin, change, snapshot, older)
        finally:
            if lease is not None:
                # By now the new generation has one of its own, or nothing came of it.
                lease.release(in_vain=True)

    async def _exchange(
        self, desk: Desk, plugin: Plugin, change: Change, snapshot: Snapshot, older: Generation
    ) -> bool:
        newest = change.snapshot is None
        with self._registry.switching(plugin):
            self._registry.retire(plugin)
            gone = self._retirement.begin(plugin, older)
            while not gone.done():
                if await desk.arrival_before(gone) and not self._attempts.is_wanted(desk, plugin):
                    return False
            if newest:
                desk.attempted = snapshot.revision
            generation = None
            try:
                generation = await self._attempts.load(desk, plugin, snapshot, newest=newest)
                self.serve(desk, plugin, generation, change, None if newest else plugin.error)
            except LoadFailed as failure:
                if generation is not None:
                    await generation.end()
                await self._bring_back(desk, plugin, older)
                return await self._endings.failed(desk, plugin, change, failure)
            return True

    async def _bring_back(self, desk: Desk, plugin: Plugin, older: Generation) -> None:
        try:
            again = await self._attempts.load(desk, plugin, older.snapshot, newest=False)
        except LoadFailed as failure:
            # Nothing serves then, and the newer failure is the one to be told of.
            log.warning("plugin.not_back", plugin=str(plugin.identity), reason=str(failure))
            return
        self._put_in_place(desk, plugin, again, None)

    def _put_in_place(
        self, desk: Desk, plugin: Plugin, generation: Generation, error: LoadError | None
    ) -> Generation | None:
        desk.forget_crash()
        older = self._registry.swap(plugin, generation, error)
        self._endings.know(plugin)
        generation.on_imports = lambda imports: self._take_imports(desk, plugin, generation, imports)
        desk.imports = generation.imports
        self._crashes.watch(desk, generation)
        return older

    def _take_imports(
        self, desk: Desk, plugin: Plugin, generation: Generation, imports: frozenset[str]
    ) -> None:
        """Take what the worker found in its code at leisure: imports inside functions too."""
        if plugin.serving is not generation:
            return
        desk.imports = imports
        # What has failed is not tried again for being other than what serves meanwhile.
        if (
            plugin.error is None
            and desk.attempted == generation.snapshot.revision
            and self._attempts.helpers_changed(desk, plugin, generation.snapshot)
        ):
            self._want(desk.unit, Change(Cause.FILE, force=True, settles=True))

    def _announce(self, plugin: Plugin, cause: Cause) -> None:
        if self._registry.lists(plugin) or plugin.removed:
            return
        if any(
            desk.unit.type is plugin.unit.type and not self._tree.has(desk.unit)
            for desk in self._desks.values()
        ):
            return  # a file has just gone, so this is likely the same one by another name
        self._registry.list(plugin)
        self._registry.publish(plugin, "loading", cause)


def _is_passed(plugin: Plugin, change: Change) -> bool:
    """Whether something newer serves than the code that crashed, which is to be started again."""
    return change.snapshot is not None and plugin.serving not in (None, _of(plugin, change.snapshot))


def _of(plugin: Plugin, snapshot: Snapshot) -> Generation | None:
    """The generation that serves, if this is its code."""
    serving = plugin.serving
    return serving if serving is not None and serving.snapshot is snapshot else None


def _same_code(one: Snapshot, other: Snapshot) -> bool:
    return one.modules == other.modules and one.requirements == other.requirements
