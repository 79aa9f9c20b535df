"""`plugbay try` and the usage of `plugbay check`: what is asked of a server, and what is wrong usage."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.unit.cli.conftest import FakeServer, Run, plugin

ROOT = Path(__file__).parents[3]
OLD = {"at": "2026-11-22T12:00:00Z", "level": "info", "generation": 1, "message": "before"}
NEW = {"at": "2026-11-22T12:00:01Z", "level": "warning", "generation": 1, "message": "looking for 它"}
FOUND = {"title": "It", "url": "https://example.org/1", "metadata": {}, "duration": 65}


class CalledServer(FakeServer):
    """Answers calls, and has a line in the log for each."""

    def __init__(self) -> None:
        super().__init__()
        self.plugins["parser/page"] = plugin("parser", "page")
        self.lines = [OLD]
        self.failures: list[dict[str, Any]] = []

    def result(self, request: web.Request, body: Any) -> dict[str, Any]:
        match [part for part in request.path.split("/") if part]:
            case ["api", "plugins", _, _, "logs"]:
                return {"lines": self.lines}
            case ["api", "search", "demo"]:
                self.lines = [OLD, NEW]
                if request.query["keyword"] == "broken":
                    raise web.HTTPBadGateway(
                        text=json.dumps(
                            {"code": "plugin_error", "detail": "Plugin search/demo raised", "status": 502}
                        ),
                        content_type="application/problem+json",
                    )
                return {"results": [FOUND]}
            case ["api", "plugins", "install"] if body.get("dry_run") == "true":
                return {
                    "status": "plan",
                    "plugin": {"type": "search", "name": "demo", "file": "plugins/search/demo_plugin.py"},
                    "conflicts": [{"id": "search/demo", "file": "plugins/search/demo_plugin.py"}],
                    "replaces": "search/demo",
                }
            case ["api", "video-info"]:
                return FOUND
            case ["api", "parse"]:
                links = [] if self.failures else [{"plugin": "page", "name": "1080p", "url": body["url"]}]
                return {"results": links, "errors": self.failures}
        return super().result(request, body)


@pytest.fixture
async def server() -> AsyncIterator[CalledServer]:
    fake = CalledServer()
    async with TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        yield fake


async def test_a_search_with_result_log_and_time(server: CalledServer, run: Run) -> None:
    result = await run("try", "search/demo", "search", "two", "words")
    assert result.exit_code == 0
    assert result.stdout == "It\t\t1:05\thttps://example.org/1\n"
    assert "looking for 它" in result.stderr
    assert "before" not in result.stderr
    assert "1 result · " in result.stderr
    assert "ms · search/demo 1.0.0 · generation 1" in result.stderr
    asked = [path for method, path, _ in server.requests if path.startswith("/api/search/")]
    assert asked == ["/api/search/demo?keyword=two+words"]


async def test_json(server: CalledServer, run: Run) -> None:
    told = json.loads((await run("try", "search/demo", "search", "x", "--json")).stdout)
    assert (told["id"], told["called"], told["result"], told["log"]) == (
        "search/demo",
        "search",
        [FOUND],
        [NEW],
    )
    assert told["ms"] > 0


async def test_other_calls(server: CalledServer, run: Run) -> None:
    assert (
        "https://example.org/1"
        in (await run("try", "search/demo", "video-info", "https://x.example/")).stdout
    )
    assert "1080p" in (await run("try", "parser/page", "parse", "https://x.example/")).stdout
    bodies = [body for method, _, body in server.requests if method == "POST"]
    assert bodies == [
        {"url": "https://x.example/", "plugin_name": "demo"},
        {"url": "https://x.example/", "plugins": ["page"]},
    ]


async def test_a_plugin_that_raises(server: CalledServer, run: Run) -> None:
    result = await run("try", "search/demo", "search", "broken")
    assert result.exit_code == 1
    assert "Plugin search/demo raised" in result.stderr
    assert "looking for 它" in result.stderr
    server.failures = [{"plugin": "page", "message": "KeyError: 'x'"}]
    result = await run("try", "parser/page", "parse", "https://x.example/")
    assert (result.exit_code, "KeyError: 'x'" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("try", "search/demo", "parse", "x"), "a search plugin takes search, video-info"),
        (("try", "search/demo", "search"), "Missing argument"),
        (("try", "search/demo", "search", " "), "words"),
        (("try", "nowhere_plugin.py", "search", "x"), "is not there"),
        (("try", "download/http", "download", "https://x.example/"), "plugbay download https://x.example/"),
        (("try", "search/demo", "search", "x", "--set", "a=1"), "plugbay config set"),
        (("check",), "Missing argument"),
        (("check", "nowhere_plugin.py"), "is not there"),
        (("check", "https://x.example/x_plugin.py"), "plugbay install https://x.example/x_plugin.py"),
        (("check", "odd.py"), "--type"),
        (("check", "empty"), "There is no plugin in empty"),
        (("check", "notes.txt"), "is no Python file"),
        (("check", "odd.py", "--type", "search", "--set", "x"), "KEY=VALUE"),
    ],
)
async def test_wrong_usage_asks_nobody(
    server: CalledServer,
    run: Run,
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("x\n")
    (tmp_path / "empty").mkdir()
    result = await run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert server.requests == []


DEMO = """from service.sdk import SearchPlugin


class Demo(SearchPlugin):
    name = "demo"
    version = "1.0"
    description = "A demo"

    async def search(self, keyword, **kwargs):
        return []
"""


async def test_a_check_tells_of_a_clash_with_what_a_server_has(server: CalledServer, tmp_path: Path) -> None:
    folder = tmp_path / "plugins/search"
    folder.mkdir(parents=True)
    loose, newer = tmp_path / "another_plugin.py", tmp_path / "demo_plugin.py"
    own, twin = folder / "demo_plugin.py", folder / "twin_plugin.py"
    for file in (loose, newer, own, twin):
        file.write_text(DEMO)
    served = "plugins/search/demo_plugin.py"

    async def check(*files: Path) -> tuple[int | None, str]:
        # By itself: when it ends, it ends all processes of other sessions below its own.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "check", *map(str, files)),
            cwd=ROOT,
            env={**os.environ, "PLUGBAY_URL": server.url},
            stdout=asyncio.subprocess.PIPE,
        )
        told = (await process.communicate())[0].decode()
        return process.returncode, told

    status, told = await check(loose)
    assert (status, told.count("[conflict]")) == (0, 1), told
    assert f"{loose}:5:5: warning[conflict]: {server.url} has search/demo already, {served}" in told
    assert "install it with --replace" in told
    assert [path for _, path, _ in server.requests] == ["/api/plugins", "/api/plugins/install"]

    status, told = await check(newer)
    assert (status, told.count("[conflict]")) == (0, 0), told
    assert "search/demo is there already" in told

    status, told = await check(own)
    assert (status, told.count("[conflict]")) == (0, 0), told
    assert f"{server.url}: serves {served}" in told
    assert told.endswith("1 plugin, no problems\n")

    status, told = await check(twin)
    assert (status, told.count("[conflict]")) == (1, 1), told
    assert f"{twin}:5:5: error[conflict]: search/demo is the identity of {own} already" in told
    assert "help: give one of the two another name" in told
