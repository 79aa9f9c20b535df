"""A server that listens everywhere, and a browser that has not signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Route, expect

from tests.browser.conftest import Opener, Server, View

# One browser serves all tests of a module, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE = "http://mail.example/"


@pytest_asyncio.fixture(loop_scope="module")
async def server(home: Path) -> AsyncIterator[Server]:
    server = Server(home, "0.0.0.0")
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
    assert view.page.url == f"{server.url}/"
    await view.page.reload()
    await view.is_live()


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
        await expect(view.page.get_by_role("heading")).to_contain_text("A token is required")
        assert await view.overflow() <= 0
        report = await Axe().run(view.page)
        assert [violation["id"] for violation in report.response["violations"]] == [], (locale, theme)
