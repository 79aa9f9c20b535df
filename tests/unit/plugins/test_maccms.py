"""The search over collection APIs, against a site that answers as MacCMS 10 and SeaCMS do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.sdk import SearchResult
from tests.unit.plugins.maccms_site import MacCMS, vod

Make = Callable[..., Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
API = "/api.php/provide/vod/"


Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
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


async def found(plugin: Any, keyword: str = "斗罗", **kwargs: Any) -> list[SearchResult]:
    return [one async for one in plugin.search(keyword, **kwargs)]


def sites(*urls: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": f"site{number}", "url": url, **more} for number, url in enumerate(urls, 1)]


def fixed(body: bytes | str, content_type: str = "text/html; charset=utf-8", status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(body=data, status=status, headers={"Content-Type": content_type})

    return handler


@pytest.mark.parametrize("way", ["json", "xml", "at/xml", "at/json"])
async def test_a_site_answers_with_episodes_and_all_that_is_known(make: Make, serve: Serve, way: str) -> None:
    base = await serve(MacCMS([vod(1)]).vod)
    if way.startswith("at/"):
        url, format = f"{base}{API}{way}/", "auto"
    else:
        url, format = f"{base}{API}", way
    [one] = await found(make("search", "maccms_plugin", sites=sites(url, format=format)))
    assert (one.title, one.url, one.platform) == ("斗罗大陆1", f"{url}#1", "maccms")
    assert one.thumbnail == f"{base}/upload/vod/1.jpg"
    assert one.description == "唐门 外门弟子 唐三"
    metadata = dict(one.metadata)
    assert metadata.pop("score") == (8.6 if "json" in way else None)  # the XML has none
    assert metadata == {
        "site": "site1",
        "id": "1",
        "type": "国产动漫",
        "year": "2018",
        "area": "大陆",
        "lang": "国语",
        "actor": "沈磊,程玉珠",
        "director": "沈乐平",
        "remarks": "更新至02集",
        "update_time": "2018-05-26 10:00:00",
        "sources": ["m3u8a", "yun"],
        "episodes": [
            {"title": "第01集", "play_url": "https://v.example/1/1.m3u8", "source": "m3u8a"},
            {"title": "第02集", "play_url": "https://v.example/1/2.m3u8", "source": "m3u8a"},
            {"title": "第01集", "play_url": "https://v.example/share/1", "source": "yun"},
        ],
    }


async def test_what_search_gave_can_be_asked_for_alone(make: Make, serve: Serve) -> None:
    base = await serve(MacCMS([vod(1), vod(2)]).vod)
    plugin = make("search", "maccms_plugin", sites=sites(base + API))
    first, second = await found(plugin)
    assert (await plugin.get_video_info(second.url)).model_dump() == second.model_dump()
    assert (await plugin.get_video_info("site1#1")).model_dump() == first.model_dump()
    assert (await plugin.get_video_info(f"{base}{API}?ac=detail&ids=1")).title == "斗罗大陆1"
    with pytest.raises(ValueError, match="has no entry 99"):
        await plugin.get_video_info("site1#99")
    for stranger in ("https://other.example/api.php/provide/vod/#1", f"{base}{API}", "site1"):
        with pytest.raises(ValueError, match="not an entry of a configured site"):
            await plugin.get_video_info(stranger)


async def test_pages_are_followed_up_to_the_limits(make: Make, serve: Serve) -> None:
    cms = MacCMS([vod(number) for number in range(1, 71)])
    base = await serve(cms.vod)
    plugin = make("search", "maccms_plugin", sites=sites(base + API))
    assert [one.metadata["id"] for one in await found(plugin)] == [str(n) for n in range(1, 51)]
    assert [one["pg"] for one in cms.asked] == ["1", "2", "3"]
    plugin.set_config({**plugin.config, "limit": "1000", "pages": 2})
    assert len(await found(plugin)) == 40
    assert len(await found(plugin, limit=3)) == 3
    assert len(await found(plugin, keyword="斗罗大陆7", limit="99")) == 2  # 7 and 70


async def test_a_site_that_repeats_its_first_page_for_ever_ends(make: Make, serve: Serve) -> None:
    cms = MacCMS([vod(1), vod(2)])
    page = cms.json(cms.rows, 1, 9999, 99999, True)
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.query["pg"])
        return web.Response(text=page)

    plugin = make("search", "maccms_plugin", sites=sites(await serve(handler)), pages=50)
    assert len(await found(plugin)) == 2
    assert asked == ["1", "2"]


@pytest.mark.parametrize("format", ["json", "xml"])
async def test_a_site_that_only_lists_names_is_asked_for_details(
    make: Make, serve: Serve, format: str
) -> None:
    cms = MacCMS([vod(number) for number in range(1, 24)])

    async def old(request: web.Request) -> web.Response:
        if "wd" in request.query and request.query["ac"] != "list":
            return web.Response(text="")
        return await cms.vod(request)

    plugin = make("search", "maccms_plugin", sites=sites(await serve(old) + API, format=format))
    results = await found(plugin)
    assert [one.metadata["id"] for one in results] == [str(n) for n in range(1, 24)]
    assert {len(one.metadata["episodes"]) for one in results} == {3}
    assert [one["ids"].count(",") + 1 for one in cms.asked if "ids" in one] == [20, 3]


async def test_an_older_site_knows_videolist_only_and_is_remembered(make: Make, serve: Serve) -> None:
    cms = MacCMS([vod(1)], known=("list", "videolist"))
    plugin = make("search", "maccms_plugin", sites=sites(await serve(cms.vod) + "/zyapi.php"))
    assert len(await found(plugin)) == len(await found(plugin)) == 1
    assert [one["ac"] for one in cms.asked] == ["detail", "videolist", "videolist"]


async def test_each_site_comes_as_it_arrives_and_a_broken_one_costs_only_itself(
    make: Make, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()
    slow_cms = MacCMS([vod(7)])

    async def slow(request: web.Request) -> web.Response:
        await release.wait()
        return await slow_cms.vod(request)

    quick = await serve(MacCMS([vod(1)]).vod)
    plugin = make(
        "search",
        "maccms_plugin",
        sites=sites(
            await serve(slow), await serve(fixed("oops", status=500)), "http://127.0.0.1:1/api.php", quick
        ),
    )
    results = plugin.search("斗罗")
    assert (await anext(results)).metadata["site"] == "site4"
    release.set()
    assert (await anext(results)).metadata["site"] == "site1"
    with pytest.raises(StopAsyncIteration):
        await anext(results)
    warned = "\n".join(record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert "site2: it answered with HTTP 500" in warned
    assert "site3: cannot connect to 127.0.0.1:1" in warned


async def test_all_failed_is_an_error_that_names_each(make: Make, serve: Serve) -> None:
    hang = asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        await hang.wait()
        return web.Response()

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("file:///etc/passwd")

    async def round_and_round(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.path_qs)

    async def huge(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(20):
                await response.write(b" " * 1024 * 1024)
        except ConnectionError:  # the other side has seen enough
            pass
        return response

    plugin = make(
        "search",
        "maccms_plugin",
        timeout="0.3",
        sites=sites(
            await serve(never),
            await serve(elsewhere),
            await serve(round_and_round),
            await serve(huge),
            await serve(fixed('{"code":1001,"msg":"参数错误","list":[]}')),
            await serve(fixed("closed")),
            await serve(fixed("<!DOCTYPE html><html><body>Just a moment</body></html>")),
            await serve(fixed("")),
        ),
    )
    with pytest.raises(ConnectionError) as raised:
        await found(plugin)
    hang.set()
    for said in (
        "site1: no whole answer within 0.3 s",
        "site2: refused to go to a file address",
        "site3: more than 5 redirects",
        "site4: the answer is larger than 8192 KiB",
        "site5: the site says 参数错误 (code 1001)",
        "site6: it answered: closed",
        "site7: it answered with a web page",
        "site8: it answered with nothing",
    ):
        assert said in str(raised.value)


async def test_a_page_that_fails_later_does_not_lose_the_earlier_ones(make: Make, serve: Serve) -> None:
    cms = MacCMS([vod(number) for number in range(1, 45)])

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=503) if request.query["pg"] == "2" else await cms.vod(request)

    assert len(await found(make("search", "maccms_plugin", sites=sites(await serve(handler))))) == 20


async def test_leaving_early_stops_the_sites(make: Make, serve: Serve) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        asked.set()
        await release.wait()
        return web.Response()

    plugin = make(
        "search", "maccms_plugin", sites=sites(await serve(MacCMS([vod(1)]).vod), await serve(slow))
    )
    results = plugin.search("斗罗")
    await anext(results)
    await asked.wait()
    running = [task for task in asyncio.all_tasks() if "as_they_arrive.<locals>.drain" in repr(task)]
    assert len(running) >= 1
    await results.aclose()
    release.set()
    assert all(task.done() for task in running)


async def test_nothing_found_and_nothing_configured_are_no_errors(make: Make, serve: Serve) -> None:
    plugin = make("search", "maccms_plugin", sites=sites(await serve(MacCMS([vod(1)]).vod)))
    assert await found(plugin, "没有这部") == []
    assert await found(plugin, "  ") == []
    assert await found(make("search", "maccms_plugin")) == []


async def test_special_characters_in_the_keyword_arrive_whole(make: Make, serve: Serve) -> None:
    cms = MacCMS([vod(1, vod_name="A&B + C=D#1 100%")])
    plugin = make("search", "maccms_plugin", sites=sites(await serve(cms.vod) + API + "?token=a%2Bb"))
    assert [one.title for one in await found(plugin, "&B + C=D#1 100%")] == ["A&B + C=D#1 100%"]
    assert cms.asked[0]["token"] == "a+b"
