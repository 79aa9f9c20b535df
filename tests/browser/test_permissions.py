"""What a plugin lacks is said in its row and on its page, and granted there."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener, Server, violations

# One browser serves all tests, so they share its event loop.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("shared_server")]

HOSTILE = "<img src=x onerror=window.injected=1>" + "x" * 300


def asking(name: str, *lines: str) -> str:
    """The source of a plugin that asks for something."""
    return "\n".join(
        [
            "# /// script",
            "# [tool.plugbay]",
            *(f"# {line}" for line in lines),
            "# ///",
            "from service.sdk import SearchPlugin",
            "class Asking(SearchPlugin):",
            f"    name, version, description = {name!r}, '1', 'asks · asks'",
            "    async def search(self, keyword, **kwargs):",
            "        return []",
            "",
        ]
    )


async def test_what_is_lacking_is_granted_in_part_wholly_and_taken_back(
    server: Server, open_page: Opener
) -> None:
    server.save(
        "search/asks_plugin.py", asking("asks", "network = [80, 443]", 'read = ["films", "{downloads}"]')
    )
    view = await open_page()
    row, page = view.row("search/asks"), view.page
    await expect(row).to_contain_text("not granted: read films, read {downloads}")
    button = row.get_by_role("button", name="Grant… asks")
    await button.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Permissions of asks")
    await expect(dialog.get_by_role("listitem")).to_have_count(4)
    await expect(dialog).to_contain_text("where downloads go")
    assert await violations(page, "dialog") == []
    await dialog.get_by_role("checkbox", name="films").check()
    await dialog.get_by_role("checkbox", name="Use network port 80").uncheck()
    await dialog.get_by_role("button", name="Grant what is ticked").click()
    await expect(dialog).to_have_count(0)
    await expect(row).to_contain_text("not granted: network port 80, read {downloads}")
    told = (await server.get("/api/plugins/search/asks"))["permissions"]["granted"]
    assert told == {"network": [443], "read": ["films"]}

    await page.goto(f"{server.url}/#/plugins/search/asks/config")
    card = page.get_by_role("region", name="Permissions")
    await card.get_by_role("button", name="Grant…").click()
    await dialog.get_by_role("button", name="Grant all").click()
    await expect(dialog).to_have_count(0)
    await expect(card.get_by_role("button", name="Change…")).to_be_visible()
    await page.get_by_role("button", name="Undo").last.click()
    await expect(card.get_by_role("button", name="Grant…")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_dialog_bears_anything_in_chinese_and_on_a_phone(
    server: Server, open_page: Opener, theme: str
) -> None:
    server.save("search/odd_plugin.py", asking("odd", f'write = ["{HOSTILE}"]', 'read = ["{folder}"]'))
    view = await open_page(locale="zh-CN", theme=theme, width=360)
    row = view.row("search/odd")
    await expect(row).to_contain_text("申请了未授予的权限")
    assert await view.overflow() <= 0
    await row.get_by_role("button", name=re.compile("^授予…")).click()
    dialog = view.page.get_by_role("dialog", name="odd 的权限")
    await expect(dialog).to_contain_text("配置项 folder 指定的文件夹")
    assert await dialog.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
    assert await view.page.evaluate("window.injected") is None
    assert await violations(view.page) == []
    await view.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
