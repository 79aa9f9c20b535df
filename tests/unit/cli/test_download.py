"""`plugbay download`: what it says for a pipe, and how it ends."""

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

from service.cli.download import _Bar, _Lines
from service.cli.output import Output
from service.cli.task_feed import View
from tests.unit.cli.conftest import Run
from tests.unit.cli.task_server import TaskServer, problem, task

URL = "https://example.org/%E6%96%97%E7%BD%97.mp4"


@pytest.fixture
async def server() -> AsyncIterator[TaskServer]:
    fake = TaskServer()
    async with TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        yield fake


async def play(server: TaskServer, run: Run, *arguments: str, event: str = "completed", **ending: Any) -> Any:
    """Runs a download to the given end."""
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(run("download", URL, *arguments))
        await server.followed()
        await server.tell("started", status="downloading")
        await server.tell("progress", progress=50.0, downloaded=512, total=1024)
        await server.tell(event, **ending)
    return running.result()


async def test_the_path_is_all_that_goes_to_standard_output(server: TaskServer, run: Run) -> None:
    result = await play(
        server,
        run,
        "--title",
        "T",
        "--plugin",
        "download/http",
        status="completed",
        save_path="/d/斗罗 [1].mp4",
    )
    assert (result.exit_code, result.stdout) == (0, "/d/斗罗 [1].mp4\n")
    assert result.stderr.splitlines() == [
        "Downloading T (plugin http, task 01234567)",
        "completed T · 1.0 KiB",
    ]
    begun = {"url": URL, "title": "T", "plugin_name": "http"}
    assert ("POST", "/api/download", begun) in server.requests


async def test_one_that_failed_says_why_and_what_to_do(server: TaskServer, run: Run) -> None:
    said = problem("plugin_error", "插件出错", "Plugin download/http raised 404")
    result = await play(server, run, event="failed", status="failed", problem=said, error="插件出错")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "The download failed: Plugin download/http raised 404" in result.stderr
    assert "plugbay tasks retry 01234567" in result.stderr


async def test_one_that_was_cancelled_elsewhere_ends_with_one(server: TaskServer, run: Run) -> None:
    result = await play(server, run, event="cancelled", status="cancelled")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "The download was cancelled"


async def test_one_that_was_handed_over_is_no_failure(server: TaskServer, run: Run) -> None:
    result = await play(server, run, status="handed_over")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Handed over to the program behind plugin http" in result.stderr


async def test_a_pause_is_said_and_waited_out(server: TaskServer, run: Run) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(run("download", URL))
        await server.followed()
        await server.tell("started", status="downloading")
        await server.tell("paused", status="paused")
        await server.tell("started", status="downloading")
        await server.tell("completed", status="completed", save_path="/d/a")
    assert running.result().exit_code == 0
    assert running.result().stderr.splitlines()[1:3] == [
        "paused · plugbay tasks resume 01234567 goes on",
        "downloading",
    ]


async def test_json_is_the_finished_task_alone(server: TaskServer, run: Run) -> None:
    result = await play(server, run, "--json", status="completed", save_path="/d/a")
    assert json.loads(result.stdout)["save_path"] == "/d/a"
    assert result.stderr == ""


async def test_detached_it_only_begins(server: TaskServer, run: Run) -> None:
    result = await run("download", URL, "--detach")
    assert (result.exit_code, result.stdout) == (0, "Downloading 斗罗.mp4 (plugin http, task 01234567)\n")
    assert "plugbay tasks show 01234567" in result.stderr
    assert server.sockets == set()
    answer = await run("download", URL, "--detach", "--json")
    assert json.loads(answer.stdout)["status"] == "pending"


async def test_where_no_plugin_fits_it_says_what_to_type(server: TaskServer, run: Run) -> None:
    server.refusal = 400, {"code": "no_download_plugin", "detail": "or name plugin_name", "status": 400}
    result = await run("download", "gopher://x/")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "plugin_name" not in result.stderr
    assert "--plugin NAME" in result.stderr


async def test_lines_are_few(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines, view = _Lines(Output(False)), View()
    for step in range(101):
        view.task = task(url=URL, status="downloading" if step else "pending", progress=float(step))
        lines.show(view, "")
        now[0] += 0.25
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("Downloading")
    assert [line.strip() for line in said[1:]] == ["20.0%", "40.0%", "60.0%", "80.0%", "100.0%"]


@pytest.mark.parametrize("width", [30, 80])
def test_the_bar_takes_three_lines_that_fit(width: int) -> None:
    bar = _Bar(Output(False))
    console = bar._console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    assert isinstance(console.file, io.StringIO)
    view = View()
    for facts in (
        {},
        {"progress": 62.1, "downloaded": 650_000_000, "total": 1_046_000_000, "speed": 12.9e6, "eta": 32},
        {"downloaded": 1},
    ):
        console.file.seek(0)
        console.file.truncate()
        view.task = task(
            title="斗罗大陆" * 30, status="downloading", progress_message="8 个分段 " * 20, **facts
        )
        bar.show(view, "")
        console.print(bar._draw())
        lines = console.file.getvalue().splitlines()
        assert len(lines) == 3
        assert all(cell_len(line) <= width for line in lines), lines
        assert lines[-1].endswith("Ctrl-C cancels")
