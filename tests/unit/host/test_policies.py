"""What a plugin may do is guessed for a reload, and the guess is looked at: a wrong one never serves."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from service.errors import LoadFailed
from service.host import permissions
from service.host.conversation import load_failed
from service.host.files.sources import Snapshot, source_file, unit_of
from service.host.files.tree import SourceTree
from service.host.generation import Generation
from service.host.policies import Policies
from service.host.workers.sandbox import Place, Sandbox
from service.model.plugin import Stage
from service.model.text import Text
from service.worker.confinement.policy import Policy


class Loaded:
    """Stands for a generation."""

    ended = False

    async def end(self) -> None:
        self.ended = True


class Plugin:
    """One plugin in a home of its own, loaded again and again."""

    def __init__(self, home: Path, sandbox: Sandbox, path: str) -> None:
        unit, tree = unit_of(path), SourceTree()
        assert unit is not None
        tree.apply(path, source_file(b"x = 1\n"))
        self.snapshot: Snapshot = tree.snapshot(unit)
        self.data_dir = home / "data" / "plugins" / unit.short_name
        self._place = Place(unit, home / "plugins" / path, self.data_dir, None)
        self._policies = Policies(cast(Sandbox, self))
        self._sandbox = sandbox
        self.loads: list[Loaded] = []
        self.steps: list[str] = []
        self.failure: LoadFailed | None = None

    def policy(self, *about: Any) -> tuple[Policy, bool]:
        """What the sandbox finds."""
        found = self._sandbox.policy(*about)
        self.steps.append("look")
        return found

    async def load(self, allowed: dict[str, Any] | None = None) -> Loaded:
        asked = {**permissions.allowed(permissions.DEFAULT, None), **(allowed or {})}
        loaded = await self._policies.load(self.snapshot, 1, self._place, asked, {}, self._load)
        return cast(Loaded, loaded)

    def forget(self) -> None:
        self._policies.forget(self.data_dir)

    async def _load(self, policy: Policy) -> Generation:
        self.steps.append("load")
        assert policy.own == (str(self.data_dir),)
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.loads.append(Loaded())
        return cast(Generation, self.loads[-1])


@pytest.fixture
async def plugin(tmp_path: Path) -> Plugin:
    return await of(tmp_path, "search/demo_plugin.py")


async def of(home: Path, path: str) -> Plugin:
    home = await asyncio.to_thread(home.resolve)
    return Plugin(home, await asyncio.to_thread(Sandbox.of_this_kernel, home, home / "downloads"), path)


async def test_a_reload_is_loaded_once(plugin: Plugin) -> None:
    assert [await plugin.load(), await plugin.load(), await plugin.load()] == plugin.loads
    assert not any(one.ended for one in plugin.loads)
    assert plugin.steps == ["look", "load", "load", "look", "load", "look"]


async def test_where_the_folder_has_gone_it_is_made_and_the_plugin_loaded_again(plugin: Plugin) -> None:
    await plugin.load()
    await asyncio.to_thread(shutil.rmtree, plugin.data_dir)
    plugin.steps.clear()
    served = await plugin.load()
    assert plugin.steps == ["load", "look", "load"]
    assert await asyncio.to_thread(plugin.data_dir.is_dir)
    assert [one.ended for one in plugin.loads] == [False, True, False]
    assert served is plugin.loads[-1]


async def test_of_one_that_was_deleted_nothing_is_guessed(plugin: Plugin) -> None:
    await plugin.load()
    await asyncio.to_thread(shutil.rmtree, plugin.data_dir)
    plugin.forget()
    plugin.steps.clear()
    await plugin.load()
    assert plugin.steps == ["look", "load"]


async def test_a_load_that_fails_is_not_tried_again(plugin: Plugin) -> None:
    await plugin.load()
    plugin.steps.clear()
    plugin.failure = load_failed(
        plugin.snapshot, 1, Stage.IMPORT, "broken", Text(zh="坏了", en="it is broken")
    )
    with pytest.raises(LoadFailed, match="broken"):
        await plugin.load()
    assert plugin.steps == ["load", "look"]


async def test_a_folder_that_cannot_be_made_fails_the_load_and_ends_what_was_guessed(plugin: Plugin) -> None:
    await plugin.load()
    await asyncio.to_thread(shutil.rmtree, plugin.data_dir.parent)
    await asyncio.to_thread(plugin.data_dir.parent.write_text, "a file")
    with pytest.raises(LoadFailed) as caught:
        await plugin.load()
    assert caught.value.error.code == "data_dir_unusable"
    assert [one.ended for one in plugin.loads] == [False, True]


@pytest.mark.parametrize("path", ["search/demo_plugin.py", "download/demo_plugin.py"])
async def test_nothing_is_guessed_where_other_folders_are_open(tmp_path: Path, path: str) -> None:
    plugin = await of(tmp_path, path)
    allowed = {} if path.startswith("download") else {"read": [str(tmp_path)]}
    for _ in range(2):
        await plugin.load(allowed)
        await asyncio.to_thread(shutil.rmtree, plugin.data_dir)
    assert plugin.steps == ["look", "load"] * 2
    assert not any(one.ended for one in plugin.loads)
