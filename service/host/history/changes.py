"""What was done, newest first: the list that one looks at, and from which one goes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from service.host.database import Database
from service.host.history.blobs import BlobLost, Blobs
from service.host.history.changeset import Changeset
from service.host.history.errors import ChangeNotFound
from service.model.actor import Actor

_COLUMNS = "seq, id, at, kind, plugin, summary, changeset, undoable, undoes, undone_by, by"
TRASH = "data/trash"


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """One change as clients see it.

    Attributes:
        plugin: its id, None where it is about several.
        summary: what it touched (`files`, `config`, `data`), and what its kind has to say besides.
        undoable: whether it can be undone, as far as its record tells.
        undoes: the change that it undid.
        undone_by: the change that undid it.
        by: the client that had it done, where that is known.
    """

    id: str
    at: str
    kind: str
    plugin: str | None
    summary: dict[str, Any]
    undoable: bool
    undoes: str | None = None
    undone_by: str | None = None
    by: Actor | None = None


class Changes:
    """See the module.

    Args:
        database: where the list is.
        blobs: where their contents are.
        kept: how many are kept.
    """

    def __init__(self, database: Database, blobs: Blobs, *, kept: int = 500) -> None:
        self._database = database
        self._blobs = blobs
        self._kept = kept

    async def list(self, *, plugin: str | None = None, limit: int = 100) -> list[ChangeView]:
        """What was done, newest first.

        Args:
            plugin: only what was done to this one.
            limit: how many at most.

        Raises:
            StoreFailed
        """
        where, values = ("WHERE plugin = ?", [plugin]) if plugin is not None else ("", [])

        def query(connection: sqlite3.Connection) -> list[ChangeView]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM changes {where} ORDER BY seq DESC LIMIT ?", [*values, limit]
            )
            return [_view(row) for row in rows]

        none: list[ChangeView] = []
        return await self._database.read(query, none)

    async def get(self, id: str) -> ChangeView:
        """One of them.

        Raises:
            ChangeNotFound, StoreFailed
        """
        return _view(await self._row(id))

    async def changeset(self, id: str) -> Changeset:
        """What exactly it did.

        Raises:
            ChangeNotFound: or what it did is not kept any more.
            StoreFailed
        """
        row = await self._row(id)
        try:
            return msgspec.json.decode(await self._blobs.get(row[6]), type=Changeset)
        except (BlobLost, OSError, msgspec.MsgspecError) as error:
            raise ChangeNotFound(id) from error

    async def is_recorded(self, id: str) -> bool:
        """Whether it was done. Raises StoreFailed."""
        return await self._found(id) is not None

    async def is_in_force(self, id: str) -> bool:
        """Whether it was done and not undone since. Raises StoreFailed."""
        row = await self._found(id)
        return row is not None and row[9] is None

    async def record(
        self,
        view: ChangeView,
        changeset: Changeset,
        changeset_hash: str,
        *,
        kept_anyway: Collection[str] = (),
    ) -> None:
        """Note that it is done: from here on it is. The oldest ones make room, but for those of `kept_anyway`.

        Raises:
            StoreFailed: it is not noted.
        """
        needs = [("blob", key) for key in sorted({*changeset.contents(), changeset_hash})]
        needs += [("trash", key) for key in sorted(trash_of(changeset))]

        def write(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO changes (id, at, kind, plugin, summary, changeset, undoable, undoes, by) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    view.id,
                    view.at,
                    view.kind,
                    view.plugin,
                    msgspec.json.encode(view.summary),
                    changeset_hash,
                    view.undoable,
                    view.undoes,
                    None if view.by is None else msgspec.json.encode(view.by),
                ),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO change_needs VALUES (?, ?, ?)",
                [(cursor.lastrowid, *need) for need in needs],
            )
            if view.undoes is not None:
                # Undoing an undo brings back what that had undone, so that it can be undone again.
                connection.execute(
                    "UPDATE changes SET undone_by = NULL WHERE id = (SELECT undoes FROM changes WHERE id = ?)",
                    (view.undoes,),
                )
                connection.execute("UPDATE changes SET undone_by = ? WHERE id = ?", (view.id, view.undoes))
            old = connection.execute(
                "SELECT seq, id FROM changes ORDER BY seq DESC LIMIT -1 OFFSET ?", (self._kept,)
            ).fetchall()
            gone = [(seq,) for seq, id in old if id not in kept_anyway]
            connection.executemany("DELETE FROM change_needs WHERE change = ?", gone)
            connection.executemany("DELETE FROM changes WHERE seq = ?", gone)

        await self._database.write(write)

    async def needs(self, kind: str) -> set[str]:
        """Which blobs (`blob`), or folders in the trash (`trash`), are kept for the sake of a change.

        Raises:
            StoreFailed
        """

        def query(connection: sqlite3.Connection) -> set[str]:
            rows = connection.execute("SELECT DISTINCT key FROM change_needs WHERE kind = ?", (kind,))
            return {str(key) for (key,) in rows}

        none: set[str] = set()
        return await self._database.read(query, none)

    async def _row(self, id: str) -> tuple[Any, ...]:
        row = await self._found(id)
        if row is None:
            raise ChangeNotFound(id)
        return row

    async def _found(self, id: str) -> tuple[Any, ...] | None:
        def query(connection: sqlite3.Connection) -> tuple[Any, ...] | None:
            row: tuple[Any, ...] | None = connection.execute(
                f"SELECT {_COLUMNS} FROM changes WHERE id = ?", (id,)
            ).fetchone()
            return row

        return await self._database.read(query, None)


def summary_of(changeset: Changeset, more: Mapping[str, Any]) -> dict[str, Any]:
    """What a change touched, without contents or values."""
    return {
        "files": [f"plugins/{path}" for path in sorted(changeset.files)],
        "config": sorted(changeset.config),
        "data": bool(changeset.folders),
        **more,
    }


def trash_of(changeset: Changeset) -> set[str]:
    """The folders in the trash that a change moves something into, or out of."""
    paths = [path for move in changeset.folders for path in (move.source, move.target)]
    return {path.split("/")[2] for path in paths if path.startswith(f"{TRASH}/") and path.count("/") > 2}


def _view(row: tuple[Any, ...]) -> ChangeView:
    _, id, at, kind, plugin, summary, _, undoable, undoes, undone_by, by = row
    return ChangeView(
        id=id,
        at=at,
        kind=kind,
        plugin=plugin,
        summary=msgspec.json.decode(summary, type=dict[str, Any]),
        undoable=bool(undoable) and undone_by is None,
        undoes=undoes,
        undone_by=undone_by,
        by=None if by is None else msgspec.json.decode(by, type=Actor),
    )
