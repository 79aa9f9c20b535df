"""Templates of dependency sets, with real processes: what can be forked is, and what cannot is imported anew."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.host.workers.templates import SERVER_SITE
from tests.integration.process_tree import alive, children, descendants
from tests.integration.server_process import environment

UNTIL_S = 20.0


class Server:
    """`templates_server`, and what it is asked."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.host.workers.templates_server", str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        self._asked = 0
        self._answers: dict[int, dict[str, Any]] = {}

    def begin(self, do: str, **arguments: Any) -> int:
        self._asked += 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": self._asked, "do": do, "with": arguments}) + "\n")
        self.process.stdin.flush()
        return self._asked

    def answer(self, asked: int) -> dict[str, Any]:
        assert self.process.stdout is not None
        while asked not in self._answers:
            line = self.process.stdout.readline()
            assert line, "the server has ended"
            answer = json.loads(line)
            self._answers[answer.pop("id")] = answer
        return self._answers.pop(asked)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.answer(self.begin(do, **arguments))

    def load(self, text: str, site: Path | None) -> dict[str, Any]:
        return self.ask("load", text=text, site=None if site is None else str(site))

    def title(self, loaded: dict[str, Any], keyword: str = "") -> str:
        return self.ask("call", number=loaded["number"], keyword=keyword)["title"]

    def settled(self, site: Path) -> dict[str, Any]:
        return self.ask("settled", site=str(site))

    @property
    def base(self) -> int:
        (base,) = children(self.process.pid)
        return base

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(UNTIL_S)
        self.process.stdout.close()


def started(home: Path) -> Iterator[Server]:
    server = Server(home)
    try:
        yield server
    finally:
        left = descendants(server.process.pid)
        try:
            server.close()
        finally:
            server.process.kill()
        wait_gone(left)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from started(tmp_path_factory.mktemp("home"))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One that the test may do harm to."""
    yield from started(tmp_path / "home")


def wait_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + UNTIL_S
    while alive(pids):
        assert time.monotonic() < deadline, f"still there: {alive(pids)}"
        time.sleep(0.01)


def site_with(folder: Path, version: str = "1.0", **modules: str) -> Path:
    """A dependency set as it is installed: modules, and the metadata of a package `lib`."""
    for name, text in modules.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    metadata = folder / f"lib-{version}.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: lib\nVersion: {version}\n")
    return folder


DECLARES = '# /// script\n# dependencies = ["lib"]\n# ///'


def plugin(answers: str, imports: str = "import lib", more: str = "") -> str:
    return f"""{DECLARES}
import os, sys
{imports}
from service.sdk import SearchPlugin, SearchResult
{more}
class Demo(SearchPlugin):
    name, version, description = "demo", "1", "of a test"
    async def search(self, keyword, **kwargs):
        if keyword == "wait":
            import asyncio
            await asyncio.Event().wait()
        return [SearchResult(title=str({answers}), url="")]
"""


def test_the_second_load_finds_the_library_imported(server: Server, tmp_path: Path) -> None:
    site = site_with(
        tmp_path / "set", lib="import lib_part\nPIDS = []\n", lib_part="import os\nPID = os.getpid()"
    )
    text = plugin("(lib.lib_part.PID, os.getpid())")

    first = server.load(text, site)
    template = server.settled(site)
    second = server.load(text, site)

    assert (first["preloaded"], second["preloaded"]) == (False, True)
    assert server.title(first) == f"({first['pid']}, {first['pid']})"
    assert server.title(second) == f"({template['pid']}, {second['pid']})"
    assert template["unfit"] is None
    assert template["modules"] == ["lib_part", "lib"]


def test_what_a_later_generation_imports_besides_is_in_the_next_template(
    server: Server, tmp_path: Path
) -> None:
    site = site_with(tmp_path / "set", lib="", other="import os\nPID = os.getpid()")
    server.load(plugin("0"), site)
    first = server.settled(site)

    between = server.load(plugin("other.PID", "import lib, other"), site)
    second = server.settled(site)
    after = server.load(plugin("other.PID", "import lib, other"), site)

    assert first["modules"] == ["lib"] and second["modules"] == ["lib", "other"]
    assert between["preloaded"] and after["preloaded"]
    assert server.title(between) == str(between["pid"])
    assert server.title(after) == str(second["pid"]) != str(first["pid"])
    # The older one goes with its last worker.
    server.ask("stop", number=between["number"])
    server.ask("check_in", seconds=0)
    wait_gone({first["pid"]})


UNFIT = {
    "thread": (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
        "thread",
    ),
    "process": (
        "import subprocess, sys\nP = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)",
        "process",
    ),
    "descriptor": ("import os\nFILE = open(os.devnull)", "descriptor"),
    "builtins": ("import builtins\nbuiltins.print = lambda *a, **k: None", "builtins.print"),
    "function": ("import json\ndef dumps(*a, **k): return 'x'\njson.dumps = dumps", "json.dumps"),
    "method": (
        "import http.client\nclass Mine:\n    def request(self): pass\n"
        "http.client.HTTPConnection.request = Mine.request",
        "HTTPConnection.request",
    ),
    "late": ("import wave\nwave.open = lambda *a: 'x'", "wave.open"),
    "module": ("import sys, types\nsys.modules['sqlite3'] = types.ModuleType('mine')", "sqlite3"),
    "signal": ("import signal\nsignal.signal(signal.SIGUSR1, lambda *_: None)", "signal"),
    "environment": ("import os\nos.environ['PATH'] = '/nowhere'", "environment variable"),
    "limit": ("import sys\nsys.setrecursionlimit(5000)", "recursion limit"),
    "folder": ("import os\nos.chdir('/')", "working directory"),
    "crash": ("import os, sys\nif 'plugins' not in sys.modules: os.kill(os.getpid(), 11)", "ended"),
    "exit": ("import os, sys\nif 'plugins' not in sys.modules: os._exit(0)", "ended"),
    "hang": ("import sys, time\nwhile 'plugins' not in sys.modules: time.sleep(1)", "did not end"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_library_that_cannot_be_forked_is_imported_by_each_worker(
    kind: str, server: Server, tmp_path: Path
) -> None:
    body, reason = UNFIT[kind]
    site = site_with(tmp_path / "set", lib=f"import os\nPID = os.getpid()\n{body}\n")
    text = plugin("lib.PID")

    first = server.load(text, site)
    settled = server.settled(site)
    second = server.load(text, site)

    assert server.title(first) == str(first["pid"])
    assert server.title(second) == str(second["pid"]) != str(first["pid"])
    assert not second["preloaded"]
    assert reason in settled["unfit"] and settled["pid"] is None
    for one in (first, second):
        server.ask("stop", number=one["number"])


def test_what_does_no_harm_to_others_is_forked(server: Server, tmp_path: Path) -> None:
    harmless = """
        import codecs, collections.abc, copyreg, os, subprocess, sys, threading, warnings
        import concurrent.futures
        concurrent.futures.ThreadPoolExecutor  # the standard library itself puts it there when it is first asked for
        class Mine: pass
        collections.abc.Sequence.register(Mine)
        copyreg.pickle(Mine, lambda mine: (Mine, ()))
        codecs.register(lambda name: None)
        sys.meta_path.append(Mine())
        Mine.find_spec = lambda *args: None
        warnings.simplefilter("ignore", ImportWarning)
        os.environ["OF_MINE"] = "1"
        subprocess.run(["true"], check=True)
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        with open(os.devnull) as file:
            file.read()
    """
    site = site_with(tmp_path / "set", lib=harmless)
    server.load(plugin("0"), site)
    assert server.settled(site)["unfit"] is None
    assert server.load(plugin("0"), site)["preloaded"]


@pytest.mark.parametrize("harm", ["raise RuntimeError('forked')", "os.abort()"])
def test_a_library_that_notices_the_fork_later_is_loaded_without(
    harm: str, server: Server, tmp_path: Path
) -> None:
    site = site_with(
        tmp_path / "set", lib=f"import os\nPID = os.getpid()\ndef use():\n    if PID != os.getpid(): {harm}\n"
    )
    text = plugin("lib.PID", more="lib.use()")

    first = server.load(text, site)
    assert server.settled(site)["unfit"] is None
    leases = server.ask("leases")["leases"]
    second = server.load(text, site)
    third = server.load(text, site)

    assert server.ask("leases")["leases"] == leases + 2
    assert [server.title(one) for one in (first, second, third)] == [
        str(one["pid"]) for one in (first, second, third)
    ]
    assert server.settled(site)["unfit"]


def test_a_plugin_at_fault_is_told_so_and_its_set_keeps_its_template(server: Server, tmp_path: Path) -> None:
    site = site_with(tmp_path / "set", lib="")
    server.load(plugin("0"), site)
    server.settled(site)

    assert server.load(plugin("0", more="1 / 0"), site)["failed"] == "import_failed"
    assert server.load("class Demo(:\n", site)["failed"]
    assert server.settled(site)["unfit"] is None
    assert server.load(plugin("0"), site)["preloaded"]


def test_two_versions_of_one_library_side_by_side(server: Server, tmp_path: Path) -> None:
    sites = {
        version: site_with(tmp_path / version, version, lib=f"__version__ = '{version}'")
        for version in ("1.0", "2.0")
    }
    text = plugin("(lib.__version__, importlib.metadata.version('lib'))", "import lib, importlib.metadata")

    for _ in range(2):
        loaded = {version: server.load(text, site) for version, site in sites.items()}
        for version, one in loaded.items():
            assert server.title(one) == f"('{version}', '{version}')"
        for site in sites.values():
            server.settled(site)
    assert all(one["preloaded"] for one in loaded.values())


def test_a_set_comes_after_the_standard_library_and_before_what_the_server_has(
    server: Server, tmp_path: Path
) -> None:
    site = site_with(tmp_path / "set", lib="", json="raise ImportError", msgspec="NAME = 'of the set'")
    site_with(site / "vendored", extra="NAME = 'extra'")
    (site / "vendored.pth").write_text("vendored\nimport lib; lib.FROM_PTH = True\n")
    text = plugin(
        "(json.__file__ is not None, msgspec.NAME, extra.NAME, lib.FROM_PTH, click.__name__)",
        "import click, extra, json, lib, msgspec",
    )
    expected = str((True, "of the set", "extra", True, "click"))

    first = server.load(text, site)
    server.settled(site)
    second = server.load(text, site)

    assert server.title(first) == server.title(second) == expected
    assert second["preloaded"]
    assert server.load(plugin("0", "import lib"), None)["failed"] == "import_failed"


def test_a_c_extension_is_forked_and_works(server: Server, tmp_path: Path) -> None:
    site = site_with(tmp_path / "set", lib="from msgspec import _core\nimport msgspec")
    spec = importlib.util.find_spec("msgspec")
    assert spec is not None and spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, site / "msgspec", ignore=shutil.ignore_patterns("__pycache__"))
    text = plugin("(msgspec._core.__file__, msgspec.json.decode(b'[1]'))", "import lib, msgspec")

    loads = []
    for _ in range(3):
        loads.append(server.load(text, site))
        assert server.settled(site)["unfit"] is None

    assert [one["preloaded"] for one in loads] == [False, True, True]
    for one in loads:
        title = server.title(one)
        assert title.startswith(f"('{site}") and title.endswith("[1])")


def test_generators_of_random_numbers_differ_between_workers(server: Server, tmp_path: Path) -> None:
    numpy = "import random as _random\n_state = _random.Random(1)\nseed, random = _state.seed, _state.random"
    site = site_with(tmp_path / "set", lib="import numpy.random", numpy__random=numpy)
    text = plugin("(random.random(), numpy.random.random())", "import lib, numpy.random, random")
    server.load(text, site)
    server.settled(site)

    loaded = [server.load(text, site) for _ in range(3)]

    assert all(one["preloaded"] for one in loaded)
    titles = [server.title(one)[1:-1].split(", ") for one in loaded]
    assert all(len(set(numbers)) == 3 for numbers in zip(*titles, strict=True))


def test_what_a_plugin_has_from_the_servers_environment_is_forked_too(server: Server) -> None:
    text = plugin("(click.ParamType.__module__, os.getppid())", "import click")
    first = server.load(text, None)
    template = server.settled(SERVER_SITE)
    second = server.load(text, None)

    assert (first["preloaded"], second["preloaded"]) == (False, True)
    assert server.title(second) == str(("click.types", template["pid"]))
    undeclared = server.load(text.replace(DECLARES, ""), None)
    assert not undeclared["preloaded"]
    assert server.title(undeclared) == str(("click.types", server.base))


def test_what_is_imported_in_a_template_is_confined(server: Server, tmp_path: Path) -> None:
    tries = """
        import errno, os, socket
        PID = os.getpid()
        def tried(call):
            try:
                call()
            except OSError as error:
                return errno.errorcode[error.errno]
            return "done"
        FOUND = [
            tried(lambda: open("/etc/shadow")),
            tried(lambda: open(__file__, "a")),
            tried(lambda: socket.socket(socket.AF_UNIX)),
            tried(lambda: os.kill(os.getppid(), 0)),
        ]
    """
    site = site_with(tmp_path / "set", lib=tries)
    text = plugin("(lib.PID != os.getpid(), lib.FOUND)")
    server.load(text, site)
    server.settled(site)
    loaded = server.load(text, site)
    assert loaded["preloaded"]
    assert server.title(loaded) == str((True, ["EACCES", "EACCES", "EPERM", "EPERM"]))


def test_an_idle_template_goes_and_comes_again(server: Server, tmp_path: Path) -> None:
    site = site_with(tmp_path / "set", lib="")
    server.load(plugin("0"), site)
    first = server.settled(site)["pid"]

    server.ask("check_in", seconds=500)
    assert server.settled(site)["pid"] == first
    loaded = server.load(plugin("0"), site)
    server.ask("check_in", seconds=1200)
    assert server.settled(site)["pid"] == first  # it has a worker
    server.ask("stop", number=loaded["number"])
    server.ask("check_in", seconds=1200)

    deadline = time.monotonic() + UNTIL_S
    while alive({first}):
        assert time.monotonic() < deadline
        server.ask("check_in", seconds=0)
    assert server.load(plugin("0"), site)[
        "preloaded"
    ]  # waits for the new one, as it is known what it imports


def test_the_template_of_a_set_that_goes_ends(server: Server, tmp_path: Path) -> None:
    site = site_with(tmp_path / "set", lib="")
    server.load(plugin("0"), site)
    pid = server.settled(site)["pid"]
    server.ask("forget", site=str(site))
    wait_gone({pid})


def test_a_killed_template_of_a_set_costs_its_own_workers_only(own_server: Server, tmp_path: Path) -> None:
    server = own_server
    litters = "import subprocess, sys\nP = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)"
    sites = [site_with(tmp_path / name, lib="") for name in ("one", "two")]
    loaded = []
    for site in sites:
        server.load(plugin("0"), site)
        server.settled(site)
        loaded.append(server.load(plugin("0", more=litters), site))
    assert all(one["preloaded"] for one in loaded)
    template = server.settled(sites[0])["pid"]
    deadline = time.monotonic() + 15
    while len(of_template := descendants(template)) < 3:  # the worker, what it started, a spare
        assert time.monotonic() < deadline, of_template
        time.sleep(0.01)
    waiting = [server.begin("call", number=one["number"], keyword="wait") for one in loaded]
    server.title(loaded[0])

    os.kill(template, signal.SIGKILL)

    assert server.answer(waiting[0])["failed"] == "ChannelClosed"
    wait_gone(of_template)
    assert server.title(loaded[1]) == "0"
    again = server.load(plugin("1"), sites[0])
    assert server.title(again) == "1"
    assert server.settled(sites[0])["unfit"] is None
    assert server.load(plugin("0"), sites[0])["preloaded"]


def test_a_killed_base_template_takes_all_and_all_serves_again(own_server: Server, tmp_path: Path) -> None:
    server = own_server
    site = site_with(tmp_path / "set", lib="")
    server.load(plugin("0"), site)
    server.settled(site)
    loaded = server.load(plugin("0"), site)
    left = descendants(server.process.pid)
    waiting = server.begin("call", number=loaded["number"], keyword="wait")
    server.title(loaded)

    os.kill(server.base, signal.SIGKILL)

    assert server.answer(waiting)["failed"] == "ChannelClosed"
    wait_gone(left)
    assert server.title(server.load(plugin("1"), site)) == "1"
    server.settled(site)
    assert server.load(plugin("0"), site)["preloaded"]


def test_a_base_template_that_is_killed_while_a_set_is_imported_is_not_held_against_it(
    own_server: Server, tmp_path: Path
) -> None:
    server = own_server
    # What is imported may write to the folders of the plugins that use it, and nowhere else.
    began = tmp_path / "home/data/plugins/search/demo/began"
    site = site_with(
        tmp_path / "set",
        lib=f"""
            import pathlib, sys, time
            if "plugins" not in sys.modules:
                pathlib.Path({str(began)!r}).touch()
                time.sleep(0.3)
        """,
    )
    server.load(plugin("0"), site)
    for _ in range(4):
        deadline = time.monotonic() + UNTIL_S
        while not began.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        began.unlink()
        os.kill(server.base, signal.SIGKILL)
    assert server.settled(site)["unfit"] is None
    assert server.load(plugin("0"), site)["preloaded"]


def test_a_killed_server_leaves_no_process(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    site = site_with(tmp_path / "set", lib="")
    server.load(plugin("0"), site)
    server.settled(site)
    server.load(
        plugin(
            "0", more="import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()"
        ),
        site,
    )
    left = descendants(server.process.pid)
    assert len(left) >= 5  # both templates, a spare of each, workers

    server.process.kill()

    wait_gone(left)
    server.close()
