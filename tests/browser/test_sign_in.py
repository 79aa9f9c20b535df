"""A server that listens everywhere, and a browser that has not signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import product

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from tests.browser.conftest import Opener, Server, View, search_plugin, violations

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

ELSEWHERE = "http://mail.example/"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    server = Server(tmp_path_factory.mktemp("guarded"), "0.0.0.0")
    server.save("search/demo_plugin.py", search_plugin())
    await server.start()
    yield server
    await server.stop()


async def link_from_elsewhere(view: View, address: str) -> None:
    """Follows a link to `address` on a page of another site."""

    async def fulfil(route: Route) -> None:
        await route.fulfill(body=f'<a href="{address}">open</a>', content_type="text/html")

    await view.page.route(f"{ELSEWHERE}**", fulfil)
    await view.page.goto(ELSEWHERE)
    await view.page.get_by_role("link").click()


async def test_the_form_takes_the_token(server: Server, open_page: Opener) -> None:
    view = await open_page(wait=False)
    field = view.page.get_by_label("Token")
    await expect(field).to_be_focused()
    await expect(view.page.get_by_text("data/token").first).to_be_visible()
    await field.fill("this-is-not-the-token")
    await view.page.keyboard.press("Enter")
    await expect(view.page.get_by_role("heading", name="The token is wrong")).to_be_visible()
    await view.page.get_by_label("Token").fill(server.token)
    await view.page.get_by_role("button").click()
    await view.is_live()
    await expect(view.page).to_have_url(f"{server.url}/")
    await view.page.reload()
    await view.is_live()


async def test_the_form_leads_back_to_where_one_was(server: Server, open_page: Opener) -> None:
    view = await open_page(f"{server.url}/some/page?x=1#/settings", wait=False)
    await view.page.get_by_label("Token").fill(server.token)
    await view.page.keyboard.press("Enter")
    await view.is_live()
    await expect(view.page).to_have_url(f"{server.url}/some/page?x=1#/settings")


async def test_a_link_in_a_message_signs_in(server: Server, open_page: Opener) -> None:
    """The cookie does not come along from another site, which the page makes up for by asking once more."""
    view = await open_page(wait=False)
    await link_from_elsewhere(view, f"{server.url}/?token={server.token}")
    await view.is_live()
    await link_from_elsewhere(view, server.url)
    await view.is_live()


async def test_it_is_for_everybody(server: Server, open_page: Opener) -> None:
    for locale, theme in product(("zh-CN", "en-GB"), ("light", "dark")):
        view = await open_page(locale=locale, theme=theme, width=360, wait=False)
        await expect(view.page.get_by_role("heading")).to_contain_text("需要访问令牌")
        await expect(view.page.get_by_role("heading", name="A token is required")).to_be_visible()
        assert await view.overflow() <= 0
        assert (locale, theme, await violations(view.page)) == (locale, theme, [])


async def signed_in(server: Server, open_page: Opener, hash: str = "") -> View:
    view = await open_page(f"{server.url}/?token={server.token}", wait=False)
    await view.is_live()
    await view.page.goto(f"{server.url}/{hash}")
    await view.is_live()
    return view


async def test_signing_in_over_the_page_loses_nothing(server: Server, open_page: Opener) -> None:
    """The token is no longer good while somebody works; what they asked for goes through once they have a new one."""
    view = await signed_in(server, open_page)
    await view.page.evaluate("window.sameDocument = true")
    await view.page.get_by_role("searchbox").fill("demo")
    await view.page.context.clear_cookies()
    await view.page.get_by_role("switch").first.click()

    dialog = view.page.get_by_role("dialog", name="Sign in again")
    field = dialog.get_by_label("Token", exact=True)
    await expect(field).to_be_focused()
    await view.page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_have_text("Enter the token")
    await field.fill("this-is-not-the-token")
    await view.page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_contain_text("That is not the token")
    await expect(field).to_be_focused()
    assert await violations(view.page) == []
    await field.fill(server.token)
    await view.page.keyboard.press("Enter")

    await expect(dialog).to_have_count(0)
    await view.has_state("search/demo", "disabled")
    await expect(view.page.get_by_role("searchbox")).to_have_value("demo")
    await expect(view.page.get_by_role("switch").first).to_be_focused()
    assert await view.page.evaluate("window.sameDocument") is True


async def test_who_does_not_sign_in_keeps_the_page_and_is_told(server: Server, open_page: Opener) -> None:
    view = await signed_in(server, open_page)
    await view.page.context.clear_cookies()
    # A new token after a restart: the connection is cut, and does not come back by itself.
    await server.stop()
    await server.start()
    dialog = view.page.get_by_role("dialog", name="Sign in again")
    await expect(dialog).to_be_visible()
    await view.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(view.row("search/demo")).to_be_visible()
    banner = view.page.locator("[data-banner]")
    await expect(banner).to_contain_text("You are not signed in")
    await view.page.locator("[data-connection] button").first.click()
    await expect(view.page.locator("[popover]")).to_contain_text("The server wants you to sign in")
    await view.page.keyboard.press("Escape")
    await banner.get_by_role("button", name="Sign in").click()
    await dialog.get_by_label("Token", exact=True).fill(server.token)
    await dialog.get_by_role("button", name="Sign in", exact=True).click()
    await view.is_live()
    await expect(banner).to_have_count(0)


async def test_a_replaced_token_ends_the_connection_and_asks_for_the_new_one(
    server: Server, open_page: Opener
) -> None:
    view = await signed_in(server, open_page)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.token}"}) as client:
        await client.post(f"{server.url}/api/token/rotate")
    dialog = view.page.get_by_role("dialog", name="Sign in again")
    await dialog.get_by_label("Token", exact=True).fill(server.token)
    await view.page.keyboard.press("Enter")
    await view.is_live()
    await view.page.goto(f"{server.url}/#/activity")
    await expect(view.page.get_by_text("The token was replaced").first).to_be_visible()
    await expect(view.page.get_by_text("from 127.0.0.1 (by token)").first).to_be_visible()


async def test_signing_out_shows_nothing_any_more(server: Server, open_page: Opener) -> None:
    view = await signed_in(server, open_page, "#/settings")
    sign_in = view.page.get_by_role("region", name="Sign-in")
    await expect(sign_in).to_contain_text("Signed in")
    await sign_in.get_by_role("button", name="Sign out").click()
    await expect(view.page.get_by_role("heading", name="A token is required")).to_be_visible()
    await view.page.goto(server.url)
    await expect(view.page.get_by_role("heading", name="A token is required")).to_be_visible()
