"""Changes to files, configuration, origins and data folders, each of them made whole or not at all.

    contents kept ─► entry ─► files staged ─► files ─► folders ─► configuration ─► origins ─► the caller's block
        ─► recorded in `changes`: from here on it is done ─► what was there before goes, the entry goes

What is killed, or fails, before it is recorded is undone: at once, or at the next start. What is killed after that is
finished; what the disk refuses even then is tried again until it does not. Where somebody has changed a path by hand
meanwhile, that stays as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from service.errors import PlugbayError
from service.host.configuration.config_store import ConfigStore
from service.host.history.blobs import Blobs
from service.host.history.changes import Changes, ChangeView, summary_of, trash_of
from service.host.history.changeset import Changeset, Wanted
from service.host.history.claims import Claims
from service.host.history.entries import Entries, Entry
from service.host.history.errors import ChangeNotSaved, ChangeSuperseded, not_saved, saving
from service.host.history.notes import Hold
from service.host.history.performing import OnFiles, Performing
from service.host.history.present import Present, Undo
from service.host.history.reserve import Reserve
from service.host.history.revisions import Revisions
from service.host.history.steps import files_below, missing_folders
from service.host.history.unsettled import Unsettled
from service.host.store import Store
from service.host.threads import writing
from service.model import moment
from service.model.actor import acting
from service.model.text import Text

__all__ = ["ChangeNotSaved", "ChangeSuperseded", "Journal", "Performed", "Recovered", "Undo"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

_RESERVE = "data/reserve"


@dataclass(frozen=True, slots=True)
class Performed:
    """A change under way.

    Attributes:
        id: its number, None where everything is as it is wanted already; nothing is recorded then.
        changeset: what is changed.
    """

    id: str | None
    changeset: Changeset


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a change that a killed process left.

    Attributes:
        finished: whether it was done already and only finished; else it was undone.
        left: paths, keys and folders that somebody has changed since, which stayed as they are.
    """

    id: str
    kind: str
    plugin: str | None
    finished: bool
    left: list[str]


class Journal:
    """See the module. Changes that have a path, a key or a folder in common wait for each other.

    Args:
        home: the server's home folder.
        blobs: keeps contents.
        config: the configuration; loaded before `recover`.
        store: remembers origins.
        changes: the list of what was done.
        revisions: keeps what serves because of a change no sooner than that is recorded.

    Attributes:
        recorded: how many changes were made since the start, by kind.
    """

    def __init__(
        self,
        home: Path,
        blobs: Blobs,
        config: ConfigStore,
        store: Store,
        changes: Changes,
        revisions: Revisions,
    ) -> None:
        self._plugins = home / "plugins"
        self._changes = changes
        self._revisions = revisions
        self._holds: dict[str, Hold] = {}
        self._entries = Entries(home)
        self._claims = Claims()
        self._reserve = Reserve(home / _RESERVE)
        self.recorded: Counter[str] = Counter()
        self._under_way: dict[str, Entry] = {}
        self._unsettled = Unsettled(lambda entry: self._settled(entry, moves=False))
        self._later: dict[str, Entry] = {}
        self._present = Present(home, blobs, config, store, changes, self._later)
        self._performing = Performing(home, blobs, config, store, self._entries)
        self._unreadable: list[Text] = []

    @property
    def problems(self) -> list[Text]:
        """What could not be understood, and what is not finished or undone yet."""
        return [*self._unreadable, *self._unsettled.problems]

    # -- what callers use ----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def performed(
        self,
        kind: str,
        plugin: str | None,
        wanted: Wanted,
        *,
        summary: Mapping[str, Any] | None = None,
        on_files: OnFiles | None = None,
        undoes: str | None = None,
        folders_later: bool = False,
    ) -> AsyncIterator[Performed]:
        """Make a change; it is recorded when the block ends, and undone should the block raise or be cancelled.

        Must not be entered again, for any of the same things, within the block.

        Args:
            kind: `install`, `update`, `edit`, `rollback`, `delete`, `config`, `grant`, `toggle`, `import`, `undo`, …
            plugin: the id of the plugin that it is about, if it is one.
            wanted: what is to be so.
            summary: what its kind has to say for the list of changes; JSON.
            on_files: called on the loop with what files will hold (None: they go), before they appear on the disk;
                again where they are put back. Files over 16 MiB and links are not told of.
            undoes: the change that this undoes; it must have left what is there now.
            folders_later: folders move when `finish` is called, as calls may still be using them.

        Raises:
            ChangeSuperseded: something is not as expected; nothing was changed.
            ChangeNotSaved, ConfigNotSaved, StoreFailed: nothing was changed.
        """
        keys = wanted.keys()
        await self._claims.claim(keys)
        try:
            await _whole(self._unsettled.settle())
            with saving():
                # Nothing begins that could not be undone for want of room.
                await self._reserve.keep()
            id = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"
            changeset = await _whole(self._present.observed(id, wanted, undoes))
            if changeset.is_empty() and undoes is None:
                yield Performed(None, changeset)
                return
            made = await asyncio.to_thread(
                missing_folders,
                self._plugins,
                [path for path, one in changeset.files.items() if one.after is not None],
            )
            entry = Entry(
                id=id,
                at=moment.now(),
                kind=kind,
                plugin=plugin,
                summary=summary_of(changeset, summary or {}),
                changeset=changeset,
                made=made,
                undoes=undoes,
                later=folders_later and bool(changeset.folders),
                by=acting.get(),
            )
            self._under_way[id] = entry
            if units := changeset.units() | wanted.affects:
                self._holds[id] = self._revisions.hold({*units, plugin or ""})
            try:
                await _whole(self._performing.begin(entry, on_files))
                yield Performed(id, changeset)
                await _whole(self._record(entry))
            except BaseException:
                if id in self._under_way:
                    await _whole(self._abandon(entry, on_files))
                    raise
                await _whole(self._end(entry))
                raise
            await _whole(self._end(entry))
        finally:
            self._claims.release(keys)

    async def undo_of(self, id: str) -> Undo:
        """What undoing a change takes.

        Raises:
            ChangeNotFound, StoreFailed
            ChangeSuperseded: what it left is not there any more, or it was undone already.
        """
        return await self._present.undo_of(id)

    async def files_of(self, unit_path: str, others: list[str]) -> dict[str, None]:
        """All files that go where a plugin goes, for `Wanted.files`.

        Args:
            unit_path: its file or folder, relative to the plugin folder.
            others: what goes with it, such as its requirements file.
        """

        def look() -> dict[str, None]:
            found = dict.fromkeys(files_below(self._plugins, unit_path))
            own = f"{unit_path}/"
            for path in others:
                if path != unit_path and not path.startswith(own):
                    found.update(dict.fromkeys(files_below(self._plugins, path)))
            return found

        return await asyncio.to_thread(look)

    async def finish(self, id: str) -> None:
        """Move the folders of a change that was made with `folders_later`; does nothing where that is done.

        Raises:
            ChangeNotSaved: they could not be moved; the next start tries again.
        """
        entry = self._later.get(id)
        if entry is None:
            return
        keys = entry.changeset.keys()
        await self._claims.claim(keys)
        try:
            if self._later.get(id) is entry:
                await _whole(self._finish(entry))
        except OSError as error:
            raise not_saved(error) from error
        finally:
            self._claims.release(keys)

    def waiting(self) -> dict[str, list[str]]:
        """The folders, relative to home, that `finish` will move, by change."""
        return {id: [move.source for move in one.changeset.folders] for id, one in self._later.items()}

    def contents(self) -> set[str]:
        """The hashes of what changes that are under way may still need."""
        return {key for entry in self._kept() for key in entry.changeset.contents()}

    def trash(self) -> set[str]:
        """The folders in the trash that changes under way may still need."""
        return {key for entry in self._kept() for key in trash_of(entry.changeset)}

    def _kept(self) -> list[Entry]:
        return [*self._under_way.values(), *self._unsettled.entries(), *self._later.values()]

    async def recover(self) -> list[Recovered]:
        """At start, before files are read: finish or undo what a killed process left. Never raises for what is there.

        Returns:
            what was found and what became of it; what went wrong is in `problems`.
        """
        entries, problems = await asyncio.to_thread(self._entries.read)
        self._unreadable += problems
        recovered = []
        # What was not recorded is undone in reverse.
        for entry in reversed(entries):
            self._unsettled.add(entry)
            try:
                recovered.append(await self._settled(entry, moves=True))
            except (OSError, PlugbayError) as error:
                self._unsettled.failed(entry, error)
        # Where there is no room now, the first change has it made, or is refused.
        with contextlib.suppress(OSError):
            await self._reserve.keep()
        return recovered

    async def close(self) -> None:
        """Try nothing again any more; calling it twice is safe."""
        await self._unsettled.close()

    # -- forwards ------------------------------------------------------------------------------------------------

    async def _record(self, entry: Entry) -> None:
        view = ChangeView(
            id=entry.id,
            at=entry.at,
            kind=entry.kind,
            plugin=entry.plugin,
            summary=entry.summary,
            undoable=entry.changeset.is_undoable(),
            undoes=entry.undoes,
            by=entry.by,
        )
        with saving():
            changeset_hash = await self._performing.put_changeset(entry.changeset)
        needed = {one.id for one in self._kept()}
        await self._changes.record(view, entry.changeset, changeset_hash, kept_anyway=needed)
        del self._under_way[entry.id]
        self.recorded[entry.kind] += 1
        log.info("change.recorded", change=entry.id, kind=entry.kind, plugin=entry.plugin)

    async def _end(self, entry: Entry) -> None:
        """It is recorded; what fails now is done at the next change or start."""
        if entry.later:
            self._later[entry.id] = entry
        if (hold := self._holds.pop(entry.id, None)) is not None:
            await self._revisions.release(hold)
        try:
            for unit in entry.changeset.units_gone():
                await self._revisions.retire(unit)
            await self._performing.clean(entry)
            if entry.later:
                return
            await self._performing.close(entry)
            if entry.undoes is not None and (undone := self._later.pop(entry.undoes, None)) is not None:
                await writing(self._entries.remove, undone.id)
        except (OSError, PlugbayError) as error:
            log.warning("history.not_cleaned", change=entry.id, reason=str(error))
            self._unsettled.try_later(entry)

    async def _finish(self, entry: Entry) -> None:
        await self._performing.clean(entry)
        await self._performing.move(entry)
        await self._performing.close(entry)
        self._later.pop(entry.id, None)
        self._unsettled.done(entry)

    # -- back ----------------------------------------------------------------------------------------------------

    async def _abandon(self, entry: Entry, on_files: OnFiles | None) -> None:
        """Undo what was begun; what the disk refuses even then is tried again by itself, and at start."""
        self._under_way.pop(entry.id, None)
        self._unsettled.add(entry)
        if (hold := self._holds.pop(entry.id, None)) is not None:
            self._revisions.drop(hold)
        try:
            try:
                await self._performing.back(entry, on_files)
            except (OSError, PlugbayError):
                if not await self._reserve.give_up():
                    raise
                await self._performing.back(entry, on_files)
        except (OSError, PlugbayError) as error:
            self._unsettled.failed(entry, error)
        else:
            self._unsettled.done(entry)
        with contextlib.suppress(OSError):
            await self._reserve.keep()

    async def _settled(self, entry: Entry, *, moves: bool) -> Recovered:
        """Finish what was recorded, undo what was not.

        Args:
            entry: which.
            moves: whether its folders move now that were to move later, as no call can be using them any more: the
                process that was killed may not have come to that, nor to retire the revisions of what went.
        """
        if not await self._changes.is_recorded(entry.id):
            left = await self._performing.back(entry)
            self._unsettled.done(entry)
            log.warning("history.undone", change=entry.id, kind=entry.kind, plugin=entry.plugin)
            return Recovered(entry.id, entry.kind, entry.plugin, False, left)
        if moves:
            for unit in entry.changeset.units_gone():
                await self._revisions.retire(unit)
        await self._performing.clean(entry)
        if entry.later and await self._changes.is_in_force(entry.id):
            self._later[entry.id] = entry
            if moves:
                await self._finish(entry)
        else:
            await self._performing.close(entry)
        self._unsettled.done(entry)
        log.info("history.finished", change=entry.id, kind=entry.kind, plugin=entry.plugin)
        return Recovered(entry.id, entry.kind, entry.plugin, True, [])


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """Do something to its end, though the caller may be cancelled in the middle of it."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
