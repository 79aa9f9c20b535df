"""Plugins that take without end: each is ended or refused within its limits, and the others do not notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.attempts import attempt, plugin, put
from tests.integration.live import Live, live_server
from tests.integration.process_tree import descendants, until_gone

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {
    "PLUGBAY_LIMITS__MEMORY_MIB": "96",
    "PLUGBAY_LIMITS__OPEN_FILES": "64",
    "PLUGBAY_LIMITS__SEARCH_S": "4",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("hogs")
    for name in ("hog", "neighbour"):
        put(home, name, plugin(name))
    async with live_server(home, **SETTINGS) as live:
        yield live


SHARED = """
import mmap
def take():
    shared = mmap.mmap(-1, 1 << 30)
    for at in range(0, 1 << 30, 4096):
        shared[at] = 1
"""
MANY = """
taken = "import time; x = bytearray(80 << 20); time.sleep(60)"
def take():
    started = [subprocess.Popen([sys.executable, "-c", taken]) for _ in range(4)]
    time.sleep(60)
"""
DEAF = """
def take():
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    ctypes.PyDLL(None).sleep(60)
"""


@pytest.mark.parametrize("how", [SHARED, MANY], ids=["shared memory", "many processes"])
async def test_a_memory_hog_is_ended_with_all_that_it_started(live: Live, how: str) -> None:
    pid = int(await attempt(live, "hog", "os.getpid()"))
    after = len(live.events)
    hog = asyncio.create_task(
        live.search("hog", json.dumps({"before": how, "attempt": "take()", "names": {}}))
    )
    while not hog.done():
        assert await attempt(live, "neighbour", "1") == "1"
        await asyncio.sleep(0.1)
    answer = await hog
    assert (answer.status, answer.body["code"]) == (502, "plugin_crashed"), answer
    assert "limits.memory_mib" in answer.body["detail"]
    await until_gone({pid} | descendants(pid))
    await live.event("loaded", "search/hog", after=after)


async def test_a_worker_that_hears_no_signal_is_ended(live: Live) -> None:
    pid = int(await attempt(live, "hog", "os.getpid()"))
    answer = await live.search("hog", json.dumps({"before": DEAF, "attempt": "take()", "names": {}}))
    assert (answer.status, answer.body["code"]) == (504, "plugin_timeout"), answer
    await until_gone({pid})
    assert await attempt(live, "hog", "1") == "1"


async def test_private_memory_and_open_files_run_out_where_they_are_taken(live: Live) -> None:
    pid = await attempt(live, "hog", "os.getpid()")
    assert await attempt(live, "hog", "bytearray(1 << 30)") == "MemoryError()"
    assert await attempt(live, "hog", "[os.dup(1) for _ in range(200)]") == "EMFILE"
    assert await attempt(live, "hog", "os.getpid()") == pid
