"""Completion in real shells, of a real server: plugins, types, tasks, changes and revisions."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from service.sdk.testing.process import server_process
from tests.integration.live import search_plugin, write
from tests.integration.server_process import environment

SECONDS = 60.0
NOBODY = "http://127.0.0.1:9"
PROGRAMS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two plugins, for all shells."""
    home = tmp_path_factory.mktemp("completion") / "home"
    for name in ("demo", "other"):
        write(home / f"plugins/search/{name}_plugin.py", search_plugin(name))
    with server_process(home, {"UV_NO_INDEX": "1"}) as url:
        deadline = time.monotonic() + SECONDS
        while str(ask(f"{url}/api/plugins")).count("'active'") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield url


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """The answer to one request."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=SECONDS) as answer:
        return json.load(answer)


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


async def run(url: str, *command: str) -> tuple[list[str], str]:
    """The lines that a shell prints, and what it complains of."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment(PATH=PROGRAMS, PLUGBAY_URL=url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    return out.decode().split("\n")[:-1], err.decode()


async def bash(url: str, *lines: str) -> list[list[str]]:
    """What bash offers for each line, at its end."""
    script = 'eval "$(plugbay completion bash)"\n'
    for line in lines:
        words = line.split(" ")
        quoted = " ".join(f"'{word}'" for word in words)
        script += f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMPREPLY=()\n"
        script += "_plugbay_completion plugbay; printf '%s\\n' \"${COMPREPLY[@]}\" --\n"
    printed, complaints = await run(url, "bash", "-c", script)
    assert complaints == ""
    offered: list[list[str]] = [[]]
    for one in printed:
        if one == "--":
            offered.append([])
        elif one:
            offered[-1].append(one)
    return offered[:-1]


@needs("bash")
async def test_bash(server: str) -> None:
    task = ask(f"{server}/api/search", {"keyword": "night"})["task_id"]
    ask(f"{server}/api/plugins/delete", {"plugin_type": "search", "plugin_name": "other"})
    change = ask(f"{server}/api/changes")["changes"][0]["id"]
    revision = ask(f"{server}/api/plugins/search/demo/revisions")["revisions"][0]["revision"]
    plugins, types, tasks, changes, revisions = await bash(
        server,
        "plugbay enable s",
        "plugbay install x --type ",
        "plugbay tasks show ",
        "plugbay undo ",
        "plugbay rollback search/demo ",
    )
    assert plugins == ["search/demo"]
    assert types == ["search", "download", "parser"]
    assert tasks == [task]
    assert changes == [change]
    assert revisions == [revision[:12]]


@needs("bash")
async def test_without_a_server_nothing_is_offered_and_nothing_is_said() -> None:
    assert await bash(NOBODY, "plugbay enable ", "plugbay ena") == [[], ["enable"]]


@needs("fish")
async def test_fish(server: str) -> None:
    script = 'plugbay completion fish | source; complete -C "plugbay disable search/d"'
    printed, complaints = await run(server, "fish", "--no-config", "-c", script)
    assert complaints == ""
    [line] = printed
    assert line.split("\t") == ["search/demo", "active answers 1"]


@needs("zsh")
async def test_zsh(server: str, tmp_path: Path) -> None:
    """zsh completes in its line editor only, so somebody has to type."""
    setup = 'autoload -Uz compinit; compinit -D; eval "$(plugbay completion zsh)"; print READ""Y\n'
    ours, theirs = pty.openpty()
    zsh = await asyncio.create_subprocess_exec(
        *("zsh", "-f", "-i"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(PATH=PROGRAMS, PLUGBAY_URL=server, HOME=str(tmp_path), TERM="dumb"),
        start_new_session=True,
    )
    os.close(theirs)
    seen = bytearray()
    came = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            seen.extend(os.read(ours, 65536))
        except OSError:
            loop.remove_reader(ours)
        came.set()

    async def until(text: bytes) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                while text not in seen:
                    came.clear()
                    await came.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in {bytes(seen)!r}") from None

    loop.add_reader(ours, read)
    try:
        os.write(ours, setup.encode())
        await until(b"READY\r\n")
        os.write(ours, b"plugbay disable search/d\t")
        await until(b"search/demo")
    finally:
        loop.remove_reader(ours)
        zsh.kill()
        await zsh.wait()
        os.close(ours)
