"""`plugbay tasks` and what is below it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer
from rich.cells import cell_len
from rich.console import Console

from service.cli.task_table import TaskView, id_lengths, task_table
from service.client import Position
from tests.unit.cli.conftest import Run
from tests.unit.cli.task_server import TaskServer, failure, problem, task
from tests.unit.cli.test_words import ROOT

A, B, C = "aaaaaaaa" + "0" * 24, "aaaaaaaa" + "1" * 24, "b" * 32


@pytest.fixture
async def server() -> AsyncIterator[TaskServer]:
    fake = TaskServer()
    fake.add(task("search", A, status="completed", title="斗罗大陆", result_count=3))
    fake.add(task("download", B, status="downloading", url="https://x/film.mp4", progress=40.0, speed=2048.0))
    fake.add(task("download", C, status="paused", title="Third"))
    async with TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        yield fake


async def test_the_list_is_newest_first_with_ids_that_tell_apart(server: TaskServer, run: Run) -> None:
    result = await run("tasks")
    assert result.exit_code == 0
    rows = result.stdout.splitlines()[2:]
    assert [row.split()[0] for row in rows] == [C[:9], B[:9], A[:9]]
    assert re.search(r"download +downloading +http +film\.mp4 +40% +2\.0 KiB/s", rows[1])
    assert re.search(r"search +completed +斗罗大陆 +3 hits", rows[2])


async def test_kinds_statuses_and_limits_are_asked_of_the_server(server: TaskServer, run: Run) -> None:
    arguments = ("--kind", "download", "--status", "paused", "--status", "downloading", "--limit", "1")
    result = await run("tasks", *arguments)
    assert result.stdout.splitlines()[-1].startswith("bbbbbbbb")
    assert "--limit" in result.stderr
    path = server.requests[-1][1].replace("%2C", ",")
    assert path == "/api/tasks?limit=1&kind=download&status=paused,downloading"
    answer = json.loads((await run("tasks", *arguments, "--json")).stdout)
    assert [one["id"] for one in answer["tasks"]] == [C]
    assert answer["next_cursor"]


async def test_more_than_a_page_is_asked_for_in_pages(server: TaskServer, run: Run) -> None:
    server.page_max = 2
    answer = json.loads((await run("tasks", "--json")).stdout)
    assert [one["id"] for one in answer["tasks"]] == [C, B, A]


async def test_an_empty_list_says_what_to_do(server: TaskServer, run: Run) -> None:
    server.tasks.clear()
    assert "plugbay download" in (await run("tasks")).stdout


async def test_one_task_in_full(server: TaskServer, run: Run) -> None:
    server.results[A] = [{"title": "One", "url": "https://x/1", "plugin": "vod"}]
    server.tasks[A] |= {"failures": [failure("bad", "no luck")]}
    result = await run("tasks", "show", "aaaaaaaa0")
    assert result.exit_code == 0
    for words in (A, "斗罗大陆", "bad failed: raised no luck", "https://x/1"):
        assert words in result.stdout
    whole = json.loads((await run("tasks", "show", A, "--json")).stdout)
    assert whole["results"] == server.results[A]


async def test_the_traceback_of_a_failed_one_is_shown(server: TaskServer, run: Run) -> None:
    said = problem("plugin_error", "出错", "it raised", error={"traceback": "Traceback\n  line 7\x1b[31m"})
    server.tasks[C] |= {"status": "failed", "problem": said, "error": "出错"}
    shown = (await run("tasks", "show", "b")).stdout
    assert "Error: it raised\n  Traceback\n    line 7\n" in shown


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry"])
async def test_what_is_done_with_several(server: TaskServer, run: Run, verb: str) -> None:
    result = await run("tasks", verb, "BBB", B, "bb")
    assert result.exit_code == 0
    changes = sorted(path for method, path, _ in server.requests if method == "POST")
    assert changes == [f"/api/tasks/{B}/{verb}", f"/api/tasks/{C}/{verb}"], "each once"
    assert [line.split()[0] for line in result.stdout.splitlines()] == [C[:8], B[:8]]
    answer = json.loads((await run("tasks", verb, B, "--json")).stdout)
    assert [one["id"] for one in answer["tasks"]] == [B]


async def test_one_that_is_refused_does_not_keep_the_others(server: TaskServer, run: Run) -> None:
    server.refused_changes[C] = {"code": "task_conflict", "detail": "it has ended", "status": 409}
    result = await run("tasks", "cancel", C, B)
    assert result.exit_code == 1
    assert result.stdout.startswith("aaaaaaaa  cancelled")
    assert "bbbbbbbb:\nError: it has ended" in result.stderr


@pytest.mark.parametrize(
    ("id", "words"), [("aaaa", "may be any of 2 tasks: aaaaaaaa1, aaaaaaaa0"), ("zz", "begins with zz")]
)
async def test_an_id_that_is_unclear_changes_nothing(
    server: TaskServer, run: Run, id: str, words: str
) -> None:
    result = await run("tasks", "cancel", C, id)
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert not [path for method, path, _ in server.requests if method == "POST"]


async def test_options_may_stand_with_the_group(server: TaskServer, run: Run) -> None:
    nobody = {"PLUGBAY_URL": "http://127.0.0.1:1"}
    result = await run("tasks", "--url", server.url, "--token", "t0ken", "--json", "show", C, env=nobody)
    assert json.loads(result.stdout)["id"] == C
    assert server.headers[-1]["Authorization"] == "Bearer t0ken"
    other = await run("tasks", "--url", "http://127.0.0.1:1", "show", "--url", server.url, C)
    assert other.exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [("cancel",), ("show",), ("bogus",), ("--kind", "film"), ("--limit", "0"), ("show", "a", "b")],
)
async def test_wrong_usage_asks_nobody(server: TaskServer, run: Run, arguments: tuple[str, ...]) -> None:
    result = await run("tasks", *arguments)
    assert result.exit_code == 2
    assert server.requests == []


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_also_with_wide_characters(width: int) -> None:
    rows = [
        task(id=A, title="斗罗大陆" * 30, status="handed_over", plugin_name="transmission", progress=100.0),
        task(id=B, status="downloading", speed=12.9e6, plugin_name="影视站" * 2),
    ]
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(task_table(rows))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 4
    assert all(cell_len(line.rstrip()) <= width for line in lines), lines
    assert "斗罗大陆" in lines[2]


def test_as_many_characters_as_tell_ids_apart() -> None:
    assert id_lengths([]) == 8
    assert id_lengths([A, C]) == 8
    assert id_lengths([A, B, C, A]) == 9


def test_a_watched_list_follows_the_events() -> None:
    def event(**facts: object) -> dict[str, object]:
        return {"type": "plugbay.task.started", "data": {"task": facts}}

    listed = [task(id=B, created_at="2026-11-22T12:00:02Z"), task(id=A, created_at="2026-11-22T12:00:01Z")]
    view = TaskView(Position("k1", "1"), listed, lambda one: one["status"] != "cancelled", 2)
    assert view.apply(event(**(task(id=A, created_at="2026-11-22T12:00:01Z") | {"status": "downloading"})))
    assert [one["status"] for one in view.ordered()] == ["pending", "downloading"]
    assert view.apply(event(**task(id=C, created_at="2026-11-22T12:00:03Z")))
    assert [one["id"] for one in view.ordered()] == [C, B], "no more than the limit, newest first"
    assert not view.apply(event(**task(id=A, created_at="2026-11-22T12:00:01Z")))
    assert view.apply(event(**task(id=B, status="cancelled")))
    assert [one["id"] for one in view.ordered()] == [C]
    assert not view.apply({"type": "plugbay.heartbeat", "data": {}})


async def test_a_watched_list_in_a_pipe(server: TaskServer) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "tasks", "--watch", "--kind", "download"),
        env={**os.environ, "PLUGBAY_URL": server.url, "PLUGBAY_LANG": "en", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        await server.subscriptions.get()
        await server.tell("progress", id=B, progress=50.0)
        await server.tell("completed", id=B, status="completed", progress=100.0)
        lines = []
        while not lines or "completed" not in lines[-1]:
            lines.append((await process.stdout.readline()).decode())
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert lines[-1].endswith("completed · download film.mp4\n")
    assert not [line for line in lines if "progress" in line]
    assert (process.returncode, out, err) == (130, b"", b"")
