"""The clock is set forward and back by a day while the server runs: what is measured and ordered does not notice.

No namespace has a time of day of its own, and a test must not set the machine's: the server runs with a library before
the C library that shifts it (`clock.c`). The times of files are the kernel's and stay as they are.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.ledger import Ledger, place_download_plugin
from tests.integration.live import Live, live_server, save, search_plugin
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

DAY_S = 86_400
SEARCH_S = 2.0
TOKEN = "a-token-of-the-tests-0123456789"
SLOW = search_plugin("slow", imports="import asyncio, os", expression="str(os.getpid())").replace(
    "        return [", "        await asyncio.sleep(float(keyword))\n        return ["
)

Step = Callable[[int], None]


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Step]:
    """The environment of a server whose clock can be set, and what sets it."""
    if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
        pytest.skip("there is no C compiler, which the clock that can be set is made with")
    folder = tmp_path_factory.mktemp("clock")
    library, shift = folder / "clock.so", folder / "shift"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(Path(__file__).with_name("clock.c"))],
        check=True,
    )
    shift.write_bytes(struct.pack("q", 0))

    def step(seconds: int) -> None:
        with shift.open("r+b") as file:
            file.write(struct.pack("q", seconds))

    return {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(shift)}, step


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(
    tmp_path_factory: pytest.TempPathFactory, shifted: tuple[dict[str, str], Step]
) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("home") / "home"
    save(home / "plugins/search/slow_plugin.py", SLOW)
    place_download_plugin(home)
    limits = {"PLUGBAY_LIMITS__SEARCH_S": str(SEARCH_S), "PLUGBAY_SERVER__TOKEN": TOKEN}
    async with live_server(home, **limits, **shifted[0]) as live:
        await live.rpc("subscribe", {"topics": ["tasks/**"]})
        yield live


async def now(live: Live) -> datetime:
    """The time of day as the server has it."""
    return datetime.fromisoformat((await live.get("/api/config/export")).body["timestamp"])


async def test_a_clock_that_is_set(live: Live, shifted: tuple[dict[str, str], Step]) -> None:
    step = shifted[1]
    draw = random.Random(SEED)
    ledger = Ledger(draw)
    shifts = [0, -DAY_S, DAY_S, 0, *(draw.randint(-DAY_S, DAY_S) for _ in range(sized(0, 20)))]
    for before_s, shift in itertools.pairwise(shifts):
        began = await now(live)
        call = asyncio.create_task(live.search("slow", "1"))
        hanging = asyncio.create_task(live.search("slow", "60"))
        # Both are under way, as another one that came after them has ended.
        assert (await live.search("slow", "0.1")).status == 200
        since = time.monotonic()
        step(shift)
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
    assert seqs == sorted(set(seqs))
    print(f"clock: seed {SEED}, set {len(shifts) - 1} times, {ledger}; out of order 0, lost 0")


async def in_order(live: Live, ledger: Ledger) -> None:
    """See what was done last come first, whatever the clock said then."""
    changes = [one["id"] for one in (await live.get("/api/changes?limit=200")).body["changes"]]
    done = ledger.changes[::-1]
    assert [id for id in changes if id in set(done)] == [id for id in done if id in set(changes)]
    tasks = [one["id"] for one in (await live.get("/api/tasks?kind=download&limit=200")).body["tasks"]]
    assert tasks == ledger.tasks[::-1][: len(tasks)]
    for type_and_name in await live.listed():
        answer = await live.get(f"/api/plugins/{type_and_name}/revisions")
        versions = [int(one["version"]) for one in answer.body["revisions"] if one["version"].isdecimal()]
        assert versions == sorted(versions, reverse=True), type_and_name
