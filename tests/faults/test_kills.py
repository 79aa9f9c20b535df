"""`kill -9` at random instants under load: of the server, of the template, of workers. What must survive is counted.

Each life of the server begins on the home that the last one left. In each, a few workers and the template die while
plugins are changed, called and watched; then the server does, and some servers die while they start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

from tests.faults.victims import LIBRARY_VERSIONS, furnish
from tests.faults.watcher import Watcher
from tests.faults.workload import Called, Load
from tests.integration.live import Live, connected, ready
from tests.integration.process_tree import alive, descendants, template_of
from tests.integration.server_process import environment, running_server
from tests.integration.test_killed_changes import leftovers, settled
from tests.registry import Registry
from tests.rounds import SEED, SOAK, sized

LIVES = sized(1, 60)
# Of a life; every life ends with the server's own.
WORKERS, TEMPLATES = sized(7, 4), sized(2, 2)
SECONDS = 1200.0
# A killed worker or template is made up for within this, however busy the machine.
RECOVERS_S = 20.0

pytestmark = [pytest.mark.timeout(sized(180, SECONDS + 300))]
if SOAK:
    pytestmark.append(pytest.mark.soak)


class Kill(NamedTuple):
    """One that was done.

    Attributes:
        what: `server`, `server that stops`, `template` or `worker`.
        at: when, on the clock of `monotonic`.
        plugins: whose workers died by it; None where all did.
    """

    what: str
    at: float
    plugins: set[str] | None


@dataclass
class World:
    """All that outlives a server."""

    home: Path
    environ: dict[str, str]
    mark: str
    chance: random.Random
    load: Load
    watcher: Watcher
    kills: Counter[str]

    @contextlib.asynccontextmanager
    async def server(self) -> AsyncIterator[Live]:
        async with running_server(self.home, environ=self.environ) as server, connected(server) as live:
            await ready(live)
            await settled(live)
            yield live

    def processes(self) -> set[int]:
        """Every process that was started by any server of this world, whoever its parent is by now."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    known = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                    if self.mark.encode() in known or bytes(self.home) in known:
                        found.add(int(entry.name))
        return found

    def plugin_of(self) -> dict[int, str]:
        """The plugin of every worker that has begun to serve."""
        return {
            int(line): file.parent.name
            for file in self.home.glob("data/plugins/*/*/pids")
            for line in file.read_text().split()
        }


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    home = tmp_path / "home"
    furnish(home)
    mark = f"mark-{secrets.token_hex(8)}"
    chance = random.Random(SEED)
    with Registry() as registry:
        for version in LIBRARY_VERSIONS:
            registry.add("greeting", f"{version}.0")
        environ = environment(
            **registry.environment(tmp_path / "uv"),
            UV_OFFLINE="0",
            # Hundreds of deaths in some minutes are no fault of the plugins here.
            PLUGBAY_LIMITS__CRASHES_BEFORE_FAILED="1000",
            PLUGBAY_LIMITS__CRASH_BACKOFF_MAX_S="0.4",
            PLUGBAY_HISTORY__CHANGES="1000",
            # Names that begin like this are handed on to the template.
            PYTHON_MARK_OF_THE_TEST=mark,
        )
        yield World(home, environ, mark, chance, Load(chance), Watcher(), Counter())


async def test_what_was_answered_survives_and_nothing_else_stays(world: World) -> None:
    began = monotonic()
    lives = 0
    try:
        while lives < LIVES and monotonic() - began < SECONDS:
            lives += 1
            await live_and_die(world)
            nothing_is_torn(world)
            if world.chance.random() < 0.4 or lives == 1:
                await die_in_birth(world)
                nothing_is_torn(world)
        await live_to_the_end(world)
    except BaseException as error:
        error.add_note(f"in life {lives} of PLUGBAY_SEED={SEED}, after {dict(world.kills)}")
        raise
    await nobody_stays(world)
    print(summary(world))


def summary(world: World) -> str:
    """What was done and what was found, in one line."""
    kills = ", ".join(f"{what} {count}" for what, count in sorted(world.kills.items()))
    counts = "; ".join(f"{what} {count}" for what, count in sorted(world.load.counts.items()))
    return (
        f"kills: {world.kills.total()} ({kills}); changes lost 0; processes left 0; torn files 0; {counts}; "
        f"events {world.watcher.events} without a gap in {world.watcher.epochs} epochs"
    )


async def live_and_die(world: World) -> None:
    """One life under load, and its end."""
    kills: list[Kill] = []
    async with world.server() as live:
        await world.load.settle(live)
        await nothing_is_left_over(world)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(world.watcher.follow(live.server.url))
            load = tasks.create_task(world.load.run(live))
            whats = ["worker"] * WORKERS + ["template"] * TEMPLATES
            world.chance.shuffle(whats)
            for what in whats:
                await asyncio.sleep(world.chance.random() * 0.4)
                kills.append(kill(world, await template(live), what))
                if world.chance.random() < 0.5:
                    await recovered(live)
            await asyncio.sleep(world.chance.random() * 0.8)
            if world.chance.random() < 0.3:
                # It is on its way down already, and does not get there.
                live.server.process.send_signal(signal.SIGINT)
                kills.append(Kill("server that stops", monotonic(), None))
                await asyncio.sleep(world.chance.random() * 0.4)
            else:
                kills.append(Kill("server", monotonic(), None))
            world.kills[kills[-1].what] += 1
            with contextlib.suppress(ProcessLookupError):
                await live.server.kill()
            await load
        assert "Traceback" not in live.server.printed, live.server.printed
    judge(world, kills)
    await nobody_stays(world)


async def die_in_birth(world: World) -> None:
    """A server that is killed while it starts, and puts right what the last one left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "serve", "--home", str(world.home), "--port", "0"),
        env=world.environ,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    await asyncio.sleep(0.3 + world.chance.random() * 1.2)
    process.kill()
    await process.wait()
    world.kills["server that starts"] += 1
    await nobody_stays(world)


async def nobody_stays(world: World) -> None:
    """Wait until all that the servers started, and what that started, is gone."""
    deadline = monotonic() + RECOVERS_S
    while left := alive(world.processes()):
        assert monotonic() < deadline, {
            pid: [(Path(f"/proc/{pid}") / name).read_bytes() for name in ("cmdline", "stat")] for pid in left
        }
        await asyncio.sleep(0.02)


async def nothing_is_left_over(world: World) -> None:
    """Wait until there is no file that only a change under way has: a start puts right what was left."""
    deadline = monotonic() + RECOVERS_S
    while found := leftovers(world.home):
        assert monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def live_to_the_end(world: World) -> None:
    """A last life without kills: what was there is, every task ends, and the watcher has what the server lists."""
    load = world.load
    async with world.server() as live:
        await load.settle(live)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(world.watcher.follow(live.server.url))
            working = tasks.create_task(load.run(live))
            await asyncio.sleep(0.5)
            load.stopped = True
            await working
            judge(world, [])
            await load.tasks_end(live)
            await settled(live)
            await load.settle(live)
            async with asyncio.timeout(RECOVERS_S):
                while not world.watcher.knows(await live.listed()):
                    await asyncio.sleep(0.05)
            parts = (await live.get("/readyz")).body
            assert parts["status"] == "ready", parts
            watching.cancel()
        assert await live.server.stop() == 0
    assert "Traceback" not in live.server.printed, live.server.printed


async def template(live: Live) -> int:
    """The template, once there is one: the last may just have died."""
    async with asyncio.timeout(RECOVERS_S):
        while True:
            with contextlib.suppress(ValueError, OSError):
                return template_of(live.server.process.pid)
            await asyncio.sleep(0.01)


def kill(world: World, template: int, what: str) -> Kill:
    """End one process; a worker is one that serves, mostly, or any other below the template."""
    if what == "template":
        os.kill(template, signal.SIGKILL)
        world.kills[what] += 1
        return Kill(what, monotonic(), None)
    assert template in world.processes(), "those that stay could not be found"
    owners = world.plugin_of()
    below = sorted(descendants(template))
    serving = [pid for pid in below if pid in owners]
    victim = world.chance.choice(serving if serving and world.chance.random() < 0.8 else below or [template])
    died = {victim, *descendants(victim)}
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    world.kills[what] += 1
    return Kill(what, monotonic(), {owners[pid] for pid in died if pid in owners})


async def recovered(live: Live) -> None:
    """Wait until everything that is to serve does."""
    deadline = monotonic() + RECOVERS_S
    while states := {
        id: one["state"]
        for id, one in (await live.listed()).items()
        if one["state"] not in ("active", "disabled")
    }:
        assert monotonic() < deadline, f"they do not come back: {states}"
        await asyncio.sleep(0.02)


def judge(world: World, kills: list[Kill]) -> None:
    """See that whatever failed did so because a process died that it needed, and with a code that says it."""

    def excused(call: Called) -> bool:
        return any(
            (kill.plugins is None or call.plugin in kill.plugins)
            and call.began - RECOVERS_S < kill.at <= call.ended
            for kill in kills
        )

    counts = world.load.counts
    for call in world.load.calls:
        if call.code == "ok":
            continue
        if call.plugin.startswith(("slot", "packed")) and call.code in (
            "plugin_not_found",
            "plugin_disabled",
        ):
            continue
        assert call.code in ("plugin_crashed", "plugin_unavailable"), call
        assert excused(call), (call, kills)
        counts["calls that lost their worker"] += 1
    # A load that loses its worker, or its template, begins again.
    assert world.load.refused == []
    world.load.calls.clear()
    world.load.refused.clear()


def nothing_is_torn(world: World) -> None:
    """Look at what a server left that was killed, before the next one does."""
    world.load.on_disk(world.home)
    database = world.home / "data/plugbay.db"
    if not database.exists():
        return
    copy = world.home.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in database.parent.glob("plugbay.db*"):
        shutil.copy(file, copy)
    with contextlib.closing(sqlite3.connect(copy / "plugbay.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
