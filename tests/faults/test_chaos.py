"""Clients and a server with a bad network between them: whatever it does, they end up with the same plugins.

While plugins change, connections are cut, closed, held up, throttled, spoilt, swallowed and frozen at any byte. Then
the network is good again: every client has to come to what the server lists, nothing may have come twice or been left
out, and nothing of all that may stay with the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any

import aiohttp
import pytest

import service.client.feed
from tests.faults.chaos_proxy import KINDS, QUICK, ChaosProxy, Kind, any_of, chaos
from tests.faults.keepers import (
    ClientKeeper,
    CommandKeeper,
    Keeper,
    SocketKeeper,
    StreamKeeper,
)
from tests.integration.live import Live, connected, ready, save, search_plugin, without_passing
from tests.integration.process_tree import open_files
from tests.integration.server_process import environment, running_server
from tests.rounds import SEED, SOAK, sized

SECONDS = sized(4.0, 240.0)
KEEPERS = sized(1, 4)
# The slowest client needs a heartbeat and an answer to it to see that nobody is there.
COMES_BACK_S = 60.0
# A plain request is given up after it by its client.
REQUEST_S = 2.0
FILLER_LINES = 400
# How many plugins are uploaded, again and again.
UPLOADED = 12
# What a server may take more at the end than after a quarter of the time; its event log is full by then in a long run.
GROWTH_KIB = 16 * 1024

pytestmark = [pytest.mark.timeout(sized(180, SECONDS * 3 + 600))]
if SOAK:
    pytestmark.append(pytest.mark.soak)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    home = tmp_path / "home"
    for name in NAMES:
        save(home / f"plugins/search/{name}_plugin.py", search_plugin(name, "0"))
    environ = environment(PLUGBAY_LIVE__HEARTBEAT_S="1", PLUGBAY_LIVE__LOG_EVENTS="100")
    async with running_server(home, environ=environ) as server, connected(server, "**") as live:
        await ready(live)
        yield live
    assert "Traceback" not in live.server.printed, live.server.printed


NAMES = [f"p{number}" for number in range(4)]


async def storm(live: Live, chance: random.Random, seconds: float) -> Counter[str]:
    """Change plugins over the API and by hand for so long."""
    end = monotonic() + seconds
    done: Counter[str] = Counter()
    while monotonic() < end:
        number = monotonic_ns()
        name = chance.choice(NAMES)
        file, path = live.plugins / f"search/{name}_plugin.py", f"/api/plugins/search/{name}"
        kind = chance.choice(["save", "save", "save", "break", "delete", "toggle", "reload"])
        if kind == "save":
            save(file, search_plugin(name, str(number)))
        elif kind == "break":
            save(file, f"def broken(:\n{number}")
        elif kind == "delete":
            file.unlink(missing_ok=True)
        elif kind == "toggle":
            await live.post(f"{path}/toggle?enabled={chance.choice(['true', 'false'])}")
        else:
            await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": name})
        done[kind] += 1
        await asyncio.sleep(chance.random() * 0.08)
    return done


@dataclass
class Requester:
    """Plain requests over a bad network, uploads among them; each has its answer, or an error, in time.

    Attributes:
        may_be: what each uploaded plugin may be by now; `None` is not there.
    """

    live: Live
    url: str
    chance: random.Random
    may_be: dict[str, set[str | None]] = field(default_factory=dict)
    uploads: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0

    async def run(self, end: float) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        while monotonic() < end:
            # A connection for each, so that each has a fault of its own.
            async with aiohttp.ClientSession(self.url, timeout=timeout) as http:
                kind = self.chance.choice(["list", "call", "upload", "upload"])
                try:
                    if kind == "list":
                        await self._note(http.get("/api/plugins"))
                    elif kind == "call":
                        await self._note(
                            http.get(f"/api/search/{self.chance.choice(NAMES)}", params={"keyword": "x"})
                        )
                    else:
                        await self._upload(http)
                except (aiohttp.ClientError, ConnectionError, TimeoutError):
                    self.unanswered += 1

    async def _note(self, request: Any) -> int:
        async with request as response:
            await response.read()
            self.statuses[response.status] += 1
            assert response.status not in (500, 507), await response.text()
            return int(response.status)

    async def _upload(self, http: aiohttp.ClientSession) -> None:
        number = self.uploads.total()
        name = f"h{number % UPLOADED}"
        filler = "".join(f"# {self.chance.random()}\n" for _ in range(FILLER_LINES))
        text = search_plugin(name, str(number)) + filler
        form = aiohttp.FormData()
        form.add_field("file", text.encode(), filename=f"{name}_plugin.py")
        form.add_field("plugin_type", "search")
        form.add_field("replace", "true")
        form.add_field("sha256", hashlib.sha256(text.encode()).hexdigest())
        may_be = self.may_be.setdefault(name, {None})
        try:
            status = await self._note(http.post("/api/plugins/install", data=form))
        except BaseException:
            may_be.add(text)
            self.uploads["without an answer"] += 1
            raise
        if status == 200:
            self.may_be[name] = {text}
        self.uploads["done" if status == 200 else "refused"] += 1

    async def check(self) -> str:
        """What was answered is there, and everything else is there whole or not at all."""
        listed = await self.live.listed()
        for name, may_be in self.may_be.items():
            file = self.live.plugins / f"search/{name}_plugin.py"
            found = file.read_text() if file.exists() else None
            assert found in may_be, name
            plugin = listed.get(f"search/{name}")
            assert (plugin is None) == (found is None), name
            assert plugin is None or plugin["state"] == "active", plugin
        uploads = ", ".join(f"{how} {count}" for how, count in sorted(self.uploads.items()))
        return f"requests {self.statuses.total()} answered, {self.unanswered} not; uploads {uploads}, lost 0, torn 0"


def comparable(plugins: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The plugins without what differs by the moment or the language in which they were asked for."""
    return {
        id: plugin | {"error": plugin["error"] and plugin["error"]["messages"]}
        for id, plugin in without_passing(plugins).items()
    }


async def test_every_client_ends_with_what_the_server_lists(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it does when nobody answers is the same after one second as after twenty.
    monkeypatch.setattr(service.client.feed, "HEARTBEAT_S", 1.0)
    chance = random.Random(SEED)
    before = open_files(live.server.process.pid)
    async with contextlib.AsyncExitStack() as stack:

        async def proxy(*kinds: Kind, **most: int) -> ChaosProxy:
            drawn = any_of(*(kinds or KINDS), **most)
            own = random.Random(chance.random())
            return await stack.enter_async_context(chaos(_port(live), own, drawn))

        keepers: list[Keeper] = []
        proxies: list[ChaosProxy] = []
        for made in [SocketKeeper, StreamKeeper, ClientKeeper] * KEEPERS:
            # Who takes every byte of a stream, and has nothing to answer, is a client that reads as far as can be told.
            reads = made is StreamKeeper
            proxies.append(await proxy(*(kind for kind in KINDS if not (reads and kind == "swallow"))))
            keepers.append(made(proxies[-1].url, random.Random(chance.random())))
        proxies.append(await proxy("none"))
        of_command = proxies[-1]
        keepers.append(CommandKeeper(proxies[-1].url, chance, live.server))
        # An upload is half as long again.
        proxies.append(await proxy(most_sent=12_000))
        requester = Requester(live, proxies[-1].url, random.Random(chance.random()))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(keeper.run()) for keeper in keepers]
            await begun(live, keepers[-1])
            # At its first try it says what is wrong; and it asks only after twenty seconds who is there.
            of_command.draw = any_of(*(KINDS if SOAK else QUICK))
            of_command.cut_all()
            requests = tasks.create_task(requester.run(monotonic() + SECONDS))
            changes = await storm(live, chance, SECONDS / 4)
            memory = resident_kib(live)
            changes += await storm(live, chance, SECONDS * 3 / 4)
            await requests
            for one in proxies:
                one.calm()
            await live.quiet()
            try:
                await all_know(live, keepers)
            except BaseException as error:
                error.add_note(f"PLUGBAY_SEED={SEED}")
                raise
            for task in running:
                task.cancel()
        told = [
            int(one.seq) for one in live.events if one.seq is not None and one.type.startswith("plugbay.")
        ]
        history = [
            one.seq
            for one in live.events
            if one.seq is not None and one.type.startswith(("plugbay.plugin.", "plugbay.generation."))
        ]
        assert told == list(range(told[0], told[-1] + 1))
        for keeper in keepers:
            assert keeper.missed(history) == [], type(keeper).__name__
        told_of_requests = await requester.check()
        # Their sockets are still open here, silent ones too; the server has to let go by itself.
        await let_go(live, before, sum(one.silent for one in proxies))
        grown = resident_kib(live) - memory
        assert grown < GROWTH_KIB, f"{grown} KiB more than after a quarter of the time"
        faults = sum((one.done for one in proxies), Counter())
        print(
            f"chaos: {sum(one.connected for one in proxies)} connections, {faults.total()} faults "
            f"({', '.join(f'{kind} {count}' for kind, count in sorted(faults.items()))}); "
            f"changes {changes.total()}, events {len(told)}, left out 0, twice 0; "
            f"{', '.join(f'{type(one).__name__} {one.connections}/{one.resets}' for one in keepers)}; "
            f"{told_of_requests}; clients that stay 0, memory {grown / 1024:+.1f} MiB"
        )


async def begun(live: Live, keeper: Keeper) -> None:
    """Wait until it has its list, and follows."""
    async with asyncio.timeout(COMES_BACK_S):
        while not keeper.plugins:
            await asyncio.sleep(0.02)
        # What came since its list it is told when it follows.
        save(live.plugins / f"search/{NAMES[0]}_plugin.py", search_plugin(NAMES[0], "begun"))
        while keeper.plugins[f"search/{NAMES[0]}"]["version"] != "begun":
            await asyncio.sleep(0.02)


def resident_kib(live: Live) -> int:
    """The memory of the server's own process."""
    status = Path(f"/proc/{live.server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])


def _port(live: Live) -> int:
    found = re.search(r":(\d+)$", live.server.url)
    assert found is not None
    return int(found[1])


async def all_know(live: Live, keepers: list[Keeper]) -> None:
    deadline = monotonic() + COMES_BACK_S
    while True:
        listed = comparable(await live.listed())
        behind = [one for one in keepers if comparable(one.plugins) != listed]
        if not behind:
            return
        assert monotonic() < deadline, [
            (
                type(one).__name__,
                one.__dict__,
                {id: p for id, p in listed.items() if one.plugins.get(id) != p},
            )
            for one in behind
        ]
        await asyncio.sleep(0.05)


async def let_go(live: Live, before: int, silent: int) -> None:
    """Wait until the server has no client but one, and as many descriptors as before for the same plugins.

    Args:
        live: the one client.
        before: how many descriptors there were.
        silent: connections that fell silent. One that waits for a request is kept for more than a minute, which only a
            long run waits for.
    """
    for file in live.plugins.glob("search/h*_plugin.py"):
        file.unlink()
    for name in NAMES:
        save(live.plugins / f"search/{name}_plugin.py", search_plugin(name, "last"))
        await live.post(f"/api/plugins/search/{name}/toggle?enabled=true")
    allowed = before + sized(silent, 0)
    deadline = monotonic() + sized(20, 180)
    while True:
        listed = await live.listed()
        metrics = (await live.get("/metrics")).body
        clients = re.search(r"^plugbay_clients (\S+)", metrics, re.MULTILINE)
        assert clients is not None
        descriptors = open_files(live.server.process.pid)
        as_before = {one["version"] for one in listed.values()} == {"last"} and len(listed) == len(NAMES)
        if as_before and float(clients[1]) == 1 and descriptors <= allowed:
            return
        # Of a stream that is frozen the system takes a few events before the server can tell.
        await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": NAMES[0]})
        assert monotonic() < deadline, f"{clients[1]} clients, {descriptors} descriptors, {allowed} allowed"
        await asyncio.sleep(0.2)
