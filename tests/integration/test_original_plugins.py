"""Plugins in the manner of the original application run as they are: `tests/original_plugins`, in a real server."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.integration.live import UNTIL_S, Live, live_server, write

ORIGINALS = Path(__file__).parents[1] / "original_plugins"
EXPECTED = {
    "search/site": "1.2.0",
    "search/dragons": "2.0",
    "search/startup": "1.0.0",
    "search/form": "0.1",
    "search/relative": "1",
    "search/catalogue": "3",
    "download/stepwise": "1.0.0",
    "download/threaded": "1.0.0",
    "download/submitter": "1.1.0",
    "parser/lines": "1.0.0",
    "parser/resolver": "1.0.0",
}


@pytest.fixture
async def site() -> AsyncIterator[TestServer]:
    """A web site that can be searched."""

    async def find(request: web.Request) -> web.Response:
        title = f"{request.query['q']} 第一集"
        return web.json_response({"items": [{"id": 7, "title": title, "link": "http://x/1", "seconds": 90}]})

    app = web.Application()
    app.router.add_get("/find", find)
    async with TestServer(app, host="127.0.0.1") as server:
        yield server


@pytest.fixture
async def live(tmp_path: Path, site: TestServer) -> AsyncIterator[Live]:
    """A server whose home has the plugins and a configuration as the original's form saves it."""
    home = tmp_path / "home"
    await asyncio.to_thread(shutil.copytree, ORIGINALS, home / "plugins")
    base_url = str(site.make_url("")).rstrip("/")
    config = {
        "search:site": {
            "base_url": base_url,
            "timeout": "",
            "from_an_older_version": "kept",
            "_enabled": True,
        },
        "search:catalogue": {"base_url": base_url, "timeout": "5"},
        "search:form": {"host": "", "port": "9000", "ratio": "", "verify": "", "secret": "", "unknown": "x"},
    }
    write(home / "config" / "plugins.json", json.dumps(config))
    async with live_server(home) as client:
        yield client


async def logged(live: Live, id: str, enough: Callable[[list[dict[str, Any]]], Any]) -> list[dict[str, Any]]:
    """The lines of a plugin's log, once they are all there."""
    async with asyncio.timeout(UNTIL_S):
        while True:
            lines: list[dict[str, Any]] = (await live.get(f"/api/plugins/{id}/logs")).body["lines"]
            if enough(lines):
                return lines
            await asyncio.sleep(0.02)


async def test_all_of_them_load_and_do_their_work(live: Live) -> None:
    listed = await live.listed()
    assert {id: (one["state"], one["error"]) for id, one in listed.items()} == dict.fromkeys(
        EXPECTED, ("active", None)
    )
    assert {id: one["version"] for id, one in listed.items()} == EXPECTED
    assert listed["search/dragons"]["description"] == "dragons series"
    assert listed["download/submitter"]["supported_protocols"] == ["magnet", "ed2k"]

    # What it takes for granted is there, and the configuration that its form saved is understood.
    [found] = (await live.search("site", "斗罗大陆")).body["results"]
    assert found == {
        "title": "斗罗大陆 第一集",
        "url": "http://x/1",
        "thumbnail": None,
        "duration": 90,
        "platform": "site",
        "description": None,
        "metadata": {"id": 7},
    }
    entries = (await live.search("catalogue", "x")).body["results"]
    assert [(one["title"], one.get("episodes")) for one in entries] == [
        ("x 第一集", [{"name": "1"}]),
        ("a dictionary", None),
    ]
    assert await live.answer("relative", "k") == "k! True 5 running None"

    # Its lines are in its log, each with its level.
    assert await live.answer("startup", "k") == "yes True True yes"
    lines = await logged(
        live, "search/startup", lambda lines: any("printed k" in one["message"] for one in lines)
    )
    levels = {one["message"]: one["level"] for one in lines}
    assert levels["debug k"] == "debug"
    assert levels["warning k"] == "warning"
    assert levels["exception k"] == "error"
    assert "模块已加载" in levels
    assert levels["ValueError: invalid literal for int() with base 10: 'x'"] == "error"


async def test_video_info_and_parsers(live: Live) -> None:
    answer = await live.post("/api/video-info", json={"plugin_name": "dragons", "url": "http://127.0.0.1/a"})
    assert answer.status == 200, answer
    assert (answer.body["title"], answer.body["formats"]) == ("Info", [{"quality": "1080p"}])
    first, second = (await live.search("dragons", "龙")).body["results"]
    assert (first["title"], second["title"]) == ("龙", "龙 2")
    [episode] = first["metadata"]["episodes"]
    assert {"name": "线路 2", "url": "lines://x/1?line=2"}.items() <= episode["parsed_urls"][1].items()
    parsed = (await live.post("/api/parse", json={"url": "lines://a"})).body
    assert not parsed["errors"]
    assert [(one["plugin"], one["name"]) for one in parsed["results"]] == [
        ("lines", "线路 1"),
        ("lines", "线路 2"),
        ("resolver", "A"),
    ]


async def test_a_form_of_every_kind(live: Live) -> None:
    plugin = await live.plugin("search/form")
    assert [one["type"] for one in plugin["config_schema"]] == [
        "text", "password", "number", "number", "boolean", "select", "list",
    ]  # fmt: skip
    assert plugin["config_schema"][1]["description"] == "never shown"
    assert plugin["config_schema"][6]["fields"][1]["default"] == "http://none"

    async def seen() -> dict[str, Any]:
        metadata: dict[str, Any] = (await live.search("form")).body["results"][0]["metadata"]
        return metadata

    first = await seen()
    assert first["config"] == {
        "host": "localhost",
        "port": "9000",
        "ratio": 1.5,
        "verify": True,
        "quality": "1080p",
        "sites": [],
        "unknown": "x",
    }
    assert {name: value for name, value in first.items() if name != "config"} == {
        "host": "localhost", "port": 9000, "ratio": 1.5, "verify": True, "missing": 7,
    }  # fmt: skip
    # And saved again by its form.
    sites = [{"title": "one", "url": "", "extra": 1}, {"title": "two", "url": "http://two"}]
    saved = {
        "host": "h",
        "port": "81",
        "ratio": "0.5",
        "verify": "false",
        "quality": "",
        "sites": sites,
        "odd": "",
    }
    before = len(live.events)
    answer = await live.post("/api/plugins/search/form/config", json=saved)
    assert answer.status == 200, answer
    await live.event("configured", "search/form", after=before)
    second = await seen()
    assert (second["host"], second["port"], second["ratio"], second["verify"]) == ("h", 81, 0.5, False)
    assert second["config"]["quality"] == "1080p"
    assert second["config"]["sites"] == [
        {"title": "one", "url": "http://none", "extra": 1},
        {"title": "two", "url": "http://two"},
    ]


async def test_a_base_plugin_of_the_users_own_takes_over_and_leaves_again(live: Live) -> None:
    """The stand-in is only for a name that nothing is under; who imports it notices when that changes."""
    before = len(live.events)
    own = write(
        live.plugins / "base_plugin.py",
        "from base_plugin import *\nfrom base_plugin import SearchResult as Found\n"
        "def SearchResult(**values):\n    return Found(**{**values, 'title': 'mine: ' + values['title']})\n",
    )
    await live.event("reloaded", "search/relative", after=before)
    assert await live.answer("relative", "k") == "mine: k! True 5 running None"
    assert await live.answer("dragons", "k") == "k"
    before = len(live.events)
    own.unlink()
    await live.event("reloaded", "search/relative", after=before)
    assert await live.answer("relative", "k") == "k! True 5 running None"


async def test_what_it_takes_for_granted_is_among_its_dependencies(live: Live) -> None:
    text = (ORIGINALS / "search" / "site_plugin.py").read_text().replace('"site"', '"second"')

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(text=text)

    app = web.Application()
    app.router.add_get("/second_plugin.py", serve)
    async with TestServer(app, host="127.0.0.1") as origin:
        url = str(origin.make_url("/second_plugin.py"))
        body = {"url": url, "plugin_type": "search", "dry_run": True}
        plan = await live.post("/api/plugins/install", json=body)
    assert plan.status == 200, plan
    dependencies = plan.body["dependencies"]
    assert [one["name"] for one in dependencies["satisfied"] + dependencies["add"]] == ["httpx"]
