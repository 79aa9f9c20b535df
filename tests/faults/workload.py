"""What is asked of a server while it is killed, and what must be there afterwards.

Each slot is a plugin that one task changes over the API, one change after the other; so at any instant at most one
change of a slot is without its answer, and what a slot must be like is known but for that one.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import aiohttp

from tests.faults.victims import COUNTED, LIBRARY_VERSIONS, ONCE, RESUMABLE, SAVED, STEADY, slot_text
from tests.integration.live import Answer, Live, save
from tests.integration.test_killed_changes import upload

# Any request is answered by then, on a machine that is busy too.
DEADLINE_S = 30.0
UNDER_WAY = ("pending", "running", "downloading")


class Like(NamedTuple):
    """What a plugin is like."""

    version: str
    word: str = "none"
    enabled: bool = True


# A plugin that is not there.
ABSENT = None
State = Like | None


@dataclass
class Slot:
    """See the module.

    Attributes:
        state: what it is by the last answer.
        attempt: what it is if the change that has no answer yet is done, and the kind of that.
        undo: the id of the last change, and what the slot was before it.
    """

    name: str
    has_library: bool = False
    state: State = ABSENT
    attempt: tuple[str, State] | None = None
    undo: tuple[str, State] | None = None

    @property
    def id(self) -> str:
        return f"search/{self.name}"


class Called(NamedTuple):
    """A call that was made."""

    plugin: str
    began: float
    ended: float
    code: str


class Gone(Exception):
    """The server is no more."""


@dataclass
class Load:
    """All that is asked, over all lives of a server.

    Attributes:
        slots: changed over the API.
        saved: versions of the files that are saved by hand, as they are on the disk.
        tasks: the kind of each task that was begun, by id.
        ended: those of them that were said to have ended, with how.
        changes: ids of changes that were answered.
        calls: those of this life.
        refused: changes of this life that were refused, with when they began and ended.
        counts: of everything, for the summary.
    """

    chance: random.Random
    slots: list[Slot] = field(
        default_factory=lambda: [*(Slot(f"slot{number}") for number in range(4)), Slot("packed", True)]
    )
    saved: dict[str, str] = field(default_factory=lambda: dict.fromkeys(SAVED, "0"))
    tasks: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    refused: list[Called] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    stopped: bool = False
    _version: int = 0

    async def run(self, live: Live) -> None:
        """Ask and ask, until stopped or the server is gone."""
        self.stopped = False
        self.calls.clear()
        self.refused.clear()

        async def until_gone(job: Any, *arguments: Any) -> None:
            try:
                while not self.stopped:
                    await job(live, *arguments)
            except Gone:
                pass

        async with asyncio.TaskGroup() as jobs:
            for slot in self.slots:
                jobs.create_task(until_gone(self._change, slot))
            for name in SAVED:
                jobs.create_task(until_gone(self._save, name))
            for keyword in ("quick", "slow", "slow"):
                jobs.create_task(until_gone(self._call, keyword))
            jobs.create_task(until_gone(self._begin_task))

    # -- one of each ---------------------------------------------------------------------------------------------

    async def _change(self, live: Live, slot: Slot) -> None:
        kind, state, ask = self._draw(slot)
        slot.attempt = (kind, state)
        began = monotonic()
        answer = await self._ask(ask(live))
        slot.attempt = None
        if answer.status == 200:
            change = answer.body["change"]
            # What undoes is a change that is told whole.
            change = change["id"] if isinstance(change, dict) else change
            slot.undo = None if change is None else (change, slot.state)
            if change is not None:
                self.changes.append(change)
            slot.state = state
            self.counts["changes answered"] += 1
        else:
            self.refused.append(Called(slot.name, began, monotonic(), f"{kind}: {code_of(answer)}"))
        await asyncio.sleep(self.chance.random() * 0.1)

    def _draw(self, slot: Slot) -> tuple[str, State, Any]:
        """A change of a slot: its kind, what the slot is afterwards, and how it is asked for."""
        path, was = f"/api/plugins/{slot.id}", slot.state
        kinds = ["install"] if was is ABSENT else ["replace", "edit", "edit", "config", "toggle", "delete"]
        if slot.undo is not None:
            kinds.append("undo")
        kind = self.chance.choice(kinds)
        self._version += 1
        version = str(self._version)
        text = slot_text(
            slot.name, version, self.chance.choice(LIBRARY_VERSIONS) if slot.has_library else None
        )
        if kind == "undo":
            assert slot.undo is not None
            change, before = slot.undo
            return kind, before, lambda live: live.post(f"/api/changes/{change}/undo")
        if was is ABSENT:
            return kind, Like(version), lambda live: upload(live, slot.name, text)
        match kind:
            case "replace":
                new = was._replace(version=version)
                return kind, new, lambda live: upload(live, slot.name, text, replace="true")
            case "edit":
                new = was._replace(version=version)
                return kind, new, lambda live: live.request("PUT", f"{path}/source", data=text)
            case "config":
                new = was._replace(word=version)
                return kind, new, lambda live: live.request("PUT", f"{path}/config", json={"word": version})
            case "toggle":
                on = not was.enabled
                new = was._replace(enabled=on)
                return kind, new, lambda live: live.post(f"{path}/toggle?enabled={str(on).lower()}")
        body = {"plugin_type": "search", "plugin_name": slot.name}
        return kind, ABSENT, lambda live: live.post("/api/plugins/delete", body)

    async def _save(self, live: Live, name: str) -> None:
        self._version += 1
        version = self.saved[name] = str(self._version)
        save(live.plugins / f"search/{name}_plugin.py", slot_text(name, version))
        deadline = monotonic() + DEADLINE_S
        while (plugin := await self._ask(live.get(f"/api/plugins/search/{name}"))).body["version"] != version:
            assert monotonic() < deadline, f"{version} of {name} does not come to serve: {plugin.body}"
            await asyncio.sleep(0.02)
        self.counts["saves served"] += 1
        await asyncio.sleep(self.chance.random() * 0.15)

    async def _call(self, live: Live, keyword: str) -> None:
        name = self.chance.choice([STEADY, STEADY, *SAVED, *(slot.name for slot in self.slots)])
        began = monotonic()
        answer = await self._ask(live.search(name, keyword))
        self.calls.append(Called(name, began, monotonic(), code_of(answer)))
        self.counts["calls"] += 1
        await asyncio.sleep(0.01)

    async def _begin_task(self, live: Live) -> None:
        kind = self.chance.choice(["search", RESUMABLE, ONCE])
        if kind == "search":
            answer = await self._ask(live.post("/api/search", {"keyword": "slow"}))
        else:
            answer = await self._ask(live.post("/api/download", {"url": f"{kind}:x", "title": kind}))
        if answer.status in (200, 202):
            self.tasks[answer.body["task_id"] if kind == "search" else answer.body["task"]["id"]] = kind
        else:
            self.refused.append(Called(kind, monotonic(), monotonic(), f"task: {code_of(answer)}"))
        id = self.chance.choice(list(self.tasks)) if self.tasks else None
        if id is not None and id not in self.ended:
            task = (await self._ask(live.get(f"/api/tasks/{id}"))).body
            if task["status"] not in UNDER_WAY:
                self.ended[id] = task["status"]
        await asyncio.sleep(self.chance.random() * 0.5)

    async def _ask(self, request: Any) -> Answer:
        """The answer to a request.

        Raises:
            Gone: the server is no more.
            AssertionError: there is none within the deadline.
        """
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer: Answer = await request
                return answer
        except TimeoutError:
            raise AssertionError(f"no answer within {DEADLINE_S:g} s") from None
        except (aiohttp.ClientError, ConnectionError):
            raise Gone from None

    # -- afterwards ----------------------------------------------------------------------------------------------

    def on_disk(self, home: Path) -> None:
        """See that no file of a server that is gone is written by half."""
        for path in (home / "plugins").glob("*/*.py"):
            text = path.read_text()
            # Every text ends like this; and each is made of its name and its version, which it contains.
            if path.parent.name == "search":
                found = re.search(r'version = "(\d+)"', text)
                name = path.stem.removesuffix("_plugin")
                library = re.search(r"greeting==(\d+)", text)
                assert found is not None, (path, text)
                assert text == slot_text(name, found[1], int(library[1]) if library else None), path
        config = home / "config/plugins.json"
        if config.exists():
            assert isinstance(json.loads(config.read_text()), dict)

    async def settle(self, live: Live) -> None:
        """See that every change that was answered is there, and every other one is there whole or not at all."""
        listed = await live.listed()
        config = (await live.get("/api/config/export")).body["config"]
        for slot in self.slots:
            found = await observe(live, slot, listed.get(slot.id), config)
            kind, attempted = slot.attempt or ("nothing", slot.state)
            assert found in (slot.state, attempted), (
                f"{slot.name} was {slot.state}, then {kind} to {attempted} was asked for, and it is {found}"
            )
            if slot.attempt is not None:
                self.counts["unanswered, done" if found == attempted else "unanswered, not begun"] += 1
                slot.attempt = slot.undo = None
            slot.state = found
        for name, version in self.saved.items():
            plugin = listed[f"search/{name}"]
            assert (plugin["version"], plugin["state"]) == (version, "active"), plugin
        kept = {one["id"] for one in (await live.get("/api/changes?limit=1000")).body["changes"]}
        missing = [change for change in self.changes[-100:] if change not in kept]
        assert missing == [], "changes that were answered are not in the history"

    async def task_states(self, live: Live) -> dict[str, dict[str, Any]]:
        """Every task that was begun; each is there."""
        found = {}
        for id in self.tasks:
            answer = await live.get(f"/api/tasks/{id}")
            assert answer.status == 200, (id, answer)
            found[id] = answer.body
        return found

    async def tasks_end(self, live: Live) -> None:
        """See that every task ends, and as the contract says."""
        deadline = monotonic() + 60
        while True:
            tasks = await self.task_states(live)
            left = [one for one in tasks.values() if one["status"] in UNDER_WAY]
            if not left:
                break
            assert monotonic() < deadline, f"tasks that do not end: {left}"
            await asyncio.sleep(0.1)
        for id, task in tasks.items():
            kind, status, problem = self.tasks[id], task["status"], task["problem"]
            self.counts[f"{kind} {status}"] += 1
            assert self.ended.get(id, status) == status, (self.ended[id], task)
            if kind == RESUMABLE:
                assert status == "completed", task
            if status == "completed" and kind != "search":
                assert Path(live.home / task["save_path"]).read_text() == COUNTED, task
            if status == "failed":
                lost = {"server_stopped", "plugin_crashed", "search_failed", "plugin_unavailable"}
                assert problem["code"] in lost, task
            assert status in ("completed", "failed"), task


def code_of(answer: Answer) -> str:
    """How a request went: `ok`, or the code of its problem."""
    if answer.status < 300:
        return "ok"
    assert isinstance(answer.body, dict), answer
    code: str = answer.body["code"]
    return code


async def observe(live: Live, slot: Slot, plugin: dict[str, Any] | None, config: dict[str, Any]) -> State:
    """What a slot is, by its file, its entry, its configuration and its answer, which must agree."""
    file = live.plugins / f"search/{slot.name}_plugin.py"
    entry = config.get(f"search:{slot.name}")
    if plugin is None:
        assert not file.exists(), f"{file} is there, and nobody lists it"
        assert entry is None, f"{slot.name} is gone, and its configuration is not: {entry}"
        return ABSENT
    found = Like(plugin["version"], (entry or {}).get("word", "none"), plugin["enabled"])
    assert f'version = "{found.version}"' in file.read_text(), f"{plugin} is not what {file} holds"
    assert plugin["state"] == ("active" if found.enabled else "disabled"), plugin
    if found.enabled:
        assert await live.answer(slot.name) == f"{found.version} {found.word}"
    return found
