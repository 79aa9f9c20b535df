"""The database and `config/plugins.json`, held by others, damaged, replaced or gone: plugins serve all the while."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.faults.ledger import Ledger, place_download_plugin, until_answer, until_ok
from tests.integration.live import Live, live_server, save
from tests.integration.server_process import environment
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

# How long a write waits for whoever holds the database.
BUSY_S = 5.0

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def held(database: Path) -> AsyncIterator[None]:
    """Another process holds the database."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(database)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert await process.stdout.readline() == b"held\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(SEED).randbytes(path.stat().st_size))


def flipped(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        page = file.read(4096)
        file.seek(4096)
        file.write(bytes(byte ^ 0xFF for byte in page))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_text("x")


def gone_with_its_log(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped page": flipped,
    "garbage": garbage,
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "folder": folder,
    "gone": Path.unlink,
    "gone with its log": gone_with_its_log,
    "empty": lambda path: os.truncate(path, 0),
}


class World(NamedTuple):
    """A home, a server on it, and what was answered as done there."""

    home: Path
    live: Live
    ledger: Ledger


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    home = tmp_path_factory.mktemp("records") / "home"
    ledger = Ledger(random.Random(SEED))
    place_download_plugin(home)
    async with live_server(home) as live:
        await ledger.all_kinds(live)
        yield World(home, live, ledger)


async def test_another_process_holds_the_database(world: World) -> None:
    home, live, ledger = world
    refused = ledger.refused["store_busy"]
    holds = sized((BUSY_S + 1.5,), (1.0, 3.0, BUSY_S + 1.5, 12.0) * 4)
    for seconds in holds:
        async with held(home / "data/plugbay.db"):
            began = time.monotonic()
            changes = asyncio.create_task(ledger.rounds(live, 2))
            while time.monotonic() - began < seconds:
                assert (await live.get("/livez")).status == 200
                if ledger.is_on("ann"):
                    assert (await live.search("ann")).status == 200
                await asyncio.sleep(0.2)
        await changes
        await until_ok(live, "store")
        await ledger.rounds(live, 2)
    await ledger.check(live)
    assert ledger.refused["store_busy"] > refused, ledger
    print(f"database: seed {SEED}, held {len(holds)} times, {ledger}; lost 0")


async def test_the_database_is_taken_away(world: World) -> None:
    """All that was in it is in the open file still."""
    home, live, ledger = world
    times = sized(1, 20)
    for number in range(times):
        take_away = gone_with_its_log if number % 2 == 0 else Path.unlink
        take_away(home / "data/plugbay.db")
        await ledger.rounds(live, 3)
        await ledger.check(live)
    await ledger.tasks_end(live)
    print(f"database: taken away {times} times, {ledger}; lost 0")


@pytest.mark.soak
async def test_the_database_is_damaged_while_the_server_is_down(tmp_path: Path) -> None:
    home = tmp_path / "home"
    database = home / "data/plugbay.db"
    ledger = Ledger(random.Random(SEED))
    place_download_plugin(home)
    async with live_server(home) as live:
        await ledger.all_kinds(live)
        await ledger.tasks_end(live)
    damaged = 0
    for kind, damage in DAMAGE.items():
        damage(database)
        async with live_server(home) as live:
            # The lists of what was done are lost and told so; plugins and their configuration are not.
            ledger.forget_records()
            await ledger.check(live)
            if kind not in ("gone", "gone with its log", "empty"):
                assert "was damaged" in await until_ok(live, "store", ok=False), kind
                damaged += 1
            await ledger.rounds(live, 4)
            await ledger.check(live)
            await ledger.tasks_end(live)
    assert len(list(database.parent.glob("plugbay.db.corrupt-*"))) >= damaged
    await refuse_newer(home, database)
    print(f"database: seed {SEED}, damaged {damaged} times, {ledger}; plugins and values lost 0")


async def refuse_newer(home: Path, database: Path) -> None:
    """One that a newer version made is left alone, and the server does not start."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    before = database.read_bytes()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "serve", "--home", str(home), "--port", "0"),
        env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    _, printed = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1, printed.decode()
    assert "newer version" in printed.decode() and "Traceback" not in printed.decode()
    assert database.read_bytes() == before


# -- config/plugins.json -----------------------------------------------------------------------------------------

GOOD = {"search:ann": {"word": "kept"}, "search:gone": {"_enabled": False, "more": [1, {"a": None}]}}
TEXT = json.dumps(GOOD, indent=2).encode()
BAD: dict[str, bytes] = {
    "cut short": TEXT[: len(TEXT) // 2],
    "garbage": bytes(range(256)) * 16,
    "empty": b"",
    "another encoding": TEXT.decode().encode("utf-16"),
    "a list": b"[]",
    "an entry that is none": b'{"search:ann": 1}',
    "wrong types": b'{"search:ann": {"_enabled": "yes"}}',
    "twice the same": b'{"search:ann": {}, "search:ann": {}}',
    "no number": b'{"search:ann": {"word": NaN}}',
    "nested": b'{"a": {"b": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "huge": b'{"a": {"b": "' + b"x" * (17 << 20) + b'"}}',
    "half a pair": b'{"search:ann": {"word": "\\ud800"}}',
}


async def test_the_configuration_file_is_broken(world: World) -> None:
    home, live, ledger = world
    path = home / "config/plugins.json"
    await ledger.have(live, "ann")
    kinds = list(BAD) if SOAK else ["cut short", "garbage", "wrong types", "huge"]
    for kind in kinds:
        path.write_bytes(TEXT)
        await until_config(live, GOOD)
        await until_ok(live, "config")
        path.write_bytes(BAD[kind])
        told = await until_ok(live, "config", ok=False)
        assert "config/plugins.json" in told, (kind, told)
        assert "mend" in told or "Make" in told, (kind, told)
        assert (await live.get("/api/config/export")).body["config"] == GOOD, kind
        assert (await live.answer("ann")).endswith(" kept"), kind
        assert path.read_bytes() == BAD[kind], f"{kind}: it was written over"
    # With the mark that some editors begin a text with, it is good.
    path.write_bytes(b"\xef\xbb\xbf" + TEXT)
    await until_ok(live, "config")
    await until_config(live, GOOD)
    # A change over the API keeps what cannot be understood beside it, and all that was good.
    path.write_bytes(BAD["cut short"])
    await until_ok(live, "config", ok=False)
    answer = await live.post("/api/plugins/search/ann/config", {"word": "new"})
    assert answer.status == 200, answer
    assert json.loads(path.read_bytes()) == GOOD | {"search:ann": {"word": "new"}}
    kept = [one.read_bytes() for one in path.parent.glob("plugins.json.corrupt-*")]
    assert BAD["cut short"] in kept
    # Deleted, or a folder in its place.
    path.unlink()
    await until_config(live, {})
    await until_answer(live, "ann", f"{ledger.version('ann')} none")
    path.mkdir()
    assert "folder" in await until_ok(live, "config", ok=False)
    answer = await live.post("/api/plugins/search/ann/config", {"word": "x"})
    assert (answer.status, answer.body["code"]) == (507, "config_not_saved"), answer
    path.rmdir()
    save(path, TEXT.decode())
    await until_config(live, GOOD)
    print(f"configuration: broken in {len(kinds)} ways; values lost 0, written over 0")


async def test_all_of_it_is_there_after_a_kill_and_a_broken_file(world: World) -> None:
    home, live, ledger = world
    path = home / "config/plugins.json"
    await ledger.have(live, "ann")
    save(path, TEXT.decode())
    await until_config(live, GOOD)
    await until_answer(live, "ann", f"{ledger.version('ann')} kept")
    path.write_bytes(BAD["garbage"])
    await live.server.kill()
    async with live_server(home) as again:
        # The last good values are in force.
        assert (await again.get("/api/config/export")).body["config"] == GOOD
        await until_answer(again, "ann", f"{ledger.version('ann')} kept")
        assert path.read_bytes() == BAD["garbage"]
        await ledger.check_records(again)


async def until_config(live: Live, expected: dict[str, object]) -> None:
    async with asyncio.timeout(20):
        while (await live.get("/api/config/export")).body["config"] != expected:
            await asyncio.sleep(0.02)
