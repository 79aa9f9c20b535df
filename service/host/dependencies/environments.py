"""Every plugin's own packages: resolved, installed into shared sets, lent to workers, and removed after the last.

    acquire ─► satisfied by the server's environment? ─► None
            └► lock remembered? else uv resolves ─► set there? else uv installs ─► Lease

A set is named by the hash of its lock, so two plugins, or two generations of one, that need the same files share
them, and two that contradict each other have one each. Nothing here touches the server's own environment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from packaging.requirements import Requirement

from service.host.dependencies import problems
from service.host.dependencies import requirements as reqs
from service.host.dependencies.bytecode import compile_modules
from service.host.dependencies.declaration import Declared, examine, require_suitable
from service.host.dependencies.installed import Finding
from service.host.dependencies.leases import DependencySet, Lease
from service.host.dependencies.lock import Lock, Package
from service.host.dependencies.maker import Maker
from service.host.dependencies.problems import Problem
from service.host.dependencies.running import Programs
from service.host.dependencies.shelf import Kept, Shelf
from service.host.threads import writing
from service.model.events import InstallProgress
from service.worker.confinement.policy import Ground

log = structlog.get_logger(__name__)

# An edit that is saved again, or a worker that crashed and restarts, finds its set still there.
_LINGER_SECONDS = 5.0
_COMPILE_AFTER_SECONDS = 1.0
_ROUNDS = 5
_SAME_WITH_ANOTHER_LOCK = problems.WAITED_IN_VAIN | {problems.DISK_FULL}


@dataclass(frozen=True, slots=True)
class Plan:
    """What an install would add, and which requirements are satisfied already."""

    add: list[Package]
    satisfied: list[Finding]


class EnvironmentView(msgspec.Struct, frozen=True, kw_only=True):
    """A set as clients see it. `size` is in bytes on the disk, `used_by` holds the ids of plugins."""

    id: str
    packages: list[Package]
    size: int
    used_by: list[str]
    created_at: str


Views = list[EnvironmentView]


class Environments:
    """All sets of one home.

    Args:
        folder: `data/envs`.
        timeout_s: how long resolving may take, and how long installing.
        allow_builds: whether packages without a wheel are built, which runs their code as the server's user.
        on_removed: awaited before a set's folder goes, with its path.
        linger_s: how long a set stays after its last lease.
        ground: what uv is confined to, see `service.worker.confinement`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        timeout_s: float,
        allow_builds: bool,
        on_removed: Callable[[Path], Awaitable[None]] | None = None,
        linger_s: float = _LINGER_SECONDS,
        ground: Ground | None = None,
    ) -> None:
        self._shelf = Shelf(folder)
        self._programs = Programs(ground)
        self._maker = Maker(
            self._shelf, self._programs, timeout_s=timeout_s, builds=allow_builds, on_made=self._made
        )
        self._on_removed = on_removed
        self._linger_s = linger_s
        self._sets: dict[str, Kept] = {}
        # Of sets that change no more: to measure one is to walk through all of its files.
        self._sizes: dict[str, int] = {}
        self._unchecked: set[str] = set()
        self._wanted: Counter[str] = Counter()
        self._leases: dict[str, list[Lease]] = {}
        self._removals: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._compiling: dict[str, asyncio.Task[None]] = {}
        self._forgetting: set[asyncio.Task[None]] = set()
        self._settled = False
        self._closing = False

    async def start(self) -> None:
        """Find the sets that are there and clear away what is half-made; nothing else goes before `settled`.

        Where the folder cannot be used, on a full or a read-only disk, that is reported with each install.
        """
        try:
            self._sets = await asyncio.to_thread(self._shelf.open)
        except OSError as error:
            log.error("dependencies.folder_unusable", folder=str(self._shelf.folder), reason=str(error))
        self._unchecked = set(self._sets)

    def settled(self) -> None:
        """Everything that runs has its lease by now: sets that nobody uses go."""
        self._settled = True
        for id in list(self._sets):
            self._linger(id)

    async def close(self) -> None:
        """Cancel installs under way and see their processes gone; sets stay. Calling it twice is safe."""
        self._closing = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._maker.close()
        tasks = [*self._compiling.values(), *self._removals.values(), *self._forgetting]
        for task in self._compiling.values():
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._programs.close()

    async def acquire(
        self,
        declared: Declared,
        *,
        user: str,
        file: str | None = None,
        generation: int | None = None,
        on_progress: Callable[[InstallProgress], None] = lambda progress: None,
    ) -> Lease | None:
        """The set for what a plugin declares, installed where it is not there yet; None where it needs none.

        Cancelling it kills an install under way, unless others wait for the same.

        Args:
            declared: what the plugin declares.
            user: the plugin's id, shown beside the set.
            file, generation: for errors.
            on_progress: called, on the event loop, with how far it is.

        Raises:
            LoadFailed: at stage `dependencies`; codes in `problems` and in `declaration.require_suitable`.
        """
        lines = await self._needed(declared, file, generation)
        if not lines:
            return None
        try:
            return await self._ready(lines, user, on_progress)
        except Problem as problem:
            log.warning("dependencies.refused", plugin=user, code=problem.code, packages=problem.packages)
            raise problem.as_load_failure(file, generation) from None

    async def plan(
        self, declared: Declared, *, file: str | None = None, generation: int | None = None
    ) -> Plan:
        """What `acquire` would add. Installs nothing, remembers nothing on the disk, runs nothing of any package.

        Raises:
            LoadFailed: as `acquire` raises it, also where only building would tell.
        """
        findings = await asyncio.to_thread(examine, declared)
        lines = await self._needed(declared, file, generation)
        if not lines:
            return Plan([], [finding for finding in findings if finding.name != "python"])
        try:
            lock = await self._maker.planned_lock(lines)
        except Problem as problem:
            raise problem.as_load_failure(file, generation) from None
        if lock.id not in self._sets:
            return Plan(list(lock.packages), [])
        return Plan([], lock.findings(lines))

    async def list(self) -> Views:
        """Every set, the oldest first."""
        known = sorted(self._sets.items(), key=lambda item: (item[1].created_at, item[0]))
        whole = {id for id, kept in known if kept.compiled}
        measured = self._sizes
        sizes = await asyncio.to_thread(
            lambda: {id: measured[id] if id in measured else self._shelf.size(id) for id, _ in known}
        )
        self._sizes = {id: sizes[id] for id in whole if id in self._sets}
        return [self._view(id, kept, sizes[id]) for id, kept in known]

    async def prune(self) -> Views:
        """Remove the sets that nobody uses, at once, and what was remembered towards them; returns them."""
        views = [view for view in await self.list() if not self._in_use(view.id)]
        removed = [view for view in views if self._remove(view.id)]
        await asyncio.gather(*self._removals.values())
        await asyncio.to_thread(self._shelf.forget_locks_except, set(self._sets))
        self._maker.forget_plans()
        return removed

    def modules(self, id: str) -> Sequence[str]:
        """What `remember_modules` was told last."""
        kept = self._sets.get(id)
        return tuple(kept.modules) if kept is not None else ()

    async def remember_modules(self, id: str, modules: Sequence[str]) -> None:
        """Keep, beside a set, the modules that the newest generation on it had imported; survives a restart."""
        kept = self._sets.get(id)
        if kept is None or kept.modules == list(modules):
            return
        kept.modules = list(modules)
        await self._write_kept(id, kept)

    async def _needed(self, declared: Declared, file: str | None, generation: int | None) -> Sequence[str]:
        """The requirements to be put into a set: none where the server's environment satisfies them all."""
        require_suitable(declared, file=file, generation=generation)
        if not declared.dependencies:
            return []
        findings = await asyncio.to_thread(examine, declared)
        if all(finding.satisfied for finding in findings):
            return []
        return sorted({line for line in declared.dependencies if reqs.applies(Requirement(line))})

    async def _ready(
        self, lines: Sequence[str], user: str, on_progress: Callable[[InstallProgress], None]
    ) -> Lease:
        for _ in range(_ROUNDS):
            if self._closing:
                raise Problem(problems.FAILED, problems.names_of(lines), words="the server is stopping")
            resolved = await self._maker.lock(lines, on_progress)
            lock = resolved.lock
            with self._wanting(lock.id):
                try:
                    if not await self._there(lock.id):
                        await self._maker.make(lines, lock, on_progress)
                except Problem as problem:
                    if resolved.fresh or problem.code in _SAME_WITH_ANOTHER_LOCK:
                        raise
                    # The registry no longer has what it once offered.
                    await self._maker.forget(lines)
                    continue
                if lock.id not in self._sets:
                    continue
                lease = self._lend(lock, user, lines)
            try:
                lease.is_new = await self._maker.remember(lines, lock)
            except BaseException:
                lease.release()
                raise
            return lease
        raise Problem(problems.FAILED, problems.names_of(lines), words="its set does not stay")

    @contextlib.contextmanager
    def _wanting(self, id: str) -> Iterator[None]:
        """Whoever is about to use a set holds off its removal."""
        self._wanted[id] += 1
        try:
            yield
        finally:
            self._wanted[id] -= 1
            if not self._wanted[id]:
                del self._wanted[id]
                self._linger(id)

    async def _there(self, id: str) -> bool:
        """Whether the set is there, whole and not on its way out."""
        if id in self._removals:
            await asyncio.wait([self._removals[id]])
        known = self._sets.get(id)
        if known is None:
            return False
        look = self._shelf.whole if id in self._unchecked else self._shelf.has
        good = await asyncio.to_thread(look, id)
        if not good and self._sets.get(id) is known:
            log.warning("dependencies.damaged", set=id)
            self._begin_removal(id)
        self._unchecked.discard(id)
        if id in self._removals:
            await asyncio.wait([self._removals[id]])
        return id in self._sets

    def _made(self, id: str, kept: Kept) -> None:
        self._sets.setdefault(id, kept)
        # It may be that whoever wanted it has gone.
        self._linger(id)

    def _lend(self, lock: Lock, user: str, lines: Sequence[str]) -> Lease:
        id = lock.id
        made = DependencySet(id, self._shelf.path(id), lock.packages)
        lent = Lease(made, user, self._released, lines=tuple(lines))
        self._leases.setdefault(id, []).append(lent)
        self._drop_timer(id)
        if (
            id in self._sets
            and not self._sets[id].compiled
            and id not in self._compiling
            and not self._closing
        ):
            self._compiling[id] = asyncio.create_task(self._compile(id), name=f"bytecode of {id}")
        return lent

    def _released(self, lease: Lease) -> None:
        leases = self._leases.get(lease.set.id, [])
        leases.remove(lease)
        if not leases:
            self._leases.pop(lease.set.id, None)
            self._linger(lease.set.id)
        if lease.is_new and lease.was_in_vain:
            heir = next((other for other in leases if other.lines == lease.lines), None)
            if heir is not None:
                heir.is_new = True
            elif not self._closing:
                task = asyncio.create_task(self._maker.take_back(lease.lines), name="forgetting")
                self._forgetting.add(task)
                task.add_done_callback(self._forgetting.discard)

    def _linger(self, id: str) -> None:
        if self._closing or not self._settled or id not in self._sets:
            return
        if self._in_use(id) or id in self._timers:
            return
        self._timers[id] = asyncio.get_running_loop().call_later(self._linger_s, self._remove, id)

    def _remove(self, id: str) -> bool:
        """Begin to remove a set that nobody uses; whether there was one to remove."""
        self._drop_timer(id)
        if self._closing or self._in_use(id) or id not in self._sets:
            return False
        self._begin_removal(id)
        return True

    def _in_use(self, id: str) -> bool:
        return id in self._leases or id in self._wanted

    def _drop_timer(self, id: str) -> None:
        timer = self._timers.pop(id, None)
        if timer is not None:
            timer.cancel()

    def _begin_removal(self, id: str) -> None:
        del self._sets[id]
        self._unchecked.discard(id)
        self._removals[id] = asyncio.create_task(self._take_away(id), name=f"removal of {id}")

    async def _take_away(self, id: str) -> None:
        try:
            compiling = self._compiling.pop(id, None)
            if compiling is not None:
                compiling.cancel()
                await asyncio.wait([compiling])
            if self._on_removed is not None:
                await self._on_removed(self._shelf.path(id))
            await writing(self._shelf.take_away, id)
            log.info("dependencies.removed", set=id)
        except OSError as error:
            log.warning("dependencies.not_removed", set=id, reason=str(error))
        finally:
            self._removals.pop(id, None)

    async def _compile(self, id: str) -> None:
        try:
            # What has just been installed is about to be imported: that comes first.
            await asyncio.sleep(_COMPILE_AFTER_SECONDS)
            if not await compile_modules(self._programs, self._shelf.path(id)):
                return
            kept = self._sets.get(id)
            if kept is not None:
                kept.compiled = True
                await self._write_kept(id, kept)
        finally:
            if self._compiling.get(id) is asyncio.current_task():
                del self._compiling[id]

    async def _write_kept(self, id: str, kept: Kept) -> None:
        try:
            await writing(self._shelf.write_kept, id, kept)
        except OSError as error:
            log.warning("dependencies.not_remembered", set=id, reason=str(error))
        if id not in self._sets:
            # It went meanwhile.
            with contextlib.suppress(OSError):
                await writing(self._shelf.forget_kept, id)

    def _view(self, id: str, kept: Kept, size: int) -> EnvironmentView:
        users = sorted({lease.user for lease in self._leases.get(id, [])})
        return EnvironmentView(
            id=id, packages=kept.packages, size=size, used_by=users, created_at=kept.created_at
        )
