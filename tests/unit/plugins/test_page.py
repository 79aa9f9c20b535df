"""The parser of pages, against local servers: as people write pages, as generators do, and hostile ones."""

from __future__ import annotations

import asyncio
import functools
import gzip
import http.server
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from plugins.parser.page_plugin.content import Page
from plugins.shared.readable_text import decoded

Make = Callable[..., Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ROOT = Path(__file__).parents[3]

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
    itself, *found = await asyncio.to_thread(make("parser", "page_plugin").parse_url, f"{site}/dir/page")
    assert (itself["kind"], itself["name"], itself["og"]) == ("page", "电影 & more", {"video": "/og.mp4"})
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
    page = make("parser", "page_plugin", show="page", timeout_s="5", limit="")
    assert [one["kind"] for one in await asyncio.to_thread(page.parse_url, f"{site}/dir/page")] == ["page"]


async def test_an_address_that_is_media_itself(make: Make, site: str) -> None:
    [found] = await asyncio.to_thread(make("parser", "page_plugin").parse_url, f"{site}/clip")
    assert found == {"name": "clip", "url": f"{site}/clip", "kind": "video", "type": "video/mp4", "size": 1}


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
        ("https://a.b/c.html?d=e.mp4", True),
        ("https://a.b/c.M3U8?d=e", False),
        ("magnet:?xt=1", False),
        ("file:///etc", False),
        ("https://", False),
    ],
)
def test_it_says_what_it_can_parse(make: Make, url: str, can: bool) -> None:
    assert make("parser", "page_plugin").can_parse(url) is can


def test_a_base_element_counts() -> None:
    page = Page("https://a.b/c", '<base href="https://cdn.example.org/x/"><base href="/no/"><a href="y">Y')
    assert page.links == [{"name": "Y", "url": "https://cdn.example.org/x/y", "kind": "link"}]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    servers = []

    async def serve(handler: Handler) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        server = TestServer(app, host="127.0.0.1")
        servers.append(server)
        await server.start_server()
        return str(server.make_url("")).rstrip("/")

    yield serve
    for server in servers:
        await server.close()


Serve = Callable[[Handler], Awaitable[str]]


def answers(body: bytes | str, **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(body=data, headers={"Content-Type": "text/html", **headers})

    return handler


async def parsed(make: Make, url: str, **config: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await asyncio.to_thread(
        make("parser", "page_plugin", **config).parse_url, url
    )
    return found


# What Pelican wrote of a Markdown file, with the Open Graph of a plugin of its.
GENERATED = """\
<!DOCTYPE html>
<html lang="zh-CN">
        <head>
                        <meta charset="utf-8" />
                        <meta name="generator" content="Pelican" />
                        <title>斗罗大陆的世界观</title>
                        <link rel="stylesheet" href="/theme/css/main.css" />
                        <link rel="canonical" href="/douluo.html" />
                        <link href="/feeds/all.atom.xml" type="application/atom+xml" rel="alternate" title="Feed" />
    <meta name="description" content="介绍斗罗大陆中的武魂体系。" />
    <meta property="og:title" content="世界观 &amp; 武魂" />
    <meta property="og:site_name" content="A Pelican Blog" />
    <meta property="og:image" content="/images/og.jpg" />
    <meta property="article:published_time" content="2024-03-05T10:20:00+00:00" />
        </head>
        <body id="index" class="home">
                <header id="banner" class="body">
                        <h1><a href="/">A Pelican Blog</a></h1>
                        <nav><ul><li class="active"><a href="/category/dong-man.html">动漫</a></li></ul></nav>
                </header>
  <section id="content" class="body">
    <article>
      <div class="entry-content">
<p>斗罗大陆是一个以武魂为核心的世界，每个人在六岁时都会觉醒自己的武魂。武魂分为器武魂与兽武魂两大类，强者可以成为封号斗罗。</p>
<p>唐三来自唐门，他穿越到这个世界之后，凭借玄天功和暗器，一步一步走上巅峰。他的双生武魂分别是蓝银草与昊天锤。</p>
<video controls poster="/images/p.jpg"><source src="/video/e01.mp4" type="video/mp4"></video>
<p><img alt="武魂" src="data:image/gif;base64,R0" data-src="images/wuhun.png" /></p>
<p>详见 <a href="https://example.org/douluo">官方网站</a>。</p>
      </div>
    </article>
  </section>
  <footer id="contentinfo"><address>Proudly powered by <a href="https://getpelican.com/">Pelican</a></address></footer>
        </body>
</html>
"""


@pytest.fixture
def static(tmp_path: Path) -> Iterator[str]:
    """A folder behind Python's own file server."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "douluo.html").write_text(GENERATED, encoding="utf-8")
    (tmp_path / "site" / "book.pdf").write_bytes(b"%PDF-1.7" + b"x" * 1000)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_generated_page_from_a_file_server(make: Make, static: str) -> None:
    itself, *found = await parsed(make, f"{static}/douluo.html#top")
    text = itself.pop("text")
    assert itself == {
        "name": "斗罗大陆的世界观",
        "url": f"{static}/douluo.html",
        "kind": "page",
        "title": "斗罗大陆的世界观",
        "description": "介绍斗罗大陆中的武魂体系。",
        "og": {"title": "世界观 & 武魂", "site_name": "A Pelican Blog", "image": "/images/og.jpg"},
        "language": "zh-CN",
        "canonical": f"{static}/douluo.html",
        "site_name": "A Pelican Blog",
        "published": "2024-03-05T10:20:00+00:00",
    }
    assert "每个人在六岁时都会觉醒自己的武魂" in text and "蓝银草与昊天锤" in text
    assert "Proudly powered" not in text
    assert [(one["kind"], one["name"], one["url"].removeprefix(static)) for one in found] == [
        ("video", "e01.mp4", "/video/e01.mp4"),
        ("image", "og.jpg", "/images/og.jpg"),
        ("image", "p.jpg", "/images/p.jpg"),
        ("image", "武魂", "/images/wuhun.png"),
        ("feed", "Feed", "/feeds/all.atom.xml"),
        ("link", "A Pelican Blog", "/"),
        ("link", "动漫", "/category/dong-man.html"),
        ("link", "官方网站", "https://example.org/douluo"),
        ("link", "Pelican", "https://getpelican.com/"),
    ]


async def test_what_is_no_page_is_one_entry_with_type_and_size(make: Make, static: str, serve: Serve) -> None:
    assert await parsed(make, f"{static}/book.pdf") == [
        {
            "name": "book.pdf",
            "url": f"{static}/book.pdf",
            "kind": "document",
            "type": "application/pdf",
            "size": 1008,
        }
    ]
    for type, kind in (
        ("image/png", "image"),
        ("application/vnd.apple.mpegurl", "video"),
        ("application/x-bittorrent", "torrent"),
        ("application/octet-stream", "file"),
        ("image/svg+xml", "image"),
    ):
        base = await serve(answers(b"1234", **{"Content-Type": type}))
        [found] = await parsed(make, f"{base}/x")
        assert (found["kind"], found["type"], found["size"]) == (kind, type, 4)


MEDIA = """
<html><body>
<script type="application/ld+json">{"@graph": [{"@type": "VideoObject", "name": "A film",
  "contentUrl": "https://v.example/ld.mp4", "embedUrl": "/embed/1", "uploadDate": "2020-01-02"}]}</script>
<script type="application/ld+json">{broken</script>
<script>var player_aaaa={"url":"https:\\/\\/v.example\\/js\\/index.m3u8?a=1\\u0026b=2","next":"a.mp4"+x};</script>
<div data-config="{&quot;src&quot;:1}" data-play="/play/e1.m3u8" onclick="go('/play/e2.mp4')">watch film.mp4 now</div>
<a href="magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&amp;dn=A+film">magnet</a>
<a href="/get/1.torrent"><img src="/t.png" alt="The torrent"></a>
<button data-clipboard-text="magnet:?xt=urn:btih:d12fe1c06bba254a9dc9f519b335aa7c1367a88a">copy</button>
<video src="blob:https://x/1"></video><audio><source src="/a.ogg"></audio>
<picture><source srcset="/wide.webp 2x, /x.webp"><img src="/small.jpg"></picture>
<object data="/o.mp4" type="video/mp4"></object>
<a href="data:text/html,x">d</a><a href="JavaScript:x()">j</a><a href="tel:1">t</a><a href="#top">top</a>
<textarea><a href="/not/a/link">x</a></textarea><!-- <a href="/commented">x</a> --><a href=bare>Bare</a>
</body></html>
"""


async def test_media_are_found_wherever_they_hide(make: Make, serve: Serve) -> None:
    base = await serve(answers(MEDIA))
    itself, *found = await parsed(make, f"{base}/p/", limit=50)
    assert itself["published"] == "2020-01-02"
    assert {(one["kind"], one["url"].removeprefix(base)) for one in found} == {
        ("video", "https://v.example/ld.mp4"),
        ("iframe", "/embed/1"),
        ("video", "https://v.example/js/index.m3u8?a=1&b=2"),
        ("video", "/p/a.mp4"),
        ("video", "/play/e1.m3u8"),
        ("video", "/play/e2.mp4"),
        ("magnet", "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=A+film"),
        ("magnet", "magnet:?xt=urn:btih:d12fe1c06bba254a9dc9f519b335aa7c1367a88a"),
        ("torrent", "/get/1.torrent"),
        ("audio", "/a.ogg"),
        ("video", "/o.mp4"),
        ("image", "/t.png"),
        ("image", "/wide.webp"),
        ("image", "/small.jpg"),
        ("link", "/p/"),
        ("link", "/p/bare"),
    }
    names = {one["url"].removeprefix(base): one["name"] for one in found}
    assert names["/get/1.torrent"] == "The torrent"
    assert names["https://v.example/ld.mp4"] == "A film"


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ('<meta charset="gb2312">朱镕基'.encode("gbk"), None),
        ('<meta http-equiv="Content-Type" content="text/html; charset=big5">電影'.encode("big5"), None),
        ("電影 朱镕基".encode("gbk"), "gbk"),
        ("電影 朱镕基".encode("gb18030"), None),
        ("電影 朱镕基".encode("gbk"), "utf-8"),
        ("電影 朱镕基".encode("utf-8-sig"), "gbk"),
        ("電影 朱镕基".encode("utf-16"), None),
        ('<meta charset="utf-16">電影'.encode(), None),
        ("電影 朱镕基".encode()[:-1], "x-unknown"),
        ("電影".encode() * 50 + b"\xff" + "電影".encode() * 50, "utf-8"),
        ("電影".encode("shift_jis"), "shift_jis"),
    ],
)
def test_encodings(body: bytes, charset: str | None) -> None:
    text = decoded(body, charset)
    assert "電影" in text or "朱镕基" in text
    assert text.count("\ufffd") <= 1


async def test_a_packed_page_and_one_that_is_too_long(make: Make, serve: Serve) -> None:
    page = "<title>T</title>" + "<p>text</p>" * 10
    packed = gzip.compress(page.encode())
    [itself] = await parsed(make, await serve(answers(packed, **{"Content-Encoding": "gzip"})))
    assert itself["title"] == "T"
    bomb = gzip.compress(page.encode() + b" " * 50_000_000)
    [itself] = await parsed(make, await serve(answers(bomb, **{"Content-Encoding": "gzip"})))
    assert (itself["title"], itself["is_cut"]) == ("T", True)
    with pytest.raises(ConnectionError, match="something broken"):
        await parsed(make, await serve(answers(packed[:-9], **{"Content-Encoding": "gzip"})))


async def test_what_goes_wrong_says_so(make: Make, serve: Serve) -> None:
    hang = asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        await hang.wait()
        return web.Response()

    async def dribble(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        while not hang.is_set() and request.transport is not None:
            await response.write(b"<p>")
            await asyncio.sleep(0.01)
        return response

    async def short(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html", "Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"<p>")
        assert request.transport is not None
        request.transport.close()
        return response

    def redirect(target: str) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": target})

        return handler

    async def missing(request: web.Request) -> web.Response:
        return web.Response(status=404, text="<a href=x>x</a>", content_type="text/html")

    for handler, kind, says in (
        (never, TimeoutError, "within 0.3 s"),
        (dribble, TimeoutError, "within 0.3 s"),
        (short, ConnectionError, "broken"),
        (
            redirect("file:///etc/passwd"),
            ConnectionError,
            "redirects to file:///etc/passwd, which is neither",
        ),
        (redirect("ftp://127.0.0.1/x"), ConnectionError, "neither http nor https"),
        (redirect("/again"), ConnectionError, "redirects without end"),
        (missing, ConnectionError, "HTTP 404"),
    ):
        with pytest.raises(kind, match=says):
            await parsed(make, f"{await serve(handler)}/", timeout_s="0.3")
    hang.set()
    with pytest.raises(ConnectionError, match="cannot get"):
        await parsed(make, "http://127.0.0.1:1/")
    with pytest.raises(ValueError, match="not an http"):
        await parsed(make, "http://[bad")


async def test_a_redirect_is_followed_and_an_address_may_have_any_letters(make: Make, serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/旧":
            return web.Response(status=301, headers={"Location": "/new/页 面?q=斗"})
        return web.Response(text=f"<title>{request.path}</title><a href='x'>x</a>", content_type="text/html")

    itself, link = await parsed(make, f"{await serve(handler)}/旧#部分")
    assert itself["title"] == "/new/页 面"
    assert link["url"].endswith("/new/x")


MEBIBYTE = 1024 * 1024
SLOWEST = "<h1>x"
# Bytes, and seconds at most. One page is of the size that the plugin takes at most. The others are half as large: where
# the time grows with the square of the size, five seconds for them are twenty for the whole.
WHOLE, HALF = (5 * MEBIBYTE, 20.0), (5 * MEBIBYTE // 2, 5.0)


@pytest.mark.parametrize(
    "piece",
    ["<div>", "<b>", '<a href="/x">t', "<", "<!--", '<p a="', "<p ", "x.mp4 ", '"x.mp4', "<table>", "&amp", "magnet:?",
     "<div><object></div></object>", "<p><b><i><u><a>", "<script>", "<video src=x poster=y>", SLOWEST, "[", "a=1 "],
)  # fmt: skip
async def test_a_hostile_page_costs_seconds_at_most(make: Make, serve: Serve, piece: str) -> None:
    begin = {"[": '<script type="application/ld+json">', "a=1 ": "<p "}.get(piece, "")
    size, limit_s = WHOLE if piece == SLOWEST else HALF
    base = await serve(answers(f"<title>T</title>{begin}" + piece * (size // len(piece))))
    plugin = make("parser", "page_plugin")

    def run() -> tuple[list[dict[str, Any]], float]:
        began_s = time.thread_time()
        return plugin.parse_url(base), time.thread_time() - began_s

    found, took_s = await asyncio.to_thread(run)
    assert found[0]["title"] == "T"
    assert took_s < limit_s


def test_loading_it_imports_nothing_heavy() -> None:
    code = """
        import sys
        import plugins.parser.page_plugin
        heavy = {"trafilatura", "lxml", "selectolax", "requests", "aiohttp"} & set(sys.modules)
        sys.exit(f"imported {heavy}" if heavy else 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
