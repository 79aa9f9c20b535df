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

from service.errors import PlugbayError
from service.model.text import Text

BUSY_TIMEOUT_S = 5.0

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SIDE_FILES = ("", "-wal", "-shm", "-journal")


class StoreFailed(PlugbayError):
    """The database could not be opened, read or written."""

    code = "store_failed"


def is_damaged(error: BaseException) -> bool:
    """Whether the file's content is to blame, and not the disk, its permissions or another process."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and code is not None and code & 0xFF in _DAMAGED


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
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    for suffix in _SIDE_FILES:
        try:
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise failed(path, error) from error
    return aside


def failed(path: Path, error: Exception) -> StoreFailed:
    """The error for what the disk or the system refused."""
    name = f"{path.parent.name}/{path.name}"
    return StoreFailed(
        Text(
            zh=f"数据库 {name} 无法使用（{error}）；请检查磁盘空间和权限，以及是否有另一个服务器正在使用同一目录",
            en=f"The database {name} cannot be used ({error}); check the disk's space and permissions, and whether "
            "another server uses the same home",
        )
    )


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
