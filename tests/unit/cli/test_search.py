"""`plugbay search`: results as they come, who failed, and how it ends."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from rich.cells import cell_len
from rich.console import Console

from service.cli.results import ResultTable, row_of
from tests.unit.cli.conftest import Run
from tests.unit.cli.task_server import TaskServer, failure, problem

FOUND: list[dict[str, Any]] = [
    {"title": "斗罗大陆 第一季", "url": "https://example.org/1", "plugin": "vod", "duration": 185},
    {
        "title": "Soul\x1b[31m Land",
        "url": "magnet:?xt=1",
        "plugin": "tor",
        "metadata": {"size": 2048, "seeders": 3},
    },
]


@pytest.fixture
async def server() -> AsyncIterator[TaskServer]:
    fake = TaskServer()
    async with TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        yield fake


async def play(server: TaskServer, run: Run, *arguments: str, **ending: Any) -> Any:
    """Runs a search in which everything is found at once, to the given end."""
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(run("search", *arguments))
        await server.followed()
        await server.tell("started", status="running", searching=["vod", "tor"])
        if found := ending.pop("found", FOUND):
            await server.tell("results", results=found)
        status = ending.pop("status", "completed")
        await server.tell(status, status=status, **ending)
    return running.result()


async def test_results_are_rows_for_a_pipe(server: TaskServer, run: Run) -> None:
    result = await play(
        server, run, "斗罗", "大陆", "--limit", "9", "--plugin", "search/vod", "--plugin", "tor"
    )
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "斗罗大陆 第一季\tvod\t3:05\thttps://example.org/1",
        "Soul Land\ttor\t2.0 KiB · 3 seeding\tmagnet:?xt=1",
    ]
    assert "2 results" in result.stderr
    begun = next(body for method, path, body in server.requests if path == "/api/search")
    assert begun == {"keyword": "斗罗 大陆", "plugins": ["vod", "tor"], "limit": 9}


async def test_nothing_is_sent_that_was_not_asked_for(server: TaskServer, run: Run) -> None:
    await play(server, run, "x")
    assert ("POST", "/api/search", {"keyword": "x"}) in server.requests


async def test_those_that_failed_are_named_with_their_reason(server: TaskServer, run: Run) -> None:
    result = await play(
        server, run, "x", failures=[failure("bad", "no luck"), failure("worse", "none at all")]
    )
    assert result.exit_code == 0
    assert "bad failed: raised no luck\nworse failed: raised none at all\n" in result.stderr
    assert "failed" not in result.stdout


async def test_where_all_failed_it_ends_with_one(server: TaskServer, run: Run) -> None:
    result = await play(
        server,
        run,
        "x",
        found=[],
        status="failed",
        failures=[failure("bad", "no luck"), failure("worse", "none")],
        problem=problem("search_failed", "都失败了", "Every plugin failed: bad: …; worse: …"),
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "bad failed: raised no luck",
        "worse failed: raised none",
        "Error: Every plugin failed",
    ]


async def test_a_single_plugin_that_failed_is_told_once(server: TaskServer, run: Run) -> None:
    said = problem("plugin_error", "出错", "Plugin search/bad raised no luck")
    result = await play(
        server, run, "x", found=[], status="failed", failures=[failure("bad", "no luck")], problem=said
    )
    assert result.stderr.splitlines() == ["Error: Plugin search/bad raised no luck"]


async def test_json_is_the_finished_task_alone(server: TaskServer, run: Run) -> None:
    result = await play(server, run, "x", "--json", failures=[failure("bad", "no luck")])
    whole = json.loads(result.stdout)
    assert (whole["status"], whole["results"]) == ("completed", FOUND)
    assert whole["failures"][0]["message"] == "raised no luck"
    assert result.stderr == ""


async def test_one_that_was_cancelled_elsewhere_ends_with_one(server: TaskServer, run: Run) -> None:
    result = await play(server, run, "x", status="cancelled")
    assert result.exit_code == 1
    assert "cancelled · 2 results" in result.stderr
    assert len(result.stdout.splitlines()) == 2


async def test_where_nothing_could_search_it_is_said(server: TaskServer, run: Run) -> None:
    assert "plugbay list" not in (await play(server, run, "x", found=[])).stderr
    server.plugins["search/demo"]["enabled"] = False
    result = await play(server, run, "x", found=[])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no search plugin is enabled, see plugbay list" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("  ",), ("x", "--limit", "0"), ("x", "--bogus")])
async def test_wrong_usage_asks_nobody(server: TaskServer, run: Run, arguments: tuple[str, ...]) -> None:
    result = await run("search", *arguments)
    assert result.exit_code == 2
    assert server.requests == []


def drawn(results: list[Any], *, brief: bool, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(ResultTable(results, brief=brief), soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_table_fits_also_with_wide_characters(width: int) -> None:
    long = {"title": "斗罗大陆" * 30, "url": "https://example.org/" + "x" * 200, "plugin": "影视站" * 9}
    table = [long | {"description": "玄幻 " * 40}, *FOUND]
    assert all(cell_len(line) <= width for line in drawn(table, brief=True, width=width))
    assert len(drawn(table, brief=True, width=width)) == 2 + 2 * len(table)
    whole = drawn(table, brief=False, width=width)
    assert all(cell_len(line) <= width for line in whole if "example.org" not in line)
    assert "  " + long["url"] in whole, "an address can be copied"
    assert "".join(whole).count("斗") == 31, "no part of a title is left out"


def test_what_is_no_result_is_shown_all_the_same() -> None:
    assert row_of("text") == ("text", "", "", "")
    assert row_of({"title": 3, "metadata": None, "duration": "1:23"}) == ("3", "", "1:23", "")
    assert row_of({"metadata": {"episodes": [1, 2]}})[2] == "2 episodes"
    assert row_of({"description": "a few\nwords"})[2] == "a few words"
    assert len(drawn([None, {}, 3], brief=False)) == 8
