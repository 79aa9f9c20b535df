"""What changes on disk shows in the page, without a reload of it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener, Server, parser_plugin, search_plugin
from tests.browser.relay import Relay

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

DEMO = "search/demo"
BROKEN = "from service.sdk import SearchPlugin\n\n\nclass Demo(SearchPlugin)\n    pass\n"


async def test_plugins_are_listed_by_type(server: Server, open_page: Opener) -> None:
    view = await open_page()
    await view.has_state(DEMO, "active")
    row = view.row(DEMO)
    await expect(row).to_contain_text("1.0.0")
    await expect(row).to_contain_text("A demo")
    await expect(row).to_contain_text("Gen 1")
    await expect(row).to_contain_text("ms")
    section = view.page.get_by_role("region", name="Search", exact=True)
    await expect(section.locator("[data-plugin]")).to_have_count(1)
    await expect(view.page.get_by_role("region", name="Parser").locator("[data-plugin]")).to_have_count(1)
    await expect(view.page.get_by_role("region", name="Download")).to_contain_text("No download plugins yet")


async def test_a_saved_file_changes_its_row_only(server: Server, open_page: Opener) -> None:
    view = await open_page()
    await view.page.evaluate("window.sameDocument = true")
    server.save("search/demo_plugin.py", search_plugin(version="2.0.0"))
    row = view.row(DEMO)
    await expect(row).to_contain_text("2.0.0")
    assert await view.generation(DEMO) == 2
    await expect(row.locator(".flash")).to_have_count(1)
    await expect(view.row("parser/page").locator(".flash")).to_have_count(0)
    await expect(view.page.locator('[data-kind="reloaded"]').first).to_contain_text("generation 2")
    assert await view.page.evaluate("window.sameDocument") is True


@pytest.mark.usefixtures("shared_server")
async def test_a_new_file_appears_and_a_deleted_one_goes(server: Server, open_page: Opener) -> None:
    view = await open_page()
    server.save("parser/extra_plugin.py", parser_plugin("extra"))
    await view.has_state("parser/extra", "active")
    server.path("parser/extra_plugin.py").unlink()
    await expect(view.row("parser/extra")).to_have_count(0)


async def test_a_broken_save_shows_its_line_while_the_old_generation_serves(
    server: Server, open_page: Opener
) -> None:
    view = await open_page()
    server.save("search/demo_plugin.py", BROKEN)
    await view.has_state(DEMO, "degraded")
    row = view.row(DEMO)
    await expect(row).to_contain_text("plugins/search/demo_plugin.py:4")
    await expect(row).to_contain_text("Generation 1 is still serving")
    status, answer = await server.search()
    assert (status, answer["results"][0]["title"]) == (200, "word by 1.0.0")

    server.save("search/demo_plugin.py", search_plugin(version="3.0.0"))
    await view.has_state(DEMO, "active")
    await expect(row).to_contain_text("3.0.0")
    await expect(row.get_by_text("still serving")).to_have_count(0)
    status, answer = await server.search()
    assert (status, answer["results"][0]["title"]) == (200, "word by 3.0.0")


async def test_an_error_is_told_in_the_language_of_the_page(server: Server, open_page: Opener) -> None:
    view = await open_page(locale="zh-CN")
    server.save("search/demo_plugin.py", BROKEN)
    row = view.row(DEMO)
    await expect(row).to_contain_text("旧版运行")
    await expect(row).to_contain_text("第 1 代仍在服务")
    await view.button("Switch to English").click()
    await expect(row).to_contain_text("Old version running")
    await view.page.reload()
    await expect(view.row(DEMO)).to_contain_text("Old version running")


async def test_a_traceback_can_be_opened(server: Server, open_page: Opener) -> None:
    view = await open_page()
    server.save("search/demo_plugin.py", search_plugin() + "\n\ndef fail():\n    missing()\n\n\nfail()\n")
    await view.has_state(DEMO, "degraded")
    row = view.row(DEMO)
    await row.locator("summary").click()
    await expect(row.get_by_role("region", name="Traceback")).to_contain_text("in fail")


async def test_a_fresh_page_tells_what_happened_before_it(server: Server, open_page: Opener) -> None:
    server.save("search/demo_plugin.py", search_plugin(version="2.0.0"))
    view = await open_page()
    await expect(view.page.locator('[data-kind="reloaded"]')).to_contain_text("search/demo")


async def test_a_page_that_was_cut_off_resumes(server: Server, relay: Relay, open_page: Opener) -> None:
    view = await open_page(relay.url)
    await relay.cut()
    await expect(view.page.locator('[data-connection="waiting"]')).to_be_visible()
    server.save("search/demo_plugin.py", search_plugin(version="2.0.0"))
    server.save("parser/extra_plugin.py", parser_plugin("extra"))
    server.path("parser/page_plugin.py").unlink()
    relay.mend()
    await view.is_live()
    await expect(view.row(DEMO)).to_contain_text("2.0.0")
    await view.has_state("parser/extra", "active")
    await expect(view.row("parser/page")).to_have_count(0)
    await expect(view.page.locator('[data-kind="resumed"]')).to_have_count(1)


async def test_after_a_restart_of_the_server_the_page_catches_up(server: Server, open_page: Opener) -> None:
    view = await open_page()
    await view.page.evaluate("window.sameDocument = true")
    await server.stop()
    await expect(view.page.get_by_text("The server is out of reach")).to_be_visible()
    await expect(view.row(DEMO)).to_be_visible()
    server.save("search/demo_plugin.py", search_plugin(version="5.0.0"))
    await server.start()
    await view.is_live()
    await expect(view.row(DEMO)).to_contain_text("5.0.0")
    await expect(view.page.locator('[data-kind="resynced"]')).to_have_count(1)
    server.save("search/demo_plugin.py", search_plugin(version="6.0.0"))
    await expect(view.row(DEMO)).to_contain_text("6.0.0")
    assert await view.page.evaluate("window.sameDocument") is True


@pytest.mark.usefixtures("shared_server")
async def test_a_page_that_needs_a_token_says_so(server: Server, open_page: Opener) -> None:
    view = await open_page(server.url, wait=False)
    await view.is_live()
    body = '{"status": 401, "code": "token_required", "title": "", "detail": "a token is required"}'
    await view.page.route("**/api/plugins", lambda route: route.fulfill(status=401, body=body))
    await view.page.reload()
    await expect(view.page.get_by_role("heading", name="Sign-in needed")).to_be_visible()
    await expect(view.page.get_by_text(f"{server.url}/?token=")).to_be_visible()
    await view.page.unroute("**/api/plugins")
    await view.button("I have signed in, connect again").click()
    await view.is_live()
    await view.has_state(DEMO, "active")
