"""Makes the pictures of the README: `python -m tests.screenshots` writes them to `docs/images/`.

They are of a real server and its page: a home with the bundled plugins and two more, one of which was saved with a
mistake in it.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests.browser.conftest import CHROMIUM, CHROMIUM_ARGUMENTS, ROOT, Server

FOLDER = ROOT / "docs" / "images"
WINDOW = ViewportSize(width=1280, height=800)
CALLS = 60
# The charts go on by steps of two seconds.
CHART_S = 7

CINEMA = """from service.sdk import SearchPlugin, SearchResult


class Cinema(SearchPlugin):
    name = "cinema"
    version = "{version}"
    description = "搜索本地影院的片单 · Searches what the cinemas show"

    async def search(self, keyword, **kwargs):
        for title in ("Moonlight Sonata", "Moonrise over Kyoto", "Half Moon Street"):
            if keyword.lower() in title.lower():
                yield SearchResult(title=title, url="https://example.org/" + title.replace(" ", "-"){mistake}
"""
ARCHIVE = """from service.sdk import SearchPlugin, SearchResult


class Archive(SearchPlugin):
    name = "archive"
    version = "2.1.0"
    description = "搜索公开档案馆 · Searches public archives"

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=keyword, url="https://example.org/")]
"""


async def main() -> None:
    """Write all pictures: the plugins and the editor, in both languages."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home))
        await server.start()
        try:
            server.save("search/archive_plugin.py", ARCHIVE)
            server.save("search/cinema_plugin.py", CINEMA.format(version="1.4.0", mistake=")"))
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
                await _take(browser, server)
                await browser.close()
        finally:
            await server.stop()


async def _take(browser: Browser, server: Server) -> None:
    pages = {language: await _open(browser, server, language) for language in ("zh-CN", "en-GB")}
    for page in pages.values():
        await page.locator('[data-plugin="search/cinema"][data-state="active"]').wait_for()
    for number in range(CALLS):
        await server.search("archive" if number % 3 else "cinema")
        await asyncio.sleep(CHART_S / CALLS)
    server.save("search/cinema_plugin.py", CINEMA.format(version="1.5.0", mistake=""))
    for language, page in pages.items():
        name = language.partition("-")[0]
        await page.locator('[data-plugin="search/cinema"][data-state="degraded"]').wait_for()
        await page.screenshot(path=FOLDER / f"plugins.{name}.png")
        await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        await page.goto(f"{server.url}/#/plugins/search/cinema/code")
        await page.locator(".cm-line").first.wait_for()
        await page.locator("input").last.fill("moon")
        await page.keyboard.press("Enter")
        await page.get_by_text("Half Moon Street").first.wait_for()
        await page.screenshot(path=FOLDER / f"editor.{name}.png")


async def _open(browser: Browser, server: Server, language: str) -> Page:
    page = await browser.new_page(
        locale=language, color_scheme="light", viewport=WINDOW, device_scale_factor=1.25
    )
    await page.goto(server.url)
    return page


if __name__ == "__main__":
    asyncio.run(main())
