"""Makes what runs follow what is wanted: every change of a file, of configuration or by request comes through here.

Each plugin has a desk; one task works on it while something is wanted. A round takes all that is wanted, loads what the
files then hold, and lets it serve unless something newer came meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from service.errors import LoadFailed
from service.host.conflicts import crash_loop, identity_taken
from service.host.desks import Change, Desk, Outcome
from service.host.generation import Generation
from service.host.loader import Loader, flawed, imports_of
from service.host.registry import Plugin, Registry
from service.host.retirement import Retirement
from service.host.sources import Snapshot, SourceFile, SourceFlawed, SourceTree, Unit, module_name, unit_of
from service.model.events import Cause, PluginChange, Timings
from service.model.identity import Identity
from service.model.plugin import LoadError, Manifest, Origin
from service.model.states import GenerationState

log = structlog.get_logger(__name__)

# How long a load goes on, and how long results are put by unserved, once something newer is wanted.
_STALE_GRACE_SECONDS = 0.5
# At start the first of two files that claim one name keeps it, so names are given in the order of paths; a plugin that
# takes its time does not hold the others up for longer than this.
_START_ORDER_SECONDS = 1.0
# A plugin that hangs at start does not keep the server from being ready for longer than this.
_READY_AT_LATEST_SECONDS = 5.0
# A new file is announced under its file's name only where its load takes long enough to be seen.
_ANNOUNCE_AFTER_SECONDS = 0.25


class Config(Protocol):
    """What the reconciler asks of the configuration."""

    def enabled(self, key: str) -> bool:
        """Whether the plugin is switched on."""

    def values(self, key: str) -> dict[str, Any]:
        """Its stored values."""

    def granted(self, key: str) -> dict[str, Any] | None:
        """What it was granted, if somebody said so."""


@dataclass(frozen=True, slots=True)
class ReconcilerLimits:
    """Seconds and counts that the reconciler keeps."""

    settle_s: float
    load_s: float
    draining_generations: int
    plugin_file_bytes: int
    crash_backoff_min_s: float
    crash_backoff_max_s: float
    crashes_before_failed: int
    crash_window_s: float


class Reconciler:
    """See the module.

    Args:
        registry: what runs.
        tree: what the files hold.
        loader: loads.
        retirement: stops.
        config: which plugins are on, and their values.
        output: makes what takes a generation's output.
        remember: keeps a manifest.
        limits: deadlines and counts.
    """

    def __init__(
        self,
        registry: Registry,
        tree: SourceTree,
        loader: Loader,
        retirement: Retirement,
        config: Config,
        *,
        output: Callable[[Plugin, int], Callable[[bytes], None]],
        remember: Callable[[str, Manifest], None],
        limits: ReconcilerLimits,
    ) -> None:
        self._registry = registry
        self._tree = tree
        self._loader = loader
        self._retirement = retirement
        self._config = config
        self._output = output
        self._manifests: dict[str, Manifest] = {}
        self._origins: dict[str, Origin] = {}
        self._remember = remember
        self._limits = limits
        self._desks: dict[str, Desk] = {}
        self._start_deadline: float | None = None
        self._first_round: asyncio.Task[None] | None = None
        self._closing = False

    # -- what is wanted ------------------------------------------------------------------------------------------

    def know(self, manifests: Mapping[str, Manifest], origins: Mapping[str, Origin]) -> None:
        """Take what was known when the server last ran.

        Args:
            manifests: by revision, so that a disabled plugin need not run to be listed.
            origins: by file.
        """
        self._manifests.update(manifests)
        self._origins.update(origins)

    def observe(self, seen: Iterable[tuple[str, SourceFile | None]]) -> None:
        """Take what was read from the disk, and want what follows from it."""
        noticed_ns = time.time_ns()
        changed = [path for path, file in seen if self._tree.apply(path, file)]
        if not self._registry.ready.is_set() and self._start_deadline is None:
            self._begin()
            return
        wanted: dict[str, tuple[Unit, bool]] = {}
        for path in changed:
            if (unit := unit_of(path)) is not None and (self._tree.has(unit) or unit.path in self._desks):
                wanted.setdefault(unit.path, (unit, False))
            for desk in self._affected_by(path):
                wanted[desk.unit.path] = (desk.unit, True)
        for unit, force in wanted.values():
            change = Change(Cause.FILE, force=force, settles=True, noticed_ns=noticed_ns)
            self._want(unit, change)

    def request(self, plugin: Plugin, change: Change) -> asyncio.Future[Outcome]:
        """Want a change of a plugin.

        Returns:
            a future of how it ends.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        change.waiters.append(future)
        self._want(plugin.unit, change)
        return future

    def introduce(self, unit: Unit, origin: Origin) -> Plugin:
        """Know a plugin whose files were put in place just now; nothing is loaded yet."""
        self._origins[f"plugins/{unit.path}"] = origin
        plugin = self._registry.at(unit.path) or self._add(unit)
        plugin.origin = origin
        return plugin

    def adopt(self, unit: Unit, generation: Generation, cause: Cause, origin: Origin) -> Plugin:
        """Let a generation serve that was loaded elsewhere, from files that are in place now.

        Args:
            unit: the plugin's files, already in the tree.
            generation: loaded from just these.
            cause: who wanted it.
            origin: where the files came from.
        """
        desk = self._desks.setdefault(unit.path, Desk(unit))
        plugin = self.introduce(unit, origin)
        desk.attempted = generation.snapshot.revision
        desk.passed.set()
        generation.number = plugin.generation_count + 1
        self._serve(desk, plugin, generation, Change(cause), None)
        return plugin

    async def close(self) -> None:
        """Want nothing more; calling it twice is safe."""
        self._closing = True
        tasks = [self._first_round] if self._first_round is not None else []
        for task in tasks:
            task.cancel()
        for desk in self._desks.values():
            if desk.restart is not None:
                desk.restart.cancel()
            if desk.task is not None:
                desk.task.cancel()
                tasks.append(desk.task)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        """The first scan: everything is new, and names are given in the order of paths."""
        self._start_deadline = asyncio.get_running_loop().time() + _START_ORDER_SECONDS
        for unit in self._tree.units():
            self._desks[unit.path] = Desk(unit)
            plugin = self._add(unit)
            self._registry.list(plugin, self._known_identity(unit))
            plugin.enabled = self._config.enabled(plugin.identity.config_key)
        for unit in self._tree.units():
            self._want(unit, Change(Cause.STARTUP))
        self._first_round = asyncio.create_task(self._get_ready(), name="first round")

    async def _get_ready(self) -> None:
        try:
            async with asyncio.timeout(_READY_AT_LATEST_SECONDS):
                for desk in list(self._desks.values()):
                    await desk.passed.wait()
        except TimeoutError:
            log.warning("start.slow_plugins", waited_s=_READY_AT_LATEST_SECONDS)
        self._registry.ready.set()

    def _add(self, unit: Unit) -> Plugin:
        plugin = self._registry.add(unit)
        plugin.origin = self._origins.get(plugin.file, plugin.origin)
        return plugin

    def _known_identity(self, unit: Unit) -> Identity | None:
        """The name that these very bytes gave when they last ran, if it is still free."""
        try:
            manifest = self._manifests.get(self._tree.snapshot(unit).revision)
        except SourceFlawed:
            return None
        if manifest is None:
            return None
        identity = Identity(unit.type, manifest.name)
        return identity if self._registry.get(identity) is None else None

    def _affected_by(self, path: str) -> list[Desk]:
        """The desks of the plugins that import a module, or have this requirements file."""
        name = module_name(path)
        found = []
        for desk in self._desks.values():
            if desk.unit.holds(path):
                continue
            if name is None:
                stems = (desk.unit.stem, desk.unit.short_name, self._name_of(desk))
                if path in [f"{desk.unit.type.value}/{stem}_requirements.txt" for stem in stems]:
                    found.append(desk)
            elif desk.imports is not None and name in desk.imports:
                found.append(desk)
        return found

    def _name_of(self, desk: Desk) -> str:
        plugin = self._registry.at(desk.unit.path)
        return plugin.identity.name if plugin is not None else desk.unit.short_name

    def _want(self, unit: Unit, change: Change) -> None:
        if self._closing:
            for waiter in change.waiters:
                waiter.cancel()
            return
        desk = self._desks.setdefault(unit.path, Desk(unit))
        if desk.restart is not None:
            desk.restart.cancel()
            desk.restart = None
        desk.put(change)
        if desk.task is None:
            desk.task = asyncio.create_task(self._work(desk), name=f"reconcile {unit.path}")

    # -- the work on one desk ------------------------------------------------------------------------------------

    async def _work(self, desk: Desk) -> None:
        change: Change | None = None
        stale_since: float | None = None
        try:
            while (newer := desk.take()) is not None or change is not None:
                change = newer.merged_into(change) if newer is not None else change
                assert change is not None
                began = time.monotonic()
                may_be_stale = stale_since is None or began - stale_since < _STALE_GRACE_SECONDS
                finished = await self._round(desk, change, may_be_stale=may_be_stale)
                if not finished:
                    stale_since = stale_since or began
                    continue
                stale_since = None
                self._answer(desk, change, (time.monotonic() - began) * 1000)
                change = None
        except Exception:
            log.exception("reconcile.failed", path=desk.unit.path)
        finally:
            desk.passed.set()
            desk.task = None
            for waiter in change.waiters if change is not None else []:
                waiter.cancel()
            if desk.pending is not None and not self._closing:
                desk.task = asyncio.create_task(self._work(desk), name=f"reconcile {desk.unit.path}")

    def _answer(self, desk: Desk, change: Change, ms: float) -> None:
        plugin = self._registry.at(desk.unit.path)
        outcome = Outcome(plugin.view() if plugin else None, plugin.error if plugin else None, round(ms, 2))
        for waiter in change.waiters:
            if not waiter.done():
                waiter.set_result(outcome)

    async def _round(self, desk: Desk, change: Change, *, may_be_stale: bool) -> bool:
        """Do what is wanted.

        Returns:
            whether it is done; `False` when something newer came that shall be done instead.
        """
        unit = desk.unit
        if not self._tree.has(unit):
            return await self._vanish(desk, change)
        plugin = self._registry.at(unit.path) or self._add(unit)
        if not self._config.enabled(plugin.identity.config_key):
            self._disable(desk, plugin, change.cause)
            return True
        was_disabled, plugin.enabled = not plugin.enabled, True
        try:
            snapshot = change.snapshot or self._tree.snapshot(unit, (plugin.identity.name,))
        except SourceFlawed as flaw:
            revision = f"{flaw.flaw}:{flaw.detail}"
            if revision == desk.attempted and not change.force:
                return True
            desk.attempted = revision
            failure = flawed(flaw, plugin.generation_count + 1, self._limits.plugin_file_bytes)
            return await self._failed(desk, plugin, change, failure)
        if snapshot.revision == desk.attempted and not (change.force or was_disabled):
            return True
        await self._drained_enough(desk, plugin)
        return await self._replace(desk, plugin, change, snapshot, may_be_stale=may_be_stale)

    async def _replace(
        self, desk: Desk, plugin: Plugin, change: Change, snapshot: Snapshot, *, may_be_stale: bool
    ) -> bool:
        announcement: asyncio.TimerHandle | None = None
        if self._registry.lists(plugin):
            self._registry.publish(plugin, "loading", change.cause)
        else:
            announcement = asyncio.get_running_loop().call_later(
                _ANNOUNCE_AFTER_SECONDS, self._announce, plugin, change.cause
            )
        older = plugin.serving
        try:
            if older is not None and older.manifest.exclusive:
                return await self._replace_exclusive(desk, plugin, change, snapshot, older)
            generation, failure = await self._load_unless_newer(desk, plugin, snapshot)
        finally:
            if announcement is not None:
                announcement.cancel()
        if generation is None and failure is None:
            return False
        if change.snapshot is None and may_be_stale and self._outdates(desk, snapshot):
            if generation is not None:
                generation.worker.kill()
            return False
        return await self._conclude(desk, plugin, change, snapshot, generation, failure)

    def _announce(self, plugin: Plugin, cause: Cause) -> None:
        if not self._registry.lists(plugin):
            self._registry.list(plugin)
            self._registry.publish(plugin, "loading", cause)

    async def _conclude(
        self,
        desk: Desk,
        plugin: Plugin,
        change: Change,
        snapshot: Snapshot,
        generation: Generation | None,
        failure: LoadFailed | None,
    ) -> bool:
        if change.snapshot is None:
            desk.attempted = snapshot.revision
        if generation is None:
            assert failure is not None
            return await self._failed(desk, plugin, change, failure)
        await self._wait_for_turn(desk)
        error = plugin.error if change.snapshot is not None else None
        try:
            self._serve(desk, plugin, generation, change, error)
        except LoadFailed as conflict:
            generation.worker.kill()
            return await self._failed(desk, plugin, change, conflict)
        return True

    async def _replace_exclusive(
        self, desk: Desk, plugin: Plugin, change: Change, snapshot: Snapshot, older: Generation
    ) -> bool:
        """The old generation stops first, as both could not hold what it holds; it comes back if the new one fails."""
        with self._registry.switching(plugin):
            self._registry.retire(plugin)
            await self._retirement.begin(plugin, older)
            try:
                generation = await self._load(desk, plugin, snapshot)
            except LoadFailed as failure:
                desk.attempted = snapshot.revision
                with contextlib.suppress(LoadFailed):  # then nothing serves, and the newer failure says why
                    self._put_in_place(desk, plugin, await self._load(desk, plugin, older.snapshot), None)
                return await self._failed(desk, plugin, change, failure)
            return await self._conclude(desk, plugin, change, snapshot, generation, None)

    async def _load_unless_newer(
        self, desk: Desk, plugin: Plugin, snapshot: Snapshot
    ) -> tuple[Generation | None, LoadFailed | None]:
        """Load, but do not go on for long once the files hold something else; neither is given then."""
        load = asyncio.ensure_future(self._load(desk, plugin, snapshot))
        desk.loading = True
        newer: asyncio.Future[None] | None = None
        try:
            while not load.done():
                newer = asyncio.ensure_future(desk.arrival())
                await asyncio.wait((load, newer), return_when=asyncio.FIRST_COMPLETED)
                newer.cancel()
                if not load.done() and self._outdates(desk, snapshot):
                    await asyncio.wait((load,), timeout=_STALE_GRACE_SECONDS)
                    break
            if not load.done():
                return None, None
            return load.result(), None
        except LoadFailed as failure:
            return None, failure
        finally:
            desk.loading = False
            if newer is not None:
                newer.cancel()
            if not load.done():
                load.cancel()
                await asyncio.wait((load,))

    def _outdates(self, desk: Desk, snapshot: Snapshot) -> bool:
        """Whether what is wanted by now is something else than this code."""
        if desk.pending is not None and desk.pending.force:
            return True
        plugin = self._registry.at(desk.unit.path)
        if plugin is None or not self._tree.has(desk.unit):
            return True
        if not self._config.enabled(plugin.identity.config_key):
            return True
        try:
            return self._tree.snapshot(desk.unit, (plugin.identity.name,)).revision != snapshot.revision
        except SourceFlawed:
            return True

    async def _load(self, desk: Desk, plugin: Plugin, snapshot: Snapshot) -> Generation:
        """Load with the configuration of the name that the plugin turns out to have."""
        number = plugin.generation_count + 1
        guessed = plugin.identity.config_key
        values = self._config.values(guessed)
        try:
            generation = await self._loader.load(snapshot, values, number, self._output(plugin, number))
            real = Identity(desk.unit.type, generation.manifest.name).config_key
            if real != guessed and self._config.values(real) != values:
                generation.worker.kill()
                generation = await self._loader.load(
                    snapshot, self._config.values(real), number, self._output(plugin, number)
                )
        except LoadFailed as failure:
            plugin.generation_count = number
            desk.imports = imports_of(failure) or desk.imports or _all_helpers(snapshot)
            raise
        desk.imports = generation.imports
        return generation

    # -- how a round ends ----------------------------------------------------------------------------------------

    def _serve(
        self, desk: Desk, plugin: Plugin, generation: Generation, change: Change, error: LoadError | None
    ) -> None:
        """Swap a ready generation in and tell everybody.

        Raises:
            LoadFailed: its name is another plugin's.
        """
        if not self._take_name(desk, plugin, generation, change):
            return
        served_before = plugin.serving is not None or plugin.switching
        older = self._put_in_place(desk, plugin, generation, error)
        kind: PluginChange = change.kind
        if kind == "loaded" and served_before:
            kind = "reloaded"
        self._registry.publish(plugin, kind, change.cause, _timings(change, generation))
        if older is not None:
            self._retirement.begin(plugin, older)
        self._reconsider_conflicts()

    def _put_in_place(
        self, desk: Desk, plugin: Plugin, generation: Generation, error: LoadError | None
    ) -> Generation | None:
        desk.conflict = None
        plugin.granted = self._config.granted(plugin.identity.config_key) or plugin.granted
        older = self._registry.swap(plugin, generation, error)
        self._manifests[generation.snapshot.revision] = generation.manifest
        self._remember(generation.snapshot.revision, generation.manifest)
        generation.on_imports = lambda imports: setattr(desk, "imports", imports)
        desk.imports = generation.imports
        generation.worker.channel.on_stuck = lambda: self._on_stuck(desk, generation)
        generation.worker.exited.add_done_callback(lambda _: self._on_exit(desk, generation))
        return older

    def _take_name(self, desk: Desk, plugin: Plugin, generation: Generation, change: Change) -> bool:
        """Have the plugin listed under the name that it gives.

        Returns:
            whether it may serve: a plugin of that name may be switched off.

        Raises:
            LoadFailed: another file has that name.
        """
        identity = Identity(desk.unit.type, generation.manifest.name)
        holder = self._registry.get(identity)
        if holder is None or holder is plugin:
            self._registry.rename(plugin, identity, change.cause)
        elif not self._tree.has(holder.unit):
            self._registry.take_over(plugin, holder, change.cause)
            generation.number = plugin.generation_count + 1
        elif holder.manifest is None or holder.manifest.name != identity.name:
            # It has the name by its file only and never said it.
            self._registry.make_way(holder, identity)
            self._registry.publish(holder, "loading" if holder.error is None else "failed", change.cause)
            self._registry.rename(plugin, identity, change.cause)
        else:
            desk.conflict = identity
            raise LoadFailed(identity_taken(identity, plugin, holder, generation.number))
        if self._config.enabled(identity.config_key):
            return True
        plugin.manifest = generation.manifest
        self._manifests[generation.snapshot.revision] = generation.manifest
        self._remember(generation.snapshot.revision, generation.manifest)
        generation.worker.kill()
        self._disable(desk, plugin, change.cause)
        return False

    async def _failed(self, desk: Desk, plugin: Plugin, change: Change, failure: LoadFailed) -> bool:
        if change.settles and await desk.arrival_within(self._limits.settle_s):
            desk.attempted = None
            return False
        await self._wait_for_turn(desk)
        if (
            change.snapshot is not None
            and plugin.serving is None
            and self._start_again(desk, plugin, change.snapshot)
        ):
            return True
        plugin.error = failure.error
        plugin.restart_at = None
        self._registry.list(plugin)
        self._registry.publish(plugin, "failed", change.cause)
        return True

    def _disable(self, desk: Desk, plugin: Plugin, cause: Cause) -> None:
        """Let nothing serve; the files' newest manifest is kept from when they last ran."""
        try:
            revision = self._tree.snapshot(desk.unit, (plugin.identity.name,)).revision
        except SourceFlawed:
            revision = ""
        known = self._manifests.get(revision)
        plugin.manifest = known or plugin.manifest
        was_enabled, plugin.enabled = plugin.enabled, False
        self._registry.list(plugin)
        plugin.error = None
        plugin.restart_at = None
        desk.attempted = None
        older = self._registry.retire(plugin)
        if was_enabled or cause is Cause.STARTUP:
            self._registry.publish(plugin, "disabled", cause)
        if older is not None:
            self._retirement.begin(plugin, older)

    async def _vanish(self, desk: Desk, change: Change) -> bool:
        """The files are gone. They may come back in a moment, or under another name."""
        plugin = self._registry.at(desk.unit.path)
        if plugin is not None and change.settles:
            if await desk.arrival_within(self._limits.settle_s):
                return False
            others = [
                other.task
                for other in self._desks.values()
                if other is not desk and other.loading and other.task and other.unit.type is desk.unit.type
            ]
            if others:
                await asyncio.wait(others, timeout=self._limits.load_s)
                if desk.pending is not None:
                    return False
        if plugin is not None and not plugin.removed:
            was_listed = self._registry.lists(plugin)
            older = self._registry.remove(plugin)
            if was_listed:
                self._registry.publish(plugin, "unloaded", change.cause)
            if older is not None:
                self._retirement.begin(plugin, older)
            self._reconsider_conflicts()
        if desk.pending is None:
            self._desks.pop(desk.unit.path, None)
        return True

    def _reconsider_conflicts(self) -> None:
        """Load again what only failed because of a name that is free now."""
        for desk in list(self._desks.values()):
            if desk.conflict is not None and self._registry.get(desk.conflict) is None:
                desk.conflict = None
                self._want(desk.unit, Change(Cause.FILE, force=True))

    async def _wait_for_turn(self, desk: Desk) -> None:
        """At start, wait for the plugins whose paths sort before this one's, but not for long."""
        if self._start_deadline is None or desk.passed.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._start_deadline):
                for other in list(self._desks.values()):
                    if other is desk:
                        return
                    if other.unit.type is desk.unit.type:
                        await other.passed.wait()

    async def _drained_enough(self, desk: Desk, plugin: Plugin) -> None:
        said = False
        while len(plugin.draining) >= self._limits.draining_generations:
            if not said:
                log.warning(
                    "plugin.waits_for_drain", plugin=str(plugin.identity), draining=len(plugin.draining)
                )
                said = True
            await plugin.wait_for_change(self._limits.load_s)

    # -- crashes -------------------------------------------------------------------------------------------------

    def _on_exit(self, desk: Desk, generation: Generation) -> None:
        """A worker ended. One that served is started again, later and later if it keeps ending."""
        plugin = self._registry.at(desk.unit.path)
        if generation.state is GenerationState.DRAINING:
            return
        if plugin is None or plugin.serving is not generation or self._closing:
            return
        generation.set_state(GenerationState.CRASHED)
        plugin.serving = None
        # With a lost template nobody can tell how it ended, and it is not the plugin's fault.
        at_fault = generation.worker.exited.result() is not None
        if not at_fault:
            plugin.restart_at = asyncio.get_running_loop().time()
        self._registry.publish(plugin, "crashed", Cause.CRASH)
        if not at_fault:
            self._want(desk.unit, Change(Cause.CRASH, force=True, snapshot=generation.snapshot))
        elif not self._start_again(desk, plugin, generation.snapshot):
            plugin.error = crash_loop(
                plugin, generation, self._limits.crashes_before_failed, self._limits.crash_window_s
            )
            plugin.restart_at = None
            desk.attempted = None
            self._registry.publish(plugin, "failed", Cause.CRASH)

    def _start_again(self, desk: Desk, plugin: Plugin, snapshot: Snapshot) -> bool:
        """Count a crash and start the same code again in a while (full jitter).

        Returns:
            whether it will be; not after too many crashes in the window.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        desk.crashes = [at for at in desk.crashes if now - at < self._limits.crash_window_s] + [now]
        if len(desk.crashes) >= self._limits.crashes_before_failed:
            desk.crashes.clear()
            return False
        ceiling = self._limits.crash_backoff_min_s * 2 ** (len(desk.crashes) - 1)
        delay = random.uniform(0, min(self._limits.crash_backoff_max_s, ceiling))
        plugin.restart_at = now + delay
        if desk.restart is not None:
            desk.restart.cancel()
        again = Change(Cause.CRASH, force=True, snapshot=snapshot)
        desk.restart = loop.call_later(delay, self._want, desk.unit, again)
        return True

    def _on_stuck(self, desk: Desk, generation: Generation) -> None:
        """A call goes on though it was cancelled: new calls get a new worker, and this one ends with its others."""
        generation.stuck = True
        plugin = self._registry.at(desk.unit.path)
        if plugin is not None and plugin.serving is generation:
            log.warning("plugin.stuck", plugin=str(plugin.identity), generation=generation.number)
            self._want(desk.unit, Change(Cause.CRASH, force=True, snapshot=generation.snapshot))


def _all_helpers(snapshot: Snapshot) -> frozenset[str]:
    """Where a worker could not say what it imports: everything that it was given."""
    return frozenset(one.name for one in snapshot.modules if one.name != snapshot.unit.module)


def _timings(change: Change, generation: Generation) -> Timings:
    now_ns = time.time_ns()
    saved_ns = (
        generation.snapshot.saved_ns if change.cause is Cause.FILE and not change.force else change.noticed_ns
    )
    # A file that was moved in may be old; its last change of name or content is what counts, and never the future.
    saved_ns = min(saved_ns, change.noticed_ns)
    return Timings(
        detect_ms=round((change.noticed_ns - saved_ns) / 1e6, 2),
        load_ms=round(generation.load_ms, 2),
        total_ms=round((now_ns - saved_ns) / 1e6, 2),
    )
