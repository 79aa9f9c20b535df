"""The library's index: one SQLite file that is thrown away and made anew whenever it is not as it should be.

Nothing in it is precious, all of it comes from the folders. Two generations of the plugin may have it open at once.
Files are kept by folder and name, as bytes, since a file name need not be text.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from plugins.search.library_plugin.content import is_text
from plugins.search.library_plugin.tree import Root, Stamp, readable
from plugins.shared.keyword_query import fold, tokens

_BUSY_TIMEOUT_S = 10.0
_ROWS_PER_TRANSACTION = 1000
# Checking takes about a second for each 200 MiB; a larger file shows its damage when it is used.
_CHECK_MAX_BYTES = 64 * 1024 * 1024
_TABLES = {"folders", "files", "words"}
_SCHEMA = """
CREATE TABLE folders (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    root BLOB NOT NULL
);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    folder INTEGER NOT NULL,
    name BLOB NOT NULL,
    size INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    hidden INTEGER NOT NULL,
    unread INTEGER NOT NULL,
    name_length INTEGER NOT NULL,
    folded TEXT NOT NULL,
    UNIQUE (folder, name)
);
CREATE INDEX files_by_time ON files (modified_ns);
CREATE INDEX files_unread ON files (id) WHERE unread;
CREATE VIRTUAL TABLE words USING fts5 (name, path, body, tokenize = 'ascii');
"""
# Part of the file's name, too: a generation with another schema has a file of its own.
SCHEMA_VERSION = zlib.crc32(_SCHEMA.encode()) & 0x7FFFFFFF

IsThere = Callable[[bytes], bool]


class Replaced(Exception):
    """The index file is not the one that was opened any more."""


class Unread(NamedTuple):
    """A file whose text is not in the index yet."""

    id: int
    path: bytes
    stamp: Stamp


class Place:
    """Where the index lies.

    Args:
        folder: of the index alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / f"library-{SCHEMA_VERSION:08x}.sqlite3"

    def identity(self) -> tuple[int, int] | None:
        """Tells one index file from another that has taken its place; None where there is none."""
        try:
            status = self.file.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def connect(self) -> sqlite3.Connection:
        """Open the file as it is."""
        connection = sqlite3.connect(
            self.file, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other generations from opening, making or throwing away the file meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def throw_away(self) -> None:
        """Remove the index, with what SQLite keeps beside it. Whoever has it open goes on with what they have."""
        # The log goes first: a new file must never meet the old one's.
        for suffix in ("-wal", "-shm", "-journal", ""):
            path = self.file.with_name(self.file.name + suffix)
            if path.is_dir() and not path.is_symlink():
                path.rename(path.with_name(f"{path.name}.{os.getpid()}.aside"))
            path.unlink(missing_ok=True)


class Store:
    """Writes to the index; for one thread.

    Args:
        place: where it lies.

    Raises:
        sqlite3.Error: it can be neither opened nor made.
        OSError: likewise.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.was_damaged: str | None = None
        with place.locked():
            self._remove_other_versions()
            if place.file.is_dir():
                place.throw_away()
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self.was_damaged = str(error)
                place.throw_away()
                self._connection = self._open()
            self._identity = place.identity()

    def close(self) -> None:
        """Let go of the file; calling it twice is safe."""
        self._connection.close()

    def check_current(self) -> None:
        """Make sure that what is written goes into the file that others read.

        Raises:
            Replaced: somebody threw it away.
        """
        if self.place.identity() != self._identity:
            raise Replaced

    def known(self, folder: bytes, root: Root, *, only: bytes | None = None) -> dict[bytes, Stamp]:
        """The files of a folder, or only the one of that name, that are in the index as files of that root."""
        rows = self._connection.execute(
            "SELECT name, size, modified_ns FROM files"
            " WHERE folder = (SELECT id FROM folders WHERE path = ? AND root = ?)"
            + ("" if only is None else " AND name = ?"),
            (folder, root.path) if only is None else (folder, root.path, only),
        )
        return {name: Stamp(size, modified_ns) for name, size, modified_ns in rows}

    def folders(self) -> list[bytes]:
        """Every folder that has files in the index."""
        return [path for (path,) in self._connection.execute("SELECT path FROM folders")]

    def put(self, folder: bytes, root: Root, files: Mapping[bytes, Stamp]) -> None:
        """Take in new files and changed ones.

        What another generation has taken in meanwhile stays: whoever was told that it is there may search it now.

        Args:
            folder: where they are.
            root: the chosen folder that it is in.
            files: by name.
        """
        below = folder[len(root.path) :].strip(b"/")
        path_tokens = " ".join(tokens(readable(below)))
        hidden_folder = any(name.startswith(b".") for name in below.split(b"/"))
        items = list(files.items())
        moved = False
        for start in range(0, len(items), _ROWS_PER_TRANSACTION):
            with self._transaction() as connection:
                stored = connection.execute("SELECT root FROM folders WHERE path = ?", (folder,)).fetchall()
                moved = moved or stored not in ([], [(root.path,)])
                [(folder_id,)] = connection.execute(
                    "INSERT INTO folders (path, root) VALUES (?, ?)"
                    " ON CONFLICT (path) DO UPDATE SET root = excluded.root RETURNING id",
                    (folder, root.path),
                ).fetchall()
                for name, stamp in items[start : start + _ROWS_PER_TRANSACTION]:
                    known = connection.execute(
                        "SELECT id, size, modified_ns, unread FROM files WHERE folder = ? AND name = ?",
                        (folder_id, name),
                    ).fetchone()
                    is_as_known = known is not None and known[1:3] == stamp
                    if is_as_known and not moved:
                        continue
                    shown = readable(name)
                    name_tokens = tokens(shown)
                    folded = fold(f"{readable(below)}/{shown}" if below else shown)
                    hidden = hidden_folder or name.startswith(b".")
                    unread = known[3] if is_as_known else is_text(name)
                    [(file_id,)] = connection.execute(
                        "INSERT INTO files (folder, name, size, modified_ns, hidden, unread, name_length, folded)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (folder, name) DO UPDATE SET"
                        " size = excluded.size, modified_ns = excluded.modified_ns, hidden = excluded.hidden,"
                        " unread = excluded.unread, folded = excluded.folded RETURNING id",
                        (folder_id, name, *stamp, hidden, unread, len(name_tokens), folded),
                    ).fetchall()
                    if known is None:
                        connection.execute(
                            "INSERT OR REPLACE INTO words (rowid, name, path, body) VALUES (?, ?, ?, '')",
                            (file_id, " ".join(name_tokens), path_tokens),
                        )
                    elif moved:
                        connection.execute(
                            "UPDATE words SET path = ? WHERE rowid = ?", (path_tokens, file_id)
                        )

    def remove(self, folder: bytes, names: Iterable[bytes], *, is_there: IsThere) -> None:
        """Forget files of a folder.

        Args:
            folder: where they were.
            names: theirs.
            is_there: asked for the path of each while nobody else can write. A file that has come since it was missed
                may be in the index already, by another generation, and stays.
        """
        gone = list(names)
        for start in range(0, len(gone), _ROWS_PER_TRANSACTION):
            with self._transaction() as connection:
                for name in gone[start : start + _ROWS_PER_TRANSACTION]:
                    if is_there(os.path.join(folder, name)):
                        continue
                    rows = connection.execute(
                        "DELETE FROM files WHERE folder = (SELECT id FROM folders WHERE path = ?) AND name = ?"
                        " RETURNING id",
                        (folder, name),
                    ).fetchall()
                    connection.executemany("DELETE FROM words WHERE rowid = ?", rows)

    def remove_folder(self, folder: bytes, *, is_there: IsThere) -> None:
        """Forget the files of a folder, and not of those in it, unless it is there again; see `remove`."""
        while True:
            with self._transaction() as connection:
                if is_there(folder):
                    return
                rows = connection.execute(
                    "SELECT id FROM files WHERE folder = (SELECT id FROM folders WHERE path = ?) LIMIT ?",
                    (folder, _ROWS_PER_TRANSACTION),
                ).fetchall()
                connection.executemany("DELETE FROM words WHERE rowid = ?", rows)
                connection.executemany("DELETE FROM files WHERE id = ?", rows)
                if len(rows) < _ROWS_PER_TRANSACTION:
                    connection.execute("DELETE FROM folders WHERE path = ?", (folder,))
                    return

    def remove_below(self, folder: bytes, *, is_there: IsThere) -> None:
        """Forget a folder and all that is in it, but for the folders that are there again; see `remove`."""
        rows = self._connection.execute(
            "SELECT path FROM folders WHERE path = ? OR (path > ? AND path < ?)",
            (folder, folder + b"/", folder + b"0"),  # "0" is the character after "/"
        ).fetchall()
        for (path,) in rows:
            self.remove_folder(path, is_there=is_there)

    def count_unread(self, at_most: int) -> int:
        """How many files' texts are not in the index yet, counted so far and no further."""
        [(count,)] = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM files WHERE unread LIMIT ?)", (at_most,)
        ).fetchall()
        return int(count)

    def unread(self, at_most: int) -> list[Unread]:
        """Files whose texts are not in the index yet, the newest first."""
        rows = self._connection.execute(
            "SELECT files.id, folders.path, name, size, modified_ns FROM files"
            " JOIN folders ON folders.id = files.folder WHERE unread ORDER BY files.id DESC LIMIT ?",
            (at_most,),
        )
        return [
            Unread(file_id, os.path.join(folder, name), Stamp(size, modified_ns))
            for file_id, folder, name, size, modified_ns in rows
        ]

    def put_texts(self, texts: Iterable[tuple[Unread, str]]) -> None:
        """Take in the tokens of texts; of one that has changed since it was read, the next reading counts."""
        with self._transaction() as connection:
            for file, body in texts:
                rows = connection.execute(
                    "UPDATE files SET unread = 0 WHERE id = ? AND size = ? AND modified_ns = ? RETURNING id",
                    (file.id, *file.stamp),
                ).fetchall()
                if rows:
                    connection.execute("UPDATE words SET body = ? WHERE rowid = ?", (body, file.id))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        connection = self.place.connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            [(version,)] = connection.execute("PRAGMA user_version").fetchall()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            if version == 0 and not tables:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                )
            elif version != SCHEMA_VERSION or not tables >= _TABLES:
                raise sqlite3.DatabaseError(_OTHER_SCHEMA)
            elif self.place.file.stat().st_size <= _CHECK_MAX_BYTES:
                [(verdict,), *_] = connection.execute("PRAGMA quick_check(1)").fetchall()
                if verdict != "ok":
                    raise sqlite3.DatabaseError(_DAMAGED)
                connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        except BaseException:
            connection.close()
            raise
        return connection

    def _remove_other_versions(self) -> None:
        for path in self.place.folder.glob("library-*.sqlite3*"):
            if not path.name.startswith(self.place.file.name):
                with contextlib.suppress(OSError):
                    path.unlink()


_OTHER_SCHEMA = "it was made by another version"
_DAMAGED = "it is damaged"


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file itself is broken, and not that it is busy or the disk full."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return str(error) in (_OTHER_SCHEMA, _DAMAGED)
    return (
        code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        or code == sqlite3.SQLITE_IOERR_SHORT_READ
        or (code == sqlite3.SQLITE_ERROR and "no such" in str(error))
    )
