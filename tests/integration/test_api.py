"""The API on a whole server: real plugins in real workers, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from tests.integration.server_process import ServerProcess, environment, running_server

SEARCH = """
from service.sdk import ConfigField, SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "demo"
    version = "{version}"
    description = "finds the keyword"

    def get_config_schema(self):
        return [
            ConfigField(name="key", type="password"),
            ConfigField(name="limit", type="number", default=3),
        ]

    async def search(self, keyword, **kwargs):
        if keyword == "raise":
            raise ValueError("on purpose")
        if keyword == "exit":
            import os
            os._exit(3)
        print("searched", keyword)
        episodes = [{{"title": "1", "play_url": "http://a/1"}}] if keyword == "series" else []
        return [
            SearchResult(title="{version}", url=keyword, description=str(self.config.get("key")),
                         metadata={{"episodes": episodes, "limit": self.config["limit"]}})
        ]

    async def get_video_info(self, url):
        return SearchResult(title="info", url=url)
"""
PARSER = """
from service.sdk import ParserPlugin

class {name}(ParserPlugin):
    name = "{name}"
    version = "1"
    description = "parses"

    def can_parse(self, url):
        return {can}

    def parse_url(self, url):
        {body}
"""
BROKEN = "def broken(:\n"


def write(home: Path, type: str, name: str, source: str) -> None:
    folder = home / "plugins" / type
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}_plugin.py").write_text(source)


class Session:
    """A client of the server; every answer is its status and its JSON."""

    def __init__(self, server: ServerProcess, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.home = server.home
        self._http = http

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        url = URL(self.server.url + path, encoded="%" in path)
        async with self._http.request(method, url, **options) as response:
            return response.status, json.loads(await response.text())

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while (await self.ask("GET", "/readyz"))[0] != 200 or "loading" in await self._states():
                await asyncio.sleep(0.02)

    async def _states(self) -> set[str]:
        _, listed = await self.ask("GET", "/api/plugins")
        return {one["state"] for type in ("search", "download", "parser") for one in listed[type]}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Session]:
    home = tmp_path / "home"
    write(home, "search", "demo", SEARCH.format(version="1"))
    write(home, "search", "bad", BROKEN)
    write(
        home,
        "parser",
        "good",
        PARSER.format(name="good", can="True", body='return [{"name": "n", "url": url}]'),
    )
    write(home, "parser", "picky", PARSER.format(name="picky", can="False", body="return [{}]"))
    write(home, "parser", "angry", PARSER.format(name="angry", can="True", body='raise KeyError("angry")'))
    async with running_server(home) as server, aiohttp.ClientSession() as http:
        session = Session(server, http)
        await session.ready()
        yield session


async def test_plugins_are_listed_with_their_states(api: Session) -> None:
    _, listed = await api.ask("GET", "/api/plugins", headers={"Accept-Language": "en"})
    assert [(one["name"], one["state"]) for one in listed["search"]] == [
        ("bad", "failed"),
        ("demo", "active"),
    ]
    error = listed["search"][0]["error"]
    assert (error["stage"], error["file"], error["line"]) == ("import", "plugins/search/bad_plugin.py", 1)
    assert str(api.home) not in json.dumps(listed)


async def test_calls(api: Session) -> None:
    status, found = await api.ask("GET", "/api/search/demo?keyword=hi")
    assert (status, found["results"][0]["url"]) == (200, "hi")
    status, found = await api.ask("GET", "/api/search/demo_plugin?keyword=series")
    [episode] = found["results"][0]["metadata"]["episodes"]
    assert episode["parsed_urls"] == [{"plugin": "good", "name": "n", "url": "http://a/1"}]
    body = {"url": "http://x", "plugin_name": "demo"}
    assert (await api.ask("POST", "/api/video-info", json=body))[1]["title"] == "info"
    status, parsed = await api.ask("POST", "/api/parse", json={"url": "http://x"})
    assert parsed["results"] == [{"plugin": "good", "name": "n", "url": "http://x"}]
    assert [(one["plugin"], one["code"]) for one in parsed["errors"]] == [("angry", "plugin_error")]
    assert "angry" in parsed["errors"][0]["message"]


async def test_calls_that_fail(api: Session) -> None:
    status, problem = await api.ask("GET", "/api/search/demo?keyword=raise")
    assert (status, problem["code"]) == (502, "plugin_error")
    assert (problem["error"]["type"], problem["error"]["message"]) == ("ValueError", "on purpose")
    assert "on purpose" in problem["error"]["traceback"]
    assert str(api.home) not in json.dumps(problem)
    status, problem = await api.ask("GET", "/api/search/demo?keyword=exit")
    assert (status, problem["code"]) == (502, "plugin_crashed")
    assert (await api.ask("GET", "/api/search/demo?keyword=again"))[0] == 200
    status, problem = await api.ask("GET", "/api/search/bad?keyword=x")
    assert (status, problem["code"]) == (503, "plugin_unavailable")
    assert (await api.ask("GET", "/api/search/none?keyword=x"))[1]["code"] == "plugin_not_found"


async def test_toggle_reload_delete(api: Session) -> None:
    toggle = "/api/plugins/search/demo/toggle?enabled="
    status, off = await api.ask("POST", toggle + "false")
    assert (status, off) == (200, {"status": "success", "enabled": False, "change": off["change"]})
    assert (await api.ask("GET", "/api/search/demo?keyword=x"))[1]["code"] == "plugin_disabled"
    assert (await api.ask("POST", toggle + "true"))[1]["enabled"] is True
    assert (await api.ask("GET", "/api/search/demo?keyword=x"))[0] == 200

    _, before = await api.ask("GET", "/api/plugins/search/demo")
    status, reloaded = await api.ask(
        "POST", "/api/plugins/reload", json={"plugin_type": "search", "plugin_name": "demo"}
    )
    assert (status, reloaded["message"]) == (200, "插件重新加载完成: 成功 1, 失败 0")
    assert reloaded["results"][0]["generation"] > before["generation"]
    status, reloaded = await api.ask("POST", "/api/plugins/reload")
    assert (reloaded["success_count"], reloaded["fail_count"]) == (4, 1)
    [failed] = [one for one in reloaded["results"] if not one["ok"]]
    assert (failed["id"], failed["error"]["line"]) == ("search/bad", 1)

    body = {"plugin_type": "search", "plugin_name": "demo"}
    status, deleted = await api.ask("POST", "/api/plugins/delete", json=body)
    assert (status, deleted["message"], deleted["hot_unloaded"]) == (200, "插件删除成功并已卸载", True)
    assert not (api.home / "plugins/search/demo_plugin.py").exists()
    assert (await api.ask("GET", "/api/search/demo?keyword=x"))[0] == 404
    assert (await api.ask("POST", "/api/plugins/delete", json=body))[0] == 404


async def test_configuration(api: Session) -> None:
    config = "/api/plugins/search/demo/config"
    assert (await api.ask("GET", config))[1]["config"]["limit"] == 3
    status, stored = await api.ask("PUT", config, json={"key": "secret", "limit": "5", "odd": 1})
    assert status == 200
    assert (stored["config"]["key"], stored["config"]["limit"]) == ("********", 5)
    assert any("odd" in warning for warning in stored["warnings"])
    await api.ask("POST", config, json=stored["config"])
    _, found = await api.ask("GET", "/api/search/demo?keyword=x")
    assert found["results"][0]["description"] == "secret"
    assert found["results"][0]["metadata"]["limit"] == 5

    status, problem = await api.ask("PUT", config, json={"limit": "many", "key": 5})
    assert (status, problem["code"]) == (422, "config_invalid")
    assert {error["field"] for error in problem["errors"]} == {"limit", "key"}

    _, exported = await api.ask("GET", "/api/config/export")
    assert exported["config"]["search:demo"]["key"] == "secret"
    exported["config"]["search:demo"]["limit"] = 9
    status, imported = await api.ask("POST", "/api/config/import", json=exported)
    assert (status, imported["reloaded_count"]) == (200, 1)
    assert (await api.ask("GET", config))[1]["config"]["limit"] == 9


async def test_logs(api: Session) -> None:
    await api.ask("GET", "/api/search/demo?keyword=treasure")
    async with asyncio.timeout(5):
        while not (lines := (await api.ask("GET", "/api/plugins/search/demo/logs?lines=5"))[1]["lines"]):
            await asyncio.sleep(0.02)
    assert lines[-1]["message"] == "searched treasure"
    assert lines[-1]["generation"] == 1


class TestInstall:
    async def test_by_upload_and_again(self, api: Session) -> None:
        def form(source: str, **more: str) -> aiohttp.FormData:
            data = aiohttp.FormData({"plugin_type": "search", **more})
            data.add_field("file", source.encode(), filename="fresh_plugin.py")
            return data

        source = SEARCH.format(version="1").replace('"demo"', '"fresh"')
        status, done = await api.ask("POST", "/api/plugins/install", data=form(source))
        assert (status, done["message"]) == (200, "插件安装成功并已加载，可以立即使用")
        assert (done["plugin_name"], done["hot_loaded"]) == ("fresh", True)
        assert done["plugin"]["origin"]["kind"] == "upload"
        assert (await api.ask("GET", "/api/search/fresh?keyword=x"))[0] == 200
        again = await api.ask("POST", "/api/plugins/install", data=form(source))
        assert (again[0], again[1]["code"]) == (409, "plugin_exists")
        newer = source.replace('version = "1"', 'version = "2"')
        status, done = await api.ask("POST", "/api/plugins/install", data=form(newer, replace="true"))
        assert (status, done["plugin"]["version"]) == (200, "2")

    async def test_what_does_not_load_leaves_nothing(self, api: Session) -> None:
        before = sorted(path.name for path in (api.home / "plugins").rglob("*.py"))
        data = aiohttp.FormData({"plugin_type": "search"})
        data.add_field("file", BROKEN.encode(), filename="worse_plugin.py")
        status, problem = await api.ask("POST", "/api/plugins/install", data=data)
        assert (status, problem["code"]) == (422, problem["code"])
        assert (problem["error"]["stage"], problem["error"]["line"]) == ("import", 1)
        assert sorted(path.name for path in (api.home / "plugins").rglob("*.py")) == before

    async def test_by_address(self, api: Session) -> None:
        source = SEARCH.format(version="7").replace('"demo"', '"remote"').encode()

        async def serve(request: web.Request) -> web.Response:
            if request.path != "/remote_plugin.py":
                raise web.HTTPNotFound
            return web.Response(body=source)

        origin = web.Application()
        origin.router.add_get("/{path:.*}", serve)
        async with TestServer(origin) as server:
            body = {"url": str(server.make_url("/remote_plugin.py")), "plugin_type": "search"}
            wrong = await api.ask("POST", "/api/plugins/install", json=body | {"sha256": "0" * 64})
            assert (wrong[0], wrong[1]["code"]) == (422, "hash_mismatch")
            status, plan = await api.ask("POST", "/api/plugins/install", json=body | {"dry_run": True})
            assert (status, plan["status"], plan["plugin"]["name"]) == (200, "plan", "remote")
            assert (await api.ask("GET", "/api/plugins/search/remote"))[0] == 404
            body["sha256"] = hashlib.sha256(source).hexdigest()
            status, done = await api.ask("POST", "/api/plugins/install", json=body)
            assert (status, done["plugin"]["version"]) == (200, "7")
            body["url"] = str(server.make_url("/none_plugin.py"))
            missing = await api.ask("POST", "/api/plugins/install", json=body)
            assert (missing[0], missing[1]["code"]) == (502, "fetch_failed")

    async def test_refused_addresses(self, api: Session) -> None:
        for host in ("169.254.169.254", "[fe80::1]", "0.0.0.0", "[::ffff:169.254.169.254]", "2852039166"):
            body = {"url": f"http://{host}/x_plugin.py", "plugin_type": "search"}
            status, problem = await api.ask("POST", "/api/plugins/install", json=body)
            assert (status, problem["code"]) == (400, "url_refused"), host


STRANGE_NAMES = (
    "..",
    "..%2f..%2fconfig",
    "%00",
    "demo%00",
    "%ff",
    "%2fetc%2fpasswd",
    "demo%2e%2e",
    "x" * 4000,
)


async def test_strange_names_are_never_found_and_never_an_error_of_the_server(api: Session) -> None:
    for name in STRANGE_NAMES:
        for method, path in (
            ("GET", f"/api/plugins/search/{name}"),
            ("GET", f"/api/plugins/search/{name}/logs"),
            ("POST", f"/api/plugins/search/{name}/toggle?enabled=false"),
            ("GET", f"/api/search/{name}?keyword=x"),
        ):
            status, _ = await api.ask(method, path)
            assert 400 <= status < 500, (method, path)
        body = {"plugin_type": "search", "plugin_name": URL(f"/{name}", encoded=True).path[1:300]}
        status, _ = await api.ask("POST", "/api/plugins/delete", json=body)
        assert 400 <= status < 500, name
    assert (api.home / "plugins/search/demo_plugin.py").exists()


async def test_a_server_that_listens_everywhere_makes_a_token_and_wants_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "plugins").mkdir(parents=True)
    async with (
        running_server(home, "--host", "0.0.0.0", environ=environment()) as server,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        api = Session(server, http)
        file = home / "data" / "token"
        assert file.stat().st_mode & 0o777 == 0o600
        token = file.read_text().strip()
        assert (await api.ask("GET", "/api/plugins"))[0] == 401
        assert (await api.ask("GET", "/livez"))[0] == 200
        assert (await api.ask("GET", "/api/plugins", headers={"Authorization": f"Bearer {token}"}))[0] == 200
        async with http.get(server.url + "/", params={"token": token}, allow_redirects=False) as signed:
            assert (signed.status, signed.headers["Location"]) == (303, "/")
        assert (await api.ask("GET", "/api/plugins"))[0] == 200
        async with http.ws_connect(server.url + "/api/ws") as ws:
            await ws.send_json({"jsonrpc": "2.0", "id": 1, "method": "ping"})
            assert (await ws.receive_json(timeout=5))["id"] == 1
