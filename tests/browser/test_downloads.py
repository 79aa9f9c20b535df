"""A person downloads: what every tab shows is what the tasks do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.browser.conftest import Opener, Server, View
from tests.browser.relay import Relay
from tests.browser.task_plugins import INSTANT, Counter

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

DOWNLOADS = "/#/downloads"
PAGE = "http://127.0.0.1:6800/ui/"


@pytest.fixture
def counter(home: Path) -> Counter:
    """The counting plugin, in the home before the server starts, let to ten."""
    return Counter(home, 10, page=PAGE)


@pytest_asyncio.fixture(loop_scope="session")
async def common_counter(shared_server: Server) -> AsyncIterator[Counter]:
    """The counting plugin in the shared server, let to ten; afterwards all that it began has ended."""
    counter = Counter(shared_server.home, 10, page=PAGE)
    await shared_server.comes_to(
        "/api/plugins", lambda told: [one["state"] for one in told["download"]] == ["active"]
    )
    yield counter
    counter.let()
    for task in (await shared_server.get("/api/tasks?kind=download"))["tasks"]:
        if task["status"] not in ("completed", "cancelled", "failed"):
            await shared_server.until(task["id"], "completed")


async def add(view: View, url: str, title: str = "") -> None:
    form = view.page.get_by_role("form", name="Add a download")
    await form.get_by_label("Address").fill(url)
    await form.get_by_label("Title (optional)").fill(title)
    await view.button("Download").click()
    # Before the server has answered, the form may still take out what is typed next.
    await expect(form.locator(".spin")).to_have_count(0)


def row(view: View, title: str) -> Locator:
    return view.page.locator("[data-task]").filter(
        has=view.page.get_by_role("heading", name=title, exact=True)
    )


async def has_status(view: View, title: str, status: str) -> None:
    await expect(row(view, title)).to_have_attribute("data-status", status)


async def test_a_download_from_its_address_to_its_end(
    counter: Counter, server: Server, open_page: Opener
) -> None:
    view = await open_page(url=server.url + DOWNLOADS)
    await expect(view.page.get_by_role("heading", name="No downloads yet")).to_be_visible()
    await add(view, "count:up", "counted")
    await has_status(view, "counted", "downloading")
    one = row(view, "counted")
    bar = one.get_by_role("progressbar", name="Progress of counted")
    await expect(bar).to_have_attribute("aria-valuenow", "10")
    for text in ("10%", "10.0 MiB / 100 MiB", "3.0 MiB/s", "1 min 30 s left", "counting"):
        await expect(one).to_contain_text(text)
    await expect(view.page.get_by_label("Address")).to_have_value("")

    await one.get_by_role("button", name="Pause counted").click()
    await has_status(view, "counted", "paused")
    counter.let(40)
    await one.get_by_role("button", name="Resume counted").click()
    await expect(bar).to_have_attribute("aria-valuenow", "40")
    counter.let()
    await has_status(view, "counted", "completed")
    await expect(one).to_contain_text(str(server.home / "data" / "downloads" / "counted.bin"))
    await expect(one.get_by_role("progressbar")).to_have_count(0)
    await expect(one.get_by_role("button", name="Pause counted")).to_have_count(0)


async def test_all_tabs_show_the_same(common_counter: Counter, server: Server, open_page: Opener) -> None:
    here = await open_page(url=server.url + DOWNLOADS)
    there = await open_page(url=server.url + DOWNLOADS, locale="zh-CN")
    await add(here, "count:up", "shared")
    await has_status(there, "shared", "downloading")
    await row(there, "shared").get_by_role("button", name="暂停 shared").click()
    await has_status(here, "shared", "paused")
    await row(here, "shared").get_by_role("button", name="Cancel shared").click()
    await has_status(there, "shared", "cancelled")


async def test_a_failure_is_told_in_the_language_of_the_page_and_can_be_tried_again(
    common_counter: Counter, server: Server, open_page: Opener
) -> None:
    view = await open_page(url=server.url + DOWNLOADS)
    await add(view, "count:wrong", "bad luck")
    await has_status(view, "bad luck", "failed")
    error = row(view, "bad luck").locator(".error")
    await expect(error).to_contain_text("raised OSError: the disk is full")
    await expect(row(view, "bad luck").get_by_role("link", name="See the log of counting")).to_have_attribute(
        "href", "#/plugins/download/counting/log"
    )
    await row(view, "bad luck").get_by_text("Traceback", exact=True).click()
    await expect(row(view, "bad luck").locator("pre")).to_contain_text("counting_plugin.py")
    await view.page.get_by_role("button", name="切换到中文").click()
    await expect(error).to_contain_text("出错：OSError: the disk is full")
    common_counter.let()
    await row(view, "bad luck").get_by_role("button", name="重试 bad luck").click()
    await has_status(view, "bad luck", "completed")
    await expect(error).to_have_count(0)


async def test_downloads_are_filtered_by_status(counter: Counter, server: Server, open_page: Opener) -> None:
    view = await open_page(url=server.url + DOWNLOADS)
    await add(view, "count:wrong", "wrong")
    await add(view, "count:up", "right")
    await has_status(view, "wrong", "failed")
    await has_status(view, "right", "downloading")
    await view.button("Failed").click()
    await expect(view.page.locator("[data-task] h3")).to_have_text(["wrong"])
    await view.button("Active").click()
    await expect(view.page.locator("[data-task] h3")).to_have_text(["right"])
    counter.let()
    await expect(view.page.get_by_role("heading", name="No task fits")).to_be_visible()
    await view.button("Completed").click()
    await expect(view.page.locator("[data-task] h3")).to_have_text(["right"])
    # One that is begun now would not show here.
    await add(view, "count:up", "another")
    await expect(view.page.locator("[data-task] h3")).to_have_text(["another", "right", "wrong"])


async def test_tasks_of_all_kinds_are_found_by_words(
    common_counter: Counter, server: Server, open_page: Opener
) -> None:
    common_counter.let()
    await server.post("/api/parse", {"url": "https://example.org/Night.html"})
    view = await open_page(url=server.url + DOWNLOADS)
    titles = view.page.locator("[data-task] h3")
    await add(view, "count:up", "夜行 Night Train")
    await add(view, "count:up", "day train")
    await expect(titles.first).to_have_text("day train")
    box = view.page.get_by_label("Find tasks")
    await box.press_sequentially("night ")
    await expect(titles).to_have_text(["夜行 Night Train"])
    await box.press_sequentially("train")
    await expect(box).to_have_value("night train")
    await box.fill("night")
    await view.button("All tasks").click()
    await expect(titles).to_have_text(["夜行 Night Train", "https://example.org/Night.html"])
    # One that is begun elsewhere meanwhile, and one that does not fit.
    await server.post("/api/search", {"keyword": "other words"})
    await server.post("/api/search", {"keyword": "night words"})
    await expect(titles).to_have_text(["night words", "夜行 Night Train", "https://example.org/Night.html"])
    await view.page.reload()
    await expect(box).to_have_value("night")
    await expect(titles).to_have_count(3)
    await view.button("Searches").click()
    await view.page.get_by_role("link", name="night words").click()
    await expect(view.page.locator("[data-result] h3")).to_have_text(["night words by 1.0.0"])
    await view.page.go_back()
    await box.fill("nowhere")
    await view.button("Show all").click()
    await expect(box).to_have_value("")
    await expect(titles.first).to_have_text("night words")


async def test_older_downloads_are_a_click_away(server: Server, open_page: Opener) -> None:
    server.save("download/instant_plugin.py", INSTANT)
    view = await open_page(url=server.url + DOWNLOADS)
    await expect(view.page.get_by_label("Plugin").locator("option")).to_have_text(["Automatic", "instant"])
    for number in range(60):
        await server.post("/api/download", {"url": "now:x", "title": f"number {number}"})
    await view.page.reload()
    tasks = view.page.locator("[data-task]")
    await expect(tasks).to_have_count(50)
    await view.button("Show older tasks").click()
    await expect(tasks).to_have_count(60)
    await expect(view.button("Show older tasks")).to_have_count(0)
    await expect(tasks.locator("h3")).to_have_text([f"number {number}" for number in reversed(range(60))])


async def test_what_cannot_be_downloaded_is_refused_with_the_reason(
    counter: Counter, server: Server, open_page: Opener
) -> None:
    view = await open_page(url=server.url + DOWNLOADS)
    form = view.page.get_by_role("form", name="Add a download")
    await add(view, "example.org/file")
    await expect(form.get_by_role("alert")).to_contain_text("Enter a whole address")
    await expect(view.page.get_by_label("Address")).to_be_focused()
    await add(view, "gopher://example.org/file")
    await expect(form.get_by_role("alert")).to_contain_text("gopher")
    await expect(view.page.get_by_label("Address")).to_have_value("gopher://example.org/file")
    await expect(view.page.locator("[data-task]")).to_have_count(0)
    await view.page.get_by_label("Plugin").select_option("counting")
    await view.button("Download").click()
    await expect(view.page.locator("[data-task]")).to_have_count(1)


async def test_the_programs_have_links_to_their_pages(
    common_counter: Counter, server: Server, open_page: Opener
) -> None:
    view = await open_page(url=server.url + DOWNLOADS)
    link = view.page.get_by_role("link", name="counting")
    await expect(link).to_have_attribute("href", PAGE)
    await expect(link).to_have_attribute("rel", "noreferrer noopener")


async def test_what_happens_while_the_page_is_cut_off_is_caught_up(
    common_counter: Counter, server: Server, relay: Relay, open_page: Opener
) -> None:
    view = await open_page(url=relay.url + DOWNLOADS)
    await add(view, "count:up", "counted")
    bar = row(view, "counted").get_by_role("progressbar")
    await expect(bar).to_have_attribute("aria-valuenow", "10")
    await relay.cut()
    await expect(view.page.locator('[data-connection="waiting"]')).to_be_visible()
    common_counter.let(70)
    await server.comes_to("/api/tasks?kind=download", lambda told: told["tasks"][0]["progress"] >= 70)
    relay.mend()
    # It stands still, so no event tells this.
    await expect(bar).to_have_attribute("aria-valuenow", "70")


async def test_a_restart_of_the_server_is_caught_up(
    counter: Counter, server: Server, open_page: Opener
) -> None:
    view = await open_page(url=server.url + DOWNLOADS)
    await add(view, "count:up", "counted")
    bar = row(view, "counted").get_by_role("progressbar")
    await expect(bar).to_have_attribute("aria-valuenow", "10")
    await server.stop()
    counter.let(30)
    await server.start()
    await expect(bar).to_have_attribute("aria-valuenow", "30")
    counter.let()
    await has_status(view, "counted", "completed")
