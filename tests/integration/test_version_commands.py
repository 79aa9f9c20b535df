"""Dependencies, updates and going back, as the README shows them: against a real server, origin and registry."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from service.cli.main import plugbay
from tests.integration.server_process import ROOT, ServerProcess, environment, running_server
from tests.registry import Registry

PLUGIN = """\
# /// script
# dependencies = ["greeting=={wanted}"]
# ///
import greeting
from service.sdk import SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "demo"
    version = "{version}"
    description = "Says what its library has"

    async def search(self, keyword, **kwargs):
        (self.data_dir / "kept").write_text("kept")
        return [SearchResult(title=f"{{greeting.VERSION}} {{self.version}}", url="https://example.org/")]
"""

# What each command of the README prints, by its beginning.
PRINTS = {
    "install --plan": "greeting 1.0",
    "install": "search/demo 1.0",
    "outdated": "outdated  1.0   1.1",
    "update": "search/demo  1.0 → 1.1",
    "source": "",
    "check": "1 plugin, no problems",
    "source --put": "search/demo 1.1  active",
    "revisions": "●",
    "diff": "+# edited",
    "rollback": "search/demo 1.1  active",
    "delete": "deleted",
    "history": "deleted version 1.1 with its data",
    "undo": "search/demo 1.1  active",
    "env list": "greeting==2.0",
}


class Origin:
    """Where the plugin comes from; `text` is what it has."""

    def __init__(self) -> None:
        self.text = PLUGIN.format(wanted="1.0", version="1.0")
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.path != "/demo_plugin.py":
            raise web.HTTPNotFound
        return web.Response(text=self.text, content_type="text/x-python")


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    app = web.Application()
    app.router.add_get("/{name}", origin.answer)
    async with TestServer(app) as server:
        origin.url = str(server.make_url("/"))
        yield origin


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        registry.add("greeting", "1.0")
        registry.add("greeting", "2.0")
        yield registry


@pytest.fixture
async def server(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ServerProcess]:
    (tmp_path / "home" / "plugins").mkdir(parents=True)
    environ = environment(**registry.environment(tmp_path / "uv"), UV_OFFLINE="0")
    # A check needs no server, and asks the registry itself.
    for name, value in registry.environment(tmp_path / "uv").items():
        monkeypatch.setenv(name, value)
    async with running_server(tmp_path / "home", environ=environ) as running:
        yield running


def commands_of(readme: str) -> list[str]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    [block] = [one for one in re.findall(r"```console\n(.*?)```", text, re.DOTALL) if "plugbay undo" in one]
    return [line.removeprefix("$ ").partition("#")[0].strip() for line in block.splitlines()]


def name_of(command: str) -> str:
    words = command.split()[1:]
    option = next((word for word in words if word in ("--plan", "--put")), None)
    return " ".join([words[0], *(words[1:2] if words[0] == "env" else [option] if option else [])])


def test_both_readmes_go_the_same_way() -> None:
    assert commands_of("README.md") == commands_of("README.zh.md")
    assert [name_of(command) for command in commands_of("README.md")] == list(PRINTS)


async def title(server: ServerProcess) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/api/search/demo?keyword=x") as response,
    ):
        answer = await response.json()
        assert response.status == 200, answer
        return str(answer["results"][0]["title"])


async def run(server: ServerProcess, command: str) -> str:
    """What a shell would do with the command, without a process for each."""
    typed, _, target = command.partition(">")
    runner = CliRunner(env={"PLUGBAY_URL": server.url, "COLUMNS": "100"})
    arguments = shlex.split(typed)[1:]
    if arguments[0] == "check":
        # It ends all processes of other sessions below its own: this server, too.
        program = [sys.executable, "-m", "service", *arguments]
        variables = {**os.environ, "PLUGBAY_URL": server.url, "PYTHONPATH": str(ROOT)}
        process = await asyncio.create_subprocess_exec(*program, env=variables, stdout=PIPE)
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        return output
    result = await asyncio.to_thread(runner.invoke, plugbay, arguments, catch_exceptions=False)
    assert result.exit_code == 0, f"{command}\n{result.output}"
    if target:
        Path(target.strip()).write_bytes(result.stdout_bytes)
    return result.output


async def test_the_way_of_the_readme(
    server: ServerProcess, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, served = tmp_path / "demo_plugin.py", server.home / "plugins/search/demo_plugin.py"
    for command in commands_of("README.md"):
        name = name_of(command)
        if name == "outdated":
            origin.text = PLUGIN.format(wanted="2.0", version="1.1")
        elif name == "check":
            file.write_text(file.read_text() + "# edited\n")
        elif name == "diff":
            assert served.read_text().endswith("# edited\n")
        printed = await run(server, command.replace("https://example.org/", origin.url))
        assert PRINTS[name] in printed, f"{command}\n{printed}"
        match name:
            case "install --plan":
                assert not served.exists()
            case "install":
                assert await title(server) == "1.0 1.0"
            case "update":
                assert await title(server) == "2.0 1.1"
            case "rollback":
                assert served.read_text() == origin.text
            case "delete":
                assert not served.exists()
    assert await title(server) == "2.0 1.1"
    assert served.read_text() == origin.text
