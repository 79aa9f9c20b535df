"""A person searches: results come as plugins find them, whatever becomes of the plugins or the connection."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Locator, Route, expect

from tests.browser.conftest import Opener, Server, View, another_site, parser_plugin
from tests.browser.relay import Relay
from tests.browser.task_plugins import INSTANT, RAISING, Finder, results

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

SEARCH = "/#/search"
# One pixel.
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJg"
    "gg=="
)


async def seen(view: View, id: str) -> None:
    """Waits until the page knows the plugin."""
    await view.page.get_by_role("link", name="Plugins", exact=True).click()
    await view.has_state(id, "active")
    await view.page.get_by_role("link", name="Search", exact=True).click()


async def search(view: View, words: str) -> None:
    await view.page.get_by_label("What to search for").fill(words)
    await view.page.keyboard.press("Enter")


def rows(view: View) -> Locator:
    return view.page.locator("[data-result]")


def titles(view: View) -> Locator:
    return view.page.locator("[data-result] h3")


async def part_is(view: View, plugin: str, state: str) -> None:
    await expect(view.page.locator(f'[data-part="{plugin}"]')).to_have_attribute("data-state", state)


async def test_results_show_while_others_search_and_one_fails(server: Server, open_page: Opener) -> None:
    quick = Finder(server.home, "quick", results("one", "two"))
    slow = Finder(server.home, "slow", results("three", "four"), gate=1)
    server.save("search/raising_plugin.py", RAISING.format(reason="no luck today"))
    view = await open_page()
    for name in (quick.name, slow.name, "raising"):
        await view.has_state(f"search/{name}", "active")
    await view.page.get_by_role("link", name="Search", exact=True).click()
    await search(view, "numbers")
    await expect(rows(view)).to_have_count(4)
    await part_is(view, "slow", "searching")
    await part_is(view, "quick", "done")
    await part_is(view, "raising", "failed")
    status = view.page.get_by_role("region", name="Progress of the plugins")
    await expect(status).to_contain_text("4 results")
    await expect(status).to_contain_text("1 plugin is still searching")
    await expect(status).to_contain_text("ValueError: no luck today")
    slow.let()
    await expect(rows(view)).to_have_count(5)
    await part_is(view, "slow", "done")
    await expect(titles(view).last).to_have_text("four")
    await expect(status).not_to_contain_text("still searching")
    await expect(status.get_by_role("button", name="Stop")).to_have_count(0)


async def test_only_the_chosen_plugins_search(server: Server, open_page: Opener) -> None:
    for name in ("here", "there"):
        Finder(server.home, name, results(f"from {name}"))
    view = await open_page()
    await seen(view, "search/here")
    await seen(view, "search/there")
    await expect(view.button("All plugins")).to_have_attribute("aria-pressed", "true")
    await view.button("there").click()
    await expect(view.button("All plugins")).to_have_attribute("aria-pressed", "false")
    await search(view, "word")
    await expect(titles(view)).to_have_text(["from there"])
    await expect(view.page.locator("[data-part]")).to_have_count(1)
    await view.button("there").click()
    await expect(view.button("All plugins")).to_have_attribute("aria-pressed", "true")
    await view.button("Search").click()
    await expect(rows(view)).to_have_count(3)


@pytest.mark.usefixtures("shared_server")
async def test_results_can_be_sorted_and_filtered(server: Server, open_page: Opener) -> None:
    Finder(server.home, "parts", results("Part 10", "Part 2", "Part 1"))
    view = await open_page()
    await seen(view, "search/parts")
    await view.button("parts").click()
    await search(view, "part")
    await expect(titles(view)).to_have_text(["Part 10", "Part 2", "Part 1"])
    await view.page.get_by_label("Order").select_option(label="By title")
    await expect(titles(view)).to_have_text(["Part 1", "Part 2", "Part 10"])
    await view.page.get_by_label("Filter the results").fill("10")
    await expect(titles(view)).to_have_text(["Part 10"])
    await expect(view.page.get_by_role("status").filter(has_text="3 results, 1 shown")).to_be_visible()
    await view.page.get_by_label("Filter the results").fill("elsewhere")
    await view.button("Clear the filter").click()
    await expect(rows(view)).to_have_count(3)


@pytest.mark.usefixtures("shared_server")
async def test_many_results_are_shown_by_and_by(server: Server, open_page: Opener) -> None:
    Finder(server.home, "many", results(*(f"number {n}" for n in range(250))))
    view = await open_page()
    await seen(view, "search/many")
    await view.button("many").click()
    await search(view, "number")
    await expect(view.page.get_by_role("status").filter(has_text="250 results")).to_be_visible()
    await expect(rows(view)).to_have_count(100)
    await view.button("Show 100 more").click()
    await view.button("Show 50 more").click()
    await expect(rows(view)).to_have_count(250)
    assert await titles(view).all_text_contents() == [f"number {n}" for n in range(250)]


@pytest.mark.usefixtures("shared_server")
async def test_everything_that_is_known_of_a_result_is_shown(server: Server, open_page: Opener) -> None:
    server.save("download/instant_plugin.py", INSTANT)
    Finder(
        server.home,
        "films",
        [
            {
                "title": "斗罗大陆",
                "url": "https://example.org/film",
                "thumbnail": PICTURE,
                "duration": 5025,
                "platform": "a site",
                "description": "what it is about",
                "metadata": {
                    "episodes": [
                        {"title": "第1集", "play_url": "https://example.org/1.m3u8", "source": "line"}
                    ]
                },
            },
            {
                "title": "a release",
                "url": "magnet:?xt=urn:btih:" + "a" * 40,
                "metadata": {"torrent_url": "https://example.org/x.torrent"},
            },
        ],
    )
    view = await open_page()
    await seen(view, "search/films")
    await view.button("films").click()
    await search(view, "film")
    film, release = rows(view).first, rows(view).last
    for text in ("films", "a site", "1:23:45", "example.org", "what it is about"):
        await expect(film).to_contain_text(text)
    await expect(film.locator("img")).to_have_js_property("naturalWidth", 1)
    link = film.get_by_role("link", name="斗罗大陆", exact=True)
    await expect(link).to_have_attribute("href", "https://example.org/film")
    await expect(link).to_have_attribute("rel", "noreferrer noopener")

    await film.get_by_role("button", name="1 episode").click()
    await expect(film.get_by_role("link", name="第1集")).to_have_attribute(
        "href", "https://example.org/1.m3u8"
    )
    # The parser of this home answers with one entry.
    await expect(film.get_by_role("link", name="one")).to_have_attribute("href", "https://example.org/1.m3u8")
    await expect(film.get_by_role("button", name="Download 斗罗大陆 第1集 one")).to_have_count(1)

    await release.get_by_role("button", name="1 address").click()
    await expect(release.get_by_role("link", name="Torrent file")).to_have_attribute(
        "href", "https://example.org/x.torrent"
    )
    await expect(release.get_by_role("link", name="a release")).to_have_attribute(
        "href", "magnet:?xt=urn:btih:" + "a" * 40
    )
    # One after the other, so that the list has them in this order.
    for result, name in (
        (release, "a release Torrent file"),
        (release, "a release"),
        (film, "斗罗大陆 第1集"),
    ):
        await result.get_by_role("button", name=f"Download {name}", exact=True).click()
        await expect(result.get_by_role("button", name=f"Download {name} again", exact=True)).to_have_count(1)
    await view.page.get_by_role("link", name="Downloads", exact=True).click()
    await expect(view.page.locator('[data-status="completed"] h3')).to_have_text(
        ["斗罗大陆 第1集", "a release", "a release"]
    )


@pytest.mark.usefixtures("shared_server")
async def test_what_plugins_find_does_nothing_by_itself(server: Server, open_page: Opener) -> None:
    hostile = "<img src=x onerror=\"window.owned='image'\">"
    script = "javascript:window.owned='link'"
    Finder(
        server.home,
        "evil",
        [
            {
                "title": hostile,
                "url": script,
                "thumbnail": "http://127.0.0.1:9/spy.png",
                "description": hostile,
                "platform": hostile,
                "metadata": {
                    "episodes": [
                        {
                            "title": hostile,
                            "play_url": " java\tscript:alert(1)",
                            "parsed_urls": [{"name": hostile, "url": script}],
                        }
                    ],
                    "magnet": "data:text/html,<script>window.owned=1</script>",
                    "downloads": [None, {"title": 7, "url": "file:///etc/passwd"}],
                },
            },
            {"title": "", "url": "", "duration": {"a": 1}, "metadata": {"episodes": "none"}},
        ],
    )
    view = await open_page()
    asked: list[str] = []
    view.page.on("request", lambda request: asked.append(request.url))
    await seen(view, "search/evil")
    await view.button("evil").click()
    await search(view, "word")
    await expect(rows(view)).to_have_count(2)
    row = rows(view).first
    await expect(row.get_by_role("heading")).to_have_text(hostile)
    await row.locator(".more").click()
    await expect(row.locator(".inside")).to_contain_text("<img")
    await expect(view.page.locator("main a[href]")).to_have_count(0)
    await expect(row.get_by_role("button", name="Download")).to_have_count(0)
    assert await view.page.evaluate("window.owned") is None
    assert await view.page.evaluate("document.querySelectorAll('#app img, #app script').length") == 0
    assert all(url.startswith(server.url) for url in asked)


@pytest_asyncio.fixture(loop_scope="session")
async def pictures(home: Path) -> AsyncIterator[str]:
    """A site with a picture at `/one.png`, which the server of this home may ask, and none elsewhere."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/one.png":
            return web.Response(body=base64.b64decode(PICTURE.partition(",")[2]), content_type="text/html")
        return web.Response(text="<svg xmlns='http://www.w3.org/2000/svg'/>", content_type="image/svg+xml")

    settings = home / "config" / "service.toml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text('[thumbnails]\nprivate_hosts = ["127.0.0.1"]\n')
    async with another_site("/{path:.*}", answer) as address:
        yield address


async def test_pictures_come_by_way_of_the_server(pictures: str, server: Server, open_page: Opener) -> None:
    found = [
        {"title": name, "url": "https://example.org", "thumbnail": thumbnail}
        for name, thumbnail in (
            ("shown", f"{pictures}/one.png"),
            ("no picture", f"{pictures}/two.svg"),
            ("private", f"http://localhost:{pictures.rpartition(':')[2]}/one.png"),
        )
    ]
    Finder(server.home, "films", found)
    view = await open_page()
    asked: list[str] = []
    view.page.on("request", lambda request: asked.append(request.url))
    await seen(view, "search/films")
    await view.button("films").click()
    async with view.page.expect_response(lambda one: "one.png" in one.url and one.ok) as answer:
        await search(view, "word")
    await expect(rows(view).first.locator("img")).to_have_js_property("naturalWidth", 1)
    await expect(view.page.locator("[data-result] img")).to_have_count(1)
    await expect(rows(view).nth(2).locator(".thumbnail.none")).to_have_count(1)
    assert all(url.startswith(server.url) for url in asked)
    headers = (await answer.value).headers
    assert headers["content-type"] == "image/png"
    assert headers["content-disposition"].startswith("attachment")
    assert headers["content-security-policy"] == "default-src 'none'; sandbox; frame-ancestors 'none'"


@pytest.mark.usefixtures("shared_server")
async def test_results_are_narrowed_by_what_they_differ_in(server: Server, open_page: Opener) -> None:
    one, other = ({"platform": name} for name in ("one site", "other site"))
    Finder(
        server.home,
        "mixed",
        [
            *results("short", duration="12:00", **one),
            *results("long", duration=7200, **one),
            *results("unknown", **other),
        ],
    )
    view = await open_page()
    await seen(view, "search/mixed")
    await view.button("mixed").click()
    await search(view, "word")
    await expect(rows(view)).to_have_count(3)
    await view.page.get_by_label("Order").select_option(label="By duration")
    await expect(titles(view)).to_have_text(["long", "short", "unknown"])
    await view.page.get_by_label("Platform").select_option("one site")
    await expect(titles(view)).to_have_text(["long", "short"])
    await view.page.get_by_label("Duration").select_option(label="Up to 20 minutes")
    await expect(titles(view)).to_have_text(["short"])
    await view.button("Clear the filter").click()
    await expect(rows(view)).to_have_count(3)


@pytest.mark.usefixtures("shared_server")
async def test_an_address_is_parsed_and_found_again(server: Server, open_page: Opener) -> None:
    server.save(
        "parser/angry_plugin.py", parser_plugin("angry").replace("return [", "raise ValueError(url) or [")
    )
    server.save("download/instant_plugin.py", INSTANT)
    address = "https://example.org/play/1.html"
    view = await open_page()
    await seen(view, "parser/angry")
    await search(view, "")
    await view.page.get_by_label("What to search for").fill(address)
    await view.button("Parse it").click()
    field = view.page.get_by_label("Address to parse")
    await field.fill("no address")
    await view.page.keyboard.press("Enter")
    await expect(view.page.get_by_role("alert").filter(has_text="Enter a whole address")).to_be_visible()
    await field.fill(address)
    await view.page.keyboard.press("Enter")
    # What the parser of this home gives.
    await expect(titles(view)).to_have_text(["one"])
    await part_is(view, "page", "done")
    await part_is(view, "angry", "failed")
    progress = view.page.get_by_role("region", name="Progress of the plugins")
    await expect(progress).to_contain_text(f"ValueError: {address}")
    await expect(progress).to_contain_text("1 address")
    await expect(progress.get_by_role("link", name="Open in the editor")).to_have_attribute(
        "href", re.compile(r"^#/plugins/parser/angry/code\?file=.*angry_plugin\.py&line=\d+$")
    )
    await expect(progress.get_by_role("link", name="See its log")).to_have_attribute(
        "href", "#/plugins/parser/angry/log"
    )
    await rows(view).get_by_role("button", name="Download one").click()
    await expect(rows(view).get_by_role("button", name="Download one again")).to_have_count(1)

    await search_for_words(view)
    await view.button("Earlier searches").click()
    earlier = view.page.get_by_role("region", name="Earlier searches")
    await expect(earlier.locator("[data-task] h3").nth(0)).to_have_text("words of another search")
    await expect(earlier.locator("[data-task]").nth(1)).to_contain_text("1 plugin failed")
    await earlier.get_by_role("link", name=address).first.click()
    await expect(titles(view)).to_have_text(["one"])
    await expect(field).to_have_value(address)


async def search_for_words(view: View) -> None:
    await view.button("Search for words").click()
    await view.button("demo").click()
    await search(view, "words of another search")
    await expect(titles(view)).to_have_text(["words of another search by 1.0.0"])


@pytest.mark.usefixtures("shared_server")
async def test_stopping_keeps_what_was_found(server: Server, open_page: Opener) -> None:
    slow = Finder(server.home, "halting", results("first", "never"), gate=1)
    view = await open_page()
    await seen(view, f"search/{slow.name}")
    await view.button("halting").click()
    await search(view, "word")
    await expect(titles(view)).to_have_text(["first"])
    await view.button("Stop").click()
    await expect(view.page.get_by_text("The search was stopped; this is what it had found")).to_be_visible()
    await part_is(view, "halting", "done")
    slow.let()
    await expect(titles(view)).to_have_text(["first"])


@pytest.mark.usefixtures("shared_server")
async def test_nothing_found_says_so_and_what_to_do(server: Server, open_page: Opener) -> None:
    Finder(server.home, "empty", [])
    view = await open_page(locale="zh-CN", url=server.url + SEARCH)
    await view.button("empty").click()
    await view.page.get_by_label("搜索内容").fill("没有的东西")
    await view.page.keyboard.press("Enter")
    await expect(view.page.get_by_role("heading", name="没有找到“没有的东西”")).to_be_visible()
    await view.page.get_by_role("link", name="按地址下载").click()
    await expect(view.page.get_by_role("heading", name="下载", exact=True)).to_be_visible()


async def test_a_reload_and_the_way_back_show_the_same_search(server: Server, open_page: Opener) -> None:
    view = await open_page()
    nav = view.page.get_by_role("navigation", name="Pages")
    await nav.get_by_role("link", name="Search").focus()
    await view.page.keyboard.press("Enter")
    await search(view, "first")
    await expect(titles(view)).to_have_text(["first by 1.0.0"])
    await view.page.reload()
    await expect(titles(view)).to_have_text(["first by 1.0.0"])
    await expect(view.page.get_by_label("What to search for")).to_have_value("first")
    await expect(nav.get_by_role("link", name="Search")).to_have_attribute("aria-current", "page")
    await search(view, "second")
    await expect(titles(view)).to_have_text(["second by 1.0.0"])
    await view.page.go_back()
    await expect(titles(view)).to_have_text(["first by 1.0.0"])
    await expect(view.page.get_by_label("What to search for")).to_have_value("first")
    await nav.get_by_role("link", name="Downloads").click()
    await expect(view.page).to_have_title("Downloads · Plugbay")
    await nav.get_by_role("link", name="Search").click()
    await expect(titles(view)).to_have_text(["first by 1.0.0"])


async def test_whoever_leaves_while_a_search_begins_is_not_brought_back(
    server: Server, open_page: Opener
) -> None:
    view = await open_page(f"{server.url}/#/search")
    asked: asyncio.Future[Route] = asyncio.get_running_loop().create_future()
    await view.page.route("**/api/search", lambda route: asked.set_result(route))
    await search(view, "numbers")
    route = await asked
    await view.page.get_by_role("link", name="Activity", exact=True).click()
    await expect(view.page.get_by_role("heading", name="Activity", level=1)).to_be_visible()
    async with view.page.expect_response("**/api/search") as answer:
        await route.continue_()
    await (await answer.value).finished()
    # What the answer sets going has happened when the page has drawn twice.
    await view.page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    await expect(view.page.get_by_role("heading", name="Activity", level=1)).to_be_visible()
    assert view.page.url == f"{server.url}/#/activity"


async def test_a_search_that_the_server_does_not_have(server: Server, open_page: Opener) -> None:
    view = await open_page(url=f"{server.url}{SEARCH}/{'0' * 32}")
    await expect(
        view.page.get_by_role("heading", name="The server no longer has this search")
    ).to_be_visible()
    await search(view, "word")
    await expect(titles(view)).to_have_text(["word by 1.0.0"])


@pytest.mark.usefixtures("shared_server")
async def test_what_is_found_while_the_page_is_cut_off_is_not_missed(
    server: Server, relay: Relay, open_page: Opener
) -> None:
    slow = Finder(server.home, "patient", results(*"abcdef"), gate=2)
    view = await open_page(url=relay.url)
    await seen(view, f"search/{slow.name}")
    await view.button("patient").click()
    await search(view, "word")
    await expect(titles(view)).to_have_text(["a", "b"])
    await relay.cut()
    await expect(view.page.locator('[data-connection="waiting"]')).to_be_visible()
    slow.let(5)
    # What the search that the page shows has found so far, as the server has it.
    id = view.page.url.rpartition("/")[2]
    await server.comes_to(f"/api/tasks/{id}", lambda task: len(task["results"] or []) >= 5)
    relay.mend()
    await expect(titles(view)).to_have_text(["a", "b", "c", "d", "e"])
    await part_is(view, "patient", "searching")
    slow.let()
    await expect(titles(view)).to_have_text([*"abcdef"])
    await part_is(view, "patient", "done")


async def test_a_search_that_a_restart_ended_says_so(server: Server, open_page: Opener) -> None:
    slow = Finder(server.home, "slow", results("kept", "never"), gate=1)
    view = await open_page()
    await seen(view, f"search/{slow.name}")
    await view.button("slow").click()
    await search(view, "word")
    await expect(titles(view)).to_have_text(["kept"])
    # A search has a little time to end by itself when the server stops, which this one does not.
    await server.stop()
    await server.start()
    await view.is_live()
    await expect(view.page.get_by_role("button", name="Stop")).to_have_count(0)
    await expect(titles(view)).to_have_text(["kept"])
    await expect(view.page.get_by_text("The server stopped while the task ran")).to_be_visible()
