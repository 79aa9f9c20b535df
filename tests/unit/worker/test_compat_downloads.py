"""Download plugins in the manner of the original application, run by a worker's own calls."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service import sdk
from service.wire import messages
from service.worker import downloads
from service.worker.calling import Calls, OwnedTasks
from service.worker.compat import bases, models
from service.worker.compat.logs import get_logger
from tests.unit.worker.originals import Told, instance_of


async def test_a_download_that_reports_as_it_goes(serve: Any) -> None:
    plugin = instance_of(serve, "download", "stepwise_plugin")
    with Told() as told:
        assert await plugin.download(told.task) is True
        assert [one["progress"] for one in told.reports] == [25, 50, 75, 100]
        assert told.reports[0] == {
            "progress": 25, "downloaded": 1000, "total": 4000, "speed": 1000, "message": "第 1 段",
        }  # fmt: skip
        assert (told.task.status, told.task.save_path) == ("completed", "/tmp/steps")


async def test_a_download_in_a_thread(serve: Any) -> None:
    plugin = instance_of(serve, "download", "threaded_plugin")
    with Told() as told:
        assert await asyncio.to_thread(plugin.download, told.task) is True
        assert [one["progress"] for one in told.reports] == [0, 20, 40, 60, 80, 100]
        told.why = "cancel"
        assert await asyncio.to_thread(plugin.download, told.task) is False
    with Told(url="threads://fail") as told:
        assert plugin.download(told.task) is False
        assert told.task.error == "源站拒绝访问"


async def called(plugin: Any, url: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Have a worker's calls run a download: what was told meanwhile, and how it ended."""
    notes: list[dict[str, Any]] = []
    ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def send(header: dict[str, Any], body: bytes) -> None:
        if header["t"] == messages.NOTE:
            notes.append(json.loads(body))
        else:
            ended.set_result({"t": header["t"], **json.loads(body)})

    plugin.log = logging.getLogger("plugin")
    calls = Calls(
        plugin, send, lambda error: {"raised": repr(error)}, OwnedTasks(), threads=2, max_result=1 << 20
    )
    calls.begin(1, "download", {"task": {"id": "task-9", "url": url}}, 0)
    async with asyncio.timeout(10):
        return notes, await ended


@pytest.mark.parametrize(
    ("stem", "status"), [("stepwise_plugin", "completed"), ("threaded_plugin", "pending")]
)
async def test_a_worker_passes_on_what_was_written(serve: Any, stem: str, status: str) -> None:
    notes, ended = await called(instance_of(serve, "download", stem), "x://y")
    assert (ended["t"], ended["done"], ended["status"]) == (messages.RESULT, True, status)
    assert notes[-1]["progress"] == 100
    assert notes[-1]["message"] in ("第 4 段", "100%")
    assert not downloads.running
    notes, ended = await called(instance_of(serve, "download", "threaded_plugin"), "threads://fail")
    assert (ended["done"], ended["status"], ended["error"]) == (False, "failed", "源站拒绝访问")


async def test_a_download_that_only_hands_over(serve: Any) -> None:
    taken: list[dict[str, Any]] = []

    async def add(request: web.Request) -> web.Response:
        taken.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/add", add)
    plugin = await asyncio.to_thread(instance_of, serve, "download", "submitter_plugin")
    async with TestServer(app, host="127.0.0.1") as program:
        plugin.set_config({"rpc_url": str(program.make_url("")).rstrip("/"), "timeout": ""})
        notes, ended = await called(plugin, "magnet:?xt=1")
    assert taken == [{"url": "magnet:?xt=1", "id": "task-9"}]
    assert (ended["t"], ended["done"], ended["status"]) == (messages.RESULT, True, "downloading")
    assert notes == [{"progress": 0.0, "message": "已提交到下载器"}]


def test_the_task_that_a_plugin_is_handed_is_of_its_manner(serve: Any) -> None:
    plugin = instance_of(serve, "download", "submitter_plugin")
    assert bases.task_class(type(plugin)) is models.DownloadTask
    assert bases.task_class(sdk.DownloadPlugin) is sdk.DownloadTask
    assert plugin.get_web_ui_url() == "http://127.0.0.1:1/ui"
    [download] = asyncio.run(plugin.get_downloads())
    assert (download.dict()["speed"], download.dict()["plugin_name"]) == ("1 MB/s", "submitter")


def test_loggers_let_every_level_through(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("plugins.search.x_plugin", None, "", "root"):
        logger = get_logger(name)
        logger.debug("said by %s", name)
        assert logger is not logging.getLogger()
        assert caplog.records[-1].getMessage() == f"said by {name}"
