"""Changes made at random over the API and by hand, and an account of them: what was answered as done has to be there.

What was refused has to be as it was before; what was answered as done is there at the end, after `kill -9` too.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.live import Answer, Live

UNTIL_S = 20.0
# So many changes are told at once.
_LISTED = 200
# A refusal for what a machine lacks, which the one who asked can do nothing about.
REFUSED = {503, 507}

PLUGIN = """\
from service.sdk import ConfigField, SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "{name}"
    version = "{version}"
    description = "says what it is"

    def get_config_schema(self):
        return [ConfigField(name="word", type="text", default="none")]

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=self.version + " " + self.config["word"], url=keyword)]
"""

DOWNLOADS = """\
from service.sdk import DownloadPlugin

class Quick(DownloadPlugin):
    name = "quick"
    version = "1"
    description = "is done at once"
    supported_protocols = ["quick"]

    async def download(self, task):
        await task.checkpoint({"url": task.url})
        return True
"""


def text_of(name: str, version: str) -> str:
    """A plugin that answers its version and the configured word."""
    return PLUGIN.format(name=name, version=version)


class Ledger:
    """See the module.

    Args:
        draw: what chooses.
        names: the plugins that are changed.

    Attributes:
        done: how many changes were answered as done, by kind.
        refused: how many were refused, by code.
        tasks: the ids of those that were answered as begun, in order.
        changes: the ids of those that were answered as done, in order.
    """

    def __init__(self, draw: random.Random, names: tuple[str, ...] = ("ann", "bob", "cyd")) -> None:
        self._draw = draw
        self._names = names
        self._number = 0
        # None: it is not installed.
        self._versions: dict[str, str | None] = dict.fromkeys(names)
        self._words: dict[str, str] = {}
        self._off: set[str] = set()
        self.tasks: list[str] = []
        self.changes: list[str] = []
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def __str__(self) -> str:
        return (
            f"{self.done.total()} done {dict(self.done)}, {self.refused.total()} refused {dict(self.refused)}"
        )

    def word(self, name: str) -> str:
        """What a plugin is configured with."""
        return self._words.get(name, "none")

    def version(self, name: str) -> str | None:
        """The version that is installed, if any is."""
        return self._versions[name]

    def forget_records(self) -> None:
        """The lists of tasks and of changes are lost."""
        self.tasks.clear()
        self.changes.clear()

    def is_on(self, name: str) -> bool:
        """Whether a plugin is there and switched on."""
        return self._versions[name] is not None and name not in self._off

    async def one(self, live: Live) -> None:
        """One change, drawn."""
        name = self._draw.choice(self._names)
        if self._versions[name] is None:
            kinds: list[Callable[[Live, str], Awaitable[None]]] = [self._install, self._download]
        else:
            kinds = [self._edit, self._edit, self._configure, self._toggle, self._download, self._delete]
        await self._draw.choice(kinds)(live, name)

    async def rounds(self, live: Live, count: int) -> None:
        """So many of them."""
        for _ in range(count):
            await self.one(live)

    async def all_kinds(self, live: Live) -> None:
        """Each kind once, of the first plugin, which is there afterwards."""
        name = self._names[0]
        for kind in (self._install, self._edit, self._configure, self._toggle, self._toggle, self._download):
            await kind(live, name)

    async def have(self, live: Live, name: str) -> None:
        """Have a plugin be there and on."""
        if self._versions[name] is None:
            await self._install(live, name)
        if name in self._off:
            await self._toggle(live, name)
        assert self.is_on(name)

    async def check(self, live: Live) -> None:
        """See all that was answered as done be so, and nothing else."""
        mine = {f"search/{name}" for name in self._names}
        plugins = {id: one for id, one in (await live.listed()).items() if id in mine}
        there = {f"search/{name}" for name, version in self._versions.items() if version is not None}
        assert set(plugins) == there
        for name, version in self._versions.items():
            if version is None:
                continue
            source = await live.get(f"/api/plugins/search/{name}/source")
            assert source.body == text_of(name, version), name
            config = (await live.get(f"/api/plugins/search/{name}/config")).body["config"]
            assert config["word"] == self.word(name), name
            plugin = plugins[f"search/{name}"]
            assert plugin["enabled"] is (name not in self._off), name
            if name not in self._off:
                assert plugin["error"] is None, plugin
                assert await live.answer(name) == f"{version} {self._words.get(name, 'none')}"
        await self.check_records(live)

    async def check_records(self, live: Live) -> None:
        """See every task and every change be known."""
        for id in self.tasks:
            assert (await live.get(f"/api/tasks/{id}")).status == 200, id
        page = (await live.get(f"/api/changes?limit={_LISTED}")).body
        assert set(self.changes[-_LISTED:]) <= {one["id"] for one in page["changes"]}
        assert (await live.get("/api/config/export")).status == 200

    async def tasks_end(self, live: Live) -> None:
        """Wait until every task has ended."""
        async with asyncio.timeout(UNTIL_S):
            for id in self.tasks:
                while (await live.get(f"/api/tasks/{id}")).body["status"] not in ("completed", "failed"):
                    await asyncio.sleep(0.02)

    # -- kinds -------------------------------------------------------------------------------------------------------

    async def _install(self, live: Live, name: str) -> None:
        version = self._next()
        form = aiohttp.FormData()
        form.add_field("plugin_type", "search")
        form.add_field("file", text_of(name, version).encode(), filename=f"{name}_plugin.py")
        if self._accounted("install", await live.request("POST", "/api/plugins/install", data=form)):
            self._versions[name] = version

    async def _edit(self, live: Live, name: str) -> None:
        version = self._next()
        path = f"/api/plugins/search/{name}/source"
        if self._accounted("edit", await live.request("PUT", path, data=text_of(name, version).encode())):
            self._versions[name] = version

    async def _configure(self, live: Live, name: str) -> None:
        word = f"word{self._next()}"
        answer = await live.post(f"/api/plugins/search/{name}/config", {"word": word})
        if self._accounted("configure", answer):
            self._words[name] = word

    async def _toggle(self, live: Live, name: str) -> None:
        on = name in self._off
        answer = await live.post(f"/api/plugins/search/{name}/toggle?enabled={str(on).lower()}")
        if self._accounted("toggle", answer):
            self._off ^= {name}

    async def _delete(self, live: Live, name: str) -> None:
        answer = await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": name})
        if self._accounted("delete", answer):
            self._versions[name] = None
            self._words.pop(name, None)
            self._off.discard(name)

    async def _download(self, live: Live, name: str) -> None:
        answer = await live.post("/api/download", {"url": f"quick:{self._next()}", "title": name})
        if self._accounted("download", answer):
            self.tasks.append(answer.body["task"]["id"])

    def _next(self) -> str:
        self._number += 1
        return str(self._number)

    def _accounted(self, kind: str, answer: Answer) -> bool:
        if answer.status == 200:
            self.done[kind] += 1
            if change := answer.body.get("change"):
                self.changes.append(change)
            return True
        assert answer.status in REFUSED, (kind, answer)
        told(answer)
        self.refused[answer.body["code"]] += 1
        return False


def told(answer: Answer) -> None:
    """A refusal says why, and what to do about it."""
    detail: str = answer.body["detail"]
    assert any(word in detail for word in ("try again", "check", "Check", "raise", "Raise", "wait")), answer


async def until_ok(live: Live, part: str, ok: bool = True) -> str:
    """Wait until a part of the server is well, or not; what it says."""
    parts: dict[str, Any] = {}
    try:
        async with asyncio.timeout(UNTIL_S):
            while (parts := (await live.get("/readyz")).body["parts"])[part]["ok"] is not ok:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{part} is not {'well' if ok else 'ill'}: {parts}") from None
    message: str = parts[part]["message"]
    return message


async def until_answer(live: Live, name: str, expected: str) -> None:
    """Wait until a search plugin answers so."""
    answer: Answer | None = None
    try:
        async with asyncio.timeout(UNTIL_S):
            while True:
                answer = await live.search(name)
                if answer.status == 200 and answer.body["results"][0]["title"] == expected:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{name} does not come to answer {expected}: {answer}") from None


def place_download_plugin(home: Path) -> None:
    """Have the plugin that the downloads of a ledger go to."""
    path = home / "plugins/download/quick_plugin.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(DOWNLOADS)
