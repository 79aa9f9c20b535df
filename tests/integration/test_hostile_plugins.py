"""Plugins that do at import what none should: the server answers as before, and the error says what to mend."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.integration.live import Live, live_server, search_plugin, write
from tests.integration.process_tree import descendants

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = search_plugin(says="new")


class Case(NamedTuple):
    """What is saved, and the place and code of the error that it makes; no code where it loads all the same."""

    name: str
    source: bytes
    code: str | None = None
    stage: str = "import"
    line: int | None = None
    column: int | None = None
    says: str = ""


def two_classes() -> str:
    return GOOD + GOOD.replace("class Demo", "class Other").partition("\n")[2]


CASES = [
    Case("raises", b"x = 1\nraise ValueError('boom')\n", "import_failed", line=2, column=1, says="boom"),
    Case("sys.exit", b"import sys\nsys.exit(3)\n", "import_failed", line=2, column=1, says="sys.exit"),
    Case("os._exit", b"import os\nos._exit(3)\n", "exit_called", line=2, says="os._exit(3)"),
    Case("loops", b"i = 0\nwhile True:\n    i += 1\n", "import_timeout", says="loop"),
    Case(
        "loops and swallows",
        b"while True:\n    try:\n        while True: pass\n    except BaseException: pass\n",
        "import_timeout",
        line=3,
    ),
    Case("recurses", b"def f(): return f()\nf()\n", "import_failed", line=1, says="recursion"),
    Case("prints 100 MB", b"for _ in range(1600): print('x' * 65535)\n" + GOOD.encode()),
    Case("writes 100 MB", b"import os\nfor _ in range(1600): os.write(1, b'y' * 65536)\n" + GOOD.encode()),
    Case(
        "closes every descriptor",
        b"import os\nos.closerange(0, 65536)\n" + GOOD.encode(),
        "worker_exited",
        says="closed its connection",
    ),
    Case(
        "starts threads",
        b"import threading, time\n"
        b"for _ in range(50): threading.Thread(target=time.sleep, args=(1000,)).start()\n" + GOOD.encode(),
    ),
    Case("takes 8 GiB", b"x = bytearray(8 << 30)\n", "import_failed", line=1, says="memory limit"),
    Case("takes 8 GiB bit by bit", b"x = []\nwhile True: x.append(bytes(10**7))\n", "import_failed", line=2),
    Case("replaces sys.modules", b"import sys\nsys.modules = {}\n", "modules_replaced", says="sys.modules"),
    Case(
        "empties sys.modules",
        b"import sys\nsys.modules.clear()\n" + GOOD.encode(),
        "modules_replaced",
        says="sys.modules",
    ),
    Case("declares no class", b"x = 1\n", "no_plugin_class", "contract", 1, says="SearchPlugin"),
    Case("declares two classes", two_classes().encode(), "several_plugin_classes", "contract", says="Demo"),
    Case(
        "has a wrong signature",
        GOOD.replace("self, keyword, **kwargs", "self").encode(),
        "wrong_signature",
        "contract",
        9,
        says="search(self)",
    ),
    Case("is not UTF-8", b"# \xff\n" + GOOD.encode(), "syntax_error", line=1, column=3, says="UTF-8"),
    Case("has NUL bytes", b"x = 1\ny = '\0'\n", "syntax_error", line=2, column=6, says="NUL"),
    Case("is empty", b"", "no_plugin_class", "contract", 1),
    Case("is a typo", b"def broken(:\n", "syntax_error", line=1, column=12),
    Case("crashes the interpreter", b"import ctypes\nctypes.string_at(0)\n", "worker_exited", says="SIGSEGV"),
    Case("signals its group", b"import os\nos.kill(0, 9)\n", "worker_exited", says="SIGKILL"),
    Case("has a path for a name", search_plugin("../x").encode(), "name_invalid", "contract", says="../x"),
    Case(
        "raises what cannot be shown",
        b"class E(Exception):\n def __str__(s): 1/0\nraise E()\n",
        "import_failed",
        line=3,
    ),
    Case(
        "is of the wrong type",
        b"from service.sdk import ParserPlugin\nclass P(ParserPlugin): pass\n",
        "no_plugin_class",
        "contract",
        1,
        says="parser",
    ),
    Case(
        "asks for what is not there",
        b"# /// script\n# dependencies = ['no-such-thing>=9']\n# ///\n" + GOOD.encode(),
        "dependency_not_found",
        "dependencies",
        says="no-such-thing",
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("hostile")
    write(home / "plugins/search/demo_plugin.py", search_plugin(says="old"))
    async with live_server(home, PLUGBAY_LIMITS__LOAD_S="2") as live:
        yield live


def put(path: Path, source: bytes) -> None:
    temporary = path.parent / ".new"
    temporary.write_bytes(source)
    temporary.rename(path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_hostile_save_harms_itself_only(live: Live, case: Case) -> None:
    file = live.plugins / "search/demo_plugin.py"
    start = len(live.events)
    put(file, search_plugin(says=f"before {case.name}").encode())
    await live.event("reloaded", "search/demo", after=start)
    start = len(live.events)

    put(file, case.source)

    if case.code is None:
        await live.event("reloaded", "search/demo", after=start)
        assert await live.answer("demo") == "new"
        return
    seen = await live.event("failed", "search/demo", after=start)
    assert seen.plugin["state"] == "degraded"
    assert await live.answer("demo") == f"before {case.name}"
    plugin = await live.plugin("search/demo")
    error = plugin["error"]
    assert (error["stage"], error["code"]) == (case.stage, case.code), error
    assert error["file"] == "plugins/search/demo_plugin.py"
    assert case.line is None or error["line"] == case.line, error
    assert case.column is None or error["column"] == case.column, error
    assert case.says.lower() in error["message"].lower(), error
    assert error["messages"]["zh"]
    traceback = error["traceback"] or ""
    assert "service/worker" not in traceback
    assert "importlib" not in traceback
    assert str(live.home) not in str(error)


async def test_five_megabytes_of_code_are_loaded_or_refused_while_others_are_served(live: Live) -> None:
    line = "value_of_this_line = 'text that fills the line and does nothing'\n"
    source = search_plugin("huge") + line * ((5_000_000 - 1000) // len(line))
    start = len(live.events)
    put(live.plugins / "search/huge_plugin.py", source.encode())

    def ended(events: object) -> bool:
        return bool([one for one in live.final(start) if one.endswith("/huge")])

    while not live.final(start):
        assert (await live.search("demo")).status == 200
    await live.until(ended)
    assert live.final(start) in (["loaded search/huge"], ["failed search/huge"])
    start = len(live.events)
    os.unlink(live.plugins / "search/huge_plugin.py")
    await live.event("unloaded", "search/huge", after=start)


async def test_a_file_over_the_limit_is_refused_by_its_size(live: Live) -> None:
    start = len(live.events)
    put(live.plugins / "search/vast_plugin.py", b"#" * (5 * 1024 * 1024 + 1))
    seen = await live.event("failed", "search/vast", after=start)
    assert seen.plugin["error"]["code"] == "file_too_large"
    assert "plugin_file_kib" in seen.plugin["error"]["message"]


async def test_a_folder_named_like_a_file_says_how_a_package_is_named(live: Live) -> None:
    start = len(live.events)
    (live.plugins / "search/dir_plugin.py").mkdir()
    seen = await live.event("failed", "search/dir", after=start)
    assert (seen.plugin["state"], seen.plugin["error"]["code"]) == ("failed", "file_directory")
    assert "__init__.py" in seen.plugin["error"]["message"]
    start = len(live.events)
    (live.plugins / "search/dir_plugin.py").rmdir()
    await live.event("unloaded", "search/dir", after=start)


async def test_a_dangling_link_names_its_target_and_loads_when_that_is_there(live: Live) -> None:
    start = len(live.events)
    target = live.home / "elsewhere.py"
    (live.plugins / "search/link_plugin.py").symlink_to(target)
    seen = await live.event("failed", "search/link", after=start)
    assert seen.plugin["error"]["code"] == "file_dangling_link"
    assert "elsewhere.py" in seen.plugin["error"]["message"]
    write(target, search_plugin("link"))
    answer = await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": "link"})
    assert answer.body["success_count"] == 1, answer
    assert await live.answer("link") == "1"


async def test_a_fifo_does_not_hold_up_the_others(live: Live) -> None:
    start = len(live.events)
    os.mkfifo(live.plugins / "search/pipe_plugin.py")
    seen = await live.event("failed", "search/pipe", after=start)
    assert seen.plugin["error"]["code"] == "file_not_a_file"
    put(live.plugins / "search/demo_plugin.py", search_plugin(says="after the pipe").encode())
    await live.event("reloaded", "search/demo", after=start)
    assert await live.answer("demo") == "after the pipe"


async def test_nothing_of_all_that_is_left_in_the_way(live: Live) -> None:
    """The one plugin that was there first still serves, in a generation that counts on."""
    start = len(live.events)
    put(live.plugins / "search/demo_plugin.py", search_plugin(says="at last").encode())
    seen = await live.event("reloaded", "search/demo", after=start)
    assert (seen.plugin["state"], seen.plugin["error"]) == ("active", None)
    assert await live.answer("demo") == "at last"


async def test_a_link_to_itself_is_an_error_of_its_own(live: Live) -> None:
    start = len(live.events)
    (live.plugins / "search/loop_plugin.py").symlink_to("loop_plugin.py")
    seen = await live.event("failed", "search/loop", after=start)
    assert seen.plugin["error"]["code"] == "file_dangling_link"
    put(live.plugins / "search/demo_plugin.py", search_plugin(says="beside the loop").encode())
    await live.event("reloaded", "search/demo", after=start)
    os.unlink(live.plugins / "search/loop_plugin.py")
    await live.event("unloaded", "search/loop", after=start)


async def test_a_flood_of_empty_lines_holds_nobody_up(live: Live) -> None:
    start = len(live.events)
    flood = "import os\nfor _ in range(100): os.write(1, b'\\n' * 65536)\n" + GOOD
    put(live.plugins / "search/demo_plugin.py", flood.encode())
    await live.event("reloaded", "search/demo", after=start)
    assert (await live.get("/livez")).status == 200
    assert await live.answer("demo") == "new"


# -- processes ---------------------------------------------------------------------------------------------------

SLEEPERS = search_plugin(
    "sleepers",
    imports="import subprocess, time\n"
    "def started(count):\n"
    "    started = [subprocess.Popen(['sleep', '600']) for _ in range(count)]\n"
    "    time.sleep(30 if count > 64 else 0)\n"
    "    return str(len(started))\n",
    expression="started(int(keyword))",
)
# Every process forks on as fast as it can, but no more than 3,000 of them come to be.
BOMB = """
import os, time
def explode():
    tokens, source = os.pipe()
    os.write(source, b"x" * 3000)
    os.close(source)
    while os.read(tokens, 1):
        if os.fork() == 0 and {flees}:
            os.setsid()
    time.sleep(600)
"""


async def until_few(live: Live, seconds: float = 20) -> None:
    """Wait until no more processes are left below the server than its plugins have."""
    pid = live.server.process.pid
    most = len(await live.listed()) + 10
    async with asyncio.timeout(seconds):
        while len(await asyncio.to_thread(descendants, pid)) > most:
            await asyncio.sleep(0.05)


@pytest.mark.alone
async def test_a_call_that_starts_too_many_processes(live: Live) -> None:
    start = len(live.events)
    put(live.plugins / "search/sleepers_plugin.py", SLEEPERS.encode())
    await live.event("loaded", "search/sleepers", after=start)
    assert await live.answer("sleepers", "60") == "60"
    start = len(live.events)
    answer = await live.search("sleepers", "100")
    assert (answer.status, answer.body["code"]) == (502, "plugin_crashed")
    assert "more than 64 processes" in answer.body["detail"]
    await live.event("crashed", "search/sleepers", after=start)
    lines = (await live.get("/api/plugins/search/sleepers/logs?lines=10")).body["lines"]
    assert [one["level"] for one in lines if "limits.processes" in one["message"]] == ["error"]
    await until_few(live)
    await live.event("loaded", "search/sleepers", after=start)
    assert await live.answer("sleepers", "0") == "0"
    os.unlink(live.plugins / "search/sleepers_plugin.py")
    await live.event("unloaded", "search/sleepers", after=start)


@pytest.mark.alone
@pytest.mark.parametrize("flees", [False, True], ids=["one session", "sessions of their own"])
async def test_a_fork_bomb_in_a_call(live: Live, flees: bool) -> None:
    start = len(live.events)
    text = search_plugin("bomb", imports=BOMB.format(flees=flees), expression="explode()")
    put(live.plugins / "search/bomb_plugin.py", text.encode())
    await live.event("loaded", "search/bomb", after=start)
    call = asyncio.create_task(live.search("bomb"))
    while not call.done():
        assert (await live.search("demo")).status == 200
    assert "more than 64 processes" in (await call).body["detail"]
    await until_few(live)
    os.unlink(live.plugins / "search/bomb_plugin.py")
    await live.event("unloaded", "search/bomb", after=start)


@pytest.mark.alone
async def test_a_fork_bomb_at_import(live: Live) -> None:
    start = len(live.events)
    text = search_plugin("bomb", imports=BOMB.format(flees=False) + "\nexplode()\n")
    put(live.plugins / "search/bomb_plugin.py", text.encode())
    while not live.final(start):
        assert (await live.search("demo")).status == 200
    seen = await live.event("failed", "search/bomb", after=start)
    error = seen.plugin["error"]
    assert error["code"] == "worker_exited"
    assert "more than 64 processes" in error["messages"]["en"]
    await until_few(live)
    os.unlink(live.plugins / "search/bomb_plugin.py")
    await live.event("unloaded", "search/bomb", after=start)
