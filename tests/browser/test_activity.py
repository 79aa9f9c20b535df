"""The stream of events, the times of reloads, the changes with their undo, and logs as they are written."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, expect

from tests.browser.conftest import Opener, Server, View, parser_plugin, search_plugin
from tests.browser.relay import Relay

# One browser serves all tests, so they share its event loop.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("shared_server")]

BROKEN = "def broken(:\n    pass\n"


def writing_plugin(name: str) -> str:
    """A search plugin that writes its keyword to its log, a warning and several lines."""
    return search_plugin(name).replace(
        "        return [",
        "        self.log.info('asked for ' + keyword)\n"
        "        self.log.warning('<b>slow</b> answer to ' + keyword)\n"
        "        print('first line\\n    second line')\n"
        "        return [",
    )


def events(view: View, type_: str) -> Locator:
    return view.page.locator(f'[data-event="plugbay.{type_}"]')


async def test_the_stream_has_a_past_goes_on_and_can_be_held(
    server: Server, relay: Relay, open_page: Opener
) -> None:
    server.save("search/streamed_plugin.py", search_plugin("streamed"))
    first = await open_page()
    await first.has_state("search/streamed", "active")
    view = await open_page(f"{relay.url}/#/activity?plugin=search/streamed")
    await expect(events(view, "plugin.loaded")).to_have_count(1)
    server.save("search/streamed_plugin.py", search_plugin("streamed", "2.0.0"))
    await expect(events(view, "plugin.reloaded")).to_contain_text("generation 2")
    # The last that is told of this reload.
    await expect(events(view, "generation.drained")).to_have_count(1)

    await view.button("Pause").click()
    server.save("search/streamed_plugin.py", search_plugin("streamed", "3.0.0"))
    await expect(view.button("Resume (3 new)")).to_be_visible()
    await expect(events(view, "plugin.reloaded")).to_have_count(1)
    await view.button("Resume (3 new)").click()
    await expect(events(view, "plugin.reloaded")).to_have_count(2)

    # What happens during a cut is there afterwards, in its place.
    await relay.cut()
    await expect(view.page.locator('[data-connection="waiting"]')).to_be_visible()
    server.save("search/streamed_plugin.py", search_plugin("streamed", "4.0.0"))
    await first.go("activity")
    await expect(events(first, "plugin.reloaded").first).to_contain_text("generation 4")
    relay.mend()
    await expect(events(view, "plugin.reloaded")).to_have_count(3)
    await expect(events(view, "plugin.reloaded").first).to_contain_text("generation 4")


async def test_the_stream_is_filtered_and_unfolded(server: Server, open_page: Opener) -> None:
    server.save("parser/picked_plugin.py", parser_plugin("picked"))
    view = await open_page(f"{server.url}/#/activity")
    await expect(events(view, "plugin.loaded").filter(has_text="parser/picked")).to_be_visible()
    server.save("parser/picked_plugin.py", BROKEN)
    failed = events(view, "plugin.failed").filter(has_text="parser/picked")
    await expect(failed).to_contain_text("picked_plugin.py:1")

    await view.page.get_by_role("searchbox").fill("picked syntax")
    await expect(view.page.locator("[data-event]")).to_have_count(1)
    await view.button("Succeeded").click()
    await expect(view.page.locator("[data-event]")).to_have_count(0)
    await view.button("Clear the filter").click()
    await view.page.get_by_label("Kind", exact=True).select_option(label="Tasks")
    await expect(view.page.locator("[data-event]")).to_have_count(0)
    await server.post("/api/search", {"keyword": "<i>word</i>"})
    await expect(events(view, "task.completed")).to_contain_text("<i>word</i>")
    await view.page.get_by_label("Kind", exact=True).select_option(label="All kinds")

    await failed.get_by_role("button", name="Show parser/picked only").click()
    await expect(view.page).to_have_url(f"{server.url}/#/activity?plugin=parser%2Fpicked")
    await expect(events(view, "task.completed")).to_have_count(0)
    await failed.get_by_role("button", name="JSON of the event").click()
    await expect(failed.get_by_role("group")).to_contain_text('"type": "plugbay.plugin.failed"')
    await failed.get_by_role("link", name="Code").click()
    await expect(view.page).to_have_url(re.compile("#/plugins/parser/picked/code"))


async def test_the_times_of_reloads_are_drawn_and_can_be_read(server: Server, open_page: Opener) -> None:
    server.save("search/timed_plugin.py", search_plugin("timed"))
    view = await open_page(f"{server.url}/#/activity?plugin=search/timed")
    region = view.page.get_by_role("region", name="Reload times", exact=True)
    await expect(region).to_contain_text("last 1")
    await expect(region.locator("canvas")).to_be_visible()
    server.save("search/timed_plugin.py", search_plugin("timed", "2.0.0"))
    await expect(region).to_contain_text("last 2")
    server.save("search/timed_plugin.py", BROKEN)
    await expect(region).to_contain_text("last 3")
    await expect(region.get_by_role("img", name="last 3 reloads")).to_be_visible()
    await region.locator("summary").click()
    rows = region.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("Failed")
    await expect(rows.last).to_contain_text("ms")


async def test_a_change_is_undone(server: Server, open_page: Opener) -> None:
    server.save("parser/undone_plugin.py", parser_plugin("undone"))
    view = await open_page()
    await view.has_state("parser/undone", "active")
    await view.go("activity/changes?plugin=parser/undone")
    await expect(view.page.get_by_text("Nothing has been changed about parser/undone")).to_be_visible()
    await server.post("/api/plugins/delete", {"plugin_type": "parser", "plugin_name": "undone"})
    deleted = view.page.locator('[data-change="delete"]')
    await expect(deleted).to_have_count(1)
    await deleted.get_by_role("button").press("Enter")
    await expect(deleted).to_contain_text("Undone")
    await expect(view.page.locator('[data-change="undo"]').get_by_role("button")).to_be_visible()
    assert server.path("parser/undone_plugin.py").is_file()


async def test_a_log_is_followed_filtered_and_held(server: Server, open_page: Opener) -> None:
    server.save("search/writer_plugin.py", writing_plugin("writer"))
    view = await open_page()
    await view.has_state("search/writer", "active")
    await server.search("writer")
    await view.go("plugins/search/writer/log")
    lines = view.page.locator("[data-level]")
    await expect(lines.filter(has_text="asked for word")).to_have_count(1)
    await expect(lines.filter(has_text="<b>slow</b>")).to_have_attribute("data-level", "warning")
    for _ in range(12):
        await server.search("writer")
    count = view.page.get_by_text("52 lines", exact=True)
    await expect(count).to_be_visible()
    # The end is in sight, without the reader doing anything.
    last = lines.last
    await expect(last).to_contain_text("second line")
    await expect(last).to_be_in_viewport()

    await view.page.get_by_label("Lowest level").select_option(label="Warnings and above")
    await expect(view.page.get_by_text("13 of 52 lines")).to_be_visible()
    await view.page.get_by_label("Find in the log").fill("SLOW")
    await expect(lines.last.locator("mark")).to_have_text("slow")
    await view.page.get_by_label("Lowest level").select_option(label="All levels")
    await view.page.get_by_label("Find in the log").fill("")

    await view.button("Pause").click()
    await server.search("writer")
    await expect(view.page.get_by_text("52 lines", exact=True)).to_be_visible()
    await view.button("4 new lines").click()
    await expect(view.page.get_by_text("56 lines", exact=True)).to_be_visible()
    async with view.page.expect_download() as download:
        await view.button("Download").click()
    text = (await (await download.value).path()).read_text(encoding="utf-8")
    assert text.count("asked for word\n") == 14


async def test_the_logs_of_all_plugins_are_one(server: Server, open_page: Opener) -> None:
    for name in ("one", "two"):
        server.save(f"search/{name}_plugin.py", writing_plugin(name))
    view = await open_page()
    for name in ("one", "two"):
        await view.has_state(f"search/{name}", "active")
    await server.search("one")
    await view.go("activity/logs")
    await expect(view.page.locator("[data-level]").filter(has_text="search/one").first).to_be_visible()
    await server.search("two")
    await expect(view.page.locator("[data-level]").filter(has_text="search/two").first).to_be_visible()
    await view.page.get_by_label("Whose log to show").select_option("search/one")
    await expect(view.page.locator("[data-level]")).to_have_count(4)
