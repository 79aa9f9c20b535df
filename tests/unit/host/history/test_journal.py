"""A change is made whole or not at all, is recorded, and can be undone while nothing came after it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import homes
import pytest
from blockbuster import BlockBuster

from service.errors import PlugbayError
from service.host import atomic
from service.host.configuration.config_store import ConfigStore
from service.host.files.sources import Snapshot, SourceFile, unit_of
from service.host.files.tree import SourceTree
from service.host.history.changes import ChangeNotFound
from service.host.history.changeset import Wanted
from service.host.history.history import History
from service.host.history.journal import ChangeNotSaved, ChangeSuperseded
from service.host.store import Store
from service.model.identity import Identity, PluginType

Parts = tuple[History, ConfigStore, Store]
DEMO = "search/demo_plugin.py"


@pytest.fixture
async def parts(home: Path) -> AsyncIterator[Parts]:
    await homes.prepare(home, "")
    async with homes.opened(home) as found:
        yield found


def files(home: Path) -> dict[str, str]:
    return homes.tree(home / "plugins")


def leftovers(home: Path) -> list[str]:
    """But for temporary files that are cleared away at a start, and by a sweep."""
    found = [path for path in (home / "data" / "journal").glob("*") if not path.name.startswith(".")]
    for folder in ("plugins", "data/plugins", "data/trash"):
        found += (home / folder).rglob(f"*{atomic.TEMPORARY_SUFFIX}")
    return [str(path) for path in found]


@pytest.mark.parametrize("kind", ["install", "replace", "delete", "later", "config"])
async def test_undone_and_done_again(home: Path, parts: Parts, kind: str) -> None:
    history, config, _ = parts
    before, entries = files(home), config.export()
    data = homes.tree(home / homes.DATA)
    id = await homes.change(history, kind)
    assert id is not None
    after, changed_entries = files(home), config.export()
    assert (before, entries) != (after, changed_entries)
    assert leftovers(home) == []
    for _ in range(2):
        undo = await history.journal.undo_of(id)
        assert undo.change.id == id
        async with history.journal.performed("undo", "search/x", undo.wanted, undoes=id) as undone:
            pass
        assert files(home) == before
        assert config.export() == entries
        assert homes.tree(home / homes.DATA) == data
        assert homes.tree(home / "data" / "trash") == {}
        assert not (await history.changes.get(id)).undoable
        with pytest.raises(ChangeSuperseded):
            await history.journal.undo_of(id)
        assert undone.id is not None
        redo = await history.journal.undo_of(undone.id)
        async with history.journal.performed("undo", "search/x", redo.wanted, undoes=undone.id):
            pass
        assert files(home) == after
        assert config.export() == changed_entries
        assert (await history.changes.get(id)).undoable
    assert leftovers(home) == []


async def test_the_list(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    first, second = await homes.change(history, "install"), await homes.change(history, "delete")
    newest, oldest = await history.changes.list()
    assert (newest.id, oldest.id) == (second, first)
    assert oldest.summary == {
        "files": [
            "plugins/search/new_plugin.py",
            "plugins/search/new_requirements.txt",
            "plugins/shared/deep/help.py",
        ],
        "config": ["search:new"],
        "data": False,
    }
    assert newest.summary["data"]
    assert "secret" not in json.dumps(newest.summary)
    assert (await history.changes.list(plugin="search/x", limit=1)) == [newest]
    assert await history.changes.list(plugin="search/other") == []
    with pytest.raises(ChangeNotFound):
        await history.journal.undo_of("0" * 20)


async def test_what_is_so_already_is_no_change(home: Path, parts: Parts) -> None:
    history, config, _ = parts
    wanted = Wanted(
        files={DEMO: b"old = 1\n", "search/not_there.py": None},
        config={"search:demo": {"_enabled": True, "url": "old"}, "search:none": None},
        origins={f"plugins/{DEMO}": homes.OLD_ORIGIN},
        folders={"data/plugins/none": None},
    )
    async with history.journal.performed("install", None, wanted) as done:
        assert done.id is None
    assert await history.changes.list() == []
    # One, one and true are three values.
    async with history.journal.performed("config", None, Wanted(config={"search:pack": {"n": 1}})) as done:
        assert done.id is not None
    assert config.entry("search:pack") == {"n": 1}


async def test_a_block_that_raises(home: Path, parts: Parts) -> None:
    history, config, store = parts
    before, entries, origins = files(home), config.export(), await store.origins()
    told: list[Mapping[str, bytes | None]] = []
    wanted = Wanted(
        files={DEMO: b"new\n", "search/fresh/x_plugin.py": b"x\n", "search/demo_requirements.txt": None},
        config={"search:demo": None},
        origins={f"plugins/{DEMO}": homes.NEW_ORIGIN},
        folders={homes.DATA: None},
    )
    with pytest.raises(ZeroDivisionError):
        async with history.journal.performed("install", None, wanted, on_files=told.append):
            assert (home / "plugins" / DEMO).read_bytes() == b"new\n"
            assert config.export() != entries
            assert not (home / homes.DATA).exists()
            raise ZeroDivisionError
    assert (files(home), config.export(), await store.origins()) == (before, entries, origins)
    assert (home / homes.DATA / "cache.bin").exists()
    assert await history.changes.list() == []
    assert leftovers(home) == []
    assert told == [
        wanted.files,
        {
            DEMO: b"old = 1\n",
            "search/fresh/x_plugin.py": None,
            "search/demo_requirements.txt": b"six\n",
        },
    ]


async def test_listeners_know_before_the_disk(home: Path, parts: Parts, blockbuster: BlockBuster) -> None:
    history, _, _ = parts
    blockbuster.deactivate()  # this listener looks at the disk
    seen = []

    def told(files: Mapping[str, bytes | None]) -> None:
        seen.append({path: (home / "plugins" / path).exists() for path in files})
        if len(seen) == 2:
            raise ValueError("a listener that fails must not keep the files from going back")

    with pytest.raises(ZeroDivisionError):
        async with history.journal.performed(
            "install", None, Wanted(files={"search/a_plugin.py": b"1"}), on_files=told
        ):
            raise ZeroDivisionError
    assert seen == [{"search/a_plugin.py": False}, {"search/a_plugin.py": True}]
    assert not (home / "plugins/search/a_plugin.py").exists()


async def test_an_edit_within_the_block_stays_when_all_else_goes_back(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    wanted = Wanted(files={DEMO: b"new\n", "search/demo_requirements.txt": b"new\n"})
    with pytest.raises(ZeroDivisionError):
        async with history.journal.performed("source", None, wanted):
            (home / "plugins" / DEMO).write_bytes(b"by hand\n")
            raise ZeroDivisionError
    assert (home / "plugins" / DEMO).read_bytes() == b"by hand\n"
    assert (home / "plugins/search/demo_requirements.txt").read_bytes() == b"six\n"
    assert leftovers(home) == []


@pytest.mark.parametrize("at", range(0, 60, 6))
async def test_a_caller_that_is_cancelled(home: Path, parts: Parts, at: int) -> None:
    history, _, _ = parts
    before = await asyncio.to_thread(files, home)
    task = asyncio.create_task(homes.change(history, "replace"))
    loop = asyncio.get_running_loop()
    with homes.Steps(at, lambda name: loop.call_soon_threadsafe(task.cancel)):
        if at == 0:
            task.cancel()
        await asyncio.wait([task])
    done = await history.changes.list()
    assert (await asyncio.to_thread(files, home) == before) is (done == [])
    assert leftovers(home) == []
    await homes.change(history, "install")


async def test_undo_is_refused_where_something_came_after(home: Path, parts: Parts) -> None:
    history, config, store = parts
    id = await homes.change(history, "replace")
    assert id is not None
    changes: list[tuple[Any, Any]] = [
        (lambda: (home / "plugins" / DEMO).write_bytes(b"by hand\n"), f"plugins/{DEMO}"),
        (lambda: (home / "plugins/search/demo_requirements.txt").write_bytes(b"x"), "demo_requirements"),
    ]
    for change, what in changes:
        kept = homes.tree(home / "plugins")
        change()
        with pytest.raises(ChangeSuperseded, match=what):
            await history.journal.undo_of(id)
        for path in (DEMO, "search/demo_requirements.txt"):
            if path in kept:
                (home / "plugins" / path).write_text(kept[path].partition(" ")[2])
            else:
                (home / "plugins" / path).unlink(missing_ok=True)
    undo = await history.journal.undo_of(id)
    whole = config.entry("search:demo")
    await config.restore_all({"search:demo": {**whole, "_enabled": False}})
    with pytest.raises(ChangeSuperseded, match="search:demo"):
        await history.journal.undo_of(id)
    before = files(home)
    # Whoever looked before that is refused too.
    with pytest.raises(ChangeSuperseded, match="search:demo"):
        async with history.journal.performed("undo", None, undo.wanted, undoes=id):
            raise AssertionError("unreachable")
    assert files(home) == before
    await config.restore_all({"search:demo": whole})
    await store.set_origin(f"plugins/{DEMO}", None)
    with pytest.raises(ChangeSuperseded, match=DEMO):
        await history.journal.undo_of(id)


async def test_data_that_is_there_again_is_not_overwritten(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    id = await homes.change(history, "delete")
    assert id is not None
    (home / homes.DATA).mkdir(parents=True)
    await history.journal.undo_of(id)
    (home / homes.DATA / "newer").write_bytes(b"1")
    with pytest.raises(ChangeSuperseded, match=homes.DATA):
        await history.journal.undo_of(id)


async def test_an_expectation_that_does_not_hold(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    for path, expected in ((DEMO, "0" * 64), (DEMO, None), ("search/none.py", "0" * 64)):
        with pytest.raises(ChangeSuperseded):
            async with history.journal.performed(
                "source", None, Wanted(files={path: b"x"}, expected={path: expected})
            ):
                raise AssertionError("unreachable")


async def test_changes_of_the_same_wait_for_each_other(home: Path, parts: Parts) -> None:
    history, config, _ = parts

    async def add(number: int) -> None:
        wanted = Wanted(config={"search:demo": lambda now: {**(now or {}), f"n{number}": number}})
        async with history.journal.performed("config", None, wanted):
            await asyncio.sleep(0)

    await asyncio.gather(*(add(number) for number in range(10)))
    assert {f"n{number}" for number in range(10)} < config.entry("search:demo").keys()
    assert len(await history.changes.list()) == 10
    # Others do not wait.
    async with history.journal.performed("config", None, Wanted(config={"search:demo": None})):
        async with asyncio.timeout(10):
            await homes.change(history, "install")


async def test_data_that_moves_later(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    wanted = Wanted(config={"search:pack": None}, folders={homes.DATA: None})
    async with history.journal.performed("delete", None, wanted, folders_later=True) as done:
        pass
    assert done.id is not None
    assert (home / homes.DATA / "cache.bin").exists()
    assert history.journal.waiting() == {done.id: [homes.DATA]}
    # Undone before it moved: it never does.
    undo = await history.journal.undo_of(done.id)
    async with history.journal.performed("undo", None, undo.wanted, undoes=done.id):
        pass
    await history.journal.finish(done.id)
    assert (home / homes.DATA / "cache.bin").exists()
    assert leftovers(home) == []


async def test_data_that_was_to_move_moves_at_the_next_start(home: Path, parts: Parts) -> None:
    history, config, store = parts
    wanted = Wanted(folders={homes.DATA: None})
    async with history.journal.performed("delete", None, wanted, folders_later=True) as done:
        pass
    second = History(home, store.database, config, store)
    (one,) = await second.journal.recover()
    assert (one.id, one.finished) == (done.id, True)
    assert not (home / homes.DATA).exists()
    assert leftovers(home) == []


async def test_trash_in_another_file_system(home: Path, parts: Parts, tmp_path: Path) -> None:
    history, _, _ = parts
    if os.stat(home).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is one file system only")
    (home / "data/trash").symlink_to(tmp_path)
    (home / homes.DATA / "link").symlink_to("cache.bin")
    data = homes.tree(home / homes.DATA)
    with pytest.raises(ZeroDivisionError):
        async with history.journal.performed("delete", None, Wanted(folders={homes.DATA: None})):
            assert not (home / homes.DATA).exists()
            raise ZeroDivisionError
    assert homes.tree(home / homes.DATA) == data
    assert homes.tree(tmp_path) == {}
    async with history.journal.performed("delete", None, Wanted(folders={homes.DATA: None})) as done:
        pass
    assert done.id is not None
    assert homes.tree(tmp_path / done.id / "0-pack") == data
    assert not (home / homes.DATA).exists()
    undo = await history.journal.undo_of(done.id)
    async with history.journal.performed("undo", None, undo.wanted, undoes=done.id):
        pass
    assert homes.tree(home / homes.DATA) == data
    assert homes.tree(tmp_path) == {}
    assert leftovers(home) == []


async def test_links_are_links_again(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "__init__.py").write_bytes(b"mine\n")
    (home / "plugins/search/linked_plugin").symlink_to(elsewhere)
    before = files(home)
    going = await history.journal.files_of("search/linked_plugin", ["search/linked_plugin/__init__.py"])
    assert going == {"search/linked_plugin": None}
    async with history.journal.performed("delete", None, Wanted(files=going)) as done:
        pass
    assert (elsewhere / "__init__.py").exists()
    assert not (home / "plugins/search/linked_plugin").is_symlink()
    assert done.id is not None
    undo = await history.journal.undo_of(done.id)
    async with history.journal.performed("undo", None, undo.wanted, undoes=done.id):
        pass
    assert files(home) == before


async def test_what_is_no_file(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    (home / "plugins/search/folder_plugin.py").mkdir()
    os.mkfifo(home / "plugins/search/pipe_plugin.py")
    wanted = Wanted(files={"search/folder_plugin.py": b"text", "search/pipe_plugin.py": None})
    with pytest.raises(ZeroDivisionError):
        async with history.journal.performed("delete", None, wanted):
            raise ZeroDivisionError
    assert (home / "plugins/search/folder_plugin.py").is_dir()
    assert stat.S_ISFIFO((home / "plugins/search/pipe_plugin.py").stat().st_mode)
    async with history.journal.performed("delete", None, wanted) as done:
        pass
    assert (home / "plugins/search/folder_plugin.py").read_bytes() == b"text"
    assert not (home / "plugins/search/pipe_plugin.py").exists()
    assert leftovers(home) == []
    assert done.id is not None
    with pytest.raises(ChangeSuperseded, match="cannot be brought back"):
        await history.journal.undo_of(done.id)


async def test_long_names(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    paths = [f"search/{'长' * 80}{letter}_plugin.py" for letter in "ab"]
    for content in (b"1", b"2"):
        async with history.journal.performed("install", None, Wanted(files=dict.fromkeys(paths, content))):
            pass
    assert [(home / "plugins" / path).read_bytes() for path in paths] == [b"2", b"2"]
    assert leftovers(home) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"version":1,"id":"00000000aa","at":"","kind":"delete","plug',
        b"[" * 5000,
        b'{"version":2,"id":"00000000aa","at":"","kind":"x","plugin":null,"summary":{},"changeset":{}}',
        b'{"version":1,"id":"ffffffffff","at":"","kind":"x","plugin":null,"summary":{},"changeset":{}}',
        b'{"version":1,"id":"00000000aa","at":"","kind":"x","plugin":null,"summary":{},"changeset":'
        b'{"files":{"../../etc/passwd":{"before":null,"after":{}}}}}',
        b'{"version":1,"id":"00000000aa","at":"","kind":"x","plugin":null,"summary":{},"changeset":'
        b'{"folders":[{"source":"plugins","target":"data/x"}]}}',
        None,
    ],
    ids=["empty", "half", "deep", "newer", "another's", "outside", "no data", "a folder"],
)
async def test_an_entry_that_cannot_be_understood(home: Path, parts: Parts, text: bytes | None) -> None:
    history, _, _ = parts
    before = files(home)
    entry = home / "data/journal/00000000aa.json"
    entry.parent.mkdir()
    if text is None:
        entry.mkdir()
    else:
        entry.write_bytes(text)
    (entry.parent / f".x.json.123{atomic.TEMPORARY_SUFFIX}").write_bytes(b"{")
    assert await history.start() == []
    (problem,) = history.journal.problems
    assert "00000000aa.json.corrupt" in problem.en
    assert "00000000aa.json.corrupt" in problem.zh
    assert os.listdir(entry.parent) == ["00000000aa.json.corrupt"]
    if text is not None:
        assert (entry.parent / "00000000aa.json.corrupt").read_bytes() == text
    assert files(home) == before
    await homes.change(history, "install")


@pytest.mark.parametrize("disk", [homes.full, homes.read_only], ids=["full", "read only"])
async def test_a_disk_that_gives_up_at_a_step(home: Path, parts: Parts, disk: Any) -> None:
    """At each step in turn, from there on; then it is mended."""
    history, config, store = parts
    before, entries, origins = files(home), config.export(), await store.origins()
    data = homes.tree(home / homes.DATA)
    failed = 0
    for at in range(1, 1000):
        steps = homes.Steps(at, disk, on=True)
        with steps:
            try:
                await homes.change(history, "delete")
            except PlugbayError as error:
                failed += 1
                assert isinstance(error, ChangeNotSaved) or error.code in ("config_not_saved", "store_failed")
                assert "space" in error.text.en
            else:
                break
            if disk is homes.full:
                # Going back takes no room.
                assert files(home) == before
                assert homes.tree(home / homes.DATA) == data
        # The next change first puts right what could not be undone.
        async with history.journal.performed("x", None, Wanted(config={"search:z": {"at": at}})):
            pass
        assert files(home) == before
        assert homes.tree(home / homes.DATA) == data
        assert {key: one for key, one in config.export().items() if key != "search:z"} == entries
        assert await store.origins() == origins
        assert leftovers(home) == []
        assert {one.kind for one in await history.changes.list()} == {"x"}
    assert failed > 30
    assert files(home) != before
    assert await history.changes.list(limit=1) != []
    # What was left to be cleared away is, by now.
    await homes.change(history, "install")
    assert leftovers(home) == []


async def test_a_single_failure_at_a_step(home: Path, parts: Parts) -> None:
    history, config, store = parts
    before, entries, origins = files(home), config.export(), await store.origins()
    failed = 0
    for at in range(1, 1000, 2):
        with homes.Steps(at, homes.read_only) as steps:
            try:
                id = await homes.change(history, "replace")
            except PlugbayError:
                failed += 1
                id = None
        if id is not None:
            # What failed was of no account, or came after it was recorded.
            assert files(home) != before
            undo = await history.journal.undo_of(id)
            async with history.journal.performed("undo", None, undo.wanted, undoes=id):
                pass
        assert (files(home), config.export(), await store.origins()) == (before, entries, origins), at
        assert leftovers(home) == [], at
        if steps.count < at:
            break
    assert failed > 10


async def test_an_undo_that_never_succeeds_blocks_what_comes(home: Path, parts: Parts) -> None:
    history, _, _ = parts
    with homes.Steps(10_000, homes.read_only, on=True) as steps:
        with pytest.raises(ZeroDivisionError):
            async with history.journal.performed("source", None, Wanted(files={DEMO: b"new"})):
                steps.at = 0
                raise ZeroDivisionError
        assert len(history.journal.problems) == 1
        with pytest.raises(ChangeNotSaved):
            await homes.change(history, "install")
    (recovered,) = await History(home, parts[2].database, parts[1], parts[2]).journal.recover()
    assert not recovered.finished
    assert (home / "plugins" / DEMO).read_bytes() == b"old = 1\n"


async def test_bounds_and_sweeping(home: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    _, config, store = parts
    history = History(home, store.database, config, store, changes=3)
    await homes.change(history, "delete")
    assert homes.tree(home / "data/trash") != {}
    await history.sweep()
    assert homes.tree(home / "data/trash") != {}
    for number in range(3):
        async with history.journal.performed("x", None, Wanted(files={"search/z_plugin.py": b"%d" % number})):
            pass
    assert [one.kind for one in await history.changes.list()] == ["x", "x", "x"]
    blobs = [path for path in (home / "data/revisions").rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in blobs)
    await history.sweep()
    assert homes.tree(home / "data/trash") == {}
    # The youngest are spared, whoever needs them.
    assert [path for path in blobs if not path.exists()] == []
    monkeypatch.setattr("service.host.history.blobs._GRACE_S", -60.0)
    await history.sweep()
    wanted = await history.changes.needs("blob")
    assert {path.name for path in blobs if path.exists()} == wanted
    assert len(wanted) < len(blobs)
    (newest, *_) = await history.changes.list()
    await history.journal.undo_of(newest.id)


def served(path: str, text: str) -> Snapshot:
    tree, unit = SourceTree(), unit_of(path)
    assert unit is not None
    tree.apply(path, SourceFile(text.encode(), text, None, "", 1))
    return tree.snapshot(unit)


async def test_what_serves_because_of_a_change_is_a_revision_once_that_is_recorded(
    home: Path, parts: Parts
) -> None:
    history, identity = parts[0], Identity(PluginType.SEARCH, "demo")
    revisions, wanted = history.revisions, Wanted(files={DEMO: b"new = 1\n"})

    async def change(*, fails: bool) -> None:
        async with history.journal.performed("update", str(identity), wanted):
            revisions.remember_soon(identity, served(DEMO, "new = 1\n"), "2", homes.NEW_ORIGIN)
            await revisions.retire(DEMO)
            await revisions.flush()
            assert [one.version for one in await revisions.list(identity)] == ["1"]
            if fails:
                raise RuntimeError

    await revisions.remember(identity, served(DEMO, "old = 1\n"), "1", homes.OLD_ORIGIN)
    with pytest.raises(RuntimeError):
        await change(fails=True)
    assert [one.version for one in await revisions.list(identity)] == ["1"]
    assert await revisions.last_good(DEMO) is not None
    await change(fails=False)
    assert [one.version for one in await revisions.list(identity)] == ["2", "1"]
    assert await revisions.last_good(DEMO) is None


async def test_what_a_killed_process_deleted_does_not_come_back_by_itself(
    home: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, identity = parts[0], Identity(PluginType.SEARCH, "demo")

    async def ended(hold: object) -> None:
        raise ZeroDivisionError

    await history.revisions.remember(identity, served(DEMO, "old = 1\n"), "1", homes.OLD_ORIGIN)
    monkeypatch.setattr(history.revisions, "release", ended)
    with pytest.raises(ZeroDivisionError):
        async with history.journal.performed("delete", str(identity), Wanted(files={DEMO: None})):
            await history.revisions.retire(DEMO)
    assert await history.revisions.last_good(DEMO) is not None
    again = History(home, parts[2].database, parts[1], parts[2])
    (recovered,) = await again.journal.recover()
    assert recovered.finished
    assert [one.version for one in await again.revisions.list(identity)] == ["1"]
    assert await again.revisions.last_good(DEMO) is None
