"""The dashboard in a browser: how large it is, how it stays with 500 plugins that change, and how soon a save shows.

Server, workers and browser share the machine, as they do where somebody runs all of it at home.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import browser, lighthouse
from benchmarks.figures import Figure, Goal, Row, Size, median
from benchmarks.processes import Server, new_home, plugbay
from benchmarks.sources import plugin_path, put, rename_into, small
from service.model.text import Text

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

# A save is announced, serves, and the generation before it ends: three events, so more than fifty a second.
_SAVES_PER_SECOND = 18
_SAVES = 20
_SHOWN_TIMEOUT_MS = 10_000

_SENT = """
performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
    .filter(({ name }) => !name.includes('/api/')).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)
"""
# From the key until the frame after the one in which the page says what became of the save.
_TIME_SAVES = """
window.shown = [];
let pressed = 0;
let said = '';
addEventListener('keydown', (event) => {
    if (event.key === 's' && (event.ctrlKey || event.metaKey)) pressed = performance.now();
}, true);
new MutationObserver(() => {
    const saved = document.querySelector('[data-outcome="saved"]')?.textContent ?? said;
    if (pressed === 0 || saved === said) return;
    const began = pressed;
    [pressed, said] = [0, saved];
    requestAnimationFrame(() => {
        window.shown.push(performance.now() - began);
        document.documentElement.dataset.shown = window.shown.length;
    });
}).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
"""


async def measure(size: Size) -> Figure:
    """The page with few plugins, then with many that change."""
    figure = Figure(Text(zh="控制台", en="The dashboard"))
    if not browser.is_there():
        figure.notes.append(
            Text(
                zh="没有 Chromium 或 playwright，未测",
                en="Chromium or playwright is not installed: not measured",
            )
        )
        return figure
    async with browser.chromium() as chromium:
        with new_home() as home:
            put(plugin_path(home, "demo"), small("demo"))
            async with plugbay(home) as server:
                await server.until("/readyz")
                await _first_load(figure, chromium, server)
                await _saves(figure, chromium, server, size.of(3, _SAVES, _SAVES))
                if size is not Size.SMOKE:
                    await _scores(figure, server)
        await _many(figure, chromium, size.of(30, 500, 500), size.of(2, 30, 120))
    return figure


async def _first_load(figure: Figure, chromium: Browser, server: Server) -> None:
    async with browser.opened(chromium, server.url) as page:
        sent = await page.evaluate(_SENT)
    figure.rows.append(
        Row(
            what=Text(zh="首次打开传输的文件（gzip）", en="files of the first load (gzip)"),
            value=sent / 1000,
            unit="kB",
            goal=Goal(at_most=100),
        )
    )


async def _saves(figure: Figure, chromium: Browser, server: Server, count: int) -> None:
    """Every save in the editor is of a text that was never there, so each loads a generation."""
    async with browser.opened(chromium, f"{server.url}/#/plugins/search/demo/code") as page:
        await page.locator(".cm-content").focus()
        await page.evaluate(_TIME_SAVES)
        for number in range(count):
            await page.keyboard.press("ControlOrMeta+End")
            await page.keyboard.insert_text(f"# {number}\n")
            await page.keyboard.press("ControlOrMeta+s")
            await page.wait_for_selector(f'html[data-shown="{number + 1}"]', timeout=_SHOWN_TIMEOUT_MS)
        shown: list[float] = await page.evaluate("window.shown")
    figure.rows.append(
        Row(
            what=Text(
                zh="在编辑器中保存，到显示新一代已生效，中位数",
                en="a save in the editor, until the page says that it serves, median",
            ),
            value=median(shown),
            unit="ms",
            goal=Goal(at_most=100),
        )
    )


async def _scores(figure: Figure, server: Server) -> None:
    found = await lighthouse.scores(server.url)
    if found is None:
        figure.notes.append(
            Text(zh="没能取得 Lighthouse，未测", en="Lighthouse could not be fetched: not measured")
        )
        return
    names = {
        "performance": Text(zh="性能", en="performance"),
        "accessibility": Text(zh="无障碍", en="accessibility"),
        "best-practices": Text(zh="最佳实践", en="best practices"),
    }
    figure.rows += [
        Row(
            what=Text(
                zh=f"Lighthouse {lighthouse.VERSION}：{names[name].zh}",
                en=f"Lighthouse {lighthouse.VERSION}: {names[name].en}",
            ),
            value=score,
            unit="",
            goal=Goal(at_least=95),
        )
        for name, score in found.items()
    ]


async def _many(figure: Figure, chromium: Browser, count: int, seconds: float) -> None:
    with new_home() as home:
        for number in range(count):
            put(plugin_path(home, f"plugin_{number}"), small(f"plugin_{number}"))
        async with plugbay(home) as server:
            await server.until("/readyz")
            async with browser.opened(chromium, server.url) as page, browser.Watch(chromium, page) as watch:
                before = await _head(server)
                began = time.perf_counter()
                await _change(home, page, count, seconds)
                rate = (await _head(server) - before) / (time.perf_counter() - began)
    busy = watch.busy
    figure.rows += [
        Row(
            what=Text(
                zh=f"{count} 个插件，每秒 {rate:.0f} 个事件：页面最长的一段任务",
                en=f"{count} plugins, {rate:.0f} events a second: the page's longest task",
            ),
            value=busy.longest,
            unit="ms",
            goal=Goal(at_most=50),
        ),
        Row(
            what=Text(zh="同上，处理器时间", en="the same, processor time"),
            value=busy.longest_cpu,
            unit="ms",
            goal=Goal(at_most=50),
        ),
    ]
    figure.notes.append(
        Text(
            zh=f"{seconds:g} 秒内有 {busy.long_tasks} 段任务超过 50 ms；页面线程占用处理器 {100 * busy.share:.0f} %",
            en=f"{busy.long_tasks} tasks of more than 50 ms in {seconds:g} s; the page's thread was on a processor for "
            f"{100 * busy.share:.0f} % of the time",
        )
    )


async def _change(home: Path, page: Page, count: int, seconds: float) -> None:
    """Saves one plugin after the other, at the rate that gives the events, while somebody scrolls now and then."""
    began = time.perf_counter()
    for number in itertools.count():
        due = began + number / _SAVES_PER_SECOND
        if due > began + seconds:
            return
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        name = f"plugin_{number * 37 % count}"
        rename_into(plugin_path(home, name), small(name, f"1.{number + 1}.0"))
        if number % _SAVES_PER_SECOND == 0:
            await page.mouse.wheel(0, 300)


async def _head(server: Server) -> int:
    return int(json.loads((await server.get("/api/plugins"))[1])["seq"])
