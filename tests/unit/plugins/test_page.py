from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.unit.plugins.conftest import load

Make = Callable[..., Any]

PAGE = """\
<!doctype html><html><head><meta charset="gbk"><title>电影 &amp; more</title>
<meta property="og:video" content="/og.mp4"></head>
<body><a href="next?page=2#top"> 下一页
  <b>→</b></a> <a href="film.mkv">The film</a> <a href="/plain/"></a> <a href="next?page=2">again</a>
<a href="javascript:alert(1)">no</a> <a href="mailto:a@b.c">no</a> <a href="http://[bad">no</a>
<video src="clip.webm"></video><video><source src="a.bin" type="video/mp4"></video>
<iframe src="https://player.example.org/1" title="Player"></iframe></body></html>
"""


@pytest.fixture
async def site() -> AsyncIterator[str]:
    async def page(request: web.Request) -> web.Response:
        return web.Response(body=PAGE.encode("gbk"), headers={"Content-Type": "text/html"})

    async def clip(request: web.Request) -> web.Response:
        return web.Response(body=b"x", content_type="video/mp4")

    async def other(request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/dir/page", page)
    app.router.add_get("/clip", clip)
    app.router.add_get("/json", other)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_media_first_then_links_each_once(make: Make, site: str) -> None:
    found = await asyncio.to_thread(make("parser", "page_plugin").parse_url, f"{site}/dir/page")
    assert [(one["name"], one["url"].removeprefix(site), one["kind"]) for one in found] == [
        ("og.mp4", "/og.mp4", "video"),
        ("The film", "/dir/film.mkv", "file"),
        ("clip.webm", "/dir/clip.webm", "video"),
        ("a.bin", "/dir/a.bin", "video"),
        ("Player", "https://player.example.org/1", "iframe"),
        ("下一页 →", "/dir/next?page=2", "link"),
        ("plain", "/plain/", "link"),
    ]
    assert {one["page"] for one in found} == {"电影 & more"}


async def test_what_to_list_and_how_much(make: Make, site: str) -> None:
    media = make("parser", "page_plugin", show="media")
    links = make("parser", "page_plugin", show="links", limit=1)
    assert "link" not in {one["kind"] for one in await asyncio.to_thread(media.parse_url, f"{site}/dir/page")}
    assert [one["kind"] for one in await asyncio.to_thread(links.parse_url, f"{site}/dir/page")] == ["link"]


async def test_an_address_that_is_media_itself(make: Make, site: str) -> None:
    [found] = await asyncio.to_thread(make("parser", "page_plugin").parse_url, f"{site}/clip")
    assert found == {"name": "clip", "url": f"{site}/clip", "kind": "video"}


async def test_what_is_no_page_is_refused(make: Make, site: str) -> None:
    plugin = make("parser", "page_plugin")
    with pytest.raises(ValueError, match="application/json"):
        await asyncio.to_thread(plugin.parse_url, f"{site}/json")
    with pytest.raises(ValueError, match="not an http"):
        plugin.parse_url("file:///etc/passwd")


@pytest.mark.parametrize(
    ("url", "can"),
    [
        ("https://a.b/c", True),
        ("HTTP://a.b", True),
        ("magnet:?xt=1", False),
        ("file:///etc", False),
        ("https://", False),
    ],
)
def test_it_says_what_it_can_parse(make: Make, url: str, can: bool) -> None:
    assert make("parser", "page_plugin").can_parse(url) is can


def test_a_base_element_counts() -> None:
    page = load("parser", "page_plugin").Page("https://a.b/c")
    page.feed('<base href="https://cdn.example.org/x/"><a href="y">Y')
    page.close()
    assert page.links == [{"name": "Y", "url": "https://cdn.example.org/x/y", "kind": "link"}]


def test_an_encoding_that_nobody_knows_is_passed_over() -> None:
    assert load("parser", "page_plugin").decoded("你好".encode(), "x-unknown") == "你好"
