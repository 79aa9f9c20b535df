"""Makes what runs follow what is wanted: every change of a file, of configuration or by request comes through here.

    changes ─► desks ─► rounds ─► attempts ─► loader
                          └─► naming, crashes, endings, registry

Each plugin has a desk; one task works on it while something is wanted. A round takes all that is wanted, loads what the
files then hold, and lets it serve unless something newer came meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from service.errors import LoadFailed
from service.host.files.sources import SourceFile, SourceFlawed, Unit, module_name, unit_of
from service.host.files.tree import SourceTree
from service.host.generation import Generation
from service.host.loader import Loader
from service.host.plugin import Plugin
from service.host.reconciling.attempts import STALE_GRACE_SECONDS, Attempts, Config
from service.host.reconciling.crashes import Crashes, CrashLimits
from service.host.reconciling.desks import Change, Desk, Outcome
from service.host.reconciling.endings import Endings
from service.host.reconciling.handover import Handover
from service.host.reconciling.known import Known
from service.host.reconciling.naming import Naming
from service.host.reconciling.record import Record
from service.host.reconciling.retirement import Retirement
from service.host.reconciling.room import Room
from service.host.reconciling.rounds import RoundLimits, Rounds
from service.host.registry import Registry
from service.host.statistics.histogram import Histograms
from service.model.actor import acting
from service.model.events import Cause
from service.model.identity import Identity
from service.model.plugin import Manifest, Origin
from service.model.request_id import request_id

log = structlog.get_logger(__name__)

# A plugin that hangs at start does not keep the server from being ready for longer than this.
_READY_AT_LATEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ReconcilerLimits:
    """Seconds and counts that the reconciler keeps."""

    settle_s: float
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
        record: keeps what served.
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
        record: Record,
        limits: ReconcilerLimits,
    ) -> None:
        self._registry = registry
        self._tree = tree
        self._config = config
        self._desks: dict[str, Desk] = {}
        self._known = Known(remember)
        self._naming = Naming(registry, tree, self._desks, retirement.begin)
        attempts = Attempts(tree, loader, config, output, registry.installing)
        crashes = self._crashes = Crashes(
            registry,
            self._want,
            CrashLimits(
                limits.crash_backoff_min_s,
                limits.crash_backoff_max_s,
                limits.crashes_before_failed,
                limits.crash_window_s,
            ),
        )
        handover = Handover(registry, tree, self._desks, retirement, self._want)
        endings = self._endings = Endings(
            registry,
            tree,
            self._desks,
            attempts,
            self._naming,
            handover,
            crashes,
            retirement,
            self._known,
            config,
            want=self._want,
            settle_s=limits.settle_s,
        )
        self._rounds = Rounds(
            registry,
            tree,
            self._desks,
            attempts,
            self._naming,
            handover,
            crashes,
            Room(limits.draining_generations, attempts.warn),
            retirement,
            endings,
            self._known,
            record,
            config,
            want=self._want,
            limits=RoundLimits(limits.settle_s, limits.plugin_file_bytes),
        )
        self._begun = False
        self._first_round: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def failures(self) -> Histograms:
        """By cause, how long it took from the notice of a change until it was told that it does not load."""
        return self._endings.failures

    @property
    def waiting(self) -> int:
        """How many plugins are to be changed and wait: for the end of older generations, or for a file to settle."""
        return sum(desk.task is not None and not desk.loading for desk in self._desks.values())

    @property
    def stuck(self) -> int:
        """How many workers were given up since the start, because a call went on though it was cancelled."""
        return self._crashes.stuck

    def know(self, manifests: Mapping[str, Manifest], origins: Mapping[str, Origin]) -> None:
        """Take what was known when the server last ran.

        Args:
            manifests: by revision, so that a disabled plugin need not run to be listed.
            origins: by file.
        """
        self._known.take(manifests, origins)

    def begin(self) -> None:
        """The files have been read once: have all plugins loaded, which are given names in the order of paths."""
        self._begun = True
        units = self._tree.units()
        for unit in units:
            self._desks[unit.path] = Desk(unit, at_start=True)
            plugin = self._registry.add(unit)
            self._registry.list(plugin, self._known_identity(unit))
            plugin.enabled = self._config.enabled(plugin.identity.config_key)
        self._naming.begin_in_order()
        for unit in units:
            self._want(unit, Change(Cause.STARTUP))
        self._first_round = asyncio.create_task(self._get_ready(), name="first round")

    def observe(self, seen: Iterable[tuple[str, SourceFile | None]]) -> None:
        """Take what was read from the disk, and want what follows from it."""
        noticed_ns = time.time_ns()
        changed = [path for path, file in seen if self._tree.apply(path, file)]
        if not self._begun:
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

    def newcomers(self) -> list[Plugin]:
        """The plugins whose files have come and were not tried yet, so that nobody knows them."""
        units = [
            desk.unit
            for desk in self._desks.values()
            if not desk.passed.is_set() and self._tree.has(desk.unit)
        ]
        plugins = [self._registry.at(unit.path) or self._registry.add(unit) for unit in units]
        return [plugin for plugin in plugins if not self._registry.lists(plugin)]

    def introduce(self, unit: Unit, origin: Origin | None) -> Plugin:
        """Know a plugin whose files were put in place just now; nothing is loaded yet.

        Args:
            unit: its files.
            origin: where they came from, `None` where that stays as it is known.
        """
        plugin = self._registry.at(unit.path) or self._registry.add(unit)
        if origin is not None:
            self._known.set_origin(plugin.file, origin)
            plugin.origin = origin
        return plugin

    def adopt(self, unit: Unit, generation: Generation, cause: Cause, origin: Origin | None) -> Plugin:
        """Let a generation serve that was loaded elsewhere, from files that are in place now.

        Args:
            unit: the plugin's files, already in the tree.
            generation: loaded from just these.
            cause: who wanted it.
            origin: where the files came from, `None` where that stays as it is known.

        Raises:
            LoadFailed: its name is another plugin's by now; the generation is ended.
        """
        desk = self._desks.setdefault(unit.path, Desk(unit))
        plugin = self.introduce(unit, origin)
        desk.attempted = generation.snapshot.revision
        desk.said = generation.manifest.name
        desk.missed = frozenset()
        generation.number = plugin.generation_count + 1
        try:
            self._rounds.serve(desk, plugin, generation, Change(cause), None)
        except LoadFailed:
            if plugin.manifest is None and desk.task is None:
                self._registry.remove(plugin)
                self._desks.pop(unit.path, None)
            raise
        self._naming.passed(desk)
        if desk.task is not None:
            # It may be at work with an older content, and shall look again when it is through.
            self._want(unit, Change(cause))
        self._rounds.catch_up(desk, plugin, generation, cause)
        return plugin

    def changed(self, paths: Iterable[str]) -> None:
        """Have those plugins follow that import modules of another, which were changed in place just now."""
        for desk in {id(one): one for path in paths for one in self._importers_of(path)}.values():
            self._want(desk.unit, Change(Cause.FILE, force=True, settles=True))

    def look_up(self, plugin: Plugin) -> None:
        """Bring what is told of a plugin besides its code up to date: where it came from, what it was granted."""
        self._endings.know(plugin)

    def installed_origin(self, file: str) -> Origin | None:
        """Where what was installed as a file came from, whatever has become of it since."""
        return self._known.installed_origin(file)

    def set_origin(self, file: str, origin: Origin | None) -> None:
        """Know from now on where a file came from; nothing where it is `None`."""
        self._known.set_origin(file, origin)

    async def close(self) -> None:
        """Want nothing more; calling it twice is safe."""
        self._closing = True
        tasks = [self._first_round] if self._first_round is not None else []
        for desk in self._desks.values():
            desk.forget_crash()
            desk.forget_retry()
            if desk.task is not None:
                tasks.append(desk.task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def first_round(self) -> None:
        """Wait until every plugin that was there at the start has been tried once."""
        for desk in list(self._desks.values()):
            await desk.passed.wait()

    async def _get_ready(self) -> None:
        try:
            async with asyncio.timeout(_READY_AT_LATEST_SECONDS):
                for desk in list(self._desks.values()):
                    await desk.passed.wait()
        except TimeoutError:
            log.warning("start.slow_plugins", waited_s=_READY_AT_LATEST_SECONDS)
        self._registry.ready.set()

    def _known_identity(self, unit: Unit) -> Identity | None:
        """The name that these very bytes gave when they last ran, if it is still free."""
        try:
            manifest = self._known.manifest(self._tree.snapshot(unit).revision)
        except SourceFlawed:
            return None
        if manifest is None:
            return None
        identity = Identity(unit.type, manifest.name)
        return identity if self._registry.get(identity) is None else None

    def _affected_by(self, path: str) -> list[Desk]:
        """The desks of the plugins that import a module, or have this requirements file."""
        if module_name(path) is not None:
            return self._importers_of(path)
        return [
            desk
            for desk in self._desks.values()
            if path
            in (
                f"{desk.unit.type.value}/{stem}_requirements.txt"
                for stem in (desk.unit.stem, desk.unit.short_name, desk.said)
            )
        ]

    def _importers_of(self, path: str) -> list[Desk]:
        name = module_name(path)
        return [
            desk
            for desk in self._desks.values()
            if name is not None
            and desk.imports_module(name)
            and name != desk.unit.module
            and not desk.unit.holds(path)
        ]

    def _want(self, unit: Unit, change: Change) -> None:
        if self._closing:
            for waiter in change.waiters:
                waiter.cancel()
            return
        desk = self._desks.setdefault(unit.path, Desk(unit))
        desk.put(change)
        if desk.task is None:
            desk.task = asyncio.create_task(self._work(desk), name=f"reconcile {unit.path}")

    async def _work(self, desk: Desk) -> None:
        change: Change | None = None
        stale_since: float | None = None
        try:
            while (newer := desk.take()) is not None or change is not None:
                change = newer.merged_into(change) if newer is not None else change
                assert change is not None
                acting.set(change.by)
                request_id.set(change.request)
                began = time.monotonic()
                may_be_stale = stale_since is None or began - stale_since < STALE_GRACE_SECONDS
                if not await self._rounds.do(desk, change, may_be_stale=may_be_stale):
                    stale_since = stale_since or began
                    continue
                stale_since = None
                self._answer(desk, change, (time.monotonic() - began) * 1000)
                change = None
        except Exception:
            log.exception("reconcile.failed", path=desk.unit.path)
        finally:
            self._naming.passed(desk)
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
