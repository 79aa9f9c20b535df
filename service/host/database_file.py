"""Opening the database: migrations, and what to do with a file that is none or was damaged.

Everything here blocks and is called in the store's own thread.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from service.errors import PlugbayError
from service.host import atomic
from service.model.text import Text

BUSY_TIMEOUT_S = 5.0

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
# What is over some time, without anybody touching the file.
_PASSING = _BUSY | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
}
_SIDE_FILES = ("", "-wal", "-shm", "-journal")


class StoreFailed(PlugbayError):
    """The database could not be opened, read or written."""

    code = "store_failed"


class StoreBusy(StoreFailed):
    """Another process holds the database. `retry_after` is in seconds."""

    code = "store_busy"
    retry_after = 5.0


class Identity(NamedTuple):
    """A database and its log, as the system knows them."""

    database: tuple[int, int] | None
    log: tuple[int, int] | None

    @classmethod
    def of(cls, path: Path) -> Identity:
        """Which files there are by these names."""
        return cls(_inode(str(path)), _inode(f"{path}-wal"))

    def is_at(self, path: Path) -> bool:
        """Whether these are the ones still. There may be no log, which is made when it is needed."""
        there = Identity.of(path)
        return there.database == self.database and (self.log is None or there.log == self.log)


def is_damaged(error: BaseException) -> bool:
    """Whether the file's content is to blame, and not the disk, its permissions or another process."""
    return _is_one_of(error, _DAMAGED)


def is_busy(error: BaseException) -> bool:
    """Whether another process holds the file."""
    return _is_one_of(error, _BUSY)


def is_passing(error: BaseException) -> bool:
    """Whether the same may well succeed later: the disk or another process is to blame, not what was asked for."""
    if isinstance(error, StoreFailed):
        cause = error.__cause__
        return isinstance(cause, OSError) or (cause is not None and is_passing(cause))
    return _is_one_of(error, _PASSING)


def _is_one_of(error: BaseException, codes: set[int]) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and code is not None and code & 0xFF in codes


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_database(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open the database and bring it up to date.

    Returns:
        The connection; and where a damaged file was moved to, if one was in the way and a new one was made.

    Raises:
        StoreFailed: it cannot be opened, or a newer version of the program made it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        aside = move_aside(path)
        return _open(path), aside
    try:
        return _open(path), None
    except sqlite3.Error as error:
        if not is_damaged(error) and not _lacks_tables(error):
            raise failed(path, error) from error
    aside = move_aside(path)
    return _open(path), aside


def move_aside(path: Path) -> Path:
    """Rename the database and its side files to `….corrupt-…`; returns where the database is now.

    Raises:
        StoreFailed: it could not be renamed.
    """
    aside = _free_name(path, "corrupt")
    for suffix in _SIDE_FILES:
        try:
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise failed(path, error) from error
    return aside


def write_anew(path: Path, connection: sqlite3.Connection, identity: Identity) -> Path | None:
    """Put all that an open connection holds at `path` again, from where its file or its log was taken away.

    Args:
        path: where it was.
        connection: open.
        identity: what it has open.

    Returns:
        where what stood there instead is now, if anything did.

    Raises:
        OSError, sqlite3.Error: nothing was changed.
    """
    new = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    path.parent.mkdir(parents=True, exist_ok=True)
    copy = sqlite3.connect(new, isolation_level=None)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    atomic.sync_file(new)
    aside = None
    if os.path.lexists(path) and _inode(str(path)) != identity.database:
        aside = _free_name(path, "other")
        os.rename(path, aside)
    # They belong to what is gone; a database must never find the log of another beside it.
    for suffix in _SIDE_FILES[1:]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")
    os.rename(new, path)
    atomic.sync_folder(path.parent)
    return aside


def _free_name(path: Path, what: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    free = path.with_name(f"{path.name}.{what}-{stamp}")
    number = 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{what}-{stamp}-{number}")
    return free


def failed(path: Path, error: Exception) -> StoreFailed:
    """The error for what the disk or the system refused, of which it is then the cause."""
    name = f"{path.parent.name}/{path.name}"
    if is_busy(error):
        found: StoreFailed = StoreBusy(
            Text(
                zh=f"数据库 {name} 被另一个进程占用；请关闭打开它的程序（例如备份或 sqlite3），"
                "并检查是否有另一个服务器正在使用同一目录，然后重试",
                en=f"The database {name} is held by another process; close what has it open, such as a backup or "
                "sqlite3, check whether another server uses the same home, then try again",
            )
        )
    else:
        found = StoreFailed(
            Text(
                zh=f"数据库 {name} 无法使用（{error}）；请检查磁盘空间和权限，以及是否有另一个服务器正在使用同一目录",
                en=f"The database {name} cannot be used ({error}); check the disk's space and permissions, and whether "
                "another server uses the same home",
            )
        )
    found.__cause__ = error
    return found


def migrations() -> list[tuple[int, str]]:
    """The numbered scripts, in order."""
    found = []
    for entry in resources.files("service.host").joinpath("migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_\w+\.sql", entry.name)
        if match:
            found.append((int(match[1]), entry.read_text("utf-8")))
    return sorted(found)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # What was answered as done survives a power cut too.
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path)
        for (problem,) in connection.execute("PRAGMA quick_check(1)"):
            if problem != "ok":
                damaged = sqlite3.DatabaseError(problem)
                damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise damaged
        connection.execute("SELECT hash, manifest, seen FROM manifests LIMIT 1").fetchall()
        connection.execute("SELECT file, origin FROM origins LIMIT 1").fetchall()
        connection.execute("SELECT seq, id, status, task, checkpoint FROM tasks LIMIT 1").fetchall()
        connection.execute("SELECT seq, words FROM task_words LIMIT 1").fetchall()
        connection.execute("SELECT task, number, results FROM task_results LIMIT 1").fetchall()
        connection.execute(
            "SELECT seq, identity, unit, revision, saved_ns, retired FROM revisions LIMIT 1"
        ).fetchall()
        connection.execute("SELECT revision, path, part, sha256 FROM revision_files LIMIT 1").fetchall()
        connection.execute(
            "SELECT seq, id, changeset, undoable, undoes, undone_by FROM changes LIMIT 1"
        ).fetchall()
        connection.execute("SELECT change, kind, key FROM change_needs LIMIT 1").fetchall()
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    scripts = migrations()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    newest = scripts[-1][0]
    if version > newest:
        raise StoreFailed(
            Text(
                zh=f"数据库 {path.parent.name}/{path.name} 由更新的版本创建（{version} > {newest}）；"
                "请升级 Plugbay，或移走该文件",
                en=f"The database {path.parent.name}/{path.name} was made by a newer version ({version} > {newest}); "
                "upgrade Plugbay or move the file away",
            ),
            code="store_too_new",
        )
    for number, script in scripts:
        if number > version:
            # One transaction each: a kill in the middle leaves the step before.
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def _lacks_tables(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith(
        ("no such table", "no such column", "table ", "there is already", "index ")
    )
