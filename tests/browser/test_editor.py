"""A plugin is written, tried, broken and mended on its page; what others do to it is told, and no text is lost."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Locator, expect

from tests.browser.conftest import Opener, Server, View, drop, parser_plugin, search_plugin, violations
from tests.browser.relay import Relay

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

DEMO = "search/demo"
HOSTILE = "</bdi><img src=x onerror=\"window.owned='image'\"><script>window.owned='script'</script>\u202e"


class Desk:
    """The page of one plugin, with its editor."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.page = view.page

    @property
    def text(self) -> Locator:
        return self.page.get_by_role("textbox", name="Edit plugins/")

    @property
    def status(self) -> Locator:
        return self.page.locator("[data-outcome]")

    @property
    def tools(self) -> Locator:
        return self.page.get_by_role("complementary", name="Tools")

    async def write(self, text: str) -> None:
        """Puts a text in place of all that is there."""
        await self.text.focus()
        await self.page.keyboard.press("ControlOrMeta+a")
        await self.page.keyboard.insert_text(text)

    async def save(self) -> None:
        await self.page.keyboard.press("ControlOrMeta+s")

    async def has_come_to(self, outcome: str) -> None:
        await expect(self.status).to_have_attribute("data-outcome", outcome)

    async def attempt(self, input: str) -> None:
        await self.tools.get_by_role("textbox").fill(input)
        await self.page.keyboard.press("Enter")


async def at_desk(opener: Opener, server: Server | Relay, id: str, *, query: str = "", **how: object) -> Desk:
    view = await opener(f"{server.url}/#/plugins/{id}/code{query}", **how)
    desk = Desk(view)
    await expect(view.page.locator(".cm-content")).to_be_visible()
    return desk


@pytest.mark.usefixtures("shared_server")
async def test_a_plugin_is_written_tried_broken_and_mended(server: Server, open_page: Opener) -> None:
    view = await open_page(f"{server.url}/#/plugins/new?type=search")
    name = view.page.get_by_label("Name")
    await expect(name).to_be_focused()
    await view.page.keyboard.type("no way")
    await view.page.keyboard.press("Enter")
    await expect(view.page.get_by_text("The name has to be")).to_be_visible()
    await name.fill("fresh")
    await view.page.keyboard.press("Enter")
    desk = Desk(view)
    await expect(desk.text).to_be_focused()
    await expect(desk.text).to_contain_text("class FreshPlugin")
    assert not server.path("search/fresh_plugin.py").exists()
    await desk.write(search_plugin("fresh").replace("return [", "return (["))
    await desk.save()

    # It is installed all the same, to be mended in its place.
    await expect(desk.page.get_by_role("heading", name="fresh", exact=True)).to_be_visible()
    await expect(desk.page.locator(".cm-mark")).to_contain_text("SyntaxError")
    await desk.write(search_plugin("fresh"))
    await desk.save()
    await expect(desk.status).to_contain_text("Saved: serving generation 2 in")
    await expect(desk.page.locator(".cm-mark")).to_have_count(0)
    assert server.path("search/fresh_plugin.py").read_text(encoding="utf-8") == search_plugin("fresh")
    await desk.attempt("moon")
    await expect(desk.tools).to_contain_text("moon by 1.0.0")
    await expect(desk.tools).to_contain_text("generation 2")

    await desk.write(search_plugin("fresh", "1.1.0").replace("return [", "return (["))
    await desk.save()
    await desk.has_come_to("refused")
    await expect(desk.status).to_contain_text("generation 2 still serves")
    await expect(desk.page.locator(".cm-mark")).to_contain_text("SyntaxError")
    await expect(desk.page.locator(".cm-lint-marker-error")).to_be_visible()
    assert (await server.search("fresh"))[1]["results"][0]["title"] == "word by 1.0.0"

    await desk.write(search_plugin("fresh", "1.2.0"))
    await desk.save()
    await desk.has_come_to("saved")
    await desk.attempt("sun")
    await expect(desk.tools).to_contain_text("sun by 1.2.0")


@pytest.mark.usefixtures("shared_server")
async def test_what_a_call_raises_is_shown_at_its_line(server: Server, open_page: Opener) -> None:
    source = search_plugin("raises").replace(
        "        return [",
        f"        print('on the way', keyword)\n        raise RuntimeError({HOSTILE!r})\n        return [",
    )
    server.save("search/raises_plugin.py", source)
    desk = await at_desk(open_page, server, "search/raises")
    await desk.attempt("moon")
    await expect(desk.tools).to_contain_text("Failed after")
    await expect(desk.tools.get_by_role("list", name="Log of this call")).to_contain_text("on the way moon")
    await expect(desk.page.locator(".cm-mark")).to_contain_text("<img src=x")
    frame = desk.tools.get_by_role("button", name="Go to line 11 of plugins/search/raises_plugin.py").last
    await frame.click()
    await expect(desk.text).to_be_focused()
    await expect(desk.page.locator(".cm-activeLineGutter").first).to_have_text("11")
    assert await desk.page.evaluate("window.owned") is None
    assert await violations(desk.page) == []

    # The same line does not load on disk, either, while the generation before goes on raising there.
    server.save("search/raises_plugin.py", source.replace("raise RuntimeError(", "raise RuntimeError(("))
    await expect(desk.page.locator(".cm-mark")).to_contain_text(["SyntaxError"])
    await desk.attempt("moon")
    await expect(desk.page.locator(".cm-mark")).to_contain_text(["SyntaxError", "<img src=x"])


@pytest.mark.usefixtures("shared_server")
async def test_a_file_dropped_on_the_editor_is_one_to_install(server: Server, open_page: Opener) -> None:
    server.save("search/calm_plugin.py", search_plugin("calm"))
    desk = await at_desk(open_page, server, "search/calm")
    await drop(desk.text, "dropped_plugin.py", "dropped = 1")
    await expect(desk.page.get_by_role("dialog")).to_contain_text("dropped_plugin.py")
    await expect(desk.text).not_to_contain_text("dropped")
    await expect(desk.status).to_have_text("As on disk")


@pytest.mark.usefixtures("shared_server")
async def test_a_parser_is_tried_with_its_error(server: Server, open_page: Opener) -> None:
    desk = await at_desk(open_page, server, "parser/page")
    await desk.attempt("https://example.com/film")
    await expect(desk.tools.get_by_role("list", name="Results")).to_contain_text("https://example.com/film")
    await desk.tools.get_by_role("button", name="JSON").click()
    await expect(desk.tools.get_by_role("region", name="JSON")).to_contain_text('"name": "one"')
    server.save("parser/page_plugin.py", parser_plugin("page").replace("return [", "return [][0] or ["))
    await expect(desk.page.get_by_text("generation 2", exact=True)).to_be_visible()
    await desk.attempt("https://example.com/film")
    await expect(desk.page.locator(".cm-mark")).to_contain_text("list index out of range")
    server.save("parser/page_plugin.py", parser_plugin("page"))


@pytest.mark.usefixtures("shared_server")
async def test_a_file_that_changes_on_disk_is_followed_or_asked_about(
    server: Server, open_page: Opener
) -> None:
    server.save("search/shared_plugin.py", search_plugin("shared"))
    desk = await at_desk(open_page, server, "search/shared")
    server.save("search/shared_plugin.py", search_plugin("shared", "2.0.0"))
    await expect(desk.text).to_contain_text("2.0.0")
    await desk.has_come_to("followed")
    server.save("search/shared_plugin.py", search_plugin("shared", "2.0.1") + "def (:\n")
    await expect(desk.status).to_contain_text("The file on disk does not load: SyntaxError")
    await expect(desk.page.locator(".cm-mark")).to_be_visible()

    await desk.write(search_plugin("shared", "2.1.0") + "# mine\n")
    await expect(desk.status).to_have_text("Changes not saved")
    server.save("search/shared_plugin.py", search_plugin("shared", "3.0.0"))
    banner = desk.page.get_by_role("alert").filter(has_text="This file was changed on disk")
    await expect(banner).to_be_visible()
    await banner.get_by_role("button", name="Show differences").click()
    await expect(banner.get_by_role("textbox", name="On disk")).to_contain_text("3.0.0")
    await expect(banner.get_by_role("textbox", name="Yours")).to_contain_text("2.1.0")

    # A reload of the page loses nothing.
    await desk.page.reload()
    await expect(banner).to_be_visible()
    await expect(desk.text).to_contain_text("2.1.0")

    await banner.get_by_role("button", name="Merge by hand").click()
    await desk.text.focus()
    await desk.page.keyboard.press("ControlOrMeta+Home")
    await desk.page.keyboard.press("F7")
    await desk.page.keyboard.press("ControlOrMeta+Shift+Enter")
    await expect(desk.text).to_contain_text("3.0.0")
    await desk.save()
    await desk.has_come_to("saved")
    assert server.path("search/shared_plugin.py").read_text(encoding="utf-8") == (
        search_plugin("shared", "3.0.0") + "# mine\n"
    )

    await desk.write(search_plugin("shared", "4.0.0"))
    server.save("search/shared_plugin.py", search_plugin("shared", "5.0.0"))
    await banner.get_by_role("button", name="Overwrite with mine").click()
    await desk.has_come_to("saved")
    assert "4.0.0" in server.path("search/shared_plugin.py").read_text(encoding="utf-8")


@pytest.mark.usefixtures("shared_server")
async def test_of_two_editors_the_second_is_told_who_was_first(server: Server, open_page: Opener) -> None:
    server.save("search/both_plugin.py", search_plugin("both"))
    one = await at_desk(open_page, server, "search/both")
    other = await at_desk(open_page, server, "search/both")
    await other.write(search_plugin("both", "1.0.2"))
    await one.write(search_plugin("both", "1.0.1"))
    await one.save()
    await expect(one.status).to_contain_text("Saved: serving generation 2")
    banner = other.page.get_by_role("alert").filter(has_text="Somebody saved this file first")
    await expect(banner).to_contain_text("in another editor or over the API")
    await other.text.focus()
    await other.save()
    assert "1.0.1" in server.path("search/both_plugin.py").read_text(encoding="utf-8")
    await banner.get_by_role("button", name="Take the one on disk").click()
    await expect(other.text).to_contain_text("1.0.1")
    await expect(other.status).to_have_text("As on disk")

    # At the same moment: one of them is the first, and nothing of the other's is lost.
    await one.write(search_plugin("both", "1.1.1"))
    await other.write(search_plugin("both", "1.1.2"))
    await asyncio.gather(one.save(), other.save())
    refused = 0
    for desk, version in ((one, "1.1.1"), (other, "1.1.2")):
        told = desk.page.get_by_role("alert").filter(has_text="yours is not saved")
        saved = desk.status.filter(has_text="serving generation 3")
        await expect(told.or_(saved)).to_be_visible()
        await expect(desk.text).to_contain_text(version)
        refused += await told.count()
    assert refused == 1


@pytest.mark.usefixtures("shared_server")
async def test_earlier_revisions_are_compared_with_and_returned_to(server: Server, open_page: Opener) -> None:
    server.save("search/old_plugin.py", search_plugin("old"))
    desk = await at_desk(open_page, server, "search/old")
    await desk.write(search_plugin("old", "2.0.0"))
    await desk.save()
    await desk.has_come_to("saved")
    await desk.tools.get_by_role("button", name="Revisions").click()
    await desk.tools.get_by_role("button", name="Compare with version 1.0.0").click()
    await expect(desk.page.get_by_role("textbox", name="version 1.0.0")).to_contain_text("'1.0.0'")
    await desk.tools.get_by_role("button", name="Return to version 1.0.0").click()
    await desk.page.get_by_role("dialog").get_by_role("button", name="Return to this revision").click()
    await expect(desk.status).to_contain_text("Back at version 1.0.0: serving generation 3")
    await expect(desk.text).to_contain_text("'1.0.0'")
    await desk.page.get_by_role("button", name="Undo", exact=True).click()
    await expect(desk.status).to_contain_text("Undone: serving generation 4")
    await expect(desk.text).to_contain_text("'2.0.0'")


@pytest.mark.usefixtures("shared_server")
async def test_a_helper_is_edited_beside_its_plugin(server: Server, open_page: Opener) -> None:
    server.save("search/words.py", 'GREETING = "hello"\n')
    source = search_plugin("greets").replace(
        "class Demo", "from plugins.search.words import GREETING\n\n\nclass Demo"
    )
    server.save("search/greets_plugin.py", source.replace("keyword +", "GREETING +"))
    desk = await at_desk(open_page, server, "search/greets")
    file = desk.page.get_by_role("list", name="Files of the plugin").get_by_text("words.py")
    await desk.page.route("**/source?*words.py", lambda route: route.abort())
    await file.click()
    await expect(desk.page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    await desk.page.unroute("**/source?*words.py")
    await file.click()
    await expect(desk.text).to_contain_text("hello")
    await expect(desk.page.get_by_role("alert").filter(has_text="cannot be reached")).to_have_count(0)
    await desk.write('GREETING = "good day"\n')
    await expect(desk.tools).to_contain_text("changes that are not saved take no part")
    await desk.save()
    await expect(desk.status).to_contain_text("Saved: serving generation 2")
    await desk.attempt("moon")
    await expect(desk.tools).to_contain_text("good day by 1.0.0")
    await desk.write("GREETING = \n")
    await desk.save()
    await expect(desk.page.locator(".cm-mark")).to_contain_text("SyntaxError")
    assert server.path("search/words.py").read_text(encoding="utf-8") == 'GREETING = "good day"\n'


@pytest.mark.usefixtures("shared_server")
async def test_the_text_of_a_plugin_that_vanishes_is_kept(server: Server, open_page: Opener) -> None:
    server.save("search/brief_plugin.py", search_plugin("brief"))
    desk = await at_desk(open_page, server, "search/brief")
    await desk.write(search_plugin("brief", "1.0.1"))
    server.path("search/brief_plugin.py").unlink()
    banner = desk.page.get_by_role("alert").filter(has_text="The plugin search/brief was deleted")
    await expect(banner).to_contain_text("with the changes that are not saved")
    await expect(desk.text).to_contain_text("1.0.1")
    await banner.get_by_role("button", name="Save as a new plugin").click()
    await expect(banner).to_have_count(0)
    await expect(desk.status).to_have_text("As on disk")
    assert "1.0.1" in server.path("search/brief_plugin.py").read_text(encoding="utf-8")

    await desk.view.button("Delete brief").click()
    await desk.view.button("Delete").click()
    await banner.get_by_role("button", name="Undo the deletion").click()
    await expect(banner).to_have_count(0)
    assert server.path("search/brief_plugin.py").exists()


@pytest.mark.usefixtures("shared_server")
async def test_nothing_is_lost_while_the_server_is_gone_or_asks_for_a_token(
    server: Server, relay: Relay, open_page: Opener
) -> None:
    server.save("search/far_plugin.py", search_plugin("far"))
    desk = await at_desk(open_page, relay, "search/far")
    view = desk.view
    await desk.write(search_plugin("far", "1.0.1"))
    await relay.cut()
    await desk.save()
    await desk.has_come_to("unreachable")
    await expect(desk.status).to_contain_text("Your text is kept")
    relay.mend()
    await view.is_live()

    await view.page.route(
        "**/source?*",
        lambda route: route.fulfill(
            status=401, content_type="application/problem+json", body='{"code": "token_required"}'
        ),
    )
    await view.page.get_by_role("button", name="Save again").click()
    await view.page.get_by_role("dialog").get_by_role("button", name="Not now").click()
    await desk.has_come_to("sign_in")
    await expect(desk.text).to_contain_text("1.0.1")
    await view.page.unroute("**/source?*")
    await view.page.get_by_role("button", name="Save again").click()
    await desk.has_come_to("saved")
    assert "1.0.1" in server.path("search/far_plugin.py").read_text(encoding="utf-8")


@pytest.mark.usefixtures("shared_server")
async def test_the_keyboard_alone_edits_saves_and_leaves(server: Server, open_page: Opener) -> None:
    server.save("search/keys_plugin.py", search_plugin("keys"))
    desk = await at_desk(open_page, server, "search/keys", query="?line=6")
    keyboard = desk.page.keyboard
    await expect(desk.text).to_be_focused()
    await expect(desk.page.locator(".cm-line.cm-activeLine")).to_contain_text("version")
    await keyboard.press("End")
    await keyboard.press("ArrowLeft")
    await keyboard.type(".7")
    await desk.save()
    await desk.has_come_to("saved")
    assert "'1.0.0.7'" in server.path("search/keys_plugin.py").read_text(encoding="utf-8")
    await keyboard.press("Escape")
    await keyboard.press("Tab")
    await expect(desk.text).not_to_be_focused()
    for _ in range(10):
        if await desk.tools.get_by_role("textbox").evaluate("element => element === document.activeElement"):
            break
        await keyboard.press("Tab")
    await keyboard.type("moon")
    await keyboard.press("Enter")
    await expect(desk.tools).to_contain_text("moon by 1.0.0.7")


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize(("locale", "theme", "width"), [("zh-CN", "dark", 360), ("en-GB", "light", 1280)])
async def test_the_page_is_fit_for_all(
    server: Server, open_page: Opener, locale: str, theme: str, width: int
) -> None:
    source = search_plugin("n" * 64, description="d" * 300)
    server.save(f"search/{'n' * 60}_plugin.py", source + "\nraise RuntimeError('w' * 300)\n")
    view = await open_page(locale=locale, theme=theme, width=width)
    for hash, shown in ((f"plugins/search/{'n' * 60}/code", ".cm-mark"), ("plugins/new", "#new-name")):
        await view.go(hash)
        await expect(view.page.locator(shown)).to_be_visible()
        assert await violations(view.page) == []
        assert await view.page.evaluate("document.querySelector('main').scrollWidth") <= width
