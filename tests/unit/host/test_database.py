"""A database that cannot be written now: what waits for it, who is told, and a file that is not where it was."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from service.host import database as database_module
from service.host import database_file, database_waiting
from service.host.database import Database, StoreFailed, Write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "plugbay.db"


def aside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob("plugbay.db.corrupt-*"))


def rows(path: Path) -> dict[str, str]:
    """What was written of `notes`, as another process sees it."""
    with sqlite3.connect(path) as connection:
        found = dict(connection.execute("SELECT key, value FROM notes"))
    connection.close()
    return found


def note(key: str, value: str) -> Write:
    return lambda connection: connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))


def refusal(code: int) -> sqlite3.Error:
    """An error as SQLite raises it."""
    error = sqlite3.DatabaseError(f"refused with {code}")
    error.sqlite_errorcode = code
    return error


@pytest.fixture
async def database(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """An open database with a table of notes."""
    monkeypatch.setattr(database_file, "BUSY_TIMEOUT_S", 0.02)
    monkeypatch.setattr(database_module, "_RETRY_S", 0.05)
    database = Database(path)
    await database.open()
    await database.write(lambda connection: connection.execute("CREATE TABLE notes (key PRIMARY KEY, value)"))
    yield database
    await database.close()


async def until_state(database: Database, fine: bool) -> str:
    async with asyncio.timeout(10):
        while (database.state is None) is not fine:
            await asyncio.sleep(0.01)
    return database.state.en if database.state is not None else ""


async def test_what_nobody_waits_for_waits_for_a_database_that_is_held(
    path: Path, database: Database
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for number in range(10):
        database.write_soon(note("a", str(number)), about=("a",))
        database.write_soon(note(f"b{number}", "x"), about=("b", number))
    told = await until_state(database, fine=False)
    assert "another process" in told and "11 records" in await until_state(database, fine=False)
    with pytest.raises(StoreFailed) as caught:
        await database.write(note("c", "x"))
    assert caught.value.code == "store_busy"
    other.execute("ROLLBACK")
    other.close()
    await until_state(database, fine=True)
    assert rows(path) == {"a": "9"} | {f"b{number}": "x" for number in range(10)}


async def test_what_waits_is_outdated_by_what_is_written(path: Path, database: Database) -> None:
    full = True

    def large(key: str) -> Write:
        def write(connection: sqlite3.Connection) -> None:
            if full:
                raise refusal(sqlite3.SQLITE_FULL)
            note(key, "old")(connection)

        return write

    database.write_soon(large("task"), about=("task", "row"))
    database.write_soon(large("other"), about=("other", "row"))
    await until_state(database, fine=False)
    # A smaller one still finds room.
    await database.write(note("task", "new"), about=("task",))
    assert rows(path) == {"task": "new"}
    full = False
    await until_state(database, fine=True)
    assert rows(path) == {"task": "new", "other": "old"}


async def test_too_much_that_waits_is_told(
    path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_waiting, "MOST", 3)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for number in range(5):
        database.write_soon(note(str(number), "x"), about=(number,))
    told = await until_state(database, fine=False)
    while "2 more" not in told:
        await asyncio.sleep(0.01)
        told = await until_state(database, fine=False)
    other.execute("ROLLBACK")
    other.close()
    await until_state(database, fine=True)
    assert sorted(rows(path)) == ["2", "3", "4"]


async def test_a_write_that_is_wrong_is_not_tried_for_ever(database: Database) -> None:
    database.write_soon(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"), about=("x",))
    await database.write(note("a", "1"))
    assert database.state is None


@pytest.mark.parametrize("gone", [("",), ("-wal",), ("", "-wal", "-shm")], ids=["file", "log", "all"])
async def test_a_file_that_is_taken_away_is_written_again(
    path: Path, database: Database, gone: tuple[str, ...]
) -> None:
    await database.write(note("before", "1"))
    for suffix in gone:
        os.unlink(f"{path}{suffix}")
    await database.write(note("after", "2"))
    await database.close()
    assert rows(path) == {"before": "1", "after": "2"}
    assert aside(path) == []


@pytest.mark.parametrize("kind", ["database", "garbage", "folder"])
async def test_what_is_put_in_its_place_is_kept_and_not_used(
    path: Path, database: Database, kind: str
) -> None:
    await database.write(note("before", "1"))
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(b"x" * 9000)
    else:
        with sqlite3.connect(f"file:{path}?vfs=unix-none", uri=True) as other:
            other.execute("CREATE TABLE notes (key, value)")
        other.close()
    await database.write(note("after", "2"))
    await database.close()
    assert rows(path) == {"before": "1", "after": "2"}
    assert len(list(path.parent.glob("*.other-*"))) == 1


async def test_one_that_could_not_be_made_anew_is_when_there_is_room(
    path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is damaged while the disk is full."""
    with monkeypatch.context() as patched:
        patched.setattr(database_module, "open_database", Mock(side_effect=OSError(errno.ENOSPC, "full")))

        def damaged(connection: sqlite3.Connection) -> None:
            raise refusal(sqlite3.SQLITE_CORRUPT)

        with pytest.raises(StoreFailed):
            await database.read(damaged, None)
        with pytest.raises(StoreFailed, match="full"):
            await database.write(note("a", "1"))
    await database.write(lambda connection: connection.execute("CREATE TABLE notes (key PRIMARY KEY, value)"))
    assert database.problem is not None
    assert len(aside(path)) == 1
