from __future__ import annotations

import asyncio
import base64
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from plugins.search.feeds_plugin import fetch as feeds_fetch
from plugins.search.feeds_plugin.fetch import Document
from plugins.search.feeds_plugin.parse import NotAFeed, filled, parse

Make = Callable[..., Any]

PODCAST = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
     xmlns:media="http://search.yahoo.com/mrss/" xmlns:content="http://purl.org/rss/1.0/modules/content/">
<channel>
  <title>夜航船 Radio</title><link>https://radio.example/</link><description>Talks</description>
  <item>
    <title>第12期：斗罗大陆 &amp; 唐门</title>
    <link>https://radio.example/12</link><guid isPermaLink="false">r-12</guid>
    <pubDate>Tue, 03 Nov 2026 08:30:00 +0800</pubDate>
    <itunes:author>主持人甲</itunes:author><itunes:duration>1:02:03</itunes:duration>
    <category>动画</category><category>小说</category>
    <description><![CDATA[<p>聊聊<b>武魂</b>。</p><script>alert(1)</script>]]></description>
    <media:thumbnail url="/art/12.jpg"/>
    <enclosure url="https://radio.example/12.mp3" length="34216300" type="audio/mpeg"/>
  </item>
  <item>
    <title>Without a page</title>
    <description>Only a file</description><itunes:duration>90</itunes:duration>
    <enclosure url="https://radio.example/11.mp3" length="" type="audio/mpeg"/>
  </item>
  <item><title>Bad link</title><link>javascript:alert(1)</link></item>
</channel></rss>"""

ATOM = """<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Notes</title><id>urn:n</id><updated>2026-01-02T03:04:05Z</updated>
<entry><title type="html">Tea &amp;amp; water</title><id>urn:n:1</id><link href="posts/tea.html"/>
<updated>2026-01-02T03:04:05Z</updated><author><name>Lu Yu</name></author><category term="drinks"/>
<content type="html">&lt;p&gt;How to boil it.&lt;/p&gt;</content></entry></feed>"""

CATALOG = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:dc="http://purl.org/dc/terms/" xmlns:opds="http://opds-spec.org/2010/catalog">
<id>urn:c</id><title>Books</title><updated>2026-01-01T00:00:00Z</updated>
<link rel="self" href="/opds" type="application/atom+xml;profile=opds-catalog;kind=navigation"/>
{search}
<entry><title>All books</title><id>urn:all</id><updated>2026-01-01T00:00:00Z</updated>
<link rel="subsection" href="/opds/all" type="application/atom+xml;profile=opds-catalog;kind=acquisition"/></entry>
</feed>"""

BOOKS = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opds="http://opds-spec.org/2010/catalog"><id>urn:s</id><title>Found</title>
{next}<entry><title>{title}</title><id>urn:uuid:1</id><updated>2026-01-01T00:00:00Z</updated><author><name>刘慈欣</name></author>
<link rel="http://opds-spec.org/image/thumbnail" href="/cover/1.jpg" type="image/jpeg"/>
<link rel="http://opds-spec.org/acquisition/open-access" href="/get/1.epub" type="application/epub+zip" length="1024"/>
<link rel="http://opds-spec.org/acquisition" href="/get/1.pdf" type="application/pdf"/></entry></feed>"""

DESCRIPTION = """<?xml version="1.0"?><OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">
<ShortName>Books</ShortName><Url type="text/html" template="/html?q={searchTerms}"/>
<Url type="application/x-suggestions+json" template="/suggest?q={searchTerms}"/>
<Url type="application/atom+xml;profile=opds-catalog"
 template="/find?q={searchTerms}&amp;p={startPage?}&amp;n={count?}"/>
</OpenSearchDescription>"""

JSON_FEED = """{"version": "https://jsonfeed.org/version/1.1", "title": "微博客", "items": [
 {"id": "1", "url": "https://j.example/1", "title": "茶", "content_html": "<p>好喝</p>", "tags": ["drinks"],
  "authors": [{"name": "Lu"}], "date_published": "2026-01-01T00:00:00Z", "image": "https://j.example/1.png",
  "attachments": [{"url": "https://j.example/1.mp3", "mime_type": "audio/mpeg", "size_in_bytes": 9,
  "duration_in_seconds": 61}]}]}"""


class Site:
    """A web server whose documents a test puts in place; `asked` are the requests that it got."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}
        self.asked: list[web.Request] = []
        self.base = ""

    def put(self, path: str, body: str | bytes, kind: str = "application/xml", **headers: str) -> str:
        data = body.encode() if isinstance(body, str) else body

        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=data, headers={"Content-Type": kind, **headers})

        self.pages[path] = answer
        return self.base + path

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.path not in self.pages:
            return web.Response(status=404)
        return await self.pages[request.path](request)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    host, port = runner.addresses[0][:2]
    site.base = f"http://{host}:{port}"
    yield site
    await runner.cleanup()


@pytest.fixture
def start(make: Make) -> Callable[..., Awaitable[Any]]:
    async def start(*feeds: Any, **config: Any) -> Any:
        plugin = make("search", "feeds_plugin", feeds=list(feeds), **config)
        await plugin.start()
        return plugin

    return start


async def search(plugin: Any, keyword: str, **kwargs: Any) -> list[Any]:
    return [result async for result in plugin.search(keyword, **kwargs)]


async def titles(plugin: Any, keyword: str, **kwargs: Any) -> list[str]:
    return [result.title for result in await search(plugin, keyword, **kwargs)]


async def test_a_podcast_gives_all_that_it_says(start: Any, site: Site) -> None:
    plugin = await start({"name": "", "url": site.put("/rss", PODCAST)})
    [result] = await search(plugin, "斗罗 武魂 动画 主持人")
    assert result.title == "第12期：斗罗大陆 & 唐门"
    assert result.url == "https://radio.example/12"
    assert result.thumbnail == site.base + "/art/12.jpg"
    assert result.duration == "1:02:03"
    assert result.platform == "夜航船 Radio"
    assert result.description == "聊聊武魂。"
    assert result.metadata == {
        "published": "2026-11-03T00:30:00Z",
        "author": "主持人甲",
        "enclosures": [{"url": "https://radio.example/12.mp3", "type": "audio/mpeg", "length": 34216300}],
        "categories": ["动画", "小说"],
    }
    [file] = await search(plugin, "without page")
    assert (file.url, file.duration) == ("https://radio.example/11.mp3", 90.0)
    assert file.metadata["enclosures"][0]["length"] is None
    [bad] = await search(plugin, "bad link")
    assert bad.url == ""
    assert await titles(plugin, "斗罗 nowhere") == []
    assert await titles(plugin, "-斗罗", limit=1) == ["Without a page"]


async def test_an_atom_feed(start: Any, site: Site) -> None:
    plugin = await start({"name": "笔记", "url": site.put("/a/feed.xml", ATOM, "text/xml")})
    [result] = await search(plugin, "ＴＥＡ boil yu drinks")
    assert (result.title, result.platform) == ("Tea & water", "笔记")
    assert result.url == site.base + "/a/posts/tea.html"
    assert result.metadata["published"] == "2026-01-02T03:04:05Z"
    assert (await plugin.get_video_info(result.url)).title == "Tea & water"


async def test_a_json_feed(start: Any, site: Site) -> None:
    plugin = await start(site.put("/feed.json", JSON_FEED, "application/feed+json"))
    [result] = await search(plugin, "茶 好喝 drinks lu")
    assert (result.url, result.duration, result.platform) == ("https://j.example/1", 61, "微博客")
    assert result.metadata["enclosures"] == [
        {"url": "https://j.example/1.mp3", "type": "audio/mpeg", "length": 9}
    ]


@pytest.mark.parametrize(
    "link",
    [
        '<link rel="search" type="application/opensearchdescription+xml" href="/search.xml"/>',
        '<link rel="search" type="application/atom+xml" href="/find?q={searchTerms}"/>',
    ],
)
async def test_a_catalog_is_asked_by_its_own_search(start: Any, site: Site, link: str) -> None:
    site.put("/search.xml", DESCRIPTION, "application/opensearchdescription+xml")
    site.put(
        "/find", BOOKS.format(title="三体", next='<link rel="next" href="/more"/>'), "application/atom+xml"
    )
    site.put(
        "/more", BOOKS.format(title="三体 II", next='<link rel="next" href="/more"/>'), "application/atom+xml"
    )
    plugin = await start({"name": "书", "url": site.put("/opds", CATALOG.replace("{search}", link))})
    first, second = await search(plugin, "三体 & 刘")
    assert [first.title, second.title] == ["三体", "三体 II"]
    assert first.url == site.base + "/get/1.epub"
    assert first.thumbnail == site.base + "/cover/1.jpg"
    assert first.metadata["enclosures"] == [
        {"url": site.base + "/get/1.epub", "type": "application/epub+zip", "length": 1024},
        {"url": site.base + "/get/1.pdf", "type": "application/pdf", "length": None},
    ]
    [asked] = [request for request in site.asked if request.path == "/find"]
    assert asked.query["q"] == "三体 & 刘"
    assert await titles(plugin, "三体 -II") == ["三体"]
    assert (await plugin.get_video_info(site.base + "/get/1.epub")).title.startswith("三体")


async def test_a_catalog_whose_search_is_broken_is_searched_itself(start: Any, site: Site) -> None:
    link = '<link rel="search" type="application/opensearchdescription+xml" href="/nowhere.xml"/>'
    plugin = await start(site.put("/opds", CATALOG.replace("{search}", link)))
    assert await titles(plugin, "all books") == ["All books"]


async def test_a_configured_search_address(start: Any, site: Site) -> None:
    site.put("/s", BOOKS.format(title="Anything", next=""))
    for template in ("/s?q={query}", "/s?q={searchTerms}&page={startPage}"):
        plugin = await start({"name": "x", "search_url": site.base + template})
        assert await titles(plugin, "foo bar") == ["Anything"]
        assert site.asked[-1].query["q"] == "foo bar"
        assert await titles(plugin, "") == []
    assert filled("http://h/{unknown}/{other?}?n={count}", "x") == "http://h//?n=50"


async def test_hits_come_as_each_feed_arrives_and_a_failing_one_costs_only_itself(
    start: Any, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()

    async def late(_request: web.Request) -> web.StreamResponse:
        await gate.wait()
        return web.Response(text=ATOM, content_type="application/xml")

    site.pages["/late"] = late
    feeds = [
        {"name": "late", "url": site.base + "/late"},
        {"name": "gone", "url": site.base + "/gone"},
        {"name": "quick", "url": site.put("/quick", ATOM)},
    ]
    plugin = await start(*feeds)
    async with aclosing(plugin.search("tea")) as results:
        assert (await anext(results)).platform == "quick"
        gate.set()
        assert (await anext(results)).platform == "late"
        with pytest.raises(StopAsyncIteration):
            await anext(results)
    assert "gone: the server answered 404" in caplog.text


async def test_a_search_that_is_given_up_ends_its_requests(start: Any, site: Site) -> None:
    ended = asyncio.Event()

    async def never(_request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    site.pages["/never"] = never
    plugin = await start(site.base + "/never", site.put("/quick", ATOM))
    before = asyncio.all_tasks()
    async with aclosing(plugin.search("tea")) as results:
        await anext(results)
    assert not {task for task in asyncio.all_tasks() - before if "ask" in repr(task.get_coro())}


async def test_all_failing_is_an_error_with_every_reason(
    start: Any, site: Site, unused_tcp_port: int
) -> None:
    plugin = await start(
        {"name": "A", "url": site.base + "/missing"},
        {"name": "B", "url": f"http://127.0.0.1:{unused_tcp_port}/"},
        {"name": "C", "url": site.put("/page", "<html><body>no feed</body></html>", "text/html")},
        {"name": "D", "url": "file:///etc/passwd"},
        {"name": "E", "url": site.put("/json", "{}")},
        {"name": "F", "url": "http://[broken"},
    )
    with pytest.raises(RuntimeError) as caught:
        await search(plugin, "x")
    for reason in (
        "A: the server answered 404",
        "B: the connection failed",
        "C: it is neither",
        "D: its address is",
        "E: ",
        "F: ",
    ):
        assert reason in str(caught.value)
    assert await search(await start(), "x") == []


async def test_a_server_that_does_not_answer_is_left(start: Any, site: Site) -> None:
    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"<rss>")
        await asyncio.Event().wait()
        return response

    site.pages["/stall"] = stall
    plugin = await start(site.base + "/stall", timeout_s="0.3")
    with pytest.raises(RuntimeError, match=r"no whole answer within 0\.3 s"):
        await search(plugin, "x")


async def test_a_feed_is_asked_for_again_only_when_it_may_have_changed(start: Any, site: Site) -> None:
    changed = ATOM

    async def answer(request: web.Request) -> web.StreamResponse:
        tag = f'"{zlib.crc32(changed.encode())}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(text=changed, content_type="application/xml", headers={"ETag": tag})

    site.pages["/feed"] = answer
    plugin = await start(site.base + "/feed", refresh_s=300)
    assert await asyncio.gather(*(titles(plugin, "tea") for _ in range(50))) == [["Tea & water"]] * 50
    assert len(site.asked) == 1
    again = await start(site.base + "/feed", refresh_s=0)
    assert await titles(again, "tea") == ["Tea & water"]
    assert "If-None-Match" in site.asked[1].headers
    changed = ATOM.replace("Tea", "Coffee")
    assert await titles(again, "coffee") == ["Coffee & water"]
    del site.pages["/feed"]
    assert await titles(again, "coffee") == ["Coffee & water"]  # the last copy stands in
    for copy in (again.data_dir / "cache").iterdir():
        copy.write_bytes(copy.read_bytes()[:-10])
    with pytest.raises(RuntimeError, match="404"):
        await search(again, "coffee")


async def test_last_modified_is_sent_back(start: Any, site: Site) -> None:
    moment = "Tue, 03 Nov 2026 00:00:00 GMT"
    plugin = await start(site.put("/f", ATOM, **{"Last-Modified": moment}), refresh_s=0)
    await search(plugin, "tea")
    await search(plugin, "tea")
    assert site.asked[1].headers["If-Modified-Since"] == moment


@pytest.mark.parametrize("how", ["plain", "gzip", "deflated bomb", "zipped bomb"])
async def test_a_document_that_is_too_large_is_refused(
    start: Any, site: Site, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(feeds_fetch, "DOCUMENT_MAX_BYTES", 100_000)
    body = ATOM.encode() + b" " * 200_000
    headers = {"Content-Encoding": "gzip"} if how in ("gzip", "deflated bomb") else {}
    if how == "deflated bomb":
        body += b" " * 20_000_000
    if how != "plain":
        body = gzip.compress(body)
    plugin = await start(site.put("/big", body, **headers))
    with pytest.raises(RuntimeError, match="it has more than"):
        await search(plugin, "tea")


async def test_compressed_feeds(start: Any, site: Site) -> None:
    packed = gzip.compress(ATOM.encode())
    sent = site.put("/sent", packed, **{"Content-Encoding": "gzip"})
    plugin = await start(sent, site.put("/feed.xml.gz", packed, "application/gzip"))
    assert await titles(plugin, "tea") == ["Tea & water"] * 2


@pytest.mark.parametrize(
    ("declared", "kind", "encoding"),
    [
        ("gbk", "application/xml", "gbk"),
        ("gb2312", "text/xml", "gb18030"),
        ("", "text/xml; charset=GBK", "gbk"),
        ("", "application/xml", "gb18030"),
        ("utf-8", "text/xml", "utf-8"),
        ("utf-16", "application/xml", "utf-16"),
        ("big5", "application/xml", "big5"),
        ("no-such", "application/xml", "utf-8"),
    ],
)
async def test_encodings(start: Any, site: Site, declared: str, kind: str, encoding: str) -> None:
    prolog = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = prolog + "<rss version='2.0'><channel><item><title>文章</title></item></channel></rss>"
    plugin = await start(site.put("/rss", text.encode(encoding), kind))
    assert await titles(plugin, "文章") == ["文章"]


async def test_redirects_are_followed_to_web_addresses_only(start: Any, site: Site) -> None:
    def moved(to: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": to})

        return answer

    site.put("/new/feed", ATOM)
    site.pages |= {"/old": moved("/new/feed"), "/file": moved("file:///etc/passwd"), "/loop": moved("/loop")}
    [result] = await search(await start(site.base + "/old"), "tea")
    assert result.url == site.base + "/new/posts/tea.html"
    for path, reason in (("/file", "neither http nor https"), ("/loop", "again and again")):
        with pytest.raises(RuntimeError, match=reason):
            await search(await start(site.base + path), "x")


async def test_a_login_in_the_address_is_used_for_that_server_and_told_to_nobody(
    start: Any, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    expected = "Basic " + base64.b64encode(b"me:s3cret").decode()

    async def closed(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != expected:
            return web.Response(status=401)
        body = CATALOG.replace("{search}", '<link rel="search" href="/find?q={searchTerms}"/>')
        return web.Response(text=BOOKS.format(title="Found", next="") if "q" in request.query else body)

    site.pages |= {"/opds": closed, "/find": closed}
    address = site.base.replace("://", "://me:s3cret@")
    plugin = await start(address + "/opds", address + "/gone")
    [result] = await search(plugin, "anything")
    assert result.title == "Found"
    assert "s3cret" not in caplog.text + str(result.model_dump())


def test_entity_bombs_and_broken_documents_are_harmless() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY e0 "lol">{levels}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    item = "<item><title>One &e11; &f; two</title></item>"
    feed = parse(
        Document(
            "http://h/", "text/xml", f"{bomb}<rss version='2.0'><channel>{item}</channel></rss>".encode()
        )
    )
    assert feed.entries[0].title.startswith("One")
    assert len(feed.entries[0].title) < 100
    assert "root" not in feed.entries[0].title
    broken = b"<rss version='2.0'><channel><item><title>A & B <b>x</title></item><item><title>cut"
    assert parse(Document("http://h/", "", broken)).entries[0].title.startswith("A")
    for body in (
        b"",
        b"{",
        b"[" * 100_000,
        b"\0\1\2",
        b"<a" * 100_000,
        b'{"version": "https://jsonfeed.org/1", "items": 3}',
        b"/etc/passwd",
    ):
        with pytest.raises(NotAFeed):
            parse(Document("http://h/", "", body))


async def test_an_address_that_no_feed_has_is_refused(start: Any, site: Site) -> None:
    plugin = await start(site.put("/a", ATOM), site.base + "/gone")
    with pytest.raises(ValueError, match=r"in none of the feeds.*404"):
        await plugin.get_video_info("https://elsewhere.example/")


async def test_feeds_that_another_program_wrote(start: Any, site: Site) -> None:
    generator = pytest.importorskip("feedgen.feed", reason="feedgen is not installed")
    feed = generator.FeedGenerator()
    feed.load_extension("podcast")
    feed.id("https://f.example/")
    feed.title("Made by feedgen")
    feed.link(href="https://f.example/")
    feed.description("x")
    entry = feed.add_entry()
    entry.id("https://f.example/1")
    entry.title("斗罗大陆 <1>")
    entry.link(href="https://f.example/1")
    entry.content("<p>text</p>", type="html")
    entry.enclosure("https://f.example/1.mp3", "12", "audio/mpeg")
    entry.published("2026-01-01T00:00:00+00:00")
    entry.podcast.itunes_duration("00:10:00")
    plugin = await start(site.put("/rss", feed.rss_str()), site.put("/atom", feed.atom_str()))
    results = await search(plugin, "斗罗")
    for result in results:
        assert (result.title, result.url) == ("斗罗大陆 <1>", "https://f.example/1")
        assert result.metadata["published"] == "2026-01-01T00:00:00Z"
    # In Atom it writes an enclosure as a mere link.
    enclosed = [one for result in results for one in result.metadata["enclosures"]]
    assert enclosed == [{"url": "https://f.example/1.mp3", "type": "audio/mpeg", "length": 12}]
    assert "00:10:00" in [result.duration for result in results]


def test_configuration_may_be_sloppy(make: Make, tmp_path: Path) -> None:
    plugin = make("search", "feeds_plugin", feeds="http://a/")
    assert [one.url for one in plugin.sources] == ["http://a/"]
    plugin = make(
        "search",
        "feeds_plugin",
        feeds=[{"url": " http://a/ ", "name": None}, {}, {"search_url": "http://b/"}, "http://c/"],
    )
    assert [(one.name, one.url, one.search_url) for one in plugin.sources] == [
        ("", "http://a/", ""),
        ("", "", "http://b/"),
        ("", "http://c/", ""),
    ]
