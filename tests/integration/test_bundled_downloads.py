"""The bundled `http` plugin through the whole server, from a server that drops its connections; and the journey."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from service.home import prepare_home
from tests.integration.live import Live, connected, ready
from tests.integration.process_tree import descendants
from tests.integration.server_process import environment, running_server
from tests.integration.test_downloads import start
from tests.integration.test_tasks import ended, task

MIB = 1024 * 1024
_BLOCK = random.Random(1).randbytes(MIB)


class Dropping:
    """Serves some MiB that differ in every block, by ranges, and hangs up after every few of them.

    Args:
        mib: the size.
        drop_mib: how many are sent on one connection.
    """

    def __init__(self, mib: int, drop_mib: int) -> None:
        self.size = mib * MIB
        self._drop = drop_mib * MIB
        self.url = ""
        self.requests = 0
        self._sent = 0
        self._allowed = 0
        self._more = asyncio.Event()

    def let(self, share: float) -> None:
        """Let so much more of the file go out, in all that is asked for."""
        self._allowed = self._sent + int(share * self.size)
        self._more.set()

    def block(self, number: int) -> bytes:
        return number.to_bytes(8, "big") + _BLOCK[8:]

    def digest(self) -> str:
        whole = hashlib.sha256()
        for number in range(self.size // MIB):
            whole.update(self.block(number))
        return whole.hexdigest()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        wanted = request.http_range
        first, last = wanted.start or 0, wanted.stop or self.size
        headers = {"ETag": '"one"', "Accept-Ranges": "bytes", "Content-Length": str(last - first)}
        status = 200
        if "Range" in request.headers:
            status = 206
            headers["Content-Range"] = f"bytes {first}-{last - 1}/{self.size}"
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        end = min(last, first + self._drop)
        while first < end:
            while self._sent >= self._allowed:
                self._more.clear()
                await self._more.wait()
            number, offset = divmod(first, MIB)
            piece = self.block(number)[offset : offset + min(end - first, MIB // 4)]
            self._sent += len(piece)
            await response.write(piece)
            first += len(piece)
        if end < last and request.transport is not None:
            request.transport.abort()
        return response


@contextlib.asynccontextmanager
async def dropping(mib: int, drop_mib: int) -> AsyncIterator[Dropping]:
    origin = Dropping(mib, drop_mib)
    app = web.Application()
    app.router.add_get("/{name}", origin.serve)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    origin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield origin
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def bundled_server(home: Path, **environ: str) -> AsyncIterator[Live]:
    """A server with the bundled plugins."""
    await asyncio.to_thread(prepare_home, home)
    async with running_server(home, environ=environment(**environ)) as server, connected(server) as live:
        await ready(live)
        yield live


async def until(live: Live, origin: Dropping, id: str, share: float) -> None:
    """Let the file go out bit by bit until so much of it has come.

    What goes to a connection whose other end is dead is lost, so nobody can say beforehand how much is enough.
    """
    async with asyncio.timeout(60):
        while (now := await task(live, id))["progress"] < share * 100:
            assert now["status"] in ("pending", "downloading"), now
            origin.let(0.02)
            await asyncio.sleep(0.05)


def edit(home: Path, words: str) -> None:
    """Save the plugin with other words in it."""
    package = home / "plugins/download/http_plugin/__init__.py"
    file = package if package.exists() else home / "plugins/download/http_plugin.py"
    part = file.with_name(f".{file.name}.new")
    part.write_text(f"{file.read_text()}\n# {words}\n")
    part.rename(file)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mib", "drop_mib"), [(96, 3), pytest.param(1024, 5, marks=pytest.mark.soak)])
async def test_a_download_survives_edits_kills_and_a_server_that_hangs_up(
    tmp_path: Path, mib: int, drop_mib: int
) -> None:
    home = tmp_path / "home"
    async with dropping(mib, drop_mib) as origin:
        async with bundled_server(home) as live:
            id = await start(live, f"{origin.url}/big.bin")
            await until(live, origin, id, 0.1)
            for words in ("once", "twice"):
                before = len(live.events)
                edit(home, words)
                await live.event("reloaded", "download/http", after=before)
            assert (await task(live, id))["generation"] == 1
            # The worker that downloads is the one whose part file is open.
            [worker] = [pid for pid in descendants(live.server.process.pid) if has_open(pid, ".part")]
            os.kill(worker, signal.SIGKILL)
            async with asyncio.timeout(30):
                while (now := await task(live, id))["generation"] == 1:
                    await asyncio.sleep(0.05)
            assert now["generation"] == 3
            await until(live, origin, id, 0.25)
            await live.server.kill()
        origin.let(2)
        async with bundled_server(home) as live:
            await live.subscribe("tasks/**")
            async with asyncio.timeout(300):
                while (now := await task(live, id))["status"] in ("pending", "downloading"):
                    await asyncio.sleep(0.1)
            assert now["status"] == "completed", now
        assert origin.requests > mib // drop_mib // 2
        folder = home / "data/downloads"
        assert [path.name for path in folder.iterdir()] == ["big.bin"]
        assert now["save_path"] == str(folder / "big.bin")
        assert await asyncio.to_thread(sha256, folder / "big.bin") == await asyncio.to_thread(origin.digest)


def has_open(pid: int, part: str) -> bool:
    """Whether a process has a file open with this in its name."""
    with contextlib.suppress(OSError):
        return any(part in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.timeout(120)
async def test_the_journey_from_nothing(tmp_path: Path) -> None:
    """Search the library and find nothing, download a file by its address, find it."""
    home = tmp_path / "home"
    async with dropping(2, 10) as origin, bundled_server(home) as live:
        await live.subscribe("tasks/**")

        async def found() -> list[str]:
            id = (await live.post("/api/search", {"keyword": "斗罗大陆", "plugins": ["library"]})).body[
                "task_id"
            ]
            done = await ended(live, id)
            assert done["status"] == "completed", done
            return [one["title"] for one in done["results"]]

        assert await found() == []
        origin.let(2)
        id = await start(live, f"{origin.url}/%E6%96%97%E7%BD%97%E5%A4%A7%E9%99%86.mp4")
        done = await ended(live, id)
        assert done["status"] == "completed", done
        assert await found() == ["斗罗大陆.mp4"]
