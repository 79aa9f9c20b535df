"""Pictures from elsewhere: what may be asked, what counts as a picture, and how long it is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.errors import FetchFailed, PlugbayError
from service.host import thumbnails as module
from service.host.thumbnails import Thumbnails

AT_ONCE = 12
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
PICTURES = {
    "/a.png": (PNG, "png"),
    "/a.jpg": (b"\xff\xd8\xff\xe0....", "jpeg"),
    "/a.gif": (b"GIF89a....", "gif"),
    "/a.webp": (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
    "/a.avif": (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
}
OTHERS = {
    "/a.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "/a.html": b"<script>alert(1)</script>",
    "/a.mp4": b"\0\0\0\x14ftypisom\0\0\0\0isomavif",
    "/empty": b"",
}


class Site:
    """A site that counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        await self.gate.wait()
        if request.path == "/elsewhere":
            raise web.HTTPFound("http://localhost:1/a.png")
        if request.path == "/large":
            return web.Response(body=PNG + b"\0" * module.MAX_BYTES)
        # Whatever it claims, the bytes count.
        headers = {"Content-Type": "image/png"}
        if request.path in PICTURES:
            return web.Response(body=PICTURES[request.path][0], headers=headers)
        return web.Response(body=OTHERS[request.path], headers=headers)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    site.url = f"http://127.0.0.1:{server.port}"
    yield site
    await server.close()


@asynccontextmanager
async def opened(*private_hosts: str, **more: Any) -> AsyncIterator[Thumbnails]:
    thumbnails = Thumbnails(private_hosts, **more)
    try:
        yield thumbnails
    finally:
        await thumbnails.close()


async def code_of(thumbnails: Thumbnails, url: str) -> str:
    with pytest.raises(PlugbayError) as caught:
        await thumbnails.get(url)
    return caught.value.code


async def test_a_picture_is_what_its_bytes_say(site: Site) -> None:
    async with opened("127.0.0.1") as thumbnails:
        for path, (content, format) in PICTURES.items():
            assert await thumbnails.get(site.url + path) == (content, format)
        for path in OTHERS:
            assert await code_of(thumbnails, site.url + path) == "picture_invalid"
        assert await code_of(thumbnails, f"{site.url}/large") == "too_large"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "100.64.0.1"]
)
async def test_private_addresses_are_refused_unless_their_host_is_named(site: Site, host: str) -> None:
    async with opened("other.lan") as thumbnails:
        assert await code_of(thumbnails, site.url.replace("127.0.0.1", host) + "/a.png") == "url_refused"
    assert site.asked == []


async def test_a_private_host_leads_to_no_other(site: Site) -> None:
    async with opened("127.0.0.1") as thumbnails:
        assert await code_of(thumbnails, f"{site.url}/elsewhere") == "url_refused"
        assert await code_of(thumbnails, "http://169.254.169.254/a.png") == "url_refused"


async def test_one_fetch_serves_all_who_ask_and_who_come_later(site: Site) -> None:
    site.gate.clear()
    async with opened("127.0.0.1") as thumbnails:
        asking = [asyncio.create_task(thumbnails.get(f"{site.url}/a.png")) for _ in range(3)]
        async with asyncio.timeout(5):
            while not site.asked:
                await asyncio.sleep(0.005)
        asking[0].cancel()
        site.gate.set()
        assert [one.content for one in await asyncio.gather(*asking[1:])] == [PNG, PNG]
        await thumbnails.get(f"{site.url}/a.png")
        for _ in range(2):
            assert await code_of(thumbnails, f"{site.url}/a.svg") == "picture_invalid"
    assert site.asked == ["/a.png", "/a.svg"]


async def test_what_nobody_waits_for_any_more_keeps_nobody_waiting(site: Site) -> None:
    site.gate.clear()
    async with opened("127.0.0.1") as thumbnails:
        left = [
            asyncio.create_task(thumbnails.get(f"{site.url}/a.gif?{number}")) for number in range(3 * AT_ONCE)
        ]
        async with asyncio.timeout(5):
            while len(site.asked) < AT_ONCE:
                await asyncio.sleep(0.005)
        for one in left:
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        seen = asyncio.create_task(thumbnails.get(f"{site.url}/a.png"))
        async with asyncio.timeout(5):
            while "/a.png" not in site.asked:
                await asyncio.sleep(0.005)
        site.gate.set()
        assert (await seen).content == PNG
    assert site.asked == ["/a.gif"] * AT_ONCE + ["/a.png"]


async def test_the_oldest_is_given_up_for_the_newest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_BYTES", 40)
    async with opened("127.0.0.1") as thumbnails:
        for path in ("/a.png", "/a.jpg", "/a.png", "/a.avif", "/a.png", "/a.jpg"):
            await thumbnails.get(site.url + path)
    assert site.asked == ["/a.png", "/a.jpg", "/a.avif", "/a.png", "/a.jpg"]


async def test_a_site_that_is_gone_is_told_of(site: Site) -> None:
    async with opened("localhost") as thumbnails:
        with pytest.raises(FetchFailed):
            await thumbnails.get("http://localhost:1/a.png")
