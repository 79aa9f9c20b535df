"""What served is kept, in order and within bounds, and can be put in place or served again."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import homes
import pytest

from service.host.database import Database
from service.host.files.sources import Snapshot, SourceFile, Unit, unit_of
from service.host.files.tree import SourceTree
from service.host.history import revisions as subject
from service.host.history.blobs import BlobLost, Blobs
from service.host.history.errors import RevisionsNotKept
from service.host.history.revisions import Revisions
from service.model.identity import Identity, PluginType
from service.model.plugin import Origin

DEMO = Identity(PluginType.SEARCH, "demo")
PACK = Identity(PluginType.SEARCH, "pack")
ORIGIN = Origin(kind="upload", sha256="ab")


def unit(path: str) -> Unit:
    found = unit_of(path)
    assert found is not None
    return found


def snapshot(path: str, files: dict[str, str]) -> Snapshot:
    """The snapshot of a plugin as the tree makes it."""
    tree = SourceTree()
    for name, text in files.items():
        content = text.encode()
        tree.apply(name, SourceFile(content, hashlib.sha256(content).hexdigest(), None, "", time.time_ns()))
    return tree.snapshot(unit(path))


def demo(text: str, helper: str = "help") -> Snapshot:
    path = "search/demo_plugin.py"
    return snapshot(
        path, {path: text, "search/demo_requirements.txt": "six\n", "search/shared/tool.py": helper}
    )


@pytest.fixture
async def database(folder: Path) -> AsyncIterator[Database]:
    found = Database(folder / "data" / "plugbay.db")
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def blobs(folder: Path) -> Blobs:
    return Blobs(folder / "data" / "revisions")


async def test_a_revision_comes_back_whole(database: Database, blobs: Blobs) -> None:
    one = Revisions(database, blobs)
    served = demo("a = 1\n")
    await one.remember(DEMO, served, "1.0", ORIGIN)
    (kept,) = await one.list(DEMO)
    assert (kept.revision, kept.version, kept.origin, kept.unit) == (
        served.revision,
        "1.0",
        ORIGIN,
        "search/demo_plugin.py",
    )
    found = await Revisions(database, blobs).last_good("search/demo_plugin.py")
    assert found is not None
    assert found == (kept, served)
    content = await one.content(DEMO, served.revision)
    assert content is not None
    assert content.unit == served.unit
    assert content.origin == ORIGIN
    # Helpers are others' too; they stay as they are.
    assert content.files == {"search/demo_plugin.py": b"a = 1\n", "search/demo_requirements.txt": b"six\n"}
    assert await one.content(DEMO, "0" * 64) is None
    assert await one.content(PACK, served.revision) is None
    assert await one.last_good("search/other_plugin.py") is None


async def test_a_package_with_what_is_no_module(database: Database, blobs: Blobs) -> None:
    one = Revisions(database, blobs)
    main, inner = "search/pack_plugin/__init__.py", "search/pack_plugin/inner.py"
    served = snapshot(main, {main: "from . import inner\n", inner: "x = 1\n"})
    page = {"search/pack_plugin/page.html": b"<p>"}
    one.remember_soon(PACK, served, "2", ORIGIN, others=page)
    content = await one.content(PACK, served.revision)
    assert content is not None
    assert content.unit.is_package
    assert content.files == {main: b"from . import inner\n", inner: b"x = 1\n", **page}
    found = await one.last_good("search/pack_plugin")
    assert found is not None
    assert found[1] == served


async def test_newest_first_and_bounded(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Revisions(database, blobs, kept=3)
    served = [demo(f"a = {number}\n") for number in range(5)]
    for number, each in enumerate(served):
        one.remember_soon(DEMO, each, str(number), ORIGIN)
    one.remember_soon(PACK, demo("b = 1\n"), "", ORIGIN)
    assert [kept.version for kept in await one.list(DEMO)] == ["4", "3", "2"]
    assert len(await one.list(PACK)) == 1
    # One that serves again is the newest again, and there once.
    await one.remember(DEMO, served[2], "2", ORIGIN)
    assert [kept.version for kept in await one.list(DEMO)] == ["2", "4", "3"]
    needed = await one.needs()
    monkeypatch.setattr("service.host.history.blobs._GRACE_S", -60.0)
    # Two were dropped, each with a content of its own.
    assert await blobs.sweep(needed) == 2
    for kept in await one.list(DEMO):
        assert await one.content(DEMO, kept.revision) is not None


async def test_all_plugins_together_are_bounded(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MOST_REVISIONS", 4)
    one = Revisions(database, blobs)
    for number in range(6):
        identity = Identity(PluginType.SEARCH, f"p{number}")
        await one.remember(identity, demo(f"a = {number}\n"), "", ORIGIN)
    counts = [len(await one.list(Identity(PluginType.SEARCH, f"p{number}"))) for number in range(6)]
    assert counts == [0, 0, 1, 1, 1, 1]


async def test_the_newest_again_is_not_written_again(database: Database, blobs: Blobs) -> None:
    one = Revisions(database, blobs)
    served = demo("a = 1\n")
    await one.remember(DEMO, served, "1", ORIGIN)
    (before,) = await one.list(DEMO)
    await one.remember(DEMO, served, "1", ORIGIN)
    assert await one.list(DEMO) == [before]
    # But with another helper it is what falls back now, under the same revision.
    other = demo("a = 1\n", helper="other help")
    assert other.revision == served.revision
    await one.remember(DEMO, other, "1", ORIGIN)
    found = await one.last_good(served.unit.path)
    assert found is not None
    assert found[1] == other
    assert len(await one.list(DEMO)) == 1


async def test_what_fails_now_is_passed_over(database: Database, blobs: Blobs) -> None:
    one = Revisions(database, blobs)
    old, new = demo("a = 1\n"), demo("a = 2\n")
    for each in (old, new):
        await one.remember(DEMO, each, "", ORIGIN)
    found = await one.last_good(new.unit.path, but=new.revision)
    assert found is not None
    assert found[1] == old


async def test_a_content_that_is_lost_costs_its_revision_only(database: Database, blobs: Blobs) -> None:
    one = Revisions(database, blobs)
    old, new = demo("a = 1\n"), demo("a = 2\n")
    for each in (old, new):
        await one.remember(DEMO, each, "", ORIGIN)
    path = blobs.path(new.sha256)
    path.write_bytes(b"damaged")
    with pytest.raises(BlobLost):
        await blobs.get(new.sha256)
    assert await one.content(DEMO, new.revision) is None
    found = await one.last_good(new.unit.path)
    assert found is not None
    assert found[1] == old
    # The same content is kept again when it comes again.
    await one.remember(DEMO, new, "again", ORIGIN)
    assert await one.content(DEMO, new.revision) is not None


async def test_what_was_deleted_does_not_come_back_by_itself(database: Database, blobs: Blobs) -> None:
    one = Revisions(database, blobs)
    served = demo("a = 1\n")
    await one.remember(DEMO, served, "1", ORIGIN)
    await one.retire(served.unit.path)
    assert await one.last_good(served.unit.path) is None
    assert await one.content(DEMO, served.revision) is not None
    await one.remember(DEMO, served, "1", ORIGIN)
    assert await one.last_good(served.unit.path) is not None


async def test_a_full_disk_is_said_to_who_waits(database: Database, blobs: Blobs) -> None:
    one = Revisions(database, blobs)
    with homes.Steps(1, homes.full, on=True):
        with pytest.raises(RevisionsNotKept, match="data/revisions"):
            await one.remember(DEMO, demo("a = 1\n"), "1", ORIGIN)
        # Who does not wait has it kept when there is room.
        one.remember_soon(DEMO, demo("a = 2\n"), "2", ORIGIN)
        await one.flush()
    one.remember_soon(DEMO, demo("a = 3\n"), "3", ORIGIN)
    assert [kept.version for kept in await one.list(DEMO)] == ["3", "2"]
    await one.close()
    await one.close()


async def test_a_content_is_young_though_the_clock_was_set(blobs: Blobs) -> None:
    sha256 = await blobs.put(b"put just now")
    # As after the clock was set forward by a day.
    os.utime(blobs.path(sha256), (0, 0))
    assert await blobs.sweep(set()) == 0
    assert await blobs.get(sha256) == b"put just now"


async def test_what_nobody_waits_for_is_kept_when_there_is_room(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.host.history.notes._RETRY_S", 0.05)
    one = Revisions(database, blobs)
    with monkeypatch.context() as full:
        full.setattr(blobs, "put_now", Mock(side_effect=OSError(errno.ENOSPC, "full")))
        for number in range(3):
            one.remember_soon(DEMO, demo(f"a = {number}\n"), str(number), ORIGIN)
        await one.flush()
        assert await one.list(DEMO) == []
    async with asyncio.timeout(10):
        while len(found := await one.list(DEMO)) < 3:
            await asyncio.sleep(0.01)
    assert [kept.version for kept in found] == ["2", "1", "0"]
    await one.close()


def test_a_large_file_is_kept_in_pieces(blobs: Blobs, folder: Path) -> None:
    content = os.urandom(300_000)
    (folder / "large").write_bytes(content)
    for _ in range(2):
        assert blobs.put_file(folder / "large") == hashlib.sha256(content).hexdigest()
    assert blobs.get_now(hashlib.sha256(content).hexdigest()) == content
    assert len([path for path in blobs.folder.rglob("*") if path.is_file()]) == 1


async def test_what_is_held_back_is_done_or_forgotten(database: Database, blobs: Blobs) -> None:
    one = Revisions(database, blobs)
    first, second = demo("a = 1\n"), demo("a = 2\n")
    await one.remember(DEMO, first, "1", ORIGIN)
    for key in (str(DEMO), first.unit.path):
        hold = one.hold({key})
        one.remember_soon(DEMO, second, "2", ORIGIN)
        if key == first.unit.path:
            await one.retire(first.unit.path)
        one.remember_soon(PACK, snapshot("search/pack_plugin.py", {"search/pack_plugin.py": key}), "", ORIGIN)
        one.drop(hold)
        assert [kept.version for kept in await one.list(DEMO)] == ["1"]
        assert await one.last_good(first.unit.path) is not None
    assert len(await one.list(PACK)) == 2

    hold = one.hold({first.unit.path})
    await one.retire(first.unit.path)
    one.remember_soon(DEMO, second, "2", ORIGIN)
    await one.flush()
    assert [kept.version for kept in await one.list(DEMO)] == ["1"]
    await one.release(hold)
    assert [kept.version for kept in await one.list(DEMO)] == ["2", "1"]
    assert await one.last_good(first.unit.path, but=second.revision) is None
    one.remember_soon(DEMO, first, "1", ORIGIN)
    assert [kept.version for kept in await one.list(DEMO)] == ["1", "2"]


async def test_half_a_content_of_a_killed_process_goes(blobs: Blobs) -> None:
    sha256 = await blobs.put(b"whole")
    half = blobs.path(sha256).with_name(".half.tmp")
    half.write_bytes(b"ha")
    await blobs.start()
    assert not half.exists()
    assert await blobs.get(sha256) == b"whole"
