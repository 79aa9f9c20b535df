"""The connection is told of wherever the reader is: a server that is gone, one that is slow, and what to do."""

from __future__ import annotations

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.browser.conftest import Opener, Server, search_plugin
from tests.browser.relay import Relay

# One browser serves all tests, so they share its event loop.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("shared_server")]

PAGES = ("plugins", "plugins/search/demo/about", "search", "downloads", "activity", "settings")


async def test_a_server_that_is_gone_is_told_of_on_every_page(
    server: Server, relay: Relay, open_page: Opener
) -> None:
    view = await open_page(relay.url)
    # Pages come when they are opened, which needs the server.
    for page in PAGES:
        await view.go(page)
        await view.has_come()
    await view.page.evaluate("window.sameDocument = true")
    await relay.cut()
    banner = view.page.locator("[data-banner]")
    for page in PAGES:
        await view.go(page)
        await expect(banner).to_contain_text("The server is out of reach")
    pill = view.page.locator("[data-connection] button").first
    await pill.focus()
    await view.page.keyboard.press("Enter")
    panel = view.page.get_by_role("group", name="Details of the connection")
    await expect(panel).to_contain_text("The page reconnects by itself")
    await expect(panel).to_contain_text("number")
    server.save("search/late_plugin.py", search_plugin("late"))
    relay.mend()
    await panel.get_by_role("button", name="Retry now").click()
    await view.is_live()
    await expect(panel).to_contain_text("shows here at once")
    await view.page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(pill).to_be_focused()
    await expect(banner).to_have_count(0)
    await view.go("plugins")
    await view.has_state("search/late", "active")
    assert await view.page.evaluate("window.sameDocument") is True


async def test_a_server_that_takes_long_is_waited_for_and_that_is_said(
    server: Server, open_page: Opener
) -> None:
    view = await open_page()

    def silent(_: WebSocketRoute) -> None:
        """A connection that opens and answers nothing."""

    await view.page.route_web_socket("**/api/ws", silent)
    await view.page.clock.install()
    await view.page.reload()
    await expect(view.page.locator('[data-connection="connecting"]')).to_be_visible()
    await expect(view.row("search/demo")).to_be_visible()
    await expect(view.page.locator("[data-banner]")).to_have_count(0)
    await view.page.clock.fast_forward(6_000)
    await expect(view.page.locator("[data-banner]")).to_contain_text("takes long to answer")


async def test_a_page_that_does_not_come_can_be_asked_for_again(
    server: Server, relay: Relay, open_page: Opener
) -> None:
    view = await open_page(relay.url)
    await relay.cut()
    await view.go("settings")
    await expect(view.page.get_by_role("heading", name="This page did not load")).to_be_visible()
    relay.mend()
    # A browser remembers a module that did not come, so it takes a page that begins anew.
    await view.button("Try again").click()
    await expect(view.page.get_by_role("heading", name="Settings")).to_be_visible()
