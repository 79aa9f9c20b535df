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
    "PLUGBAY_LIMITS__PLUGINS": json.dumps(
        {
            "search/frugal": {
                "memory_mib": 64,
                "open_files": 40,
                "processes": 2,
                "search_s": 1,
                "line_kib": 1,
            },
            "search/lavish": {"memory_mib": 512, "open_files": 128},
        }
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("hogs")
    for name in ("hog", "neighbour", "frugal"):
        put(home, name, plugin(name))
    # Its file does not tell its name, which its limits are known by.
    put(home, "other", plugin("lavish"))
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
OPENED = """
def opened(count):
    with contextlib.ExitStack() as files:
        return len([files.enter_context(open(os.devnull)) for _ in range(count)])
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


async def test_a_plugin_has_the_limits_that_are_set_for_it_alone(live: Live) -> None:
    take = "len(bytearray(80 << 20)) >> 20"
    assert await attempt(live, "lavish", take) == "80"
    assert await attempt(live, "lavish", "len(bytearray(200 << 20)) >> 20") == "200"
    assert await attempt(live, "lavish", "opened(50)", before=OPENED) == "50"
    assert await attempt(live, "frugal", take) == "MemoryError()"
    assert await attempt(live, "frugal", "opened(50)", before=OPENED) == "EMFILE"
    for name in ("frugal", "lavish"):
        # What was set once is not to be raised again, not even by root.
        raised = await attempt(
            live, name, "resource.setrlimit(resource.RLIMIT_NOFILE, (999, 999))", before="import resource"
        )
        assert raised in ("EPERM", "ValueError('not allowed to raise maximum limit')")


async def test_a_call_and_a_line_of_a_plugin_are_held_to_its_own_limits(live: Live) -> None:
    answer = await live.search(
        "frugal",
        json.dumps({"before": "print('x' * 4000, flush=True)", "attempt": "time.sleep(30)", "names": {}}),
    )
    assert (answer.status, answer.body["code"]) == (504, "plugin_timeout"), answer
    logged = (await live.get("/api/plugins/search/frugal/logs?lines=50")).body["lines"]
    [line] = [one["message"] for one in logged if one["message"].startswith("xxx")]
    assert 900 < len(line.encode()) <= 1024


async def test_a_plugin_that_starts_more_than_its_own_limit_is_ended(live: Live) -> None:
    started = "[subprocess.Popen(['sleep', '30']) for _ in range(4)] and time.sleep(10)"
    answer = await live.search("frugal", json.dumps({"attempt": started, "names": {}}))
    assert answer.body["code"] in ("plugin_crashed", "plugin_timeout"), answer
    logged = (await live.get("/api/plugins/search/frugal/logs?lines=50")).body["lines"]
    assert any('limits.plugins."search/frugal".processes' in one["message"] for one in logged), logged
