"""What a person does on the page happens in the server and on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from tests.browser.conftest import Opener, Server, View, search_plugin

# One browser serves all tests of a module, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

DEMO = "search/demo"

DROP = """([name, source]) => {
    const data = new DataTransfer();
    data.items.add(new File([source], name, {type: 'text/x-python'}));
    for (const type of ['dragenter', 'dragover', 'drop'])
        document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


async def drop(view: View, name: str, source: str) -> None:
    await view.page.evaluate(DROP, [name, source])
    await expect(view.page.get_by_role("dialog")).to_be_visible()


async def install(view: View) -> None:
    await view.page.get_by_role("dialog").get_by_role("button", name="Install", exact=True).click()


@pytest_asyncio.fixture(loop_scope="module")
async def shop() -> AsyncIterator[str]:
    """A site that offers a plugin, and nothing at any other address."""

    async def offer(_request: web.Request) -> web.Response:
        return web.Response(text=search_plugin("bought", "1.1.0"), content_type="text/x-python")

    app = web.Application()
    app.router.add_get("/search/bought_plugin.py", offer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.usefixtures("shared_server")
async def test_the_switch_turns_a_plugin_off_and_on(server: Server, open_page: Opener) -> None:
    view = await open_page()
    switch = view.page.get_by_role("switch", name="Enable demo")
    await switch.click()
    await view.has_state(DEMO, "disabled")
    await expect(switch).to_have_attribute("aria-checked", "false")
    status, answer = await server.search()
    assert (status, answer["code"]) == (409, "plugin_disabled")
    await switch.click()
    await view.has_state(DEMO, "active")
    assert (await server.search())[0] == 200


@pytest.mark.usefixtures("shared_server")
async def test_a_plugin_is_reloaded_and_all_are(server: Server, open_page: Opener) -> None:
    view = await open_page()
    demo, page = await view.generation(DEMO), await view.generation("parser/page")
    await view.button("Reload demo").click()
    await expect(view.row(DEMO)).to_have_attribute("data-generation", f"{demo + 1}")
    assert await view.generation("parser/page") == page
    results = view.page.get_by_role("region", name="Results")
    await expect(results).to_contain_text(f"reloaded as generation {demo + 1}")
    await view.button("Reload all").click()
    await expect(view.row(DEMO)).to_have_attribute("data-generation", f"{demo + 2}")
    await expect(view.row("parser/page")).to_have_attribute("data-generation", f"{page + 1}")


async def test_a_plugin_is_deleted_after_a_question(server: Server, open_page: Opener) -> None:
    view = await open_page()
    await view.button("Delete demo").click()
    await view.button("Cancel").click()
    await expect(view.page.get_by_role("dialog")).to_have_count(0)
    assert server.path("search/demo_plugin.py").exists()
    await view.button("Delete demo").click()
    await view.button("Delete").click()
    await expect(view.row(DEMO)).to_have_count(0)
    assert not server.path("search/demo_plugin.py").exists()


@pytest.mark.usefixtures("shared_server")
async def test_a_dropped_file_is_installed(server: Server, open_page: Opener) -> None:
    view = await open_page(width=1000)
    await drop(view, "fresh_plugin.py", search_plugin("fresh", "0.9"))
    dialog = view.page.get_by_role("dialog")
    await expect(dialog.get_by_role("radio", name="Search")).to_be_checked()
    await expect(dialog).to_contain_text("judged by the file")
    await install(view)
    await view.has_state("search/fresh", "active")
    await expect(dialog).to_have_count(0)
    await expect(view.page.locator('[data-kind="installing"]')).to_have_count(0)
    assert server.path("search/fresh_plugin.py").exists()


@pytest.mark.usefixtures("shared_server")
async def test_a_file_that_does_not_load_shows_why_and_leaves_nothing(
    server: Server, open_page: Opener
) -> None:
    view = await open_page()
    await drop(view, "wrong_plugin.py", search_plugin("wrong") + "\nraise RuntimeError('not today')\n")
    await install(view)
    dialog = view.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("not today")
    await expect(dialog).to_contain_text("wrong_plugin.py:12")
    await the_feed_ends_with(view, "Installing search/wrong failed and left nothing behind", "not today")
    assert not server.path("search/wrong_plugin.py").exists()
    await expect(view.row("search/wrong")).to_have_count(0)


async def test_an_existing_plugin_is_replaced_only_when_told_to(server: Server, open_page: Opener) -> None:
    view = await open_page()
    await drop(view, "demo_plugin.py", search_plugin(version="7.0.0"))
    await install(view)
    await expect(view.page.get_by_role("dialog")).to_contain_text("already there")
    await expect(view.row(DEMO)).to_contain_text("1.0.0")
    await view.button("Replace the existing plugin").click()
    await expect(view.row(DEMO)).to_contain_text("7.0.0")


@pytest.mark.usefixtures("shared_server")
async def test_a_plugin_is_installed_from_an_address(server: Server, shop: str, open_page: Opener) -> None:
    view = await open_page()
    await view.button("Install plugin").click()
    await install(view)
    await expect(view.page.get_by_text("Enter a whole address")).to_be_visible()
    await view.page.get_by_label("Address of the plugin file").fill(f"{shop}/search/bought_plugin.py")
    await install(view)
    await view.has_state("search/bought", "active")
    await expect(view.page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.usefixtures("shared_server")
async def test_an_address_that_does_not_deliver_is_told(server: Server, shop: str, open_page: Opener) -> None:
    view = await open_page()
    await view.button("Install plugin").click()
    await view.page.get_by_label("Address of the plugin file").fill(f"{shop}/search/gone_plugin.py")
    await install(view)
    dialog = view.page.get_by_role("dialog")
    await expect(dialog.get_by_role("alert")).to_contain_text("404")
    await expect(dialog).to_be_visible()
    await the_feed_ends_with(view, "Installing search/gone failed and left nothing behind", "404")


async def the_feed_ends_with(view: View, sentence: str, reason: str) -> None:
    """Its newest line, with nothing left that is still being installed."""
    feed = view.page.get_by_role("region", name="Activity", exact=True)
    newest = feed.get_by_role("listitem").first
    await expect(newest).to_contain_text(sentence)
    await expect(newest).to_contain_text(reason)
    await expect(feed.locator('[data-kind="installing"]')).to_have_count(0)


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("key", ["Escape", "Enter"])
async def test_everything_can_be_done_with_the_keyboard(server: Server, open_page: Opener, key: str) -> None:
    view = await open_page()
    await view.button("Delete demo").focus()
    await view.page.keyboard.press("Enter")
    await expect(view.button("Cancel")).to_be_focused()
    await view.page.keyboard.press(key)
    await expect(view.page.get_by_role("dialog")).to_have_count(0)
    assert server.path("search/demo_plugin.py").exists()
    await view.page.get_by_role("switch", name="Enable demo").focus()
    await view.page.keyboard.press("Space")
    await view.has_state(DEMO, "disabled")
    await server.post(f"/api/plugins/{DEMO}/toggle?enabled=true", None)
    await view.has_state(DEMO, "active")


async def test_the_list_and_the_feed_can_be_narrowed(server: Server, open_page: Opener) -> None:
    view = await open_page()
    await view.page.get_by_role("searchbox").fill("PARSER")
    await expect(view.row(DEMO)).to_have_count(0)
    await expect(view.row("parser/page")).to_be_visible()
    await view.page.get_by_role("searchbox").fill("nothing has this name")
    await view.button("Clear the filter").click()
    await expect(view.row(DEMO)).to_be_visible()
    feed = view.page.get_by_role("region", name="Activity", exact=True)
    await feed.get_by_role("combobox").select_option("parser/page")
    await expect(feed.locator("li")).to_have_count(1)
