"""A new user's way: a home with nothing of their own, a search in vain, a download, and the search that finds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from tests.browser.conftest import Opener, Server, another_site

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder, which the server fills with the bundled plugins."""
    return tmp_path


@pytest_asyncio.fixture(loop_scope="session")
async def origin() -> AsyncIterator[str]:
    """A site with one file."""

    async def offer(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 100_000, content_type="application/octet-stream")

    async with another_site("/shelf/{name}", offer) as address:
        yield f"{address}/shelf/"


async def test_the_journey_from_nothing(origin: str, server: Server, open_page: Opener) -> None:
    view = await open_page()
    await view.has_state("search/library", "active")
    await view.has_state("download/http", "active")
    await view.page.get_by_role("link", name="Search", exact=True).click()
    await view.button("library").click()
    await view.page.get_by_label("What to search for").fill("moonlight")
    await view.page.keyboard.press("Enter")
    await expect(view.page.get_by_role("heading", name="Nothing found for “moonlight”")).to_be_visible()
    await view.page.get_by_role("link", name="Download by address").click()
    await view.page.get_by_label("Address").fill(f"{origin}moonlight%20sonata.bin")
    await view.button("Download").click()
    task = view.page.locator("[data-task]")
    await expect(task).to_have_attribute("data-status", "completed")
    await expect(task).to_contain_text(str(server.home / "data" / "downloads" / "moonlight sonata.bin"))
    await view.page.get_by_role("link", name="Search", exact=True).click()
    await view.button("Search").click()
    await expect(view.page.locator("[data-result] h3")).to_have_text(["moonlight sonata.bin"])
