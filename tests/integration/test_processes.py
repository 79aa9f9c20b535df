"""Processes that die, at every place of the tree: what serves goes on or comes back, and nothing is left behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import resource
import signal
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.live import Live, live_server, save, search_plugin, write
from tests.integration.process_tree import (
    alive,
    children,
    descendants,
    open_files,
    template_of,
    until_gone,
)
from tests.integration.server_process import environment

WAITS = search_plugin(
    imports="import asyncio, os, pathlib", expression="str(os.getpid())"
) .replace(
    "        return [",
    "        if keyword == 'wait':\n            self.log.info('waiting')\n"
    "            await asyncio.Event().wait()\n        return [",
)  # fmt: skip

# Starts a process, a process that leaves its parent, and a thread that spins.
LITTERS = search_plugin(
    "litter",
    imports="""
import os, subprocess, sys, threading
SLEEP = [sys.executable, "-c", "import time; time.sleep(1000)"]
subprocess.Popen(SLEEP)
subprocess.Popen([sys.executable, "-c", "import os, subprocess, sys; os.setsid(); "
    "subprocess.Popen(%r); os._exit(0)" % SLEEP])
threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()
""",
    expression="str(os.getpid())",
)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    home = tmp_path / "home"
    write(home / "plugins/search/demo_plugin.py", WAITS)
    async with live_server(home) as live:
        yield live


async def waiting_calls(live: Live, count: int) -> list[asyncio.Task[tuple[int, str]]]:
    """Calls that are under way in the plugin and do not end."""

    async def call() -> tuple[int, str]:
        answer = await live.search("demo", "wait")
        return answer.status, answer.body.get("code", "")

    tasks = [asyncio.create_task(call()) for _ in range(count)]
    async with asyncio.timeout(10):
        while (await live.plugin("search/demo"))["running_calls"] < count:
            await asyncio.sleep(0.01)
    return tasks


async def test_a_killed_worker_fails_its_calls_and_the_next_succeed(live: Live) -> None:
    calls = await waiting_calls(live, 5)
    pid = int(await live.answer("demo"))
    os.kill(pid, signal.SIGKILL)

    assert await asyncio.gather(*calls) == [(502, "plugin_crashed")] * 5
    assert int(await live.answer("demo")) != pid
    kinds = await live.until(lambda _: "loaded search/demo" in live.final(2) and live.final(2))
    assert kinds == ["crashed search/demo", "loaded search/demo"]
    crashed = next(one for one in live.events if one.kind == "crashed")
    assert (crashed.plugin["state"], crashed.data["cause"]) == ("loading", "crash")


async def test_a_worker_that_keeps_dying_is_given_up_and_comes_back_when_mended(live: Live) -> None:
    start = len(live.events)
    save(
        live.plugins / "search/demo_plugin.py",
        search_plugin(imports="import os, threading\nthreading.Timer(0.05, os._exit, (7,)).start()"),
    )
    failed = await live.event("failed", "search/demo", after=start, timeout=30)
    assert failed.plugin["error"]["code"] == "crash_loop"
    assert "status 7" in failed.plugin["error"]["messages"]["en"]
    answer = await live.search("demo")
    assert (answer.status, answer.body["code"]) == (503, "plugin_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    start = len(live.events)
    save(live.plugins / "search/demo_plugin.py", search_plugin(says="mended"))
    await live.event("loaded", "search/demo", after=start)
    assert await live.answer("demo") == "mended"


async def test_a_killed_template_costs_the_running_calls_and_everything_serves_again(live: Live) -> None:
    for number in range(5):
        write(live.plugins / f"search/p{number}_plugin.py", search_plugin(f"p{number}"))
    write(live.plugins / "search/litter_plugin.py", LITTERS)
    await live.until(lambda _: sum(" search/p" in one for one in live.final()) == 5)
    await live.event("loaded", "search/litter")
    calls = await waiting_calls(live, 3)
    server = live.server.process.pid
    template = template_of(server)
    before = descendants(template)
    start = len(live.events)

    os.kill(template, signal.SIGKILL)

    assert await asyncio.gather(*calls) == [(502, "plugin_crashed")] * 3
    for name in ("demo", "litter", *(f"p{number}" for number in range(5))):
        assert (await live.search(name)).status == 200
    await until_gone(before | {template})
    assert template_of(server) != template
    assert children(server) == {template_of(server)}
    await live.until(lambda _: sum("loaded" in one for one in live.final(start)) == 7)
    assert {plugin["state"] for plugin in (await live.listed()).values()} == {"active"}


# The first time that it is imported it says which process it is, and is not done before the test is over.
TAKES_LONG = search_plugin(
    imports="""
import os, pathlib, time
BEGAN = pathlib.Path("{began}")
if not BEGAN.exists():
    BEGAN.write_text(str(os.getpid()))
    time.sleep(15)
""",
    says="late",
)


@pytest.mark.parametrize(("way", "who"), [("saved", "worker"), ("uploaded", "template")])
async def test_a_load_that_loses_its_worker_begins_again(live: Live, way: str, who: str) -> None:
    began = live.home / "data/plugins/search/demo/began"
    text = TAKES_LONG.replace("{began}", str(began))
    start = len(live.events)
    if way == "saved":
        save(live.plugins / "search/demo_plugin.py", text)
    request = (
        asyncio.create_task(live.request("PUT", "/api/plugins/search/demo/source", data=text))
        if way == "uploaded"
        else None
    )
    async with asyncio.timeout(10):
        while not began.exists() or not began.read_text():
            await asyncio.sleep(0.01)
    victim = template_of(live.server.process.pid) if who == "template" else int(began.read_text())
    os.kill(victim, signal.SIGKILL)
    if request is not None:
        answer = await request
        assert answer.status == 200, answer
    await live.until(
        lambda _: "search/demo" in live.mirror() and live.mirror()["search/demo"]["version"] == "late"
    )
    assert await live.answer("demo") == "late"
    assert not [one for one in live.events[start:] if one.kind == "failed"]


# Loads at once the first time; the second time it says so and waits.
SLOW_TO_COME_BACK = search_plugin(
    imports="""
import os, pathlib, time
FOLDER = pathlib.Path("{folder}")
if (FOLDER / "pid").exists():
    (FOLDER / "again").touch()
    while not (FOLDER / "gate").exists():
        time.sleep(0.01)
(FOLDER / "pid").write_text(str(os.getpid()))
""",
    says="old",
)


async def test_what_crashed_does_not_come_back_over_what_was_saved_meanwhile(live: Live) -> None:
    folder = live.home / "data/plugins/search/demo"
    save(live.plugins / "search/demo_plugin.py", SLOW_TO_COME_BACK.replace("{folder}", str(folder)))
    await live.until(lambda _: live.mirror()["search/demo"]["version"] == "old")
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    async with asyncio.timeout(15):
        while not (folder / "again").exists():
            await asyncio.sleep(0.01)
    answer = await live.request("PUT", "/api/plugins/search/demo/source", data=search_plugin(says="new"))
    assert (answer.status, answer.body["version"]) == (200, "new"), answer
    write(folder / "gate", "")
    await live.quiet()
    assert await live.answer("demo") == "new"
    assert live.mirror()["search/demo"]["version"] == "new"


async def test_a_killed_server_leaves_no_process_behind(live: Live) -> None:
    write(live.plugins / "search/litter_plugin.py", LITTERS)
    write(live.plugins / "search/spin_plugin.py", "while True: pass\n")
    await live.event("loaded", "search/litter")
    await live.event("loading", "search/spin")
    left = descendants(live.server.process.pid)
    assert len(left) >= 6  # template, spares, workers, and what the plugin started

    live.server.process.kill()

    await until_gone(left)


async def test_a_retired_generation_is_gone_with_all_that_it_started(live: Live) -> None:
    write(live.plugins / "search/litter_plugin.py", LITTERS)
    await live.event("loaded", "search/litter")
    worker = int(await live.answer("litter"))
    # The one that leaves its parent is started by a process in between, which takes its time.
    async with asyncio.timeout(10):
        while len(litter := descendants(worker)) != 2:
            await asyncio.sleep(0.01)

    save(live.plugins / "search/litter_plugin.py", LITTERS + "# newer\n")

    drained = await live.event("drained", "search/litter")
    assert drained.data["generation"] == 1
    assert not alive({worker, *litter})


async def test_fifty_reloads_leave_no_descriptor_and_no_process(live: Live) -> None:
    pid = live.server.process.pid

    async def reload() -> None:
        start = len(live.events)
        await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": "demo"})
        await live.event("drained", "search/demo", after=start)

    async def settled() -> tuple[int, int]:
        """Descriptors and processes once spares are there again."""
        async with asyncio.timeout(10):
            while len(descendants(pid)) != processes:
                await asyncio.sleep(0.01)
        return open_files(pid), len(descendants(pid))

    processes = 4  # the template, two spares, one worker
    await reload()
    before = await settled()
    for _ in range(50):
        await reload()
    assert await settled() == before


async def test_ctrl_c_in_a_terminal_stops_everything(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write(home / "plugins/search/litter_plugin.py", LITTERS)
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "service", "serve", "--home", str(home), "--port", "0"),
        env=environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    shown = b""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(20):
            while b"plugin.loaded" not in shown:
                shown += await loop.run_in_executor(None, os.read, ours, 65536)
        left = descendants(process.pid)
        assert len(left) >= 4
        os.write(ours, b"\x03")
        reader = loop.run_in_executor(None, _read_to_end, ours)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        shown += await reader
    finally:
        if process.returncode is None:
            process.kill()
        os.close(ours)
    await until_gone(left)
    assert b"Traceback" not in shown


def _read_to_end(fd: int) -> bytes:
    data = b""
    try:
        while chunk := os.read(fd, 65536):
            data += chunk
    except OSError:  # the other end of a terminal is gone
        pass
    return data


async def test_too_few_descriptors_are_said_with_what_to_raise(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for number in range(30):
        write(home / f"plugins/search/p{number}_plugin.py", search_plugin(f"p{number}"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with live_server(home) as live:
        parts = (await live.get("/readyz")).body["parts"]
        assert parts["descriptors"]["ok"]
        pid = live.server.process.pid
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (hard, hard)
        per_plugin = (open_files(pid) - 60) / 30
        assert per_plugin <= 4
    from service.host import descriptors

    assert descriptors.shortage(1024, 30) is None
    assert "ulimit -n" in descriptors.shortage(1024, 500).en  # type: ignore[union-attr]  # not None is the point


async def test_the_last_lines_of_a_dying_worker_are_in_its_log(live: Live) -> None:
    start = len(live.events)
    save(
        live.plugins / "search/demo_plugin.py",
        "import sys\nprint('last words', file=sys.stderr)\nimport ctypes\nctypes.string_at(0)\n",
    )
    await live.event("failed", "search/demo", after=start)
    lines = (await live.get("/api/plugins/search/demo/logs?lines=50")).body["lines"]
    messages = [line["message"] for line in lines]
    assert "last words" in messages
    assert any("Segmentation fault" in message for message in messages)
