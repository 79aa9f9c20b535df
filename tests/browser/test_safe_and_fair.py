"""Hostile plugins inject nothing; the page is usable for all, on any screen, in both languages and appearances."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opener, Server, View, search_plugin, violations
from tests.browser.task_plugins import RAISING, Counter, Finder

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

IMAGE = "<img src=x onerror=\"window.owned='image'\">"
SCRIPT = "<script>window.owned='script'</script>"
HOSTILE = f"</bdi>{IMAGE}{SCRIPT}{{@html}}\u202e\"'`${{alert(1)}}"
BROKEN = "def broken(:\n    pass\n"
# How many results a search has in these tests; axe looks at every one.
FOUND = 12
# What axe looks for in a view: everything, or what only the appearance changes.
EVERYTHING: Sequence[str] = ()
CONTRAST = ["color-contrast"]
# The language decides the words, and the appearance the colours: neither changes what the other is judged by.
EACH_ONCE = (("zh-CN", "dark", EVERYTHING), ("en-GB", "light", CONTRAST))


async def nothing_was_injected(view: View) -> None:
    assert await view.page.evaluate("window.owned") is None
    assert (
        await view.page.evaluate("document.querySelectorAll('#app img, #app script, #app iframe').length")
        == 0
    )


@pytest.mark.usefixtures("shared_server")
async def test_what_a_plugin_says_of_itself_is_only_text(server: Server, open_page: Opener) -> None:
    server.save("search/boast_plugin.py", search_plugin("boast", version=IMAGE, description=HOSTILE))
    view = await open_page()
    row = view.row("search/boast")
    await expect(row).to_contain_text(IMAGE)
    await expect(row).to_contain_text(SCRIPT)
    await view.button("Details of boast").click()
    await nothing_was_injected(view)


@pytest.mark.usefixtures("shared_server")
async def test_what_a_plugin_raises_is_only_text(server: Server, open_page: Opener) -> None:
    server.save("search/raiser_plugin.py", search_plugin("raiser"))
    view = await open_page()
    await view.has_state("search/raiser", "active")
    server.save("search/raiser_plugin.py", search_plugin("raiser") + f"\nraise RuntimeError({HOSTILE!r})\n")
    row = view.row("search/raiser")
    await view.has_state("search/raiser", "degraded")
    await expect(row).to_contain_text(IMAGE)
    await row.locator("summary").click()
    await expect(view.page.get_by_role("region", name="Activity", exact=True)).to_contain_text(IMAGE)
    await nothing_was_injected(view)


@pytest.mark.usefixtures("shared_server")
async def test_the_name_of_a_file_is_only_text(server: Server, open_page: Opener) -> None:
    view = await open_page()
    server.save(f"search/{IMAGE}_plugin.py", BROKEN)
    row = view.page.locator('[data-plugin][data-state="failed"]').filter(has_text=IMAGE)
    await expect(row).to_have_count(1)
    await row.get_by_role("button", name="Delete").click()
    await expect(view.page.get_by_role("dialog")).to_contain_text(IMAGE)
    await nothing_was_injected(view)


@pytest.mark.usefixtures("shared_server")
async def test_an_uploaded_file_is_only_text(server: Server, open_page: Opener) -> None:
    view = await open_page()
    await view.button("Install plugin").click()
    await view.button("From file").click()
    source = search_plugin("evil") + f"\nraise RuntimeError({HOSTILE!r})\n"
    await view.page.set_input_files(
        "input[type=file]", {"name": f"{IMAGE}.py", "mimeType": "text/html", "buffer": source.encode()}
    )
    dialog = view.page.get_by_role("dialog")
    await expect(dialog).to_contain_text(IMAGE)
    await dialog.get_by_role("button", name="Continue", exact=True).click()
    await expect(dialog.get_by_role("alert")).not_to_be_empty()
    await nothing_was_injected(view)


@pytest.mark.usefixtures("shared_server")
async def test_what_a_plugin_writes_is_only_text_in_the_stream_and_the_log(
    server: Server, open_page: Opener
) -> None:
    writing = f"        self.log.error({HOSTILE!r})\n        print({HOSTILE!r})\n        return ["
    server.save("search/scribe_plugin.py", search_plugin("scribe").replace("        return [", writing))
    view = await open_page()
    await view.has_state("search/scribe", "active")
    await server.search("scribe")
    await server.post("/api/search", {"keyword": HOSTILE, "plugins": ["scribe"]})
    server.save("search/scribe_plugin.py", search_plugin("scribe") + f"\nraise RuntimeError({HOSTILE!r})\n")
    await view.has_state("search/scribe", "degraded")
    for hash, place in (("activity", "[data-event]"), ("activity/logs", "[data-level]")):
        await view.go(hash)
        await expect(view.page.locator(place).filter(has_text=IMAGE).first).to_be_visible()
        await view.page.evaluate(UNFOLD_FIRST)
        await nothing_was_injected(view)


@pytest.mark.usefixtures("shared_server")
async def test_the_page_loads_nothing_from_elsewhere_and_little(server: Server, open_page: Opener) -> None:
    view = await open_page(wait=False)
    requested: list[str] = []
    view.page.on("request", lambda request: requested.append(request.url))
    await view.page.reload()
    await view.is_live()
    assert requested
    assert all(url.startswith(server.url) for url in requested)
    sent = await view.page.evaluate(
        "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
        ".filter((entry) => !entry.name.includes('/api/')).reduce((sum, entry) => sum + entry.encodedBodySize, 0)"
    )
    assert 0 < sent <= 100_000


@pytest.mark.usefixtures("shared_server")
async def test_an_inline_script_is_refused(server: Server, open_page: Opener) -> None:
    view = await open_page()
    await view.page.evaluate(
        "const script = document.createElement('script'); script.textContent = 'window.owned = 1';"
        "document.body.append(script); script.remove()"
    )
    assert await view.page.evaluate("window.owned") is None
    await view.page.wait_for_function("window.violations.length === 1")
    # This one was meant, and so was what the console said of it.
    await view.page.evaluate("window.violations = []")
    view.complaints.clear()


@pytest.mark.timeout(120)
async def test_axe_finds_nothing(server: Server, open_page: Opener) -> None:
    server.save("parser/wrong_plugin.py", BROKEN)
    first = await open_page()
    server.save("search/demo_plugin.py", BROKEN)
    await first.has_state("search/demo", "degraded")
    await first.has_state("parser/wrong", "failed")
    for locale, theme, rules in EACH_ONCE:
        view = await open_page(locale=locale, theme=theme)
        await view.has_state("search/demo", "degraded")
        # Contrast is that of a page at rest.
        await view.page.emulate_media(reduced_motion="reduce")
        await view.row("search/demo").locator("summary").click()
        await view.row("search/demo").locator(".more").click()
        await finds_nothing(view, rules=rules)
        await view.page.locator(".button.primary").first.click()
        await expect(view.page.get_by_role("dialog")).to_be_visible()
        await finds_nothing(view, rules=rules)
        await view.page.get_by_role("dialog").locator(".tabs button").last.click()
        await view.page.locator("dialog button[type=submit]").click()
        await finds_nothing(view, rules=rules)


@pytest.mark.timeout(120)
async def test_searches_and_downloads_are_for_everybody_on_a_small_screen(
    server: Server, open_page: Opener
) -> None:
    await with_tasks(server, open_page)
    for locale, theme, rules in EACH_ONCE:
        view = await open_page(locale=locale, theme=theme, width=360)
        await shows(view, await begun(server))
        await view.page.emulate_media(reduced_motion="reduce")
        assert await view.overflow() <= 0
        # Searching, with results, and with some that failed.
        await finds_nothing(view, rules=rules)
        await view.page.locator("main input[type=search]").last.fill("nowhere")
        await finds_nothing(view, rules=rules)
        await view.go("search")
        await expect(view.page.locator("[data-result]")).to_have_count(0)
        await finds_nothing(view, rules=rules)
        await view.go("downloads")
        for status in ("downloading", "failed", "paused", "completed"):
            await expect(view.page.locator(f'[data-status="{status}"]')).to_have_count(1)
        assert await view.overflow() <= 0
        await view.page.locator("form input[type=url]").fill("no address")
        await view.page.keyboard.press("Enter")
        await expect(view.page.get_by_role("alert")).not_to_be_empty()
        await finds_nothing(view, rules=rules)


# Where the pages are that need nothing done first, and what is there once each has all that it shows.
PAGES = {
    "plugins": "[data-plugin]",
    "plugins/new?type=search": "h1",
    "plugins/search/demo/code": "h1",
    "plugins/search/demo/config": "h1",
    "plugins/search/demo/log": "[data-level]",
    "plugins/search/demo/about": "h1",
    "search": "h1",
    "downloads": "h1",
    "activity": "[data-event]",
    "activity/logs": "[data-level]",
    "activity/changes": "[data-change]",
    "settings": "[data-server]",
}
UNFOLD_FIRST = "document.querySelector('main button[aria-expanded=false]')?.click()"
# Text that is cut off with nothing to say so, or that runs out of what it stands in.
CLIPPED = """() => [...document.querySelectorAll('main *, header *, nav *, [popover]:popover-open *')]
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ''))
    .filter((one) => {
        const style = getComputedStyle(one);
        if (style.display === 'inline' || one.closest('.visually-hidden, pre, [hidden]')) return false;
        if (['auto', 'scroll'].includes(style.overflowX) || style.textOverflow === 'ellipsis') return false;
        return one.clientWidth > 1 && one.scrollWidth > one.clientWidth + 1;
    })
    .map((one) => one.outerHTML.slice(0, 160))"""
# Words in another language than the page's; names in their own language say so.
CHINESE = """() => {
    const walker = document.createTreeWalker(document.getElementById('app'), NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const { data, parentElement } = walker.currentNode;
        if (/[\\u4e00-\\u9fff]/.test(data) && parentElement.closest('[lang]').lang === 'en') found.push(data);
    }
    return found;
}"""


async def with_activity(server: Server) -> None:
    """Makes lines, changes and loads of all kinds, with long names and texts."""
    long = "x" * 300
    server.save(
        "search/demo_plugin.py",
        search_plugin("demo").replace(
            "        return [", f"        self.log.warning({long!r})\n        return ["
        ),
    )
    server.save("parser/wordy_plugin.py", f"raise RuntimeError({long!r})\n")
    await server.comes_to("/api/plugins/search/demo", lambda told: told["generation"] >= 2)
    await server.search("demo")
    await server.post("/api/search", {"keyword": long})
    for enabled in ("false", "true"):
        await server.post(f"/api/plugins/parser/page/toggle?enabled={enabled}", None)


async def every_page(view: View) -> AsyncIterator[str]:
    """Opens one page after the other, and gives its address when all is there."""
    for hash, shown in PAGES.items():
        await view.go(hash)
        await expect(view.page.locator(shown).first).to_be_visible()
        await view.has_come()
        yield hash


@pytest.mark.timeout(120)
async def test_every_page_is_for_everybody_on_every_screen_in_one_language(
    server: Server, open_page: Opener
) -> None:
    await with_activity(server)
    for locale, theme, width, rules in (
        ("zh-CN", "dark", 360, EVERYTHING),
        ("en-GB", "light", 360, CONTRAST),
        ("en-GB", "light", 1280, None),
    ):
        view = await open_page(locale=locale, theme=theme, width=width)
        await view.page.emulate_media(reduced_motion="reduce")
        await view.page.locator("[data-connection] button").first.click()
        await expect(view.page.locator("[popover]")).to_be_visible()
        assert (await view.overflow(), await view.page.evaluate(CLIPPED)) == (0, [])
        await view.page.keyboard.press("Escape")
        async for hash in every_page(view):
            assert (hash, max(await view.overflow(), 0), await view.page.evaluate(CLIPPED)) == (hash, 0, [])
            if locale == "en-GB":
                assert (hash, await view.page.evaluate(CHINESE)) == (hash, [])
            if rules is not None:
                await view.page.evaluate(UNFOLD_FIRST)
                await finds_nothing(view, hash, rules)


async def test_the_pages_can_be_reached_by_keyboard(server: Server, open_page: Opener) -> None:
    for width in (1280, 360):
        view = await open_page(width=width)
        await view.page.keyboard.press("Tab")
        for name in ("Search", "Downloads", "Activity", "Settings", "Plugins"):
            link = view.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)
            await link.focus()
            assert await link.evaluate("(one) => getComputedStyle(one).outlineStyle") == "solid"
            await view.page.keyboard.press("Enter")
            await expect(link).to_have_attribute("aria-current", "page")
            await expect(view.page).to_have_title(f"{name} · Plugbay")
            # A page that has come may take the focus to its field.
            await view.has_come()


async def with_tasks(server: Server, open_page: Opener) -> None:
    """A plugin that finds results, among them long ones, one that raises, and a download of each kind."""
    long, address = "x" * 300, "https://example.org/"
    episodes = [
        {"title": long, "play_url": f"{address}{long}.m3u8", "source": "line " * 30} for _ in range(9)
    ]
    found = [
        {"title": f"斗罗大陆 {n} " * 9, "url": address, "description": "word " * 99} for n in range(FOUND - 2)
    ]
    unusual = [
        {"title": long, "url": "javascript:x", "platform": long, "metadata": {"episodes": episodes}},
        {"title": "release", "url": "magnet:?xt=urn:btih:aa", "metadata": {"torrent_url": address + long}},
    ]
    Finder(server.home, "finder", [*unusual, *found], gate=FOUND)
    server.save("search/raising_plugin.py", RAISING.format(reason=long))
    counter = Counter(server.home, 50, reason=long, page=address)
    view = await open_page()
    for id in ("search/finder", "search/raising", "download/counting"):
        await view.has_state(id, "active")
    started = {
        title: (await server.post("/api/download", {"url": f"count:{title}", "title": f"{title} {long}"}))[
            "task"
        ]
        for title in ("wrong", "done", "paused", "going")
    }
    # The plugin goes on with all alike, so the one that is to be done goes first, from where it is.
    await server.until(started["wrong"]["id"], "failed")
    await server.post(f"/api/tasks/{started['paused']['id']}/pause", None)
    await server.post(f"/api/tasks/{started['going']['id']}/pause", None)
    counter.let()
    await server.until(started["done"]["id"], "completed")
    counter.let(50)
    await server.post(f"/api/tasks/{started['going']['id']}/resume", None)


async def begun(server: Server) -> str:
    """The id of a search that goes on; until its time is up, so each look has one of its own."""
    id: str = (await server.post("/api/search", {"keyword": "word " * 60}))["task_id"]
    return id


async def shows(view: View, id: str) -> None:
    """Has the page show that search, with everything of its results unfolded."""
    await view.go(f"search/{id}")
    # The one that raises finds one before.
    await expect(view.page.locator("[data-result]")).to_have_count(FOUND + 1)
    await expect(view.page.locator('[data-part="finder"]')).to_have_attribute("data-state", "searching")
    await expect(view.page.locator('[data-part="raising"]')).to_have_attribute("data-state", "failed")
    for more in await view.page.locator("[data-result] .more").all():
        await more.click()


async def finds_nothing(view: View, where: str = "", rules: Sequence[str] = ()) -> None:
    await view.page.evaluate(
        "Promise.all(document.getAnimations().map((one) => one.finished.catch(() => null)))"
    )
    assert (where, await violations(view.page, rules=rules)) == (where, [])


async def test_a_small_screen_needs_no_scrolling_sideways(server: Server, open_page: Opener) -> None:
    long = "x" * 64
    server.save("search/long_plugin.py", search_plugin(long, "1." * 60, "word" * 80))
    server.save("search/broken_plugin.py", f"raise RuntimeError('{'y' * 300}')\n")
    for locale in ("zh-CN", "en-GB"):
        view = await open_page(locale=locale, width=360)
        await view.has_state(f"search/{long}", "active")
        await view.row("search/broken").locator(".more").click()
        await view.row("search/broken").locator("summary").click()
        assert await view.overflow() <= 0
        await view.page.locator(".button.primary").first.click()
        await expect(view.page.get_by_role("dialog")).to_be_visible()
        assert await view.overflow() <= 0


@pytest.mark.usefixtures("shared_server")
async def test_language_and_appearance_are_kept(server: Server, open_page: Opener) -> None:
    view = await open_page(locale="zh-CN")
    root = view.page.locator("html")
    await expect(root).to_have_attribute("lang", "zh-CN")
    await view.button("Switch to English").click()
    light = await view.page.evaluate("getComputedStyle(document.body).backgroundColor")
    await view.button("Dark").click()
    await view.page.wait_for_function(
        "(light) => getComputedStyle(document.body).backgroundColor !== light"
        " && document.getAnimations().length === 0",
        arg=light,
    )
    dark = await view.page.evaluate("getComputedStyle(document.body).backgroundColor")
    await view.page.reload()
    await expect(root).to_have_attribute("lang", "en")
    await expect(root).to_have_attribute("data-theme", "dark")
    assert await view.page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    await view.button("Light").click()
    await view.page.wait_for_function(
        "(dark) => getComputedStyle(document.body).backgroundColor !== dark", arg=dark
    )
