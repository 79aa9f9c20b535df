"""Plugins with packages of their own, through the whole server: real processes, a real registry, real wheels."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import statistics
import subprocess
import sysconfig
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.live import Answer, Live, Seen, live_server, save, write
from tests.integration.process_tree import descendants, until_gone
from tests.integration.server_process import ROOT
from tests.registry import Behaviour, Registry, metadata
from tests.unit.host.dependencies.test_refusals import CASES, offer

pytestmark = pytest.mark.asyncio(loop_scope="module")
# A set stays for five seconds after its last use.
GONE_S = 12.0
SILENT_S = 2


class World(NamedTuple):
    """One server for all tests that can share it, its registry, and what is beside them."""

    live: Live
    registry: Registry
    by_hand: Path
    disk_is_small: bool


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        offer(registry)
        for version in ("1.0", "2.0"):
            late = {
                "pinned/__init__.py": f"VERSION = {version!r}\n",
                "pinned/late.py": f"LATE = {version!r}\n",
            }
            registry.add("pinned", version, late)
            registry.add("unimported", version)
        yield registry


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dependencies") / "home"


@pytest.fixture(scope="module")
def small_disk(home: Path) -> Iterator[bool]:
    """Whether there are but a few megabytes for sets: enough for all but one package of these tests."""
    envs = home / "data/envs"
    envs.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(envs)]
    is_small = subprocess.run(mount, capture_output=True).returncode == 0
    yield is_small
    if is_small:
        subprocess.run(["umount", "-l", str(envs)], check=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(home: Path, registry: Registry, small_disk: bool) -> AsyncIterator[World]:
    by_hand = home.parent / "by_hand"
    by_hand.mkdir()
    told = {
        **registry.environment(home.parent / "cache"),
        "UV_NO_INDEX": "0",
        "UV_HTTP_TIMEOUT": str(SILENT_S),
        "PYTHONPATH": f"{ROOT}:{by_hand}",
    }
    write(home / "plugins/search/steady_plugin.py", plugin("steady"))
    async with live_server(home, **told) as live:
        yield World(live, registry, by_hand, small_disk)


PLUGIN = """\
# /// script
# {head}
# dependencies = {dependencies}
# ///
{imports}
from service.sdk import SearchPlugin, SearchResult


class Demo(SearchPlugin):
    name = "{name}"
    version = "1.0"
    description = "is tested"

    async def search(self, keyword, **kwargs):
        {body}
        return [SearchResult(title=str({says}), url="https://example.org/")]
"""

# Called with a path, it says that it has begun, and goes on once there is a file.
HELD = """\
if "/" in keyword:
            import asyncio
            import pathlib

            (self.data_dir / "begun").touch()
            while not pathlib.Path(keyword).exists():
                await asyncio.sleep(0.01)"""


def plugin(
    name: str,
    *dependencies: str,
    imports: str = "",
    body: str = "pass",
    says: str = "'here'",
    head: str = 'requires-python = ">=3.11"',
) -> str:
    """The text of a search plugin with these dependencies."""
    return PLUGIN.format(
        name=name, dependencies=list(dependencies), imports=imports, body=body, says=says, head=head
    )


def path_of(live: Live, name: str) -> Path:
    return live.plugins / f"search/{name}_plugin.py"


async def serve(live: Live, name: str, *dependencies: str, **parts: str) -> None:
    """Save a new plugin and wait until it serves."""
    save(path_of(live, name), plugin(name, *dependencies, **parts))
    loaded = await live.until(
        lambda events: [e for e in events if e.id == f"search/{name}" and e.kind in ENDS]
    )
    assert loaded[0].kind == "loaded", loaded[0].plugin["error"]


ENDS = {"loaded", "reloaded", "failed", "disabled"}


async def install(live: Live, name: str, text: str, at: str = "install", **fields: str) -> Answer:
    form = aiohttp.FormData()
    for key, value in {"plugin_type": "search", **fields}.items():
        form.add_field(key, value)
    form.add_field("file", text.encode(), filename=f"{name}_plugin.py", content_type="text/x-python")
    return await live.request("POST", f"/api/plugins/{at}", data=form)


@contextlib.asynccontextmanager
async def held_call(live: Live, name: str, gate: Path) -> AsyncIterator[asyncio.Task[str]]:
    """A call that has begun and that goes on when its gate is made; it is made in the end."""
    begun = live.home / "data/plugins/search" / name / "begun"
    begun.unlink(missing_ok=True)
    call = asyncio.create_task(live.answer(name, str(gate)))
    try:
        await until(begun.exists)
        yield call
    finally:
        gate.touch()
        await asyncio.wait([call])


async def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until something has come about on the disk, of which no event tells."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


async def environments(live: Live) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await live.get("/api/environments")).body["environments"]
    return listed


async def sets(live: Live) -> dict[str, list[str]]:
    """Who uses which set, by its folder."""
    return {one["id"]: one["used_by"] for one in await environments(live)}


async def set_of(live: Live, name: str) -> Path:
    (found,) = [id for id, users in (await sets(live)).items() if f"search/{name}" in users]
    return live.home / "data/envs" / found


def on_disk(live: Live) -> set[str]:
    """Every plugin's file and folder, and all sets with what is half-made and what is remembered of them."""
    envs = live.home / "data/envs"
    folders = [envs, envs / ".tmp", envs / ".kept", envs / ".locks", live.home / "data/plugins/search"]
    found = [*live.plugins.rglob("*"), *(path for folder in folders for path in folder.glob("*"))]
    return {str(path.relative_to(live.home)) for path in found if path.name != "__pycache__"}


async def nothing_new(live: Live, before: set[str], seconds: float = 5.0) -> None:
    """See that nothing is left that was not there before; what was on its way then may be gone."""
    try:
        await until(lambda: on_disk(live) <= before, seconds)
    except TimeoutError:
        raise AssertionError(f"left: {on_disk(live) - before}") from None


@contextlib.asynccontextmanager
async def answering(live: Live) -> AsyncIterator[list[float]]:
    """Calls of another plugin, one after the other, all of which have to be answered; how long each took, in s."""
    took: list[float] = []

    async def call() -> None:
        while True:
            began = time.perf_counter()
            assert await live.answer("steady") == "here"
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)

    calls = asyncio.create_task(call())
    try:
        yield took
        assert not calls.done(), calls.exception()
        assert len(took) > 5
        assert statistics.median(took) < 0.2, sorted(took)[-5:]
        assert max(took) < 1.5, sorted(took)[-5:]
    finally:
        calls.cancel()
        await asyncio.wait([calls])


# -- side by side ----------------------------------------------------------------------------------------------------

PINNED: dict[str, str] = {
    "imports": "import pinned",
    "body": HELD + "\n        from pinned import late\n        import unimported",
    "says": "(pinned.VERSION, late.LATE, unimported.VERSION)",
}


async def test_contradictory_pins_serve_side_by_side_and_so_do_generations(
    world: World, tmp_path: Path
) -> None:
    live = world.live
    old, new = ("pinned==1.0", "unimported==1.0"), ("pinned==2.0", "unimported==2.0")
    await asyncio.gather(serve(live, "one", *old, **PINNED), serve(live, "two", *new, **PINNED))
    ones, twos = "('1.0', '1.0', '1.0')", "('2.0', '2.0', '2.0')"
    assert [await live.answer(name) for name in ("one", "two")] == [ones, twos]
    after = len(live.events)
    async with held_call(live, "one", tmp_path / "gate") as call:
        save(path_of(live, "one"), plugin("one", *new, **PINNED))
        await live.event("reloaded", "search/one", after=after)
        assert await live.answer("one") == twos
        users = sorted((await sets(live)).values())
        assert ["search/one"] in users and ["search/one", "search/two"] in users
        assert not call.done()
    # Neither `pinned.late` nor `unimported` had been imported before the save.
    assert await call == ones
    assert [await live.answer(name) for name in ("one", "two")] == [twos, twos]


async def test_plugins_are_not_told_how_the_registry_is_asked(world: World) -> None:
    live = world.live
    says = "sorted(name for name in os.environ if name.startswith(('UV_', 'PLUGBAY_')))"
    await serve(live, "curious", "pinned==1.0", imports="import os\nimport pinned", says=says)
    assert await live.answer("curious") == "[]"


async def test_a_set_is_shown_beside_the_name_that_its_plugin_has(world: World) -> None:
    live = world.live
    save(path_of(live, "filed"), plugin("named", "pinned==1.0"))
    await live.event("loaded", "search/named")
    assert (await set_of(live, "named")).is_dir()


async def test_one_that_runs_alone_serves_while_its_new_dependencies_are_installed(world: World) -> None:
    live, registry = world.live, world.registry
    text = plugin("alone", "pinned==1.0", imports="import pinned", says="pinned.VERSION")
    text = text.replace("    name =", "    exclusive = True\n    name =")
    save(path_of(live, "alone"), text)
    await live.event("loaded", "search/alone")
    wheel = registry.add("heavy", "1.0", {"heavy.py": "VERSION = 'heavy'\n"})
    registry.behave(wheel, Behaviour(delay_s=1.0))
    after = len(live.events)
    newer = text.replace("'pinned==1.0'", "'pinned==1.0', 'heavy'").replace("pinned.VERSION", "heavy.VERSION")
    save(path_of(live, "alone"), newer.replace("import pinned", "import heavy"))
    await asyncio.to_thread(registry.wait_asked, wheel)
    for _ in range(3):
        async with asyncio.timeout(0.3):
            assert await live.answer("alone") == "1.0"
    await live.event("reloaded", "search/alone", after=after)
    assert await live.answer("alone") == "heavy"
    assert len([users for users in (await sets(live)).values() if users == ["search/alone"]]) <= 2
    # What cannot be had does not stop it either.
    after = len(live.events)
    save(path_of(live, "alone"), text.replace("pinned==1.0", "nowhere-to-be-found"))
    failed = await live.event("failed", "search/alone", after=after)
    assert (failed.plugin["state"], failed.plugin["generation"]) == ("degraded", 2)
    assert await live.answer("alone") == "heavy"
    assert live.final(after) == ["failed search/alone"]


async def test_a_save_that_changes_dependencies_installs_beside_what_serves(world: World) -> None:
    live, registry = world.live, world.registry
    gate = threading.Event()
    registry.add("needed", "1.0")
    registry.behave(registry.add("heavy", "1.0", requires=["needed"]), Behaviour(gate=gate))
    await serve(live, "growing")
    after = len(live.events)
    save(path_of(live, "growing"), plugin("growing", "heavy", imports="import heavy", says="heavy.VERSION"))
    try:
        await asyncio.to_thread(registry.wait_asked, "/files/heavy-1.0-py3-none-any.whl")
        async with answering(live) as took:
            assert await live.answer("growing") == "here"
            assert (await live.plugin("search/growing"))["state"] == "active"
            await until(lambda: len(took) > 10)
        assert live.final(after) == []
    finally:
        gate.set()
    await live.event("reloaded", "search/growing", after=after)
    assert await live.answer("growing") == "1.0"
    await live.quiet()
    assert live.final(after) == ["reloaded search/growing"]
    told = [one.data for one in live.events[after:] if one.kind == "installing"]
    assert {one["stage"] for one in told} == {"dependencies"}
    progress = [one["progress"] for one in told]
    assert list(dict.fromkeys(one["step"] for one in progress)) == ["resolve", "download", "install"]
    assert progress[0]["packages"] == ["heavy"]
    assert all(one["total"] == 2 for one in progress[1:])
    last = progress[-1]
    assert (last["done"], sorted(last["packages"])) == (2, ["heavy", "needed"])
    after = len(live.events)
    save(path_of(live, "growing"), plugin("growing", "heavy", "nowhere-to-be-found"))
    failed = (await live.event("failed", "search/growing", after=after)).plugin
    assert (failed["state"], failed["error"]["code"]) == ("degraded", "dependency_not_found")
    assert await live.answer("growing") == "1.0"


# -- what cannot be had ----------------------------------------------------------------------------------------------

SOURCE = """
import pathlib
pathlib.Path({marker!r}).touch()
raise SystemExit(1)
"""


async def test_what_cannot_be_had_is_refused_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    live, registry = world.live, world.registry
    marker = tmp_path / "built"
    registry.add_sdist("source-only", "1.0", SOURCE.format(marker=str(marker)))
    more = [
        (["mute"], "registry_unreachable", "mute"),
        (["stalled"], "registry_unreachable", "stalled"),
        (["source-only"], "dependency_build_refused", "source-only"),
        (["--index-url=https://pypi.example/simple"], "dependency_refused", "--index-url"),
        (["-r other.txt"], "dependency_refused", "-r other.txt"),
        (["-e ."], "dependency_refused", "-e ."),
        (["./local"], "dependency_refused", "./local"),
        (["/srv/local.whl"], "dependency_refused", "/srv/local.whl"),
        (["demo @ file:///srv/demo.whl"], "dependency_refused", "demo"),
        (["demo @ https://example.org/demo.whl"], "dependency_refused", "demo"),
        (["demo @ git+https://example.org/demo.git"], "dependency_refused", "demo"),
        (["git+https://example.org/demo.git"], "dependency_refused", "git+"),
    ]
    cases = [*CASES, *more]
    before, after = on_disk(live), len(live.events)
    async with answering(live):
        answers = await asyncio.gather(
            *(
                install(live, f"case_{n}", plugin(f"case_{n}", *lines))
                for n, (lines, _, _) in enumerate(cases)
            )
        )
    for (lines, code, package), answer in zip(cases, answers, strict=True):
        assert "error" in answer.body, (lines, answer)
        error = answer.body["error"]
        assert (lines, error["stage"], error["code"]) == (lines, "dependencies", code)
        assert answer.status == (504 if code in ("registry_unreachable", "dependencies_timeout") else 422), (
            lines
        )
        assert package in error["message"] and package in answer.body["detail"], answer
    assert not marker.exists()
    await nothing_new(live, before)

    def failures(events: Sequence[Seen]) -> list[Seen]:
        return [e for e in events[after:] if e.kind == "installing" and e.data["stage"] == "failed"]

    await live.until(lambda events: len(failures(events)) >= len(cases))
    await live.quiet()
    failed = failures(live.events)
    assert sorted(e.id for e in failed) == sorted(f"search/case_{n}" for n in range(len(cases)))
    by_id = {e.id: e.data["error"]["code"] for e in failed}
    assert [by_id[f"search/case_{n}"] for n in range(len(cases))] == [code for _, code, _ in cases]


async def test_a_plugin_for_another_python_or_a_newer_interface_is_refused(world: World) -> None:
    live, before = world.live, on_disk(world.live)
    heads = {
        "python_unsuitable": ('requires-python = "<3.11"', "<3.11"),
        "interface_too_old": ("[tool.plugbay]\n# min_interface = 99\n# [more]", "99"),
    }
    for code, (head, named) in heads.items():
        answer = await install(live, "unsuitable", plugin("unsuitable", head=head))
        assert (answer.status, answer.body["error"]["code"]) == (422, code)
        assert named in answer.body["error"]["message"]
    await nothing_new(live, before)


async def test_a_requirements_file_with_options_is_refused_by_line(world: World) -> None:
    live = world.live
    write(
        live.plugins / "search/beside_requirements.txt", "pinned==1.0\n--extra-index-url https://x.example/\n"
    )
    save(path_of(live, "beside"), plugin("beside"))
    failed = (await live.event("failed", "search/beside")).plugin["error"]
    assert (failed["code"], failed["file"], failed["line"]) == (
        "dependency_refused",
        "plugins/search/beside_requirements.txt",
        2,
    )
    assert "--extra-index-url" in failed["message"]
    after = len(live.events)
    save(live.plugins / "search/beside_requirements.txt", "pinned==1.0\n")
    save(path_of(live, "beside"), plugin("beside", imports="import pinned", says="pinned.VERSION"))
    await live.until(lambda events: any(e.id == "search/beside" and e.kind in ENDS for e in events[after:]))
    assert await live.answer("beside") == "1.0"


async def test_a_full_disk_is_told_and_nothing_stays(world: World) -> None:
    if not world.disk_is_small:
        pytest.skip("a small disk cannot be mounted")
    live = world.live
    world.registry.add("vast", "1.0", {"vast.py": "X = 1\n" + "#" * 20_000_000})
    before = on_disk(live)
    async with answering(live):
        answer = await install(live, "vast", plugin("vast", "vast"))
    error = answer.body["error"]
    assert (answer.status, error["code"]) == (422, "dependencies_disk_full")
    assert "vast" in error["message"]
    await nothing_new(live, before)


async def test_a_client_that_goes_away_cancels_its_install(world: World) -> None:
    live, registry = world.live, world.registry
    wheel = registry.add("slow", "1.0")
    registry.behave(wheel, Behaviour(hang=True))
    before, text = on_disk(live), plugin("slow", "slow", imports="import slow", says="slow.VERSION")
    own = descendants(live.server.process.pid)
    client = asyncio.create_task(install(live, "slow", text))
    await asyncio.to_thread(registry.wait_asked, wheel)
    installers = {pid for pid in descendants(live.server.process.pid) - own if b"uv" in command_of(pid)}
    assert installers
    client.cancel()
    await asyncio.gather(client, return_exceptions=True)
    # Well before the registry's silence would have ended them.
    await until_gone(installers, SILENT_S * 0.75)
    await nothing_new(live, before)
    assert (await live.get("/api/plugins/search/slow")).status == 404
    registry.behave(wheel, Behaviour())
    assert (await install(live, "slow", text)).status == 200
    assert await live.answer("slow") == "1.0"


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


# -- plans and checks ------------------------------------------------------------------------------------------------


class Trap(NamedTuple):
    """A plugin on a library, and who hears of each part of them that runs: they are confined, but have the network."""

    text: str
    listener: socket.socket

    def heard(self) -> set[str]:
        """What has run since it was last asked: the first lines of the `plugin`, the `import`, and the `pth` file."""
        told = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self.listener.accept()
                with connection, connection.makefile() as lines:
                    told.add(lines.read())
        return told


@pytest.fixture
def trap(world: World) -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        tell = f"socket.create_connection({listener.getsockname()!r}).sendall"
        files = {
            "trap.py": f"import socket\n{tell}(b'import')\n",
            "trap.pth": f"import socket; {tell}(b'pth')\n",
        }
        version = f"1.{len(world.registry.files)}"
        world.registry.add("trap", version, files)
        imports = f"import socket\nimport trap\n{tell}(b'plugin')"
        yield Trap(plugin("trapped", f"trap=={version}", imports=imports), listener)


async def test_a_plan_knows_of_requirements_that_stand_where_it_would_be_put(
    world: World, trap: Trap
) -> None:
    live, text = world.live, trap.text
    bare = re.sub(r"dependencies = .*", "dependencies = []", text)
    beside = write(live.plugins / "search/trapped_requirements.txt", "trap\n")
    try:
        plan = await install(live, "trapped", bare, dry_run="true")
        assert [one["name"] for one in plan.body["dependencies"]["add"]] == ["trap"], plan
        assert not trap.heard()
        # Also where its file's name does not tell, but the name that its class has.
        save(path_of(live, "trapped"), plugin("trapped", "pinned"))
        await live.event("loaded", "search/trapped")
        plan = await install(live, "x", bare, dry_run="true", replace="true")
        assert [one["name"] for one in plan.body["dependencies"]["add"]] == ["trap"], plan
        assert plan.body["plugin"]["file"] == "plugins/search/trapped_plugin.py"
    finally:
        beside.unlink()
        path_of(live, "trapped").unlink(missing_ok=True)
        await live.until(lambda _: "search/trapped" not in live.mirror())


async def test_a_plan_runs_nothing(world: World, tmp_path: Path, trap: Trap) -> None:
    live, before, text = world.live, on_disk(world.live), trap.text
    plan = await install(live, "trapped", text, dry_run="true")
    assert (plan.status, plan.body["error"]) == (200, None)
    (added,) = plan.body["dependencies"]["add"]
    assert added["name"] == "trap" and added["version"].startswith("1.") and added["size"] > 100
    assert (plan.body["plugin"]["name"], plan.body["provides"]["methods"]) == ("trapped", ["search"])
    file = write(tmp_path / "trapped_plugin.py", text)
    command = await live.server.plugbay("install", "--plan", str(file), "--type", "search")
    assert command.status == 0 and f"trap {added['version']}" in command.stdout, command
    bad = await install(live, "trapped", plugin("trapped", "trap", "nowhere-to-be-found"), dry_run="true")
    assert bad.body["error"]["code"] == "dependency_not_found"
    assert "nowhere-to-be-found" in bad.body["error"]["message"]
    assert not trap.heard()
    await nothing_new(live, before)


# -- what libraries do when they are imported ------------------------------------------------------------------------

THREADED = """\
import queue
import threading

_asked, _told = queue.Queue(), queue.Queue()


def _work():
    while True:
        _told.put(_asked.get() * 2)


threading.Thread(target=_work, daemon=True).start()


def ask(number):
    _asked.put(number)
    return _told.get(timeout=5)
"""
PATCHING = """\
import builtins
import json

_sum, _loads, _open = builtins.sum, json.loads, builtins.open
builtins.sum = lambda *of: _sum(*of) + 100
builtins.open = lambda *of, **options: _open(*of, **options)
builtins.patched = True
json.loads = lambda text, **options: {"patched": _loads(text, **options)}
"""
EXTENSION = """\
#include <Python.h>
static long calls;
static PyObject *twice(PyObject *self, PyObject *arg) {
    return PyLong_FromLong(2 * PyLong_AsLong(arg) + 0 * ++calls);
}
static PyMethodDef methods[] = {{"twice", twice, METH_O, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", "", -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
"""


def extension(folder: Path) -> bytes:
    """A compiled C extension with a function that gives twice its argument."""
    source, built = write(folder / "native.c", EXTENSION), folder / "native.so"
    command = [
        "gcc",
        "-shared",
        "-fPIC",
        "-O1",
        f"-I{sysconfig.get_path('include')}",
        str(source),
        "-o",
        str(built),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no C extension can be built: {error}")
    return built.read_bytes()


PLAIN = "(sum([4]), json.loads('4'), hasattr(builtins, 'patched'))"


@pytest.mark.parametrize(
    ("library", "says", "answer"),
    [
        ("threaded", "threaded.ask(21)", "42"),
        ("patching", PLAIN, "(104, {'patched': 4}, True)"),
        ("native", "native.twice(21)", "42"),
    ],
)
async def test_libraries_that_do_things_at_import_serve_and_reload(
    world: World, tmp_path: Path, library: str, says: str, answer: str
) -> None:
    live, registry = world.live, world.registry
    if library == "native":
        built = await asyncio.to_thread(extension, tmp_path)
        tag = f"cp311-cp311-{sysconfig.get_platform().replace('-', '_')}"
        registry.add("native", "1.0", {f"native{sysconfig.get_config_var('EXT_SUFFIX')}": built}, tag=tag)
    else:
        registry.add(library, "1.0", {f"{library}.py": THREADED if library == "threaded" else PATCHING})
    imports = f"import builtins\nimport json\nimport {library}"
    await serve(live, f"uses_{library}", library, imports=imports, says=says)
    assert await live.answer(f"uses_{library}") == answer
    # The same set, and nothing imported from it; then no set at all.
    plain = {"imports": "import builtins\nimport json", "says": PLAIN}
    await serve(live, f"beside_{library}", library, **plain)
    await serve(live, f"without_{library}", **plain)
    for edit in range(3):
        after = len(live.events)
        save(
            path_of(live, f"uses_{library}"),
            plugin(f"uses_{library}", library, imports=imports, says=says) + f"# {edit}\n",
        )
        save(
            path_of(live, f"beside_{library}"), plugin(f"beside_{library}", library, **plain) + f"# {edit}\n"
        )
        await live.event("reloaded", f"search/uses_{library}", after=after)
        await live.event("reloaded", f"search/beside_{library}", after=after)
        assert await live.answer(f"uses_{library}") == answer
        for other in ("beside", "without"):
            assert await live.answer(f"{other}_{library}") == "(4, 4, False)"
    users = set((await sets(live))[(await set_of(live, f"uses_{library}")).name])
    assert users == {f"search/uses_{library}", f"search/beside_{library}"}


# -- how long a set stays --------------------------------------------------------------------------------------------


async def test_a_set_goes_with_the_last_who_uses_it(world: World, tmp_path: Path, trap: Trap) -> None:
    before = on_disk(world.live)
    # All at once, as each has to be waited for.
    await asyncio.gather(
        a_deleted_plugin(world, tmp_path / "gate"), a_check(world, trap), an_install_in_vain(world)
    )
    # What the requirements of a plugin resolved to is remembered, for an undo without a registry.
    locks = {path for path in on_disk(world.live) - before if path.startswith("data/envs/.locks/")}
    assert len(locks) == 1
    await nothing_new(world.live, before | locks)


async def test_a_registry_that_does_not_answer_is_asked_again_by_itself(world: World) -> None:
    live, registry = world.live, world.registry
    registry.add("unheard", "1.0")
    registry.behave("/simple/unheard/", Behaviour(drop=True))
    crashing = "import os\n        if keyword == 'crash':\n            os._exit(1)"
    for name in ("mended", "crashed"):
        await serve(live, name, body=crashing)
    after = len(live.events)
    for name in ("mended", "crashed"):
        save(path_of(live, name), plugin(name, "unheard", imports="import unheard", says="unheard.VERSION"))
    for name in ("mended", "crashed"):
        failed = await live.event("failed", f"search/{name}", after=after)
        assert (failed.plugin["state"], failed.plugin["error"]["code"]) == (
            "degraded",
            "registry_unreachable",
        )
    # What serves now is not tried again, ...
    text, headers = plugin("mended", says="'mended'"), {"Content-Type": "text/plain"}
    answer = await live.request("PUT", "/api/plugins/search/mended/source", data=text, headers=headers)
    assert (answer.status, answer.body["state"]) == (200, "active")
    # ... what does not yet is, whatever happens to the one that serves instead of it meanwhile.
    assert (await live.search("crashed", "crash")).status == 502
    registry.behave("/simple/unheard/", Behaviour())
    await live.event("reloaded", "search/crashed", after=len(live.events))
    assert await live.answer("crashed") == "1.0"
    await live.quiet(1.5)
    ends = [one for one in live.final(after) if "mended" in one]
    assert ends == ["failed search/mended", "reloaded search/mended"]


async def a_deleted_plugin(world: World, gate: Path) -> None:
    live = world.live
    world.registry.add("lasting", "1.0", {"lasting/__init__.py": "", "lasting/late.py": "LATE = 'late'\n"})
    body = HELD + "\n        from lasting import late"
    await serve(live, "leaving", "lasting", imports="import lasting", body=body, says="late.LATE")
    folder = await set_of(live, "leaving")
    async with held_call(live, "leaving", gate) as call:
        gone = {"plugin_type": "search", "plugin_name": "leaving", "purge": True}
        assert (await live.post("/api/plugins/delete", gone)).status == 200
        assert (await live.search("leaving")).status == 404
        assert (await sets(live))[folder.name] == ["search/leaving"]
        assert (folder / "lasting/late.py").exists()
    assert await call == "late"
    await until(lambda: not folder.exists(), GONE_S)


async def a_check(world: World, trap: Trap) -> None:
    live, text = world.live, trap.text
    checked = await install(live, "trapped", text, at="check")
    assert (checked.status, checked.body["loads"], checked.body["error"]) == (200, True, None)
    assert [one["name"] for one in checked.body["dependencies"]["add"]] == ["trap"]
    assert trap.heard() == {"import", "pth", "plugin"}
    await without(live, "trap")


async def an_install_in_vain(world: World) -> None:
    live = world.live
    world.registry.add("unhelpful", "1.0")
    answer = await install(live, "vain", plugin("vain", "unhelpful", imports="import unhelpful\n1 / 0"))
    assert (answer.status, answer.body["error"]["stage"]) == (422, "import")
    await without(live, "unhelpful")


async def without(live: Live, package: str) -> None:
    """Wait until no set has a package."""
    async with asyncio.timeout(GONE_S):
        while package in {one["name"] for found in await environments(live) for one in found["packages"]}:
            await asyncio.sleep(0.05)


# -- what needs no set, and what is added ----------------------------------------------------------------------------


async def test_what_was_installed_by_hand_into_the_servers_environment_counts(world: World) -> None:
    live, by_hand = world.live, world.by_hand
    save(
        path_of(live, "handmade"), plugin("handmade", "byhand>=3", imports="import byhand", says="byhand.WHO")
    )
    failed = await live.event("failed", "search/handmade")
    assert failed.plugin["error"]["code"] == "dependency_not_found"
    write(by_hand / "byhand.py", "WHO = 'me'\n")
    write(by_hand / "byhand-3.1.dist-info/METADATA", metadata("byhand", "3.1", [], {}, None))
    reloaded = await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": "handmade"})
    assert (reloaded.status, reloaded.body["success_count"]) == (200, 1), reloaded
    assert await live.answer("handmade") == "me"
    assert not any("search/handmade" in users for users in (await sets(live)).values())


ORIGINAL = """\
# /// script
# dependencies = ["pinned==1.0"]
# ///
import httpx
import pinned
from base_plugin import SearchPlugin, SearchResult


class OriginalPlugin(SearchPlugin):
    name = "original"
    version = "1"
    description = "as it was"

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=f"{httpx.VERSION} {pinned.VERSION}", url="https://example.org/")]
"""


async def test_a_plugin_of_the_original_application_gets_the_client_that_it_takes_for_granted(
    world: World,
) -> None:
    live = world.live
    world.registry.add("httpx", "99.0")
    plan = (await install(live, "original", ORIGINAL, dry_run="true")).body
    assert [one["name"] for one in plan["dependencies"]["add"]] == ["httpx", "pinned"]
    assert (await install(live, "original", ORIGINAL)).status == 200
    assert await live.answer("original") == "99.0 1.0"


# -- across restarts, and without a registry -------------------------------------------------------------------------


async def test_yesterdays_sets_serve_without_a_registry(tmp_path: Path) -> None:
    home = tmp_path / "home"
    uses = {"imports": "import common", "says": "common.VERSION"}
    for name in ("alone", "first", "second"):
        library = "alone" if name == "alone" else "common"
        write(
            home / f"plugins/search/{name}_plugin.py",
            plugin(name, f"{library}==1.0", imports=f"import {library}", says=f"{library}.VERSION"),
        )
    with Registry() as registry:
        told = {
            **registry.environment(tmp_path / "cache"),
            "UV_NO_INDEX": "0",
            "UV_HTTP_TIMEOUT": "30",
            "PLUGBAY_DEPENDENCIES__TIMEOUT_S": "2",
        }
        registry.add("alone", "1.0")
        registry.add("common", "1.0")
        registry.add("hanging", "1.0")
        registry.behave("hanging", Behaviour(hang=True))
        async with live_server(home, **told) as live:
            for name in ("alone", "first", "second"):
                await live.event("loaded", f"search/{name}")
            before, known = on_disk(live), await sets(live)
            late = await install(live, "hanging", plugin("hanging", "hanging"))
            assert (late.status, late.body["error"]["code"]) == (504, "dependencies_timeout")
            assert "hanging" in late.body["error"]["message"]
            await nothing_new(live, before)
    async with live_server(home, **told) as live:
        for name in ("alone", "first", "second"):
            await live.event("loaded", f"search/{name}")
            assert await live.answer(name) == "1.0"
        assert await sets(live) == known
        alone, common = await set_of(live, "alone"), await set_of(live, "first")
        for name in ("alone", "first"):
            await live.post(f"/api/plugins/search/{name}/toggle?enabled=false")
        await until(lambda: not alone.exists(), GONE_S)
        assert common.exists()
        assert await live.answer("second") == "1.0"
        for name in ("alone", "first"):
            answer = await live.post(f"/api/plugins/search/{name}/toggle?enabled=true")
            assert answer.status == 200, answer
            await live.event("enabled", f"search/{name}")
            assert await live.answer(name) == "1.0"
        assert alone.exists()
        # What was fetched before can be resolved anew, what never was cannot.
        assert (await install(live, "third", plugin("third", "common<2", **uses))).status == 200
        refused = await install(live, "fourth", plugin("fourth", "unheard-of"))
        assert (refused.status, refused.body["error"]["code"]) == (504, "registry_unreachable")
        assert "unheard-of" in refused.body["error"]["message"]
