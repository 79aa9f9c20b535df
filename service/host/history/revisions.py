"""Every revision of a plugin that served: its files, the helpers that it had, and where it came from."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence, Set
from typing import Any

import msgspec
import structlog

from service.errors import PlugbayError
from service.host.database import Database
from service.host.files.sources import Snapshot
from service.host.history.blobs import BlobLost, Blobs
from service.host.history.errors import not_kept
from service.host.history.kept import (
    HELPER,
    OWN,
    REQUIREMENTS,
    Content,
    Kept,
    Row,
    kept_of,
    snapshot_of,
    unit_at,
)
from service.host.history.notes import Hold, LateNotes, Note, note_of
from service.host.threads import writing
from service.model.identity import Identity
from service.model.plugin import Origin
from service.model.request_id import for_no_request

log = structlog.get_logger(__name__)

Rows = Sequence[Row]
Names = Sequence[tuple[str, str, str]]

# Of all plugins together, those that are long gone too.
MOST_REVISIONS = 20_000
_CLOSE_S = 5.0


class Revisions:
    """See the module.

    Args:
        database: where the list is.
        blobs: where the contents are.
        kept: how many of each plugin.
    """

    def __init__(self, database: Database, blobs: Blobs, *, kept: int = 50) -> None:
        self._database = database
        self._blobs = blobs
        self._kept = kept
        self._waiting: list[tuple[Note, asyncio.Future[None] | None]] = []
        self._writing: asyncio.Task[None] | None = None
        self._late = LateNotes()
        self._holds: list[Hold] = []

    def remember_soon(
        self,
        identity: Identity,
        snapshot: Snapshot,
        version: str,
        origin: Origin,
        *,
        others: Mapping[str, bytes] | None = None,
    ) -> None:
        """Keep a revision when there is time, after all that was asked for before it.

        Args:
            identity: the plugin's.
            snapshot: what serves.
            version: as the plugin says it.
            origin: where its file came from.
            others: files of a package that are no modules, by path; the snapshot has none of them.
        """
        note = note_of(identity, snapshot, version, origin, others)
        if (hold := self._held(str(identity), snapshot.unit.path)) is not None:
            hold.notes.append(note)
        else:
            self._queue(note, None)

    async def remember(
        self,
        identity: Identity,
        snapshot: Snapshot,
        version: str,
        origin: Origin,
        *,
        others: Mapping[str, bytes] | None = None,
    ) -> None:
        """The same; durable when this returns.

        Raises:
            RevisionsNotKept, StoreFailed
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue(note_of(identity, snapshot, version, origin, others), done)
        await done

    async def flush(self) -> None:
        """Wait until all that was asked for is kept, but for what is held back."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])

    async def close(self) -> None:
        """The same, 5 s at most. Calling it twice is safe; to be called before the database is closed."""
        if self._late:
            self._begin_writing()
        if self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing], timeout=_CLOSE_S)
        self._late.stop()

    async def list(self, identity: Identity) -> list[Kept]:
        """The revisions of a plugin, newest first. Raises StoreFailed."""
        await self.flush()
        return [kept_of(row) for row in await self._rows("identity = ?", [str(identity)])]

    async def content(self, identity: Identity, revision: str) -> Content | None:
        """One of them, None where it is not kept, or not all of it. Raises StoreFailed."""
        await self.flush()
        rows = await self._rows("identity = ? AND revision = ?", [str(identity), revision])
        if not rows or (unit := unit_at(rows[0][2])) is None:
            return None
        try:
            files = await self._files(rows[0][0], helpers=False)
        except (BlobLost, OSError) as error:
            log.warning("revision.lost", plugin=str(identity), revision=revision, reason=str(error))
            return None
        kept = kept_of(rows[0])
        return Content(unit, {path: content for path, (_, content) in files.items()}, kept.origin, kept)

    async def last_good(self, unit_path: str, *, but: str | None = None) -> tuple[Kept, Snapshot] | None:
        """The newest revision that served from this file or folder, whole, with its helpers.

        Args:
            unit_path: relative to the plugin folder.
            but: a revision that is not meant, as it is the one that fails.

        Raises:
            StoreFailed
        """
        await self.flush()
        for row in await self._rows("unit = ? AND NOT retired AND revision IS NOT ?", [unit_path, but]):
            unit = unit_at(row[2])
            try:
                files = await self._files(row[0], helpers=True)
            except (BlobLost, OSError) as error:
                log.warning("revision.lost", unit=unit_path, revision=row[3], reason=str(error))
                continue
            if unit is not None and unit.main_file in files:
                return kept_of(row), snapshot_of(unit, row, files)
        return None

    async def retire(self, unit_path: str) -> None:
        """The plugin of this file was deleted: nothing falls back to its revisions until one serves again.

        Raises:
            StoreFailed
        """
        if (hold := self._held(unit_path)) is not None:
            hold.notes.append(unit_path)
            return
        await self.flush()
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE revisions SET retired = 1 WHERE unit = ?", (unit_path,)
            )
        )

    async def revive(self, unit_path: str) -> None:
        """The deletion of the plugin of this file is undone: what served can serve again.

        Raises:
            StoreFailed
        """
        await self.flush()
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE revisions SET retired = 0 WHERE unit = ?", (unit_path,)
            )
        )

    def hold(self, keys: Set[str]) -> Hold:
        """Hold back what is asked for of some plugins until `release` or `drop`.

        Args:
            keys: their ids, and their files or folders relative to the plugin folder.
        """
        hold = Hold(keys, [])
        self._holds.append(hold)
        return hold

    async def release(self, hold: Hold) -> None:
        """Do what was held back; done when this returns. Raises nothing: what cannot be kept is logged."""
        self._holds.remove(hold)
        for note in hold.notes:
            if not isinstance(note, str):
                self._queue(note, None)
                continue
            try:
                await self.retire(note)
            except PlugbayError as error:
                log.warning("revision.not_retired", unit=note, reason=str(error))
        await self.flush()

    def drop(self, hold: Hold) -> None:
        """Forget what was held back."""
        self._holds.remove(hold)

    def _held(self, *keys: str) -> Hold | None:
        return next((one for one in self._holds if not one.keys.isdisjoint(keys)), None)

    async def needs(self) -> set[str]:
        """The hashes of all contents that revisions refer to. Raises StoreFailed."""

        def query(connection: sqlite3.Connection) -> set[str]:
            return {str(key) for (key,) in connection.execute("SELECT DISTINCT sha256 FROM revision_files")}

        await self.flush()
        none: set[str] = set()
        return await self._database.read(query, none)

    # -- writing -------------------------------------------------------------------------------------------------

    def _queue(self, note: Note, done: asyncio.Future[None] | None) -> None:
        self._waiting.append((note, done))
        self._begin_writing()

    def _begin_writing(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(
                self._write_waiting(), name="keep revisions", context=for_no_request()
            )

    async def _write_waiting(self) -> None:
        self._late.stop()
        waiting, self._waiting = [*self._late.take(), *self._waiting], []
        while waiting:
            note, done = waiting.pop(0)
            try:
                await self._write(note)
            except Exception as error:
                if done is None:
                    self._late.add(note, error)
                elif not done.done():
                    done.set_exception(not_kept(error) if isinstance(error, OSError) else error)
            else:
                self._late.kept(note)
                if done is not None and not done.done():
                    done.set_result(None)
            waiting += self._waiting
            self._waiting = []
        self._late.try_later(self._begin_writing)

    async def _write(self, note: Note) -> None:
        files = await writing(self._keep_files, note)
        snapshot, identity = note.snapshot, str(note.identity)
        origin = msgspec.json.encode(note.origin)

        def write(connection: sqlite3.Connection) -> None:
            newest = connection.execute(
                "SELECT seq, revision, unit, version, origin, retired FROM revisions WHERE identity = ? "
                "ORDER BY seq DESC LIMIT 1",
                (identity,),
            ).fetchone()
            as_before = (snapshot.revision, snapshot.unit.path, note.version, origin, 0)
            if newest is not None and newest[1:] == as_before:
                had = connection.execute(
                    "SELECT path, part, sha256 FROM revision_files WHERE revision = ?", (newest[0],)
                )
                if sorted(had) == list(files):
                    return
            _drop(connection, "identity = ? AND revision = ?", (identity, snapshot.revision))
            cursor = connection.execute(
                "INSERT INTO revisions (identity, unit, revision, version, at, origin, saved_ns) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    identity,
                    snapshot.unit.path,
                    snapshot.revision,
                    note.version,
                    note.at,
                    origin,
                    snapshot.saved_ns,
                ),
            )
            connection.executemany(
                "INSERT INTO revision_files VALUES (?, ?, ?, ?)",
                [(cursor.lastrowid, *one) for one in files],
            )
            _drop(
                connection,
                "identity = ?1 AND seq <= "
                "(SELECT seq FROM revisions WHERE identity = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                (identity, self._kept),
            )
            _drop(
                connection,
                "seq <= (SELECT seq FROM revisions ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (MOST_REVISIONS,),
            )

        await self._database.write(write)

    def _keep_files(self, note: Note) -> Names:
        snapshot = note.snapshot
        files = {
            one.path: (OWN if snapshot.unit.holds(one.path) else HELPER, one.content)
            for one in snapshot.modules
        }
        files.update({path: (OWN, content) for path, content in note.others.items()})
        if snapshot.requirements is not None and snapshot.requirements_path is not None:
            files[snapshot.requirements_path] = (REQUIREMENTS, snapshot.requirements)
        return sorted((path, part, self._blobs.put_now(content)) for path, (part, content) in files.items())

    # -- reading -------------------------------------------------------------------------------------------------

    async def _rows(self, where: str, values: Sequence[Any]) -> Rows:
        none: Rows = []
        return await self._database.read(
            lambda connection: connection.execute(
                "SELECT seq, identity, unit, revision, version, at, origin, saved_ns FROM revisions "
                f"WHERE {where} ORDER BY seq DESC",
                values,
            ).fetchall(),
            none,
        )

    async def _files(self, seq: int, *, helpers: bool) -> dict[str, tuple[str, bytes]]:
        none: Names = []
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT path, part, sha256 FROM revision_files WHERE revision = ? ORDER BY path", (seq,)
            ).fetchall(),
            none,
        )

        def read() -> dict[str, tuple[str, bytes]]:
            return {
                path: (part, self._blobs.get_now(sha256))
                for path, part, sha256 in rows
                if helpers or part != HELPER
            }

        return await asyncio.to_thread(read)


def _drop(connection: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> None:
    seqs = connection.execute(f"SELECT seq FROM revisions WHERE {where}", values).fetchall()
    connection.executemany("DELETE FROM revision_files WHERE revision = ?", seqs)
    connection.executemany("DELETE FROM revisions WHERE seq = ?", seqs)
