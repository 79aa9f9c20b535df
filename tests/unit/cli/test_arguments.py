"""What is offered for a word that is being typed; `tests/integration/test_completion.py` types it in real shells."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.shell_completion import ShellComplete

from service.cli import arguments
from service.cli.main import plugbay
from tests.unit.cli.conftest import FakeServer
from tests.unit.cli.task_server import TaskServer, task


async def offered(url: str, *words: str, incomplete: str = "") -> list[str]:
    """What stands behind the words then."""

    def complete() -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PLUGBAY_URL", url)
            completion = ShellComplete(plugbay, {}, "plugbay", "_PLUGBAY_COMPLETE")
            return [item.value for item in completion.get_completions(list(words), incomplete)]

    return await asyncio.to_thread(complete)


async def test_plugins_by_id_and_by_name(server: FakeServer) -> None:
    assert await offered(server.url, "enable") == ["search/demo", "download/http"]
    assert await offered(server.url, "config", "set", incomplete="d") == ["download/http"]
    assert await offered(server.url, "update", "search/demo", incomplete="d") == ["download/http"]
    assert await offered(server.url, "search", "--plugin") == ["demo"]
    assert await offered(server.url, "download", "--plugin") == ["http"]
    assert await offered(server.url, "try", incomplete="search/") == ["search/demo"]


async def test_the_server_that_was_named_is_asked(server: FakeServer) -> None:
    assert await offered("http://127.0.0.1:9", "enable", "--url", server.url, "--token", "t") == [
        "search/demo",
        "download/http",
    ]
    assert server.headers[-1]["Authorization"] == "Bearer t"


async def test_tasks_that_the_command_can_do_something_with() -> None:
    fake = TaskServer()
    statuses = ["completed", "failed", "paused", "downloading", "pending"]
    for number, status in enumerate(statuses):
        fake.add(task("download", str(number) * 32, status=status, title="x\ty"))
    async with TestServer(fake.app()) as running:
        url = str(running.make_url(""))
        for verb, wanted in (
            ("show", "43210"),
            ("retry", "1"),
            ("resume", "2"),
            ("pause", "43"),
            ("cancel", "432"),
        ):
            assert [id[0] for id in await offered(url, "tasks", verb)] == list(wanted), verb


async def test_files_are_the_shells_own(server: FakeServer) -> None:
    assert await offered(server.url, "install", incomplete="./de") == ["./de"]
    assert await offered(server.url, "try", incomplete="./de") == ["./de"]


async def test_nothing_where_the_server_does_not_answer_in_time_or_is_none(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arguments, "COMPLETION_DEADLINE_S", 0.1)
    gate = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await gate.wait()
        return web.json_response({})

    async def another(_: web.Request) -> web.Response:
        return web.json_response({"hello": ["world"]})

    app = web.Application()
    app.router.add_get("/api/plugins", wait)
    app.router.add_get("/other/api/plugins", another)
    async with TestServer(app) as running:
        assert await offered(str(running.make_url("")), "enable") == []
        assert await offered(str(running.make_url("/other")), "enable") == []
        gate.set()
    assert await offered("http://127.0.0.1:9", "enable") == []
    assert await offered("nonsense", "enable") == []
    assert capfd.readouterr() == ("", "")
