"""Descriptors, events or processes run out, or the clock is set: what serves goes on, and all comes by itself."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import os
import random
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.faults.clock import Clock
from tests.faults.ledger import UNTIL_S, Ledger, place_download_plugin, text_of, until_answer, until_ok
from tests.integration.live import Live, Seen, live_server, save, search_plugin
from tests.integration.process_tree import descendants
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

NAMES = ["ann", "bob", "cyd"]
DAY_S = 86_400
SEARCH_S = 2.0
TOKEN = "a-token-of-the-tests-0123456789"
SLOW = search_plugin("slow", imports="import asyncio, os", expression="str(os.getpid())").replace(
    "        return [", "        await asyncio.sleep(float(keyword))\n        return ["
)


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    """The server's."""
    return Clock(tmp_path_factory.mktemp("clock"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("machine") / "home"
    for name in NAMES:
        save(home / f"plugins/search/{name}_plugin.py", text_of(name, "0"))
    save(home / "plugins/search/slow_plugin.py", SLOW)
    place_download_plugin(home)
    settings = {
        # So that it looks at its folder while it lacks what that takes.
        "PLUGBAY_WATCH__SCAN_S": "1",
        "PLUGBAY_LIMITS__SEARCH_S": str(SEARCH_S),
        "PLUGBAY_LIMITS__CRASHES_BEFORE_FAILED": "1000",
        # It grows with every crash, and there is one for each time that the clock is set.
        "PLUGBAY_LIMITS__CRASH_BACKOFF_MAX_S": "1",
        "PLUGBAY_SERVER__TOKEN": TOKEN,
    }
    async with live_server(home, **settings, **clock.environ) as live:
        await live.rpc("subscribe", {"topics": ["tasks/**"]})
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> Live:
    for name in NAMES:
        save(server.plugins / f"search/{name}_plugin.py", text_of(name, "0"))
    for name in NAMES:
        await until_answer(server, name, "0 none")
    server.events.clear()
    return server


def worked_s(pid: int) -> float:
    """The processor time that a process has taken, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def no_descriptors(pid: int, spare: int) -> Iterator[None]:
    """A process may have so many more open files than it has now."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    # The kernel gives the lowest number that is free, so the holes count as well.
    free = [number for number in range(opened[-1] + spare + 2) if number not in set(opened)]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[spare], before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def connected(live: Live) -> asyncio.StreamWriter | None:
    """One more connection; None where it is refused."""
    try:
        return (await asyncio.open_connection("127.0.0.1", int(live.server.url.rpartition(":")[2])))[1]
    except OSError:
        return None


async def test_no_descriptors_are_left(live: Live) -> None:
    pid = live.server.process.pid
    rounds = 0
    for _ in range(sized(1, 20)):
        rounds += 1
        version = f"fd{rounds}"
        log_before, after = len(live.server.printed), len(live.events)
        async with aiohttp.ClientSession() as http:
            with no_descriptors(pid, spare=2):
                idle = [await connected(live) for _ in range(8)]
                waiting = [asyncio.create_task(status_of(http, live)) for _ in range(5)]
                save(live.plugins / "search/ann_plugin.py", text_of("ann", version))
                began_s, worked_before = asyncio.get_running_loop().time(), worked_s(pid)
                told = await until_ok(live, "descriptors", ok=False)
                assert "ulimit -n" in told
                while asyncio.get_running_loop().time() < began_s + sized(2.5, 4.0):
                    for name in NAMES:
                        assert (await live.search(name)).status == 200
                    await asyncio.sleep(0.05)
                lasted_s = asyncio.get_running_loop().time() - began_s
                # A loop that spins takes all of it.
                assert worked_s(pid) - worked_before < 0.6 * lasted_s
                assert set(await live.listed()) >= {f"search/{name}" for name in NAMES}
                gone = [one for one in live.events[after:] if one.kind in ("unloaded", "crashed")]
                assert not gone, gone
            for writer in idle:
                if writer is not None:
                    writer.close()
            assert await asyncio.gather(*waiting) == [200] * len(waiting)
        await until_answer(live, "ann", f"{version} none")
        await until_ok(live, "descriptors")
        await until_ok(live, "watcher")
        log = live.server.printed[log_before:].splitlines()
        assert len(log) < 60, "\n".join(log[:80])
    print(f"descriptors: {rounds} times none left; plugins lost 0, calls refused 0")


async def status_of(http: aiohttp.ClientSession, live: Live) -> int:
    async with http.get(f"{live.server.url}/livez", timeout=aiohttp.ClientTimeout(total=UNTIL_S)) as answer:
        return answer.status


# -- inotify -----------------------------------------------------------------------------------------------------
# That no watch is to be had changes what the whole machine has: see tests/integration/test_watching.py.


async def test_more_events_come_than_the_queue_holds(live: Live) -> None:
    """The server stands still meanwhile, as a machine does that is busy; then the last state of everything serves."""
    draw = random.Random(SEED)
    for number in range(1, sized(1, 20) + 1):
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        log_before = len(live.server.printed)
        live.server.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(storm, live.plugins / "search", most)
            names = draw.sample(NAMES, draw.randint(1, len(NAMES)))
            for name in names:
                save(live.plugins / f"search/{name}_plugin.py", text_of(name, f"storm{number}"))
            save(live.plugins / f"search/new{number}_plugin.py", text_of(f"new{number}", "1"))
            if number > 1:
                (live.plugins / f"search/new{number - 1}_plugin.py").unlink()
            save(live.home / "config/plugins.json", json.dumps({"search:ann": {"word": f"storm{number}"}}))
        finally:
            live.server.process.send_signal(signal.SIGCONT)
        for name in names:
            word = f"storm{number}" if name == "ann" else "none"
            await until_answer(live, name, f"storm{number} {word}")
        await until_word(live, f"storm{number}")
        await until_answer(live, f"new{number}", "1 none")
        async with asyncio.timeout(UNTIL_S):
            while f"search/new{number - 1}" in await live.listed():
                await asyncio.sleep(0.05)
            # The kernel says so behind all that it kept.
            while "watch.events_lost" not in live.server.printed[log_before:]:
                await asyncio.sleep(0.05)
    (live.plugins / f"search/new{number}_plugin.py").unlink()
    (live.home / "config/plugins.json").unlink()
    await until_word(live, "none")
    print(f"inotify: {number} times events were lost; changes missed 0")


async def until_word(live: Live, word: str) -> None:
    """Wait until the first plugin has a configuration, whatever its version is by then."""
    async with asyncio.timeout(UNTIL_S):
        while not (await live.answer("ann")).endswith(f" {word}"):
            await asyncio.sleep(0.05)


def storm(folder: Path, count: int) -> None:
    """More events than so many; each other one is of another file, as the kernel merges two that are the same."""
    paths = [folder / "one.txt", folder / "two.txt"]
    for _ in range(count // 4 + 100):
        for path in paths:
            path.touch()
            path.unlink()


# -- the time of day ---------------------------------------------------------------------------------------------


async def now(live: Live) -> datetime:
    """The time of day as the server has it."""
    return datetime.fromisoformat((await live.get("/api/config/export")).body["timestamp"])


async def test_the_clock_is_set(live: Live, clock: Clock) -> None:
    """What is measured and what is ordered does not notice."""
    if not clock.environ:
        pytest.skip("there is no C compiler, which the clock that can be set is made with")
    draw = random.Random(SEED)
    ledger = Ledger(draw, ("dan", "eva"))
    shifts = [0, -DAY_S, DAY_S, 0, *(draw.randint(-DAY_S, DAY_S) for _ in range(sized(0, 20)))]
    for before_s, shift in itertools.pairwise(shifts):
        began = await now(live)
        call = asyncio.create_task(live.search("slow", "1"))
        hanging = asyncio.create_task(live.search("slow", "60"))
        # Both are under way, as another one that came after them has ended.
        assert (await live.search("slow", "0.1")).status == 200
        since = time.monotonic()
        clock.set(shift)
        moved = (await now(live)) - began
        assert abs(moved - timedelta(seconds=shift - before_s)) < timedelta(seconds=60), (
            "the clock was not set"
        )
        await ledger.rounds(live, sized(6, 15))
        assert (await call).status == 200
        late = await hanging
        assert (late.status, late.body["code"]) == (504, "plugin_timeout"), late
        assert time.monotonic() - since < 15, "a deadline waited for the clock"
        # A worker that crashes comes back after a back-off of seconds, not of a day.
        answer = await live.search("slow", "0")
        after = len(live.events)
        os.kill(int(answer.body["results"][0]["title"]), signal.SIGKILL)
        await live.event("crashed", "search/slow", after=after)
        await live.event("loaded", "search/slow", after=after)
        allowed = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "192.0.2.1"}
        assert (await live.get("/api/plugins", headers=allowed)).status == 200
        await ledger.check(live)
    await ledger.tasks_end(live)
    await in_order(live, ledger)
    seqs = [one.seq for one in live.events if one.seq is not None]
    assert len(seqs) > 10
    assert seqs == sorted(set(seqs))
    print(f"clock: seed {SEED}, set {len(shifts) - 1} times, {ledger}; out of order 0, lost 0")


async def in_order(live: Live, ledger: Ledger) -> None:
    """See what was done last come first, whatever the clock said then."""
    changes = [one["id"] for one in (await live.get("/api/changes?limit=200")).body["changes"]]
    done = ledger.changes[::-1]
    assert [id for id in changes if id in set(done)] == [id for id in done if id in set(changes)]
    tasks = [one["id"] for one in (await live.get("/api/tasks?kind=download&limit=200")).body["tasks"]]
    assert tasks == ledger.tasks[::-1][: len(tasks)]
    for name in ("dan", "eva"):
        answer = await live.get(f"/api/plugins/search/{name}/revisions")
        if answer.status == 404:
            continue
        versions = [int(one["version"]) for one in answer.body["revisions"] if one["version"].isdecimal()]
        assert versions == sorted(versions, reverse=True), name


# -- processes ---------------------------------------------------------------------------------------------------


@contextmanager
def group_of_processes(pids: set[int]) -> Iterator[Callable[[bool], None]]:
    """A control group with these processes; gives what says whether any more may be started in it."""
    for root in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        group = root / f"plugbay-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if not (group / "pids.max").exists():
            group.rmdir()
            continue
        break
    else:
        pytest.skip("no control group that counts processes can be made here")

    def allow(more: bool) -> None:
        # Below what there is already, so that none comes in the place of one that ends.
        (group / "pids.max").write_text("max" if more else "1")

    try:
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))
        yield allow
    finally:
        allow(True)
        for one in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(one)
        with contextlib.suppress(OSError):
            group.rmdir()


def has_ended(after: int, id: str, events: Sequence[Seen]) -> bool:
    return any(one.id == id and one.kind in ("reloaded", "failed") for one in events[after:])


async def test_no_process_can_be_started(live: Live) -> None:
    pid = live.server.process.pid
    rounds = 0
    with group_of_processes({pid, *descendants(pid)}) as allow:
        for _ in range(sized(1, 20)):
            rounds += 1
            log_before = len(live.server.printed)
            allow(False)
            # The first of them may have the spare worker.
            for name in NAMES:
                after = len(live.events)
                save(live.plugins / f"search/{name}_plugin.py", text_of(name, f"pid{rounds}"))
                await live.until(functools.partial(has_ended, after, f"search/{name}"))
            failed = [one for one in (await live.listed()).values() if one["error"] is not None]
            assert failed
            for plugin in failed:
                assert (plugin["state"], plugin["error"]["code"]) == ("degraded", "worker_unavailable")
                assert "pids.max" in plugin["error"]["message"], plugin["error"]
                assert (await live.search(plugin["name"])).status == 200
            # What needs a thread has one.
            for path in ("/", "/api/plugins/search/ann/source", "/api/openapi.json"):
                assert (await live.get(path)).status == 200, path
            answer = await live.post("/api/plugins/search/bob/config", {"word": f"w{rounds}"})
            assert answer.status == 200, answer
            await asyncio.sleep(sized(1.0, 3.0))
            log = live.server.printed[log_before:].splitlines()
            assert len(log) < 60, "\n".join(log[:80])
            allow(True)
            for name in NAMES:
                word = f"w{rounds}" if name == "bob" else "none"
                await until_answer(live, name, f"pid{rounds} {word}")
    print(f"processes: {rounds} times none to be had; plugins lost 0, calls refused 0")
