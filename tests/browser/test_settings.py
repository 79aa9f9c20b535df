"""The page of settings: language, appearance, the server's health, packages, and where the interfaces are told of."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener, Server

# One browser serves all tests, so they share its event loop.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("shared_server")]


async def test_language_and_appearance_are_chosen_by_keyboard_and_kept(
    server: Server, open_page: Opener
) -> None:
    view = await open_page(f"{server.url}/#/settings")
    await view.page.get_by_role("radio", name="English").focus()
    await view.page.keyboard.press("ArrowLeft")
    await expect(view.page.get_by_role("heading", level=1)).to_have_text("设置")
    await view.page.get_by_role("radio", name="深色").check()
    await view.page.reload()
    await expect(view.page.locator("html")).to_have_attribute("data-theme", "dark")
    await expect(view.page.get_by_role("radio", name="简体中文")).to_be_checked()
    # What the server says is in that language, too.
    await expect(
        view.page.get_by_role("region", name="服务器").get_by_role("listitem").first
    ).to_contain_text("正常")


async def test_the_health_of_the_server_is_told_and_kept_up_to_date(
    server: Server, open_page: Opener
) -> None:
    view = await open_page(f"{server.url}/#/settings")
    health = view.page.get_by_role("region", name="Server", exact=True)
    await expect(health).to_contain_text("2 active")
    await expect(health).to_contain_text("MiB")
    await expect(health.get_by_role("status")).to_have_text("All is well")
    facts = await server.get("/api/server")
    await expect(health).to_contain_text(facts["python"])
    await server.post("/api/plugins/parser/page/toggle?enabled=false", None)
    await expect(health).to_contain_text("1 active")
    await expect(health).to_contain_text("1 disabled")
    await server.post("/api/plugins/parser/page/toggle?enabled=true", None)
    await expect(health).to_contain_text("2 active")


async def test_what_cannot_be_fetched_says_so_and_is_fetched_again(server: Server, open_page: Opener) -> None:
    view = await open_page()
    problem = '{"status": 500, "code": "internal", "title": "", "detail": "the disk is on fire"}'
    for path in ("server", "environments"):
        await view.page.route(f"**/api/{path}", lambda route: route.fulfill(status=500, body=problem))
    await view.go("settings")
    packages = view.page.get_by_role("region", name="Packages of plugins")
    await expect(packages).to_contain_text("the disk is on fire")
    await expect(view.page.get_by_role("region", name="Server", exact=True)).to_contain_text("on fire")
    package = {"name": "httpx", "version": "0.28.1", "size": None}
    unused = {"id": "a", "size": 2_097_152, "used_by": [], "packages": [package]}
    sets = json.dumps({"environments": [unused], "size": 2_097_152})
    await view.page.unroute_all()
    await view.page.route("**/api/environments", lambda route: route.fulfill(body=sets))
    await packages.get_by_role("button", name="Try again").click()
    await expect(packages).to_contain_text("httpx 0.28.1")
    await view.page.unroute_all()
    await packages.get_by_role("button", name="Remove unused sets").click()
    await expect(view.page.get_by_role("region", name="Results")).to_contain_text("in use")
    await expect(packages).to_contain_text("No plugin asks for packages")


async def test_the_documents_of_the_interfaces_open(server: Server, open_page: Opener) -> None:
    view = await open_page(f"{server.url}/#/settings")
    links = view.page.get_by_role("region", name="About and API").get_by_role("link")
    await expect(links).not_to_have_count(0)
    for link in await links.all():
        answer = await view.page.request.get(f"{server.url}{await link.get_attribute('href')}")
        assert answer.ok
