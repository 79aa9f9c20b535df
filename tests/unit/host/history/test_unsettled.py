"""Changes that a full disk stops halfway: undone with the room that is kept for it, or by itself when there is some."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import homes
import pytest

from service.errors import PlugbayError
from service.host import atomic
from service.host.configuration.config_store import ConfigStore
from service.host.database import StoreFailed
from service.host.history.changeset import Wanted
from service.host.history.errors import ChangeNotSaved
from service.host.history.history import History
from service.host.store import Store
from service.model.text import Text

Parts = tuple[History, ConfigStore, Store]
FULL = StoreFailed(Text(zh="满了", en="full"))


@pytest.fixture
async def parts(home: Path) -> AsyncIterator[Parts]:
    await homes.prepare(home, "")
    async with homes.opened(home) as found:
        await found[0].start()
        yield found


def no_room(patched: pytest.MonkeyPatch, unless: Path | None) -> None:
    """No file can be written; but where a path is not there any more, which takes up room."""
    write = atomic.write_now

    def refused(path: Path, data: bytes, **more: Any) -> None:
        if path.name == "plugins.json" and (unless is None or unless.exists()):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data, **more)

    patched.setattr(atomic, "write_now", refused)


async def stopped(parts: Parts, unless: Path | None) -> pytest.MonkeyPatch:
    """A deletion of which no record could be made, on a disk that has become full."""
    history = parts[0]
    patched = pytest.MonkeyPatch()

    async def record(*_: object, **__: object) -> None:
        no_room(patched, unless)
        raise FULL

    patched.setattr(history.changes, "record", AsyncMock(side_effect=record))
    with pytest.raises(PlugbayError, match="full"):
        await homes.change(history, "delete")
    return patched


async def test_there_is_room_to_undo(home: Path, parts: Parts) -> None:
    history, config, _ = parts
    before, entries, reserve = homes.tree(home / "plugins"), config.export(), home / "data/reserve"
    assert reserve.stat().st_blocks * 512 >= 1 << 20
    patched = await stopped(parts, unless=reserve)
    patched.undo()
    assert (homes.tree(home / "plugins"), config.export()) == (before, entries)
    assert history.journal.problems == []
    assert os.listdir(home / "data/journal") == []
    assert reserve.exists()


async def test_without_it_nothing_begins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await homes.prepare(home, "")
    before = homes.tree(home / "plugins")
    monkeypatch.setattr(os, "posix_fallocate", Mock(side_effect=OSError(errno.ENOSPC, "No space")))
    async with homes.opened(home) as (history, _, _):
        await history.start()
        with pytest.raises(ChangeNotSaved, match="space"):
            async with history.journal.performed("x", None, Wanted(files={"search/z_plugin.py": b"z"})):
                pass
    assert homes.tree(home / "plugins") == before


async def test_what_could_not_be_undone_is_by_itself(
    home: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.host.history.unsettled._RETRY_S", 0.05)
    history, config, _ = parts
    before, entries = homes.tree(home / "plugins"), config.export()
    patched = await stopped(parts, unless=None)
    (problem,) = history.journal.problems
    assert "tried again by itself" in problem.en
    assert config.export() != entries
    patched.undo()
    async with asyncio.timeout(10):
        while history.journal.problems:
            await asyncio.sleep(0.01)
    assert (homes.tree(home / "plugins"), config.export()) == (before, entries)
    assert os.listdir(home / "data/journal") == []
