"""Hostile and spoilt plugin files, a hundred at a time: the server lives, says what is wrong, and serves the others.

A round saves its files all at once, then puts others in their place, calls what loads, mends every file, and takes
all of them away. Other plugins answer throughout, and at the end there is nothing left of any of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.fuzz.findings import Findings
from tests.fuzz.plugin_texts import PluginText, plugin_text, sound_plugin
from tests.integration.live import Live, live_server
from tests.integration.process_tree import descendants
from tests.integration.server_process import ROOT
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

ROUND = sized(16, 100)
ROUNDS = sized(1, 8)
BYSTANDERS = ("first", "second")
SPARES = 2
STATES = {"active", "failed", "degraded"}
CODES = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")))
CALLED = {200, 409, 502, 503, 504}
SECONDS = 120.0
# It is for ever in the way of whoever looks for what a plugin printed of itself.
TRACEBACK = re.compile(r"Traceback \(most recent call last\)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("fuzz") / "home"
    folder = home / "plugins" / "search"
    folder.mkdir(parents=True)
    for name in BYSTANDERS:
        (folder / f"{name}_plugin.py").write_text(sound_plugin(name))
    limits = {"LOAD": "8", "START": "4", "SELF_CHECK": "4", "STOP": "1", "SEARCH": "3"}
    settings = {f"PLUGBAY_LIMITS__{name}_S": value for name, value in limits.items()}
    async with live_server(home, **settings, PLUGBAY_DEPENDENCIES__TIMEOUT_S="10") as live:
        for name in BYSTANDERS:
            await live.event("loaded", f"search/{name}")
        yield live


async def test_rounds_of_plugin_files(live: Live) -> None:
    findings = Findings("plugin files and edits loaded by a server")
    watch = asyncio.create_task(bystanders_serve(live, findings))
    try:
        for number in range(ROUNDS):
            await fuzz_round(live, findings, number)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    await nothing_is_left(live, findings)
    findings.close()


async def fuzz_round(live: Live, findings: Findings, number: int) -> None:
    """Files, edits, calls, mended files, none."""
    first = number * 2 * ROUND
    texts = [plugin_text(SEED, first + n) for n in range(ROUND)]
    paths = [f"{text.type}/fuzz{first + n}_plugin.py" for n, text in enumerate(texts)]
    await put(live, findings, paths, texts)
    edits = [plugin_text(SEED, first + ROUND + n, may_hang=n % 4 == 0) for n in range(ROUND)]
    await put(live, findings, paths, edits)
    await call_all(live, findings, paths)
    await mend(live, findings, paths)
    for path in paths:
        (live.plugins / path).unlink(missing_ok=True)
        requirements_of(live, path).unlink(missing_ok=True)
    await comes_to(live, findings, "are gone", lambda known: not known.keys() & set(paths))


async def put(live: Live, findings: Findings, paths: Sequence[str], texts: Sequence[PluginText]) -> None:
    """Save all of them at once, wait until each has been tried, and look at what is told of each."""
    start = len(live.events)
    changed: dict[str, PluginText] = {}
    for path, text in zip(paths, texts, strict=True):
        if write(live, path, text.content, text.requirements):
            changed[f"plugins/{path}"] = text
            findings.count("saves")

    def tried() -> set[str]:
        ended = ("loaded", "reloaded", "failed")
        return {
            one.plugin["file"] for one in live.events[start:] if one.kind in ended and "plugin" in one.data
        }

    try:
        await live.until(lambda _: tried() >= changed.keys(), timeout=SECONDS)
    except AssertionError:
        for file in changed.keys() - tried():
            findings.add(changed[file].how, f"{file} was not tried within {SECONDS:g} s")
    await live.quiet(0.2)
    # One that has ended is soon tried again.
    known = await comes_to(
        live, findings, "are tried", lambda known: not any(map(is_loading, known.values()))
    )
    for file, text in changed.items():
        check_told(findings, text, known.get(file.removeprefix("plugins/")))


def check_told(findings: Findings, text: PluginText, plugin: dict[str, Any] | None) -> None:
    """Whether what a client is told of a plugin says what is wrong with it, where, and what to do."""
    if plugin is None:
        findings.add(text.how, "it is not listed")
        return
    findings.count(plugin["state"])
    if plugin["state"] not in STATES:
        findings.add(text.how, f"its state is {plugin['state']}")
    error = plugin["error"]
    if plugin["state"] == "active":
        if error is not None:
            findings.add(text.how, f"active, with the error {error}")
        return
    wrong = None
    if error is None:
        wrong = "no error is told"
    elif error["code"] not in CODES:
        wrong = "its code is none of those that are documented"
    elif not text.may_end and (error["code"] == "worker_exited" or is_by_the_host(error)):
        wrong = "not the cause but only its consequence is told"
    elif not error["file"] or not all(error["messages"].get(language) for language in ("zh", "en")):
        wrong = "no place, or not in both languages"
    elif error["line"] is not None and not 1 <= error["line"] <= 10**6:
        wrong = "no such line"
    elif "service/worker" in (error["traceback"] or ""):
        wrong = "the worker's own frames are told"
    if wrong is not None:
        shown = {**(error or {}), "traceback": (error or {}).get("traceback") and "…"}
        findings.add(text.how, f"{wrong}: {json.dumps(shown)[:700]}")


def is_by_the_host(error: dict[str, Any]) -> bool:
    """Whether a worker said something that could not be understood, which then is all that can be told."""
    return error["code"] == "manifest_invalid" and error["stage"] != "contract"


async def call_all(live: Live, findings: Findings, paths: Sequence[str]) -> None:
    """Call every search plugin that serves: an answer, or an error that is the plugin's."""
    known = await plugins_by_path(live)
    serving = [known[path] for path in paths if path in known and known[path]["type"] == "search"]
    at_once = asyncio.Semaphore(8)

    async def call(plugin: dict[str, Any]) -> None:
        async with at_once:
            try:
                answer = await live.search(plugin["name"], "\u202ekey")
            except (aiohttp.ClientError, TimeoutError) as error:
                findings.add(str(plugin), f"a call was not answered: {error!r}")
                return
        findings.count(f"calls answered {answer.status}")
        if answer.status not in CALLED or (answer.status != 200 and not answer.body.get("code")):
            findings.add(str(plugin), f"a call was answered {answer}")

    await asyncio.gather(*(call(plugin) for plugin in serving if plugin["state"] in ("active", "degraded")))


async def mend(live: Live, findings: Findings, paths: Sequence[str]) -> None:
    """Put a sound text in place of each: all serve again."""
    for path in paths:
        stem = path.partition("/")[2].removesuffix("_plugin.py")
        write(live, path, sound_plugin(stem, path.partition("/")[0], "mended").encode(), None)

    def is_mended(plugin: dict[str, Any] | None) -> bool:
        return plugin is not None and (plugin["state"], plugin["version"]) == ("active", "mended")

    await comes_to(
        live, findings, "are mended", lambda known: all(is_mended(known.get(path)) for path in paths)
    )
    findings.count("mended", len(paths))


def is_loading(plugin: dict[str, Any]) -> bool:
    return bool(plugin["state"] == "loading")


async def comes_to(
    live: Live, findings: Findings, what: str, is_so: Callable[[dict[str, dict[str, Any]]], bool]
) -> dict[str, dict[str, Any]]:
    """Wait until what is known of the plugins, by path, is so; what is known then."""
    known: dict[str, Any] = {}
    try:
        async with asyncio.timeout(SECONDS):
            while not is_so(known := await plugins_by_path(live)):
                await asyncio.sleep(0.1)
    except TimeoutError:
        left = [
            (path, one["state"], one["version"], (one["error"] or {}).get("code"))
            for path, one in known.items()
            if "fuzz" in path and (one["state"], one["version"]) != ("active", "mended")
        ]
        findings.add(str(left), f"within {SECONDS:g} s it did not come to be that all {what}")
    return known


async def bystanders_serve(live: Live, findings: Findings) -> None:
    """Ask the plugins that nobody touches, and the server itself, all the while."""
    while True:
        for name in BYSTANDERS:
            answer = await live.search(name)
            if answer.status != 200:
                findings.add(name, f"a plugin that nobody touched answered {answer}")
            findings.count("calls to others")
        if (answer := await live.get("/livez")).status != 200:
            findings.add("/livez", str(answer))
        await asyncio.sleep(0.05)


async def nothing_is_left(live: Live, findings: Findings) -> None:
    """No file where none belongs, no process, no generation, and no fault in the server's own log."""
    left: list[int] = []
    try:
        async with asyncio.timeout(SECONDS):
            while left := await asyncio.to_thread(without_a_place, live.server.process.pid):
                await asyncio.sleep(0.1)
    except TimeoutError:
        findings.add(str([told_of(pid) for pid in left]), "processes are left")
    beside = {path.name for path in live.home.parent.iterdir()} - {live.home.name}
    inside = {path.name for path in live.home.iterdir()} - {"plugins", "config", "data"}
    among = {path.name for path in (live.plugins).rglob("*") if path.is_file()}
    among -= {f"{name}_plugin.py" for name in BYSTANDERS}
    if beside or inside or among:
        findings.add(f"{beside}, {inside}, {among}", "files are where none belong")
    for line in live.server.printed.split("\n"):
        # What it prints before its log is for people.
        said = json.loads(line) if line.startswith("{") else {}
        if TRACEBACK.search(line) or said.get("level") in ("error", "critical"):
            findings.add(line[:3000], "the server's own log has a fault")


def without_a_place(server: int) -> list[int]:
    """The processes below the server that are no template, no spare of one, and no worker of a plugin that is there.

    Which of a template's workers are too many cannot be told; then it is all of them.
    """
    below = descendants(server)
    packets = {
        line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines() if " 0005 " in line
    }
    # A template is told what to do over packets, a worker over a stream.
    templates = {pid for pid in below if packets & sockets_of(pid)}
    strangers = [pid for pid in below - templates if parent_of(pid) not in templates]
    workers = [pid for pid in below - templates if parent_of(pid) in templates]
    return strangers or (workers if len(workers) > SPARES * len(templates) + len(BYSTANDERS) else [])


def sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    try:
        links = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()
    return {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:")}


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def told_of(pid: int) -> str:
    """What a process is, for whoever has to find out where it came from."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()[-60:]
    except OSError:
        return f"{pid} gone"
    known = re.findall(r"^(?:Name|State|PPid|Uid|Threads):\s*(.*)$", status, re.MULTILINE)
    return f"{pid} {known} {command!r}"


def write(live: Live, path: str, content: bytes, requirements: bytes | None) -> bool:
    """Save a plugin as an editor does, its requirements first; whether anything of it changed."""
    target, beside = live.plugins / path, requirements_of(live, path)
    before = beside.read_bytes() if beside.exists() else None
    if requirements is None:
        beside.unlink(missing_ok=True)
    else:
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(requirements)
    if target.exists() and target.read_bytes() == content:
        return before != requirements
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_bytes(content)
    temporary.rename(target)
    return True


def requirements_of(live: Live, path: str) -> Path:
    return live.plugins / path.replace("_plugin.py", "_requirements.txt")


async def plugins_by_path(live: Live) -> dict[str, dict[str, Any]]:
    return {one["file"].removeprefix("plugins/"): one for one in (await live.listed()).values()}
