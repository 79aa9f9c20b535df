"""The command against a real server with real plugins."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.home import BUNDLED
from tests.integration.server_process import ROOT, ServerProcess, environment, running_server

PLUGIN = """\
from service.sdk import ConfigField, SearchPlugin, SearchResult

class OnePlugin(SearchPlugin):
    name = "one"
    version = "{version}"
    description = "The one"

    def get_config_schema(self):
        return [ConfigField(name="volume", type="number", default=3), ConfigField(name="secret", type="password")]

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=self.version, url="https://example.org/")]
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with running_server(tmp_path / "home") as running:
        await until_settled(running)
        yield running


async def until_settled(server: ServerProcess) -> None:
    """Until the first scan is through and every plugin has a state to stay in."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{server.url}/readyz") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.02)


async def get(server: ServerProcess, path: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(server.url + path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def until_serving(server: ServerProcess, id: str) -> None:
    """Until a plugin that was put in place by hand is active."""
    async with asyncio.timeout(20):
        while True:
            listing = await get(server, "/api/plugins")
            if id in [one["id"] for one in listing[id.split("/")[0]] if one["state"] == "active"]:
                return
            await asyncio.sleep(0.02)


async def test_a_new_home_serves_the_bundled_plugins(server: ServerProcess) -> None:
    done = await server.plugbay("list", "--json")
    assert done.status == 0, done.stderr
    listing = json.loads(done.stdout)
    states = {one["id"]: one["state"] for type in ("search", "download", "parser") for one in listing[type]}
    ids = {
        name.removeprefix("plugins/").removesuffix(".py").removesuffix("_plugin")
        for name in BUNDLED
        if name.removesuffix(".py").endswith("_plugin")
    }
    assert {"search/library", "download/http", "parser/page"} <= ids
    assert states == dict.fromkeys(ids, "active")
    await downloaded_is_found(server)


async def downloaded_is_found(server: ServerProcess) -> None:
    """The bundled library finds what lies in the downloads folder."""
    downloads = server.home / "data" / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    (downloads / "Welcome to Plugbay.txt").write_text("hello")
    async with asyncio.timeout(20):
        while True:
            found = await get(server, "/api/search/library?keyword=plugbay")
            if [one["title"] for one in found["results"]] == ["Welcome to Plugbay.txt"]:
                return


async def test_the_bundled_parser_reads_a_page(server: ServerProcess) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text='<title>T</title><a href="film.mp4">The film</a>', content_type="text/html")

    app = web.Application()
    app.router.add_get("/page", page)
    async with TestServer(app) as site, aiohttp.ClientSession() as session:
        async with session.post(
            f"{server.url}/api/parse", json={"url": str(site.make_url("/page"))}
        ) as response:
            answer = await response.json()
        assert answer["errors"] == []
        [itself, found] = answer["results"]
        assert (itself["kind"], itself["title"]) == ("page", "T")
        assert found == {
            "plugin": "page",
            "name": "The film",
            "url": str(site.make_url("/film.mp4")),
            "kind": "file",
            "page": "T",
        }


async def test_the_check_of_the_image_finds_it_healthy(server: ServerProcess, tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [command] = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    _, *arguments = json.loads(command)
    port = server.url.rpartition(":")[2]
    for number, expected in ((port, 0), ("1", 1)):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=environment(PLUGBAY_SERVER__PORT=number),
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == expected


async def test_a_plugin_through_its_whole_life(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "one_plugin.py"
    file.write_text(PLUGIN.format(version="1.0"))
    install = ("install", str(file), "--type", "search")

    done = await server.plugbay(*install)
    assert (done.status, done.stderr) == (0, "")
    assert "search/one 1.0  plugins/search/one_plugin.py" in done.stdout

    done = await server.plugbay(*install, "--json")
    assert done.status == 1
    assert json.loads(done.stderr)["code"] == "plugin_exists"

    file.write_text(PLUGIN.format(version="2.0"))
    assert (await server.plugbay(*install, "--replace")).status == 0
    assert (await get(server, "/api/search/one?keyword=x"))["results"][0]["title"] == "2.0"

    assert (await server.plugbay("disable", "search/one")).status == 0
    listed = await server.plugbay("list")
    assert re.search(r"search/one +disabled", listed.stdout)
    assert (await server.plugbay("enable", "search/one")).status == 0

    done = await server.plugbay("reload", "search/one")
    assert done.status == 0, done.stdout

    assert (await server.plugbay("delete", "search/one")).status == 0
    done = await server.plugbay("delete", "search/one")
    assert done.status == 1
    assert "search" in done.stderr
    assert not (server.home / "plugins/search/one_plugin.py").exists()


async def test_a_plugin_that_does_not_load_is_refused_with_its_place(
    server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "bad_plugin.py"
    file.write_text("import json\n\nnonsense(\n")
    done = await server.plugbay("install", str(file), "--type", "parser")
    assert done.status == 1
    assert re.search(r"bad_plugin\.py:3", done.stderr), done.stderr
    assert str(server.home) not in done.stderr
    assert not (server.home / "plugins/parser/bad_plugin.py").exists()

    (server.home / "plugins/parser/bad_plugin.py").write_text("nonsense(\n")
    done = await server.plugbay("reload")
    assert done.status == 1
    assert "bad" in done.stdout


async def test_configuration_there_and_back(server: ServerProcess, tmp_path: Path) -> None:
    (server.home / "plugins/search/one_plugin.py").write_text(PLUGIN.format(version="1.0"))
    await until_serving(server, "search/one")
    done = await server.plugbay("config", "set", "search/one", "volume=7", "secret", stdin="open sesame\n")
    assert done.status == 0, done.stderr
    shown = await server.plugbay("config", "get", "search/one", "--json")
    assert json.loads(shown.stdout)["config"] == {"volume": 7, "secret": "********"}

    wrong = await server.plugbay("config", "set", "search/one", "volume=loud")
    assert wrong.status == 1
    assert "volume" in wrong.stderr

    file = tmp_path / "export.json"
    assert (await server.plugbay("config", "export", str(file))).status == 0
    exported = json.loads(file.read_text())["config"]["search:one"]
    assert (exported["volume"], exported["secret"]) == (7, "open sesame")
    file.write_text(file.read_text().replace("open sesame", "close sesame"))
    assert (await server.plugbay("config", "import", str(file))).status == 0
    stored = json.loads((server.home / "config/plugins.json").read_text())
    assert stored["search:one"]["secret"] == "close sesame"


async def test_events_and_the_live_list_see_a_save(server: ServerProcess) -> None:
    events = await server.start_plugbay("events", "--topic", "plugins/**", "--json")
    watching = await server.start_plugbay("list", "--watch", "--json")
    try:
        assert events.stderr is not None and events.stdout is not None and watching.stdout is not None
        async with asyncio.timeout(20):
            while b"connected" not in await events.stderr.readline():
                pass
            first = json.loads(await watching.stdout.readline())
            assert "search/one" not in [one["id"] for one in first]
            (server.home / "plugins/search/one_plugin.py").write_text(PLUGIN.format(version="1.0"))
            while (event := json.loads(await events.stdout.readline()))["type"] != "plugbay.plugin.loaded":
                pass
            assert event["subject"] == "plugins/search/one"
            while True:
                rows = {one["id"]: one["state"] for one in json.loads(await watching.stdout.readline())}
                if rows.get("search/one") == "active":
                    break
    finally:
        for process in (events, watching):
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
            assert b"Traceback" not in err, err.decode()


async def test_the_language_is_that_of_the_terminal(server: ServerProcess) -> None:
    done = await server.plugbay("delete", "search/none", PLUGBAY_LANG="zh")
    assert done.status == 1
    assert done.stderr.startswith("错误：")
    assert re.search(r"[\u4e00-\u9fff]", done.stderr.removeprefix("错误："))
    done = await server.plugbay("delete", "search/none", PLUGBAY_LANG="", LANG="de_DE.UTF-8", LC_ALL="")
    assert done.stderr.startswith("Error: ")


async def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    async with running_server(tmp_path / "home") as server:
        await until_settled(server)
        assert await server.stop() == 0
    assert "Traceback" not in server.printed
    assert '"level": "error"' not in server.printed


async def test_it_runs_on_the_other_event_loop_too(tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    environ = environment(PLUGBAY_SERVER__EVENT_LOOP="uvloop")
    async with running_server(tmp_path / "home", environ=environ) as server:
        await until_settled(server)
        done = await server.plugbay("reload")
        assert done.status == 0, done.stdout
        await downloaded_is_found(server)
        assert await server.stop() == 0
    assert "Traceback" not in server.printed


async def run_serve(*arguments: str, **environ: str) -> tuple[int, str]:
    """A start that is not to succeed: its status and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "service", "serve", *arguments),
        env=environment(**environ),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, err.decode()


async def test_a_wrong_setting_stops_the_start(tmp_path: Path) -> None:
    status, said = await run_serve("--home", str(tmp_path), PLUGBAY_LIMITS__THREADS="many")
    assert status == 2
    assert "limits.threads" in said and "'many'" in said and "1 to 1024" in said
    assert list(tmp_path.iterdir()) == []
    status, said = await run_serve("--home", str(tmp_path), "--port", "65536")
    assert status == 2


async def test_a_port_that_is_taken_is_explained(server: ServerProcess, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    status, said = await run_serve("--home", str(tmp_path / "other"), "--port", port)
    assert status == 1
    assert "in use" in said and "--port" in said
    assert "Traceback" not in said
    assert not (tmp_path / "other").exists(), "a start in vain changes nothing"


async def test_a_home_that_another_server_uses_is_explained(server: ServerProcess) -> None:
    status, said = await run_serve("--home", str(server.home), "--port", "0")
    assert status == 1
    assert f"process {server.process.pid}" in said and "--home" in said
    assert "Plugbay 0" not in said and "Traceback" not in said


async def test_beyond_loopback_a_token_is_made_and_the_address_to_sign_in_is_printed(tmp_path: Path) -> None:
    async with running_server(tmp_path / "home", "--host", "0.0.0.0") as server:
        file = server.home / "data" / "token"
        token = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert f"/?token={token}" in server.printed
        refused = await server.plugbay("list")
        assert refused.status == 1
        assert "PLUGBAY_TOKEN" in refused.stderr
        assert (await server.plugbay("list", "--token", token)).status == 0
        assert (await server.plugbay("list", PLUGBAY_TOKEN=token)).status == 0
        assert server.printed.count(token) == 1, "a token is printed once and never logged"


async def test_the_example_of_the_readme_works(server: ServerProcess) -> None:
    for name, greeting in (("README.md", "Hello, world"), ("README.zh.md", "你好，world")):
        text = (ROOT / name).read_text(encoding="utf-8")
        [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        (server.home / "plugins/search/hello_plugin.py").write_text(example, encoding="utf-8")
        await server.plugbay("reload", "search/hello")
        found = await get(server, "/api/search/hello?keyword=world")
        assert found["results"][0]["title"] == greeting


NEEDY = """\
from service.sdk import ConfigField, SearchPlugin

class NeedyPlugin(SearchPlugin):
    name = "needy"
    version = "1"
    description = "Needs a key"

    def get_config_schema(self):
        return [ConfigField(name="key", type="text", required=True)]

    async def self_check(self):
        if self.config.get("key", "good") != "good":
            raise ValueError("the key is not good")

    async def search(self, keyword, **kwargs):
        return []
"""


async def test_what_a_plugin_still_needs_and_what_it_does_not_take_is_said(
    server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "needy_plugin.py"
    file.write_text(NEEDY)
    done = await server.plugbay("install", str(file), "--type", "search")
    assert done.status == 0 and "plugbay config set search/needy key=…" in done.stdout
    done = await server.plugbay("config", "set", "search/needy", "key=bad")
    assert (done.status, "serves on" in done.stdout) == (1, True), done
    assert "the key is not good" in done.stdout
    assert (await server.plugbay("config", "set", "search/needy", "key=good")).status == 0
