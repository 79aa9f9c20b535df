"""The search over Torznab indexers, against one that follows the specification, and against a real proxy."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from plugins.search.torznab_plugin import question, retry_after_s
from plugins.search.torznab_plugin.caps import Caps
from plugins.search.torznab_plugin.feed import IndexerError, hide, read_feed
from plugins.search.torznab_plugin.indexers import read_indexers
from plugins.shared.readable_text import readable_size
from service.sdk import SearchResult
from tests.unit.plugins.torznab_site import KEY, Torznab, release

Make = Callable[..., Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[..., Awaitable[str]]
MAGNET = "magnet:?xt=urn:btih:" + "b" * 40 + "&dn=x"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers = []

    async def serve(handler: Handler, path: str = "/{path:.*}") -> str:
        app = web.Application()
        app.router.add_get(path, handler)
        server = TestServer(app, host="127.0.0.1")
        servers.append(server)
        await server.start_server()
        return str(server.make_url("")).rstrip("/")

    yield serve
    for server in servers:
        await server.close()


def indexers(*urls: str, key: str = KEY) -> list[dict[str, Any]]:
    return [{"name": f"indexer{number}", "url": url, "api_key": key} for number, url in enumerate(urls, 1)]


async def found(plugin: Any, keyword: str = "bunny", **kwargs: Any) -> list[SearchResult]:
    return [one async for one in plugin.search(keyword, **kwargs)]


@pytest.mark.parametrize("namespace", ["torznab", "newznab"])
async def test_a_release_with_all_that_is_known(make: Make, serve: Serve, namespace: str) -> None:
    base = await serve(Torznab([release(1)], namespace).api)
    [one] = await found(make("search", "torznab_plugin", indexers=indexers(base + "/api")))
    assert one.model_dump() == {
        "title": "Big Buck Bunny 1 & co",
        "url": "https://tracker.example/download/1.torrent",
        "thumbnail": None,
        "duration": None,
        "platform": "indexer1",
        "description": "4.3 GiB · 12 seeders · Movies/HD",
        "metadata": {
            "size": 4617089843,
            "seeders": 12,
            "peers": 15,
            "leechers": 3,
            "grabs": 99,
            "files": None,
            "infohash": "a" * 40,
            "magnet": None,
            "torrent_url": "https://tracker.example/download/1.torrent",
            "category": "Movies/HD",
            "categories": [2000, 2040],
            "downloadvolumefactor": 0.0,
            "uploadvolumefactor": None,
            "published": "2015-03-14T13:12:42-04:00",
            "guid": "https://tracker.example/torrent/1",
            "page": "https://tracker.example/torrent/1#comments",
            "indexer": "indexer1",
            "tracker": "",
        },
    }


@pytest.mark.parametrize(
    "more",
    [
        {"attrs": {"magneturl": MAGNET}},
        {"attrs": {}, "link": MAGNET, "enclosure": MAGNET},
        {"attrs": {}, "guid": MAGNET},
        {"attrs": {"infohash": "nonsense"}, "enclosure": "", "link": MAGNET},
        {"attrs": {"magneturl": MAGNET.replace("b" * 40, "X" * 32)}},
    ],
)
async def test_a_magnet_comes_first(make: Make, serve: Serve, more: dict[str, Any]) -> None:
    base = await serve(Torznab([release(1, **more)]).api)
    [one] = await found(make("search", "torznab_plugin", indexers=indexers(base)))
    assert one.url == one.metadata["magnet"]
    assert one.url.startswith("magnet:?xt=urn:btih:")
    assert one.metadata["infohash"] in ("b" * 40, "bdef7bdef7" * 4)


async def test_releases_with_little_said_or_nothing_to_get(make: Make, serve: Serve) -> None:
    bare = release(1, size=None, attrs={}, categories=[], pubDate="yesterday", comments="javascript:x")
    unusable = [
        release(2, link="", enclosure=""),
        release(3, title=""),
        release(4, link="file:///x", enclosure="ftp://x/y"),
    ]
    base = await serve(Torznab([bare, *unusable]).api)
    # No words and nothing else: no question.
    assert await found(make("search", "torznab_plugin", indexers=indexers(base)), " ") == []
    [one] = await found(make("search", "torznab_plugin", indexers=indexers(base)), "bunny 1")
    assert (one.description, one.metadata["seeders"], one.metadata["published"], one.metadata["page"]) == (
        "",
        None,
        "yesterday",
        "",
    )
    assert len(await found(make("search", "torznab_plugin", indexers=indexers(base)))) == 1


@pytest.mark.parametrize("says_total", [True, False])
async def test_pages_are_followed_by_offset_up_to_the_limit(
    make: Make, serve: Serve, says_total: bool
) -> None:
    indexer = Torznab([release(number) for number in range(1, 36)])
    indexer.says_total = says_total
    plugin = make("search", "torznab_plugin", indexers=indexers(await serve(indexer.api)))
    assert len({one.metadata["guid"] for one in await found(plugin)}) == 35
    assert [(one["offset"], one["limit"]) for one in indexer.asked if one["t"] == "search"] == [
        ("0", "10"),
        ("10", "10"),
        ("20", "10"),
        ("30", "10"),
    ]
    plugin.set_config({**plugin.config, "limit": "12"})
    assert len(await found(plugin)) == 12
    assert len(await found(plugin, limit=3)) == 3
    assert {one["extended"] for one in indexer.asked if one["t"] == "search"} == {"1"}


async def test_an_indexer_that_knows_no_offset_ends(make: Make, serve: Serve) -> None:
    indexer = Torznab([release(number) for number in range(1, 36)])
    indexer.knows_offset = False
    plugin = make("search", "torznab_plugin", indexers=indexers(await serve(indexer.api)))
    assert len(await found(plugin)) == 10


async def test_capabilities_are_kept_for_an_hour_and_beyond_where_there_are_no_newer(
    make: Make, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    indexer = Torznab([release(1)])
    config = indexers(await serve(indexer.api))
    for _ in range(2):  # another generation finds them too
        assert len(await found(make("search", "torznab_plugin", indexers=config))) == 1
    assert [one["t"] for one in indexer.asked] == ["caps", "search", "search"]
    plugin = make("search", "torznab_plugin", indexers=config)
    [path] = plugin.data_dir.glob("caps-*.json")
    assert KEY not in path.read_text() + path.name
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "at": time.time() - 3601}))
    await found(plugin)
    assert [one["t"] for one in indexer.asked][3:] == ["caps", "search"]
    path.write_text(json.dumps({**data, "at": 0}))
    indexer.caps = "<html>down</html>"
    assert len(await found(plugin)) == 1
    assert "going by what it could do before" in caplog.text
    path.write_text("half a fi")
    with pytest.raises(ConnectionError, match="web page"):
        await found(plugin)


async def test_a_wrong_key_says_so_and_the_key_is_nowhere(
    make: Make, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    indexer = Torznab([])
    wrong = "f00dfeedf00dfeed"

    async def forbidden(request: web.Request) -> web.Response:
        return web.Response(status=401, text='{"error": "Unauthorized"}')

    async def talkative(request: web.Request) -> web.Response:
        return indexer.error(900, f"failed: GET {request.path_qs}")

    plugin = make(
        "search",
        "torznab_plugin",
        indexers=indexers(
            await serve(indexer.api),
            await serve(forbidden),
            await serve(talkative),
            "http://127.0.0.1:1/",
            key=wrong,
        ),
    )
    with pytest.raises(ConnectionError) as raised:
        await found(plugin)
    text = str(raised.value)
    assert (
        "indexer1: the API key is wrong; correct it in the configuration: Incorrect user credentials" in text
    )
    assert "indexer2: the API key is wrong; correct it in the configuration (HTTP 401)" in text
    assert "indexer3: failed: GET /" in text and "apikey=***" in text and "(error 900)" in text
    assert "indexer4: cannot connect to 127.0.0.1:1" in text
    logged = [one.getMessage() for one in caplog.records if one.name != "aiohttp.access"]
    mentioned = [text, *logged, *(path.read_text() for path in plugin.data_dir.glob("*"))]
    assert not [one for one in mentioned if wrong in one]
    assert raised.value.__cause__ is None or wrong not in repr(raised.value.__cause__)


async def test_a_key_in_what_an_indexer_says_is_hidden_but_for_the_download(make: Make, serve: Serve) -> None:
    link = f"http://127.0.0.1:9117/dl/x/?jackett_apikey={KEY}&path=abc"
    one = release(1, link=link, guid=link, comments=link, jackettindexer="Tracker One")
    [result] = await found(
        make("search", "torznab_plugin", indexers=indexers(await serve(Torznab([one]).api)))
    )
    assert result.url == result.metadata["torrent_url"] == link
    del result.metadata["torrent_url"]
    assert KEY not in json.dumps([result.metadata, result.title, result.description])
    assert result.metadata["tracker"] == "Tracker One"


async def test_asking_to_wait_is_obeyed(make: Make, serve: Serve) -> None:
    indexer = Torznab([release(1)])
    pauses = ["0.05", "600"]
    refused = []

    async def busy(request: web.Request) -> web.StreamResponse:
        if request.query["t"] == "search" and pauses:
            refused.append(time.monotonic())
            return indexer.error(500, "Request limit reached", 429, **{"Retry-After": pauses.pop(0)})
        return await indexer.api(request)

    plugin = make("search", "torznab_plugin", indexers=indexers(await serve(busy)))
    for _ in range(2):  # the second is not even asked
        with pytest.raises(ConnectionError, match=r"asks to wait.*try again in (600|599) s"):
            await found(plugin)
    assert len(refused) == 2 and refused[1] - refused[0] >= 0.05
    pauses[:] = ["0"]
    assert len(await found(make("search", "torznab_plugin", indexers=plugin.config["indexers"]))) == 1


async def test_each_comes_as_it_arrives_and_a_broken_one_costs_only_itself(
    make: Make, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    release_slow, slow_indexer = asyncio.Event(), Torznab([release(7)])

    async def slow(request: web.Request) -> web.StreamResponse:
        await release_slow.wait()
        return await slow_indexer.api(request)

    async def broken(request: web.Request) -> web.Response:
        return web.Response(text="<rss><channel><item>")

    quick = await serve(Torznab([release(1)]).api)
    plugin = make(
        "search", "torznab_plugin", indexers=indexers(await serve(slow), await serve(broken), quick)
    )
    results = plugin.search("bunny")
    assert (await anext(results)).platform == "indexer3"
    release_slow.set()
    assert (await anext(results)).platform == "indexer1"
    with pytest.raises(StopAsyncIteration):
        await anext(results)
    assert "indexer2: it answered with something that is no XML" in caplog.text


async def test_the_api_is_found_from_the_address_of_a_feed_or_a_server(make: Make, serve: Serve) -> None:
    indexer = Torznab([release(1)])
    for served, given in (
        ("/1/api", "/1/"),
        ("/1/api", "/1/api"),
        ("/api", ""),
        ("/api", "/api?t=search&q=old&apikey=" + KEY),
        ("/api/v2.0/indexers/all/results/torznab/", "/api/v2.0/indexers/all/results/torznab/"),
        ("/api/v2.0/indexers/all/results/torznab/api", "/api/v2.0/indexers/all/results/torznab/"),
        ("/api/v2.0/indexers/all/results/torznab/", "/api/v2.0/indexers/all/results/torznab/api"),
        ("/feed", "/feed"),
    ):
        base = await serve(indexer.api, served)
        key = "" if "apikey" in given else KEY
        assert (
            len(await found(make("search", "torznab_plugin", indexers=indexers(base + given, key=key)))) == 1
        ), given


async def test_one_without_capabilities_is_searched_by_words(make: Make, serve: Serve) -> None:
    indexer = Torznab([release(1)])

    async def api(request: web.Request) -> web.StreamResponse:
        if request.query["t"] == "caps":
            return indexer.error(202, "No such function")
        return await indexer.api(request)

    plugin = make("search", "torznab_plugin", indexers=indexers(await serve(api)))
    assert [one.metadata["category"] for one in await found(plugin)] == ["Movies/HD"]


async def test_categories_by_number_and_by_name(make: Make, serve: Serve) -> None:
    indexer = Torznab([release(1), release(2, categories=[5000, 5070]), release(3, categories=[100117])])
    plugin = make(
        "search",
        "torznab_plugin",
        indexers=indexers(await serve(indexer.api)),
        categories="TV/Anime，donghua",
    )
    assert [one.metadata["category"] for one in await found(plugin)] == ["TV/Anime", "Donghua"]
    assert indexer.asked[-1]["cat"] == "5070,100117"
    assert len(await found(plugin, categories=[2000])) == 1
    plugin.config["categories"] = ""
    assert len(await found(plugin)) == 3
    assert "cat" not in indexer.asked[-1]


def caps(**modes: str) -> Caps:
    return Caps(modes={name: params.split(",") for name, params in modes.items()})


@pytest.mark.parametrize(
    ("can", "keyword", "asked", "expected"),
    [
        (caps(search="q"), "a b", {}, {"t": "search", "q": "a b"}),
        (caps(search="q", tvsearch="q,season,ep"), "x", {"season": 1, "ep": "2"},
         {"t": "tvsearch", "q": "x", "season": "1", "ep": "2"}),
        (caps(search="q", tvsearch="q"), "x", {"season": 1, "episode": 2}, {"t": "tvsearch", "q": "x S01E02"}),
        (caps(search="q"), "x", {"season": 1, "type": "tv-search"}, {"t": "search", "q": "x S01"}),
        (caps(search="q", movie="q,imdbid"), "tt0133093", {}, {"t": "movie", "q": "", "imdbid": "tt0133093"}),
        (caps(search="q"), "tt0133093", {}, {"t": "search", "q": "tt0133093"}),
        (caps(search="q", movie="q"), "x", {"year": 1999}, {"t": "movie", "q": "x 1999"}),
        (caps(movie="q"), "x", {}, {"t": "movie", "q": "x"}),
        (caps(search="q", book="q"), "x", {"type": "book"}, {"t": "book", "q": "x"}),
    ],
)  # fmt: skip
def test_the_mode_that_fits(can: Caps, keyword: str, asked: dict[str, Any], expected: dict[str, str]) -> None:
    assert question(can, keyword, asked) == expected


def test_one_that_takes_no_words_says_so() -> None:
    with pytest.raises(IndexerError, match="cannot be searched by words"):
        question(caps(movie="imdbid"), "x", {})


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 200, "no XML"),
        (b"<!DOCTYPE html><html><body>login", 200, "a web page"),
        (
            b"<?xml version='1.0'?><!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0//EN' ''><html/>",
            200,
            "a web page",
        ),
        (b"<caps/>", 200, "<caps>, not with a feed"),
        (b"<rss/>", 200, "not with a feed"),
        (b"oops", 502, "HTTP 502"),
        (b'<error code="910" description="API Disabled"/>', 503, r"switched off: API Disabled \(error 910\)"),
        (b'<error code="x"/>', 200, "no reason given"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss>&x;</rss>', 200, "declares entities"),
    ],
)
def test_what_is_no_feed_says_what_it_is(body: bytes, status: int, says: str) -> None:
    with pytest.raises(IndexerError, match=says):
        read_feed(body, status)


def test_a_feed_with_control_characters_and_a_mark_is_read() -> None:
    [item] = read_feed(
        b"\xef\xbb\xbf\n<rss><channel><item><title>a\x0bb</title></item></channel></rss>", 200
    ).items
    assert item.fields == {"title": "ab"}


def test_keys_are_hidden_in_every_form() -> None:
    assert hide("GET /api?t=caps&apikey=a%2Fb%2Bcd&x=1", "a/b+cd") == "GET /api?t=caps&apikey=***&x=1"
    assert hide("jackett_apikey=zzz passkey=1 api_key=2", "") == "jackett_apikey=*** passkey=*** api_key=***"
    assert hide("a cat sat", "a") == "a cat sat"


def test_waits_and_sizes() -> None:
    assert retry_after_s("3") == 3.0
    assert retry_after_s("Fri, 31 Dec 1999 23:59:59 GMT") == 0.0
    assert retry_after_s("soon") == retry_after_s("") == 10.0
    assert [readable_size(one) for one in (5, 1536, 2**43)] == ["5 B", "1.5 KiB", "8.0 TiB"]


def test_configurations() -> None:
    assert read_indexers({}) == read_indexers({"indexers": [{"url": "http://x", "enabled": False}, {}]}) == []
    [one] = read_indexers({"url": "jackett.example:9117/1/", "apikey": "k", "categories": [2000, "TV"]})
    assert (one.urls[0], one.key, one.categories) == ("http://jackett.example:9117/1/api", "k", "2000,TV")
    assert [one.name for one in read_indexers({"indexers": "a|http://a.example\nhttp://b.example"})] == [
        "a",
        "b.example",
    ]
    with pytest.raises(ValueError, match="neither http nor https"):
        read_indexers({"indexers": [{"url": "file:///etc/passwd"}]})


async def test_nothing_configured_is_no_error(make: Make) -> None:
    assert await found(make("search", "torznab_plugin")) == []
