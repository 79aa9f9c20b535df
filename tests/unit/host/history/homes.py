"""A home with plugins in it, changes to be made to it, and what it holds, to be compared.

Run as a program it makes changes in processes of their own, that are ended at given steps of them: see `main`.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from service.errors import PlugbayError
from service.host.configuration.config_store import ConfigStore
from service.host.database import Database
from service.host.history.changeset import Wanted
from service.host.history.history import History
from service.host.store import Store
from service.model.plugin import Origin

OLD_ORIGIN = Origin(kind="url", sha256="aa", url="https://example.org/old_plugin.py")
NEW_ORIGIN = Origin(kind="url", sha256="bb", url="https://example.org/new_plugin.py")
DATA = "data/plugins/search/pack"
KINDS = ("install", "replace", "delete", "later", "config", "undo")


@contextmanager
def in_memory() -> Iterator[Path]:
    """An empty folder, in memory where that can be had: it is not the disk that is tested here."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=fast) as found:
        yield Path(found)


def furnish(home: Path) -> None:
    """A plugin of one file with its requirements, and a package with its data."""
    search = home / "plugins" / "search"
    pack = search / "pack_plugin"
    (pack / "__pycache__").mkdir(parents=True)
    (search / "demo_plugin.py").write_text("old = 1\n")
    os.chmod(search / "demo_plugin.py", 0o640)
    (search / "demo_requirements.txt").write_text("six\n")
    (pack / "__init__.py").write_text("from . import helper\n")
    (pack / "helper.py").write_text("pack = 1\n")
    (pack / "also.py").symlink_to("helper.py")
    (pack / "__pycache__" / "helper.cpython-311.pyc").write_bytes(b"x")
    (home / DATA).mkdir(parents=True)
    (home / DATA / "cache.bin").write_bytes(b"\0cache")
    (home / "config").mkdir()
    entries = {
        "search:demo": {"url": "old", "_enabled": True},
        "search:pack": {"password": "secret", "n": 1.0},
    }
    (home / "config" / "plugins.json").write_text(json.dumps(entries))


def trash_elsewhere() -> None:
    """As if the trash lay in another file system than the data."""
    original = os.rename

    def rename(source: Any, target: Any, **more: Any) -> None:
        if os.path.isdir(source) and ("/trash/" in str(source)) != ("/trash/" in str(target)):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        original(source, target, **more)

    os.rename = rename  # type: ignore[assignment]


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[tuple[History, ConfigStore, Store]]:
    """All parts, as the server makes them; nothing is recovered yet."""
    database = Database(home / "data" / "plugbay.db")
    await database.open()
    config = ConfigStore(home / "config" / "plugins.json", settle_s=0.0)
    await config.load()
    store = Store(database)
    history = History(home, database, config, store)
    try:
        yield history, config, store
    finally:
        await history.close()
        await config.close()
        await database.close()


async def prepare(home: Path, kind: str) -> None:
    """Bring a home to where the change begins."""
    async with opened(home) as (history, _, store):
        await store.set_origin("plugins/search/demo_plugin.py", OLD_ORIGIN)
        await store.set_origin("plugins/search/pack_plugin", OLD_ORIGIN)
        if kind == "undo":
            await change(history, "delete")
    if kind in ("later", "undo"):
        (home / "trash is elsewhere").touch()


async def change(history: History, kind: str, told: Callable[[Any], object] | None = None) -> str | None:
    """Make the change of a kind; returns its id."""
    journal = history.journal
    undoes = None
    if kind == "install":
        wanted = Wanted(
            files={
                "search/new_plugin.py": b"new = 1\n",
                "search/new_requirements.txt": b"idna\n",
                "shared/deep/help.py": b"help = 1\n",
            },
            config={"search:new": {"_granted": {"network": ["*"]}}},
            origins={"plugins/search/new_plugin.py": NEW_ORIGIN},
        )
    elif kind == "replace":
        wanted = Wanted(
            files={
                "search/demo_plugin.py": b"new = 2\n",
                "search/demo_requirements.txt": None,
                "search/pack_plugin/__init__.py": b"new = 3\n",
                "search/pack_plugin/helper.py": b"new = 4\n",
            },
            config={"search:demo": lambda now: {**(now or {}), "_granted": {}}},
            origins={"plugins/search/demo_plugin.py": NEW_ORIGIN},
        )
    elif kind == "later":
        wanted = Wanted(config={"search:pack": None}, folders={DATA: None})
    elif kind == "delete":
        wanted = Wanted(
            files=await journal.files_of("search/pack_plugin", ["search/demo_requirements.txt"]),
            config={"search:pack": None},
            origins={"plugins/search/pack_plugin": None},
            folders={DATA: None},
        )
    elif kind == "config":
        wanted = Wanted(config={"search:pack": {"n": 1}, "search:other": {"_enabled": False}})
    else:
        undoes = (await history.changes.list())[0].id
        wanted = (await journal.undo_of(undoes)).wanted
    later = kind == "later"
    async with journal.performed(
        kind, "search/x", wanted, on_files=told, undoes=undoes, folders_later=later
    ) as done:
        pass
    if later:
        assert done.id is not None
        await journal.finish(done.id)
    return done.id


async def state(home: Path) -> dict[str, Any]:
    """All that counts, as a fresh process finds it; ids of changes as their numbers in the list."""
    async with opened(home) as (history, config, store):
        changes = await history.changes.list()
        names = {one.id: f"change {number}" for number, one in enumerate(changes)}
        return {
            "plugins": tree(home / "plugins"),
            "data": tree(home / "data" / "plugins"),
            "trash": {
                names.get(path.split("/")[0], "?") + "/" + path.partition("/")[2]: content
                for path, content in tree(home / "data" / "trash").items()
            },
            "journal": sorted(os.listdir(home / "data" / "journal"))
            if (home / "data" / "journal").exists()
            else [],
            "config": config.export(),
            "origins": {file: one.sha256 for file, one in (await store.origins()).items()},
            "changes": [
                [one.kind, names.get(one.undoes or ""), names.get(one.undone_by or ""), one.undoable]
                for one in changes
            ],
        }


def tree(folder: Path) -> dict[str, str]:
    """All files and links below a folder with their contents, and folders that are empty."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = f"{path.stat().st_mode & 0o777:o} {path.read_bytes().decode('latin-1')}"
        elif not any(path.iterdir()):
            found[name] = "empty"
    return {name: content for name, content in found.items() if "__pycache__" not in name}


def everything(home: Path) -> dict[str, bytes]:
    """All files of a home, but for contents that nothing refers to; and for the files beside an idle database."""
    return {
        name: path.read_bytes()
        for path in home.rglob("*")
        if path.is_file()
        and not (name := path.relative_to(home).as_posix()).startswith("data/revisions/")
        and not name.endswith("-shm")
        and not (name.endswith("-wal") and path.stat().st_size == 0)
    }


class Steps:
    """Counts everything that changes the disk, and does something at one of them.

    Args:
        at: which, from 1.
        act: what is done there; told the operation, on whatever thread.
        only: the operations that count; all where it is empty.
        on: at every one from there on.
    """

    NAMES = ("open", "fsync", "replace", "rename", "link", "symlink", "unlink", "mkdir", "rmdir", "utime")

    def __init__(self, at: int, act: Callable[[str], None], *, on: bool = False) -> None:
        self.count = 0
        self.names: list[str] = []
        self.at = at
        self.on = on
        self.active = True
        self._act = act
        self._lock = threading.Lock()
        self._originals: dict[str, Any] = {}

    def __enter__(self) -> Steps:
        for name in self.NAMES:
            self._originals[name] = getattr(os, name)
            setattr(os, name, self._counting(name, getattr(os, name)))
        self._originals["transaction"] = Database._transaction
        transaction = Database._transaction

        def counted(database: Database, writes: Any) -> None:
            self.step("transaction")
            transaction(database, writes)
            if not self.on:
                self.step("committed")

        Database._transaction = counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Database._transaction = self._originals.pop("transaction")  # type: ignore[method-assign]
        for name, original in self._originals.items():
            setattr(os, name, original)

    def step(self, name: str) -> None:
        if not self.active:
            return
        with self._lock:
            self.count += 1
            self.names.append(name)
            now = self.count >= self.at if self.on else self.count == self.at
        if now:
            self._act(name)

    def _counting(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            if name != "open" or (len(args) > 1 and args[1] & os.O_CREAT):
                self.step(name)
            return original(*args, **more)

        return counted


def full(name: str) -> None:
    """A disk on which nothing new has room; what is there can be renamed and removed."""
    if name == "transaction":
        raise sqlite3.OperationalError("database or disk is full")
    if name in ("open", "fsync", "link", "symlink", "mkdir"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_only(name: str) -> None:
    """A disk that takes nothing at all."""
    if name == "transaction":
        raise sqlite3.OperationalError("attempt to write a readonly database")
    if name != "committed":
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def in_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """Do something in a forked process; its exit code and what it returned."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            result = work()
            with open(write, "w") as pipe:
                json.dump(result, pipe)
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            raise
        finally:
            os._exit(code)
    os.close(write)
    with open(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), json.loads(text) if text else None


KILLED = 9


def perform(home: Path, kind: str, at: int) -> list[str] | None:
    """Make a change in a process that is ended at a step, if it is given; the names of all steps where it was not."""

    async def run() -> list[str]:
        if (home / "trash is elsewhere").exists():
            trash_elsewhere()
        async with opened(home) as (history, _, _):
            with Steps(at, lambda name: os._exit(KILLED)) as steps:
                await change(history, kind)
        return steps.names

    code, names = in_child(lambda: asyncio.run(run()))
    assert code in (0, KILLED), code
    return names if code == 0 else None


def recover(home: Path, at: int = 0) -> Any:
    """What a fresh process makes of it, and the state then; it is ended too, at a step of its own, if it is given."""

    async def run() -> dict[str, Any]:
        if (home / "trash is elsewhere").exists():
            trash_elsewhere()
        async with opened(home) as (history, _, _):
            with Steps(at, lambda name: os._exit(KILLED)):
                recovered = await history.journal.recover()
            assert await history.journal.recover() == []
            assert history.journal.problems == [], history.journal.problems
            found = [[one.finished, one.left] for one in recovered]
        return {"recovered": found, "state": await state(home)}

    code, result = in_child(lambda: asyncio.run(run()))
    assert code in (0, KILLED), code
    return result


def one_of_each(names: list[str], chance: random.Random) -> list[int]:
    """The numbers of steps: one of each name, those around the transaction that records it, and the last."""
    numbers: dict[str, list[int]] = {}
    for number, name in enumerate(names, 1):
        numbers.setdefault(name, []).append(number)
    around = (numbers["transaction"][-1], numbers["committed"][-1], len(names))
    return sorted({*around, *(chance.choice(found) for found in numbers.values())})


def kill(folder: Path, kind: str, *, every: bool, edited: bool, seed: int) -> dict[str, Any]:
    """End a change at its steps, and recover.

    Args:
        folder: an empty one.
        kind: of the change.
        every: at every step; else at one of each kind of step.
        edited: a file is changed by hand in between; else the recovery is ended too, at another step each time.
        seed: chooses the steps.

    Returns:
        the state before it, the new one, and those that were found with the steps that led to them.
    """
    template = folder / "template"
    furnish(template)
    assert in_child(lambda: asyncio.run(prepare(template, kind)))[0] == 0
    _, old = in_child(lambda: asyncio.run(state(template)))
    untouched = everything(template)
    whole = folder / "whole"
    shutil.copytree(template, whole, symlinks=True)
    names = perform(whole, kind, 0)
    assert names is not None
    new = recover(whole)
    chosen = range(1, len(names) + 1) if every else one_of_each(names, random.Random(f"{seed} {kind}"))
    if edited:
        # Most of the steps before the middle write the entry, so that there is nothing to recover from.
        chosen = range(3, len(names) + 1, 3 if every else max(3, len(names) // 8))
    found: list[dict[str, Any]] = []
    for at in chosen:
        home = folder / str(at)
        shutil.copytree(template, home, symlinks=True)
        ended = perform(home, kind, at) is not None
        begun = any((home / "data" / "journal").glob("*.json"))
        # The same bytes are the same state.
        is_untouched = not begun and not ended and everything(home) == untouched
        first = recover(home, 1 + at * 7 % 23) if begun and not edited else None
        if edited and begun:
            (home / "plugins/search/demo_plugin.py").write_text("by hand\n")
        if not edited or begun:
            last = {"recovered": [], "state": old} if is_untouched else recover(home)
            found.append({**last, "recovered": [*(first or last)["recovered"]]})
        shutil.rmtree(home)
    return {"old": old, "new": new["state"], "names": names, "found": found}


def main(folder: Path, *, every: bool, seed: int) -> None:
    """Do `kill` with all kinds, and write what came of it to `found.json`."""
    # What the children share is not copied for each of them.
    gc.collect()
    gc.freeze()
    gc.disable()
    results = {}
    for name in (*KINDS, "edited"):
        (folder / name).mkdir()
        edited = name == "edited"
        kind = "replace" if edited else name
        results[name] = kill(folder / name, kind, every=every, edited=edited, seed=seed)
    (folder / "found.json").write_text(json.dumps(results))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), every=sys.argv[2] == "every", seed=int(sys.argv[3]))
    except PlugbayError as error:
        sys.exit(str(error))
