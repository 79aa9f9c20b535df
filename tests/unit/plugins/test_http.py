from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.sdk import DownloadTask
from tests.unit.plugins.conftest import load

Make = Callable[..., Any]
CONTENT = bytes(range(256)) * 4096


class Origin:
    """Serves CONTENT in different ways; `gate` holds back the second half of /slow."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/file.bin", self.whole)
        app.router.add_get("/named", self.named)
        app.router.add_get("/slow", self.slow)
        app.router.add_get("/short", self.short)
        app.router.add_get("/away", self.away)
        return app

    async def whole(self, request: web.Request) -> web.Response:
        return web.Response(body=CONTENT)

    async def named(self, request: web.Request) -> web.Response:
        return web.Response(
            body=CONTENT, headers={"Content-Disposition": 'attachment; filename="../../e vil.bin"'}
        )

    async def slow(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(CONTENT)
        await self.gate.wait()
        await response.write(CONTENT)
        return response

    async def short(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(CONTENT))})
        await response.prepare(request)
        await response.write(CONTENT[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    async def away(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "file:///etc/passwd"})


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    async with TestServer(origin.app()) as server:
        origin.url = str(server.make_url("")).rstrip("/")
        yield origin
        origin.gate.set()


class Reports:
    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        self.cancelled = False

    async def send(self, kind: str, data: dict[str, Any]) -> None:
        self.all.append(data)

    def task(self, url: str) -> DownloadTask:
        return DownloadTask(id="t1", url=url, _send=self.send, _is_cancelled=lambda: self.cancelled)


async def test_a_file_arrives_whole_under_its_name(make: Make, origin: Origin) -> None:
    plugin, reports = make("download", "http_plugin"), Reports()
    task = reports.task(f"{origin.url}/file.bin")
    assert await plugin.download(task) is True
    assert Path(task.save_path or "").name == "file.bin"
    assert [path.name for path in plugin.folder.iterdir()] == ["file.bin"]
    assert (plugin.folder / "file.bin").read_bytes() == CONTENT
    assert reports.all[-1]["progress"] == 100
    assert reports.all[-1]["downloaded"] == len(CONTENT)
    assert plugin.get_progress("t1") == {"id": "t1", "status": "completed", "progress": 100}
    assert plugin.get_downloads()[0]["url"] == task.url


async def test_a_name_that_is_taken_gets_a_number(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    urls = [f"{origin.url}/file.bin"] * 3
    await asyncio.gather(*(plugin.download(Reports().task(url)) for url in urls))
    names = sorted(path.name for path in plugin.folder.iterdir())
    assert names == ["file (2).bin", "file (3).bin", "file.bin"]


async def test_a_name_from_outside_stays_in_the_folder(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    await plugin.download(Reports().task(f"{origin.url}/named"))
    assert [path.name for path in plugin.folder.iterdir()] == ["e vil.bin"]


@pytest.mark.parametrize("how", ["task", "plugin"])
async def test_a_cancelled_download_leaves_nothing(make: Make, origin: Origin, how: str) -> None:
    plugin, reports = make("download", "http_plugin"), Reports()
    task = reports.task(f"{origin.url}/slow")
    running = asyncio.create_task(plugin.download(task))
    while not list(plugin.folder.glob("slow.part")):
        await asyncio.sleep(0.005)
    if how == "task":
        reports.cancelled = True
    else:
        assert plugin.cancel("t1") is True
    origin.gate.set()
    assert await running is False
    assert list(plugin.folder.iterdir()) == []
    assert plugin.cancel("t1") is False


async def test_a_connection_that_ends_early_is_no_success(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    with pytest.raises(Exception, match=r"IncompleteRead|ended after"):
        await plugin.download(Reports().task(f"{origin.url}/short"))
    assert list(plugin.folder.iterdir()) == []
    assert plugin.get_progress("t1")["status"] == "failed"


async def test_the_limit_holds_with_and_without_a_length(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin", limit_mib=0.5)
    origin.gate.set()
    for path in ("file.bin", "slow"):
        with pytest.raises(ValueError, match="limit"):
            await plugin.download(Reports().task(f"{origin.url}/{path}"))
    assert list(plugin.folder.glob("*")) == []


async def test_other_schemes_are_refused_also_behind_a_redirect(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    with pytest.raises(ValueError, match="neither http nor https"):
        await plugin.download(Reports().task("file:///etc/passwd"))
    with pytest.raises(Exception, match="not allowed"):
        await plugin.download(Reports().task(f"{origin.url}/away"))


@pytest.mark.parametrize(
    ("url", "disposition", "name"),
    [
        ("https://a.b/c/d.mp4?x=1", None, "d.mp4"),
        ("https://a.b/", None, "download"),
        ("https://a.b/%2e%2e%2f%2e%2e%2fetc%2fpasswd", None, "passwd"),
        ("https://a.b/..", None, "download"),
        ("https://a.b/x", 'attachment; filename="..\\\\..\\\\boot.ini"', "boot.ini"),
        ("https://a.b/x", "attachment; filename*=UTF-8''%E7%94%B5%E5%BD%B1.mkv", "电影.mkv"),
        ("https://a.b/x", 'attachment; filename="a\x00b\nc:d.txt"', None),
        ("https://a.b/" + "字" * 300 + ".mp4", None, "字" * 65 + ".mp4"),
        ("https://a.b/.bashrc", None, "bashrc"),
    ],
)
def test_file_names_are_safe(url: str, disposition: str | None, name: str | None) -> None:
    module = load("download", "http_plugin")
    headers = Message()
    if disposition is not None:
        headers["Content-Disposition"] = disposition
    made = module.file_name(headers, url)
    if name is not None:
        assert made == name
    assert made and "/" not in made and "\x00" not in made and not made.startswith(".")
    assert len(f"{made} (99).part".encode()) < 255
