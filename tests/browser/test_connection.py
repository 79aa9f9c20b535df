"""The connection is told of wherever the reader is: a server that is gone, one that is slow, and what to do."""

from __future__ import annotations

import asyncio
import random
import re

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.browser.conftest import Opener, Server, View, search_plugin
from tests.browser.relay import Relay
from tests.faults.chaos_proxy import QUICK, Fault, any_of, chaos
from tests.rounds import SEED

# One browser serves all tests, so they share its event loop.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("shared_server")]

BROWSERS_OWN = re.compile(r"ERR_|UTF-8|Failed to load")

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


async def test_a_bad_network_costs_the_page_nothing(server: Server, open_page: Opener) -> None:
    """Connections are cut, spoilt and held up while plugins change; then the one that there is falls silent."""
    chance = random.Random(SEED)
    names = [f"net{number}" for number in range(4)]
    async with chaos(server.port, chance, lambda _: Fault("none")) as network:
        view = await open_page(network.url)
        await view.page.clock.install()
        network.draw = any_of(*QUICK)
        network.cut_all()
        number = 0
        while network.done.total() < 6 or number < 15:
            number += 1
            assert number < 200, network.done
            name = chance.choice(names)
            if chance.random() < 0.2:
                server.path(f"search/{name}_plugin.py").unlink(missing_ok=True)
            else:
                server.save(f"search/{name}_plugin.py", search_plugin(name, str(number)))
            # The page waits before it comes back, the longer the more often it was cut.
            await view.page.clock.run_for(500)
            await asyncio.sleep(chance.random() * 0.1)
        network.calm()
        await shows_what_there_is(view, server)
        network.fall_silent()
        server.save("search/net0_plugin.py", search_plugin("net0", "said to nobody"))
        # Two heartbeats that do not come, and the page asks anew.
        await view.page.clock.fast_forward(36_000)
        await shows_what_there_is(view, server)
    for name in names:
        server.path(f"search/{name}_plugin.py").unlink(missing_ok=True)
    # The browser tells of each request and socket that was spoilt, in words of its own.
    view.complaints[:] = [one for one in view.complaints if not BROWSERS_OWN.search(one)]


async def shows_what_there_is(view: View, server: Server) -> None:
    """Wait until the page shows each plugin as the server lists it, and no other."""
    shown = "nodes => nodes.map(one => [one.dataset.plugin, one.dataset.generation, one.dataset.state])"
    async with asyncio.timeout(30):
        while True:
            plugins = await server.get("/api/plugins")
            wanted = sorted(
                [one["id"], str(one["generation"]), one["state"]]
                for kind in ("search", "download", "parser")
                for one in plugins[kind]
            )
            # Its clock stands still while nobody moves it, and its timers with it.
            await view.page.clock.run_for(200)
            if sorted(await view.page.locator("[data-plugin]").evaluate_all(shown)) == wanted:
                return
            await asyncio.sleep(0.05)


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
