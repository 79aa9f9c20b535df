"""A server that is ended by `kill -9` in the middle of requests: each of them is done, or was never begun."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.integration.live import Answer, Live, connected, live_server, ready
from tests.integration.server_process import environment, running_server
from tests.registry import Registry
from tests.rounds import SEED

PLUGIN = """\
# /// script
# dependencies = [{dependencies}]
# [tool.plugbay]
# network = [443]
# ///
{imports}
from service.sdk import ConfigField, SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "{name}"
    version = "{version}"
    description = "says what it is made of"
    word = "none"

    def get_config_schema(self):
        return [ConfigField(name="word", type="text", default="none")]

    def set_config(self, config):
        self.word = config.get("word", "none")

    async def start(self):
        (self.data_dir / "started").write_text(self.name)

    async def search(self, keyword, **kwargs):
        kept = self.data_dir / "kept"
        data = kept.read_text() if kept.exists() else "empty"
        return [SearchResult(title=" ".join([self.version, {library}, self.word, data]), url="x:")]
"""

IMPORTED = [f"import{number}" for number in range(10)]
KINDS = (
    "install",
    "update",
    "replace",
    "edit",
    "rollback",
    "delete",
    "purge",
    "config",
    "toggle",
    "import",
    "undelete",
    "unedit",
)
# Those that are there before, and the file beside each.
PLUGINS = (*(kind for kind in KINDS if kind not in ("install", "update", "import")), *IMPORTED)

State = dict[str, Any]


def plugin(name: str, version: str, *, greeting: str | None = None, declares: bool = False) -> str:
    """The text of a plugin, that may use a library and may declare it in itself."""
    return PLUGIN.format(
        name=name,
        version=version,
        dependencies=json.dumps(f"greeting=={greeting}") if declares else "",
        imports="import greeting" if greeting else "",
        library="greeting.VERSION" if greeting else "'alone'",
    )


class Origin:
    """Where `update` comes from; `version` is what it has."""

    def __init__(self) -> None:
        self.version = "1"
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        return web.Response(
            text=plugin("update", self.version, greeting=f"{self.version}.0", declares=True),
            content_type="text/x-python",
        )


@dataclass
class Place:
    """What all servers of a test have in common.

    Attributes:
        changes: the ids of the changes to be undone, by kind.
        edited: the SHA-256 of what `edit` is to replace.
        good: the revision that `rollback` goes back to.
    """

    folder: Path
    origin: Origin
    environ: Mapping[str, str]
    changes: dict[str, str] = field(default_factory=dict)
    edited: str = ""
    good: str = ""

    @asynccontextmanager
    async def server(self, home: Path) -> AsyncIterator[Live]:
        async with running_server(home, environ=self.environ) as server, connected(server) as live:
            await ready(live)
            await settled(live)
            yield live

    def home(self, name: str) -> Path:
        """A copy of the home that all was prepared in."""
        home = self.folder / name / "home"
        shutil.copytree(self.folder / "template", home, symlinks=True)
        return home

    async def ask(self, live: Live, kind: str) -> Answer:
        """Make the request of a kind."""
        id = f"/api/plugins/search/{kind}"
        match kind:
            case "install":
                text = plugin(kind, "1", greeting="1.0")
                return await upload(live, kind, text, requirements="greeting==1.0\n", grant="true")
            case "update":
                return await live.post(f"{id}/update", {})
            case "replace":
                return await upload(live, kind, plugin(kind, "2"), replace="true")
            case "edit":
                headers = {"If-Match": f'"{self.edited}"'}
                return await live.request("PUT", f"{id}/source", data=plugin(kind, "2"), headers=headers)
            case "rollback":
                return await live.post(f"{id}/rollback", {"revision": self.good})
            case "delete" | "purge":
                body = {"plugin_type": "search", "plugin_name": kind, "purge": kind == "purge"}
                return await live.post("/api/plugins/delete", body)
            case "config":
                return await live.request("PUT", f"{id}/config", json={"word": "new"})
            case "toggle":
                return await live.post(f"{id}/toggle?enabled=false")
            case "import":
                entries = {f"search:{name}": {"word": f"new {name}"} for name in IMPORTED}
                return await live.post("/api/config/import", {"config": entries})
            case _:
                return await live.post(f"/api/changes/{self.changes[kind]}/undo")

    async def prepare(self, home: Path) -> None:
        """Make the home that every round begins with."""
        for name in PLUGINS:
            file = home / f"plugins/search/{name}_plugin.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(plugin(name, "1"))
            if name not in IMPORTED:
                (home / f"plugins/search/{name}_requirements.txt").write_text("aiohttp\n")
                (home / f"data/plugins/search/{name}").mkdir(parents=True)
                (home / f"data/plugins/search/{name}/kept").write_text(f"data of {name}")
        (home / "config").mkdir()
        entries = {f"search:{name}": {"word": f"old {name}"} for name in PLUGINS}
        (home / "config/plugins.json").write_text(json.dumps(entries))

    async def live_in(self, live: Live) -> None:
        """Make the changes that the rounds are to undo, update and go back from."""
        url = f"{self.origin.url}update_plugin.py"
        installed = await live.post("/api/plugins/install", {"url": url, "plugin_type": "search"})
        assert installed.status == 200, installed.body
        self.origin.version = "2"
        for kind in ("rollback", "unedit"):
            answer = await live.request(
                "PUT", f"/api/plugins/search/{kind}/source", data=plugin(kind, "broken idea")
            )
            assert answer.status == 200, answer
        body = {"plugin_type": "search", "plugin_name": "undelete", "purge": True}
        assert (await live.post("/api/plugins/delete", body)).status == 200
        await settled(live)
        changes = (await live.get("/api/changes?limit=1000")).body["changes"]
        for kind in ("undelete", "unedit"):
            [self.changes[kind]] = [one["id"] for one in changes if one["plugin"] == f"search/{kind}"]
        self.edited = hashlib.sha256(plugin("edit", "1").encode()).hexdigest()
        revisions = (await live.get("/api/plugins/search/rollback/revisions")).body["revisions"]
        [self.good] = [one["revision"] for one in revisions if one["version"] == "1"]


async def upload(live: Live, name: str, text: str, *, requirements: str = "", **fields: str) -> Answer:
    form = aiohttp.FormData()
    form.add_field("file", text.encode(), filename=f"{name}_plugin.py")
    form.add_field("plugin_type", "search")
    if requirements:
        form.add_field("requirements", requirements.encode(), filename=f"{name}_requirements.txt")
    for key, value in fields.items():
        form.add_field(key, value)
    return await live.post("/api/plugins/install", data=form)


async def settled(live: Live) -> None:
    """Wait until every plugin is what it is to be, and folders that are to be purged are."""
    journal = live.home / "data/journal"
    async with asyncio.timeout(20):
        while (journal.is_dir() and os.listdir(journal)) or any(
            one["state"] in ("loading", "draining") or one["draining"]
            for one in (await live.listed()).values()
        ):
            await asyncio.sleep(0.02)


def tree(folder: Path) -> dict[str, str]:
    """All files below a folder, with their modes and contents."""
    return {
        path.relative_to(folder).as_posix(): f"{path.stat().st_mode & 0o777:o} {path.read_text()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def owner(name: str) -> str:
    """The kind that a file, a folder or a key is about, by the last part of its name."""
    return re.sub(r"(_plugin\.py|_requirements\.txt|\d)", "", re.split(r"[/:]", name)[-1])


async def states(live: Live) -> dict[str, State]:
    """All that counts, by kind; and of what is no kind's, which nobody put there, under `""`."""
    home = live.home
    found: dict[str, State] = {kind: {} for kind in (*KINDS, "")}

    def note(name: str, part: str, key: str, value: object) -> None:
        kind = owner(name)
        found[kind if kind in KINDS else ""].setdefault(part, {})[key] = value

    for path, content in tree(home / "plugins").items():
        note(path, "files", path, content)
    for path, content in tree(home / "data/plugins").items():
        note(path.rpartition("/")[0], "data", path, content)
    for path, content in tree(home / "data/trash").items():
        note(content.rpartition(" ")[2], "trash", path.partition("/")[2], content)
    for key, entry in (await live.get("/api/config/export")).body["config"].items():
        note(key, "config", key, entry)
    for change in reversed((await live.get("/api/changes?limit=1000")).body["changes"]):
        kind = owner(change["plugin"] or "search/import")
        found[kind].setdefault("changes", []).append(
            [change["kind"], change["summary"], change["undoable"], change["undone_by"] is not None]
        )
    shown = ("file", "version", "origin", "enabled", "state", "error", "config_missing")
    for id, one in (await live.listed()).items():
        note(
            id,
            "plugins",
            id,
            {"granted": one["permissions"]["granted"]} | {name: one[name] for name in shown},
        )
        kept = (await live.get(f"/api/plugins/{id}/revisions")).body["revisions"]
        note(id, "revisions", id, [[one["revision"], one["version"], one["current"]] for one in kept])
        answer = await live.search(id.rpartition("/")[2])
        title = answer.body["results"][0]["title"] if answer.status == 200 else answer.body["code"]
        note(id, "answers", id, title)
    return found


def leftovers(home: Path) -> list[str]:
    """What only a change under way has."""
    found = [*(home / "data/journal").glob("*"), *(home / "data/envs/.tmp").glob("*")]
    for folder in ("plugins", "config", "data/plugins", "data/trash", "data/revisions"):
        found += (home / folder).rglob("*.tmp")
    return sorted(str(path.relative_to(home)) for path in found)


@dataclass
class Known:
    """The states before and after all requests, and how many seconds each takes when all are made at once."""

    old: dict[str, State]
    new: dict[str, State]
    seconds: dict[str, float]


async def learn(place: Place) -> Known:
    """Prepare, keep a copy of that for the rounds, and make every request once."""
    home = place.folder / "learning" / "home"
    await place.prepare(home)
    seconds: dict[str, float] = {}
    async with place.server(home) as live:
        await place.live_in(live)
        old = await states(live)
        await settled(live)
        await asyncio.to_thread(shutil.copytree, home, place.folder / "template", symlinks=True)

        async def ask(kind: str) -> None:
            begun = time.monotonic()
            answer = await place.ask(live, kind)
            seconds[kind] = time.monotonic() - begun
            assert answer.status == 200, (kind, answer.body)

        await asyncio.gather(*map(ask, KINDS))
        await settled(live)
        new = await states(live)
        assert leftovers(home) == []
        await live.server.kill()
    assert [kind for kind in KINDS if old[kind] == new[kind]] == []
    assert old[""] == new[""] == {}
    return Known(old, new, seconds)


async def kill_amid(
    place: Place, home: Path, kinds: list[str], known: Known, chance: random.Random
) -> set[str]:
    """Make requests and end the server, each at an instant of its own of the time that it takes; who was answered."""
    answered: set[str] = set()
    before = {kind: known.seconds[kind] * chance.random() for kind in kinds}
    async with place.server(home) as live:
        end = time.monotonic() + max(before.values())

        async def ask(kind: str) -> None:
            await asyncio.sleep(end - before[kind] - time.monotonic())
            try:
                answer = await place.ask(live, kind)
            except (aiohttp.ClientError, ConnectionError):
                return
            assert answer.status == 200, (kind, answer.body)
            answered.add(kind)

        requests = asyncio.gather(*map(ask, kinds))
        await asyncio.sleep(end - time.monotonic())
        await live.server.kill()
        await requests
    return answered


async def look(
    place: Place, home: Path, kinds: list[str], known: Known, answered: set[str]
) -> dict[str, str]:
    """What a server makes of it that is started then: `old` or `new`, by kind."""
    became: dict[str, str] = {}
    async with place.server(home) as live:
        found = await states(live)
        assert leftovers(home) == []
        assert (await live.get("/readyz")).body["status"] == "ready"
        await live.server.kill()
    assert found[""] == {}
    for kind in KINDS:
        old, new = known.old[kind], known.new[kind]
        became[kind] = "new" if found[kind] == new else "old"
        if found[kind] not in (old, new):
            raise AssertionError(f"{kind} is neither:\n{differences(found[kind], old, new)}")
        if kind in answered:
            assert became[kind] == "new", f"{kind} was answered, and is not there"
        if kind not in kinds:
            assert became[kind] == "old", f"{kind} was not asked for"
    return became


def differences(found: State, old: State, new: State) -> str:
    lines = []
    for part in sorted(found.keys() | old.keys() | new.keys()):
        was, is_, wanted = (one.get(part) for one in (old, found, new))
        named = "old" * (is_ == was) + "new" * (is_ == wanted)
        lines.append(f"{part}: {named or f'{is_}, not {was} nor {wanted}'}")
    return "\n".join(lines)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    origin = Origin()
    app = web.Application()
    app.router.add_get("/update_plugin.py", origin.answer)
    with Registry() as registry:
        registry.add("greeting", "1.0")
        registry.add("greeting", "2.0")
        environ = environment(**registry.environment(tmp_path / "uv"), UV_OFFLINE="0")
        async with TestServer(app) as server:
            origin.url = str(server.make_url("/"))
            yield Place(tmp_path, origin, environ)


def rounds(number: int, chance: random.Random) -> Iterator[list[str]]:
    """What is asked for in each round: all at once, and in every third round one thing alone."""
    for count in range(1, number + 1):
        yield [chance.choice(KINDS)] if count % 3 == 0 else list(KINDS)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(2, id="some"),
        pytest.param(150, id="many", marks=[pytest.mark.soak, pytest.mark.timeout(3000)]),
    ],
)
async def test_every_change_is_done_or_was_never_begun(place: Place, number: int) -> None:
    known = await learn(place)
    chance = random.Random(SEED)
    became: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for count, kinds in enumerate(rounds(number, chance), 1):
        home = place.home(str(count))
        answered = await kill_amid(place, home, kinds, known, chance)
        try:
            now = await look(place, home, kinds, known, answered)
        except AssertionError as error:
            raise AssertionError(f"round {count} of PLUGBAY_SEED={SEED}: {error}") from error
        for kind in kinds:
            became[kind].append(now[kind])
        shutil.rmtree(home.parent)
    print({kind: f"{found.count('old')} old, {found.count('new')} new" for kind, found in became.items()})
    ends = [one for found in became.values() for one in found]
    assert {"old", "new"} == set(ends)


async def test_an_entry_that_cannot_be_understood_is_told(tmp_path: Path) -> None:
    entry = tmp_path / "home/data/journal/0123456789abcdef.json"
    entry.parent.mkdir(parents=True)
    entry.write_text("{")
    async with live_server(tmp_path / "home") as live:
        health = (await live.get("/readyz")).body
        assert health["status"] == "degraded"
        assert not health["parts"]["history"]["ok"]
        assert f"data/journal/{entry.name}.corrupt" in health["parts"]["history"]["message"]
    assert entry.with_name(f"{entry.name}.corrupt").read_text() == "{"
