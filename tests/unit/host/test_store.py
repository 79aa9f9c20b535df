"""What is answered as kept is kept; a damaged database costs what it held and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.host import database_file, store
from service.host.database import Database
from service.host.database_file import StoreFailed
from service.host.store import Store
from service.model.identity import PluginType
from service.model.plugin import ConfigField, Manifest, Origin

FILE = "plugins/search/demo_plugin.py"
ORIGIN = Origin(kind="url", sha256="ab" * 32, url="https://example.org/demo_plugin.py")


def manifest(name: str = "demo") -> Manifest:
    return Manifest(
        type=PluginType.SEARCH,
        name=name,
        version="1.0",
        description="搜索",
        config_schema=[ConfigField(name="a", type="list", fields=[ConfigField(name="b", default=[1])])],
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "plugbay.db"


async def opened(path: Path) -> Store:
    found = Store(Database(path))
    await found.database.open()
    return found


def aside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob("plugbay.db.corrupt-*"))


async def test_what_is_remembered_survives(path: Path) -> None:
    one = await opened(path)
    assert await one.manifests() == {}
    assert await one.origins() == {}
    one.remember_manifest("h1", manifest())
    one.remember_manifest("h1", manifest("newer"))
    one.remember_manifest("h2", manifest("two"))
    await one.set_origin(FILE, ORIGIN)
    await one.set_origin("plugins/search/gone_plugin.py", Origin(kind="upload", sha256="x"))
    await one.set_origin("plugins/search/gone_plugin.py", None)
    await one.set_origin("plugins/search/never_plugin.py", None)
    await one.database.close()
    await one.database.close()
    two = await opened(path)
    assert await two.manifests() == {"h1": manifest("newer"), "h2": manifest("two")}
    assert await two.origins() == {FILE: ORIGIN}
    assert two.database.problem is None
    await two.database.close()


async def test_many_at_once(path: Path) -> None:
    subject = await opened(path)
    await asyncio.gather(*(subject.set_origin(f"f{number}", ORIGIN) for number in range(200)))
    assert len(await subject.origins()) == 200
    await subject.database.close()


async def test_old_manifests_make_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT_MANIFESTS", 10)
    monkeypatch.setattr(store, "_PRUNE_EVERY", 20)
    subject = await opened(path)
    for number in range(40):
        subject.remember_manifest(f"h{number}", manifest())
        subject.remember_manifest("always", manifest())
    await subject.database.close()
    again = await opened(path)
    kept = await again.manifests()
    assert "always" in kept
    assert "h39" in kept
    assert "h0" not in kept
    assert len(kept) <= 31
    await again.database.close()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "not a database": lambda path: path.write_bytes(b"SQLite format 4\0" + os.urandom(8192)),
    "text": lambda path: path.write_text("{}" * 100),
    "cut": lambda path: os.truncate(path, 5000),
    "zeros": lambda path: path.write_bytes(b"\0" * 8192),
    "page overwritten": lambda path: overwrite(path, 4096 * 1, os.urandom(4096 * 3)),
    "header kept only": lambda path: os.truncate(path, 100),
}


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("kind", DAMAGE)
async def test_a_damaged_database_is_moved_aside(path: Path, kind: str) -> None:
    before = await opened(path)
    for number in range(300):
        before.remember_manifest(f"h{number}", manifest())
    await before.set_origin(FILE, ORIGIN)
    await before.database.close()
    DAMAGE[kind](path)
    after = await opened(path)
    assert after.database.problem is not None
    assert "data/plugbay.db" in after.database.problem.zh
    assert "data/plugbay.db" in after.database.problem.en
    assert len(aside(path)) == 1
    assert aside(path)[0] in after.database.problem.en
    assert await after.origins() == {}
    await after.set_origin(FILE, ORIGIN)
    assert await after.origins() == {FILE: ORIGIN}
    await after.database.close()
    again = await opened(path)
    assert again.database.problem is None
    assert await again.origins() == {FILE: ORIGIN}
    await again.database.close()


async def test_a_folder_in_its_place_is_moved_aside(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "x").write_text("x")
    subject = await opened(path)
    assert subject.database.problem is not None
    assert len(aside(path)) == 1
    await subject.set_origin(FILE, ORIGIN)
    await subject.database.close()


async def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    subject = await opened(path)
    assert subject.database.problem is None
    await subject.set_origin(FILE, ORIGIN)
    await subject.database.close()


async def test_tables_of_somebody_else(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE origins (x)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    subject = await opened(path)
    assert subject.database.problem is not None
    assert await subject.origins() == {}
    await subject.database.close()


@pytest.mark.parametrize("change", ["DROP TABLE {}", "ALTER TABLE {} RENAME TO other"])
@pytest.mark.parametrize("table", ["tasks", "revisions", "revision_files", "changes", "change_needs"])
async def test_a_table_that_is_missing(path: Path, table: str, change: str) -> None:
    before = await opened(path)
    await before.database.close()
    with sqlite3.connect(path) as connection:
        connection.execute(change.format(table))
    connection.close()
    after = await opened(path)
    assert after.database.problem is not None
    assert "revisions and the list of changes" in after.database.problem.en
    assert "保留的插件版本和更改记录" in after.database.problem.zh
    assert len(aside(path)) == 1
    await after.database.close()
    again = await opened(path)
    assert again.database.problem is None
    await again.database.close()


async def test_rows_that_cannot_be_read_are_absent(path: Path) -> None:
    subject = await opened(path)
    await subject.set_origin(FILE, ORIGIN)
    subject.remember_manifest("good", manifest())
    await subject.database.close()
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO manifests VALUES (?, ?, 1)",
            [("a", b"\xff"), ("b", b"{}"), ("c", "text"), ("d", 5), ("e", b'{"type": "other", "name": "x"}')],
        )
        connection.execute("INSERT INTO origins VALUES ('x', '[]')")
    connection.close()
    again = await opened(path)
    assert await again.manifests() == {"good": manifest()}
    assert await again.origins() == {FILE: ORIGIN}
    await again.database.close()


async def test_damage_while_it_is_open(path: Path) -> None:
    subject = await opened(path)
    for number in range(300):
        await subject.set_origin(f"f{number}", ORIGIN)
    await subject.database.close()
    subject = await opened(path)
    # A change by somebody else makes the store's connection read the pages again.
    other = sqlite3.connect(path)
    other.execute("DELETE FROM origins WHERE file = 'f0'")
    other.commit()
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    overwrite(path, 4096, os.urandom(os.path.getsize(path) - 4096))
    assert await subject.origins() == {}
    assert subject.database.problem is not None
    await subject.set_origin(FILE, ORIGIN)
    assert await subject.origins() == {FILE: ORIGIN}
    await subject.database.close()


async def test_a_newer_versions_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    subject = Store(Database(path))
    with pytest.raises(StoreFailed) as caught:
        await subject.database.open()
    assert caught.value.code == "store_too_new"
    assert "9999" in caught.value.text.zh
    await subject.database.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (9999,)
    connection.close()
    assert aside(path) == []


async def test_a_database_that_another_process_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_file, "BUSY_TIMEOUT_S", 0.05)
    subject = await opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreFailed, match="another server"):
        await subject.set_origin(FILE, ORIGIN)
    other.execute("ROLLBACK")
    other.close()
    await subject.set_origin(FILE, ORIGIN)
    assert subject.database.problem is None
    assert aside(path) == []
    await subject.database.close()


async def test_a_path_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    subject = Store(Database(tmp_path / "data" / "plugbay.db"))
    with pytest.raises(StoreFailed, match=r"data/plugbay\.db"):
        await subject.database.open()
    await subject.database.close()


async def test_after_the_close_nothing_hangs(path: Path) -> None:
    subject = await opened(path)
    await subject.database.close()
    with pytest.raises(StoreFailed):
        await subject.set_origin(FILE, ORIGIN)
    with pytest.raises(StoreFailed):
        await subject.origins()
    subject.remember_manifest("h", manifest())


async def test_a_cancelled_caller_does_not_stop_the_others(path: Path) -> None:
    subject = await opened(path)
    first = asyncio.create_task(subject.set_origin("a", ORIGIN))
    second = asyncio.create_task(subject.set_origin("b", ORIGIN))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert "b" in await subject.origins()
    with pytest.raises(asyncio.CancelledError):
        await first
    await subject.database.close()


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [number for number, _ in database_file.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_kill_between_migrations_leaves_the_step_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    good = database_file.migrations()
    monkeypatch.setattr(
        database_file, "migrations", lambda: [*good, (len(good) + 1, "CREATE TABLE t (x); BROKEN;")]
    )
    with pytest.raises(StoreFailed):
        database_file.open_database(path)
    monkeypatch.undo()
    connection, moved = database_file.open_database(path)
    assert moved is None
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "t" not in tables
    connection.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from service.host.database import Database
from service.host.store import Store
from service.model.plugin import Origin
async def main():
    store = Store(Database(Path(sys.argv[1])))
    await store.database.open()
    for number in range(1_000_000):
        await store.set_origin(f"f{number}", Origin(kind="url", sha256="x" * 1000))
        print(number, flush=True)
asyncio.run(main())
"""


async def test_what_was_answered_survives_a_kill(path: Path) -> None:
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _WRITER,
        str(path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(store.__file__).parents[2])},
    )
    assert writer.stdout is not None
    for _ in range(20):
        await writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    await writer.wait()
    answered = 20 + len([line for line in (await writer.stdout.read()).split(b"\n") if line])
    subject = await opened(path)
    assert subject.database.problem is None
    assert answered <= len(await subject.origins()) <= answered + 1
    await subject.database.close()
