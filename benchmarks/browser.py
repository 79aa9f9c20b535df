"""A Chromium without a window that looks at the dashboard, and notes what keeps the page busy."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WIDTH, _HEIGHT = 1280, 900
_LIVE = '[data-connection="live"]'

# What takes more than 50 ms: the browser tells of no others.
_LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => {
    window.longTasks.push(...list.getEntries().map(({ duration }) => duration));
}).observe({ type: 'longtask' });
"""
_QUIET = "new Promise((done) => requestIdleCallback(done, { timeout: 30000 }))"


class Busy(NamedTuple):
    """What the page was busy with for a while: milliseconds.

    Args:
        long_tasks: how many took more than 50 ms, as the browser tells pages.
        longest: how long the longest task took.
        longest_cpu: the most processor time that one took, which leaves out what other processes took meanwhile.
        share: the part of the time in which the page's thread was on a processor, 0 to 1.
    """

    long_tasks: int
    longest: float
    longest_cpu: float
    share: float


def is_there() -> bool:
    """Whether a page can be measured on this machine."""
    try:
        import playwright.async_api  # noqa: F401
    except ImportError:
        return False
    return CHROMIUM is not None


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser of its own."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def opened(browser: Browser, url: str) -> AsyncIterator[Page]:
    """The dashboard in a window of its own, connected and at rest."""
    context = await browser.new_context(locale="en-GB", viewport={"width": _WIDTH, "height": _HEIGHT})
    await context.add_init_script(_LONG_TASKS)
    page = await context.new_page()
    await page.goto(url)
    await page.wait_for_selector(_LIVE)
    await page.evaluate(_QUIET)
    yield page
    await context.close()


class Watch:
    """Watches a page from `async with` to its end; `busy` is there then."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self._browser = browser
        self._page = page
        self.busy = Busy(0, 0.0, 0.0, 0.0)

    async def __aenter__(self) -> Watch:
        await self._page.evaluate("window.longTasks.length = 0")
        await self._browser.start_tracing(page=self._page, categories=["toplevel"])
        return self

    async def __aexit__(self, *_: object) -> None:
        long_tasks: int = await self._page.evaluate("window.longTasks.length")
        with tempfile.TemporaryDirectory(prefix="plugbay-bench-") as folder:
            path = Path(folder) / "trace.json"
            path.write_bytes(await self._browser.stop_tracing())
            self.busy = _of_trace(path, long_tasks)


def _of_trace(path: Path, long_tasks: int) -> Busy:
    """What the thread that runs the page did."""
    events = json.loads(path.read_bytes())["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event
        for event in events
        if event.get("ph") == "X"
        and event["name"].endswith("RunTask")
        and (event["pid"], event["tid"]) in threads
    ]
    if not tasks:
        return Busy(long_tasks, 0.0, 0.0, 0.0)
    began = min(event["ts"] for event in tasks)
    ended = max(event["ts"] + event["dur"] for event in tasks)
    spent = sum(event.get("tdur", 0) for event in tasks)
    return Busy(
        long_tasks=long_tasks,
        longest=max(event["dur"] for event in tasks) / 1000,
        longest_cpu=max(event.get("tdur", 0) for event in tasks) / 1000,
        share=spent / max(1, ended - began),
    )
