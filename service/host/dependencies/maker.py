"""From requirements to a lock, and from a lock to a set: each once for all who wait, in time, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from service.host.dependencies import problems
from service.host.dependencies.lock import Lock, key_of, read_lock
from service.host.dependencies.problems import Problem
from service.host.dependencies.running import Programs
from service.host.dependencies.shelf import Kept, Shelf
from service.host.dependencies.uv import LOCK_NAME, SET_NAME, Uv
from service.host.flights import Flights
from service.host.threads import writing
from service.model.events import InstallProgress

# A registry that hangs holds up its own plugins, not all others.
_AT_ONCE = 8
_OFFLINE_SECONDS = 15.0
_MAX_PLANNED = 200

_DOWNLOAD = re.compile(r"^\s*(Downloading|Downloaded|Building|Built) ([A-Za-z0-9._-]+)")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A lock, and whether the registry was asked for it just now."""

    lock: Lock
    fresh: bool


Tell = Callable[[InstallProgress], None]


class Maker:
    """Makes locks and sets.

    Args:
        shelf: where both are kept.
        programs: what runs uv.
        timeout_s: how long each of the two steps may take.
        builds: whether source packages may be built.
        on_made: called on the event loop with each new set, also where nobody waits for it any more.
    """

    def __init__(
        self,
        shelf: Shelf,
        programs: Programs,
        *,
        timeout_s: float,
        builds: bool,
        on_made: Callable[[str, Kept], None],
    ) -> None:
        self._shelf = shelf
        self._uv = Uv(programs, own_cache=shelf.folder / ".cache", timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._builds = builds
        self._on_made = on_made
        self._resolving: Flights[Lock, InstallProgress] = Flights("resolve")
        self._installing: Flights[None, InstallProgress] = Flights("install")
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._planned: OrderedDict[str, Lock] = OrderedDict()

    async def close(self) -> None:
        """Cancel all that is under way."""
        await self._resolving.close()
        await self._installing.close()

    async def lock(self, lines: Sequence[str], tell: Tell) -> Resolved:
        """What the requirements resolve to: as it did before, where that is known.

        Raises:
            Problem: they do not.
        """
        key = await asyncio.to_thread(key_of, lines, builds=self._builds)
        known = self._planned.get(key) or await asyncio.to_thread(self._shelf.lock, key)
        if known is not None:
            return Resolved(known, False)
        work = functools.partial(self._resolve, lines, self._builds)
        return Resolved(await self._resolving.join(key, work, tell), True)

    async def planned_lock(self, lines: Sequence[str]) -> Lock:
        """The same without building anything, and remembered in memory only.

        Raises:
            Problem: they do not resolve, or only building would tell.
        """
        key = await asyncio.to_thread(key_of, lines, builds=self._builds)
        known = self._planned.get(key) or await asyncio.to_thread(self._shelf.lock, key)
        if known is not None:
            return known
        try:
            lock = await self._resolving.join(
                f"{key} planned", functools.partial(self._resolve, lines, False), lambda progress: None
            )
        except Problem as problem:
            if self._builds and problem.code == problems.BUILD_REFUSED:
                raise problems.planned_build(problem) from None
            raise
        if not self._builds:
            # With builds allowed an install may come to something else.
            self._note(key, lock)
        return lock

    def _note(self, key: str, lock: Lock) -> None:
        self._planned[key] = lock
        while len(self._planned) > _MAX_PLANNED:
            self._planned.popitem(last=False)

    async def make(self, lines: Sequence[str], lock: Lock, tell: Tell) -> None:
        """Install a lock as a set; `on_made` has been told of it then.

        Raises:
            Problem: it cannot be installed; nothing of it is left.
        """
        await self._installing.join(lock.id, functools.partial(self._install, lines, lock), tell)

    async def remember(self, lines: Sequence[str], lock: Lock) -> bool:
        """Keep what the requirements resolved to, so that the registry is not asked again.

        Returns:
            whether it was not kept before.
        """
        key = await asyncio.to_thread(key_of, lines, builds=self._builds)
        self._planned.pop(key, None)
        try:
            return await writing(self._shelf.remember_lock, key, lock)
        except OSError:
            # The next time it is resolved again.
            return False

    async def take_back(self, lines: Sequence[str]) -> None:
        """Keep it in memory only, as nothing has come of it."""
        key = await asyncio.to_thread(key_of, lines, builds=self._builds)
        lock = await asyncio.to_thread(self._shelf.lock, key)
        if lock is not None:
            self._note(key, lock)
            with contextlib.suppress(OSError):
                await writing(self._shelf.forget_lock, key)

    async def forget(self, lines: Sequence[str]) -> None:
        """Resolve these anew the next time."""
        key = await asyncio.to_thread(key_of, lines, builds=self._builds)
        self._planned.pop(key, None)
        await writing(self._shelf.forget_lock, key)

    def forget_plans(self) -> None:
        """Forget what plans resolved to."""
        self._planned.clear()

    async def _resolve(self, lines: Sequence[str], builds: bool, tell: Tell) -> Lock:
        names = problems.names_of(lines)
        tell(InstallProgress(step="resolve", packages=names))
        said: list[str] = []
        async with self._slots, _Workshop(self._shelf, lines) as workshop:

            async def attempt(name: str, *, offline: bool, seconds: float) -> Lock | Problem:
                folder = workshop / name
                said.clear()
                try:
                    async with asyncio.timeout(seconds):
                        ended = await self._uv.resolve(
                            lines, folder, builds=builds, offline=offline, on_line=said.append
                        )
                except TimeoutError:
                    return problems.late(lines, seconds, "\n".join(said))
                if ended.status != 0:
                    return problems.problem_of(ended.output, lines)
                yanked = problems.yanked_of(ended.output)
                if yanked is not None:
                    return yanked
                return await asyncio.to_thread(_read, folder / LOCK_NAME)

            outcome = await attempt("online", offline=False, seconds=self._timeout_s)
            if isinstance(outcome, Problem) and outcome.code in problems.WAITED_IN_VAIN:
                # What was fetched before is as good as the registry's answer.
                cached = await attempt("offline", offline=True, seconds=_OFFLINE_SECONDS)
                if isinstance(cached, Lock):
                    return cached
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    async def _install(self, lines: Sequence[str], lock: Lock, tell: Tell) -> None:
        said: list[str] = []
        progress = _Lines(lock, tell)

        def on_line(line: str) -> None:
            said.append(line)
            progress.line(line)

        async with self._slots, _Workshop(self._shelf, lines) as workshop:
            try:
                async with asyncio.timeout(self._timeout_s):
                    # Where everything was fetched before, nobody is asked whether it is still the same: hashes say so.
                    for offline in (True, False):
                        said.clear()
                        folder = workshop / ("offline" if offline else "online")
                        ended = await self._uv.install(
                            lock.text, folder, builds=self._builds, offline=offline, on_line=on_line
                        )
                        if ended.status == 0:
                            break
            except TimeoutError:
                raise problems.late(lines, self._timeout_s, "\n".join(said)) from None
            if ended.status != 0:
                raise problems.problem_of(ended.output, [package.name for package in lock.packages])
            await self._put(lock, folder / SET_NAME)

    async def _put(self, lock: Lock, made: Path) -> None:
        putting = asyncio.ensure_future(writing(self._shelf.put, lock.id, made, lock.packages))
        try:
            await asyncio.shield(putting)
        finally:
            # Cancelled or not: once begun it gets done, and a set that is there is known.
            self._on_made(lock.id, await putting)


class _Lines:
    """Progress, from what uv says."""

    def __init__(self, lock: Lock, tell: Tell) -> None:
        self._names = [package.name for package in lock.packages]
        self._tell = tell
        self._done: set[str] = set()
        tell(_progress("download", self._names, 0, len(self._names)))

    def line(self, line: str) -> None:
        total = len(self._names)
        found = _DOWNLOAD.match(line)
        if found:
            name = canonicalize_name(found[2])
            if found[1] in ("Downloaded", "Built"):
                self._done.add(name)
            self._tell(_progress("download", [name], len(self._done), total))
        elif line.startswith("Prepared "):
            self._tell(_progress("install", self._names, 0, total))
        elif line.startswith("Installed "):
            self._tell(_progress("install", self._names, total, total))


def _progress(step: str, packages: list[str], done: int, total: int) -> InstallProgress:
    return InstallProgress(step=step, packages=packages, done=done, total=total)


class _Workshop:
    """A temporary folder that is gone afterwards; what the disk refuses is a problem of these requirements."""

    def __init__(self, shelf: Shelf, lines: Sequence[str]) -> None:
        self._shelf = shelf
        self._lines = lines
        self._folder: Path | None = None

    async def __aenter__(self) -> Path:
        making = asyncio.ensure_future(writing(self._shelf.workshop))
        try:
            self._folder = await asyncio.shield(making)
        except asyncio.CancelledError:
            await writing(self._shelf.discard, await making)
            raise
        except OSError as error:
            raise problems.of_disk(error, self._lines) from None
        return self._folder

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._folder is not None:
            await asyncio.shield(writing(self._shelf.remove, self._folder))
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise problems.of_disk(error, self._lines) from None


def _read(file: Path) -> Lock:
    try:
        return read_lock(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Problem(problems.FAILED, [], words=str(error)) from None
