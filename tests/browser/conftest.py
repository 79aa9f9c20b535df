"""A real server on a temporary home, and a real browser looking at it."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from tests.browser.relay import Relay
from tests.integration.forging import Process, start

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    # No process is made ahead for a page that may come: none does.
    "--renderer-process-limit=1",
]
# An address is changed at once, and the page a moment later.
GO = """(hash) => new Promise((done) => {
    if (location.hash === hash) return done();
    addEventListener('hashchange', () => done(), { once: true });
    location.hash = hash;
})"""
DROP = """(target, [name, text, type]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], name, { type }));
    const how = { dataTransfer, bubbles: true, composed: true, cancelable: true };
    for (const event of ['dragenter', 'dragover', 'drop']) target.dispatchEvent(new DragEvent(event, how));
}"""
AXE = """async ([within, options]) =>
    (await axe.run(within ?? document, options)).violations.map((one) =>
        [one.impact, one.id, one.nodes.map((node) => node.html)])"""
START_S = 30
STOP_S = 15
SHOWN_MS = 15_000

expect.set_options(timeout=SHOWN_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine: apt install chromium"))


def search_plugin(name: str = "demo", version: str = "1.0.0", description: str = "A demo") -> str:
    """The source of a search plugin whose results name its version."""
    return f"""from service.sdk import SearchPlugin, SearchResult


class Demo(SearchPlugin):
    name = {name!r}
    version = {version!r}
    description = {description!r}

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=keyword + " by " + self.version, url="https://example.com/")]
"""


def parser_plugin(name: str, description: str = "A parser") -> str:
    """The source of a parser plugin."""
    return f"""from service.sdk import ParserPlugin


class Parser(ParserPlugin):
    name = {name!r}
    version = "0.1"
    description = {description!r}

    def parse_url(self, url):
        return [{{"name": "one", "url": url}}]
"""


class Server:
    """`plugbay serve` as a process of its own, which can be stopped and started again on the same port."""

    def __init__(self, home: Path, host: str = "127.0.0.1") -> None:
        self.home = home
        self.host = host
        self.port = _free_port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """What a server that listens everywhere has made for itself."""
        return (self.home / "data" / "token").read_text(encoding="ascii").strip()

    async def start(self) -> None:
        """Starts it and waits until every plugin has been scanned."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PLUGBAY_")},
            "PYTHONPATH": str(ROOT),
        }
        with (self.home / "server.log").open("ab") as log:
            self._process = await start(
                *("serve", "--home", str(self.home), "--host", self.host, "--port", str(self.port)),
                environ=environment,
                folder=ROOT,
                stdout=log.fileno(),
                stderr=log.fileno(),
            )
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
            while not await self._is_ready(session):
                await asyncio.sleep(0.05)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        process = self._process
        if process is None or process.returncode is not None:
            raise RuntimeError(f"the server ended:\n{self.log()}")
        try:
            async with session.get(f"{self.url}/readyz") as response:
                if response.status != 401:
                    return response.status == 200
            headers = {"Authorization": f"Bearer {self.token}"}
            async with session.get(f"{self.url}/readyz", headers=headers) as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def stop(self) -> None:
        """Stops it as a supervisor would; twice is safe."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise

    def log(self) -> str:
        return (self.home / "server.log").read_text(encoding="utf-8", errors="replace")

    def path(self, relative: str) -> Path:
        return self.home / "plugins" / relative

    def save(self, relative: str, source: str) -> None:
        """Writes a plugin file as an editor does: open, write, close."""
        path = self.path(relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")

    async def get(self, path: str) -> Any:
        """The answer to a request that goes well."""
        async with aiohttp.ClientSession(self.url, raise_for_status=True) as session:
            async with session.get(path) as response:
                return await response.json()

    async def post(self, path: str, body: Any) -> Any:
        """Likewise."""
        async with aiohttp.ClientSession(self.url, raise_for_status=True) as session:
            async with session.post(path, json=body) as response:
                return await response.json()

    async def comes_to(self, path: str, wanted: Callable[[Any], bool]) -> None:
        """Waits until the answer is as wanted."""
        async with asyncio.timeout(SHOWN_MS / 1000):
            while not wanted(await self.get(path)):
                await asyncio.sleep(0.02)

    async def until(self, id: str, status: str) -> None:
        """Waits until the task has that status."""
        await self.comes_to(f"/api/tasks/{id}", lambda task: task["status"] == status)

    async def search(self, name: str = "demo") -> tuple[int, Any]:
        """Calls the search plugin: status and answer."""
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{self.url}/api/search/{name}", params={"keyword": "word"}) as response:
                return response.status, await response.json()


async def drop(target: Locator, name: str, text: str) -> None:
    """Drops a file on an element, as somebody does who has dragged it there."""
    await target.evaluate(DROP, [name, text, mimetypes.guess_type(name)[0] or ""])


async def violations(page: Page, within: str | None = None, rules: Sequence[str] = ()) -> list[list[Any]]:
    """What axe has against what a page shows: how bad, which rule, and which elements.

    Args:
        page: in a tab.
        within: what to look at; everything otherwise.
        rules: those to look for; all otherwise.
    """
    # Large, and each document needs it once only.
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(Axe().axe_script)
    options = {"resultTypes": ["violations"]} | ({"runOnly": [*rules]} if rules else {})
    found: list[list[Any]] = await page.evaluate(AXE, [within, options])
    return found


class View:
    """The page in one tab, with what it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _note(self, kind: str, text: str) -> None:
        # The browser itself reports answers such as 409 and 422, and a server that is gone.
        if kind in ("error", "warning") and "Failed to load resource" not in text and "WebSocket" not in text:
            self.complaints.append(f"{kind}: {text}")

    def row(self, id: str) -> Locator:
        return self.page.locator(f'[data-plugin="{id}"]')

    async def is_live(self) -> None:
        await expect(self.page.locator('[data-connection="live"]')).to_be_visible()

    async def has_state(self, id: str, state: str) -> None:
        await expect(self.row(id)).to_have_attribute("data-state", state)

    async def generation(self, id: str) -> int:
        return int(await self.row(id).get_attribute("data-generation") or 0)

    async def go(self, hash: str) -> None:
        """Goes to an address of the dashboard; afterwards nothing of the page before is there any more."""
        await self.page.evaluate(GO, f"#/{hash}")

    async def has_come(self) -> None:
        """Waits until the page is there with all its parts: they come when they are asked for."""
        await expect(self.page.locator("main h1")).to_have_count(1)
        await expect(self.page.locator("main[aria-busy=true], main [aria-busy=true]")).to_have_count(0)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        return int(await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


Opener = Callable[..., Awaitable[View]]


@asynccontextmanager
async def another_site(
    path: str, answer: Callable[[web.Request], Awaitable[web.Response]]
) -> AsyncIterator[str]:
    """A site that answers at `path` and nowhere else: its address."""
    app = web.Application()
    app.router.add_get(path, answer)
    async with TestServer(app, host="127.0.0.1") as site:
        yield f"http://127.0.0.1:{site.port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _furnish(home: Path) -> Path:
    server = Server(home)
    server.save("search/demo_plugin.py", search_plugin())
    server.save("parser/page_plugin.py", parser_plugin("page"))
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one search plugin and one parser plugin."""
    return _furnish(tmp_path)


@asynccontextmanager
async def _serving(home: Path) -> AsyncIterator[Server]:
    if not (ROOT / "service" / "_web" / "index.html").is_file():
        pytest.fail("the page has not been built: run make setup")
    server = Server(home)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def own_server(home: Path) -> AsyncIterator[Server]:
    """A server for this test alone."""
    async with _serving(home) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One server for all tests of a module that use this.

    Such a test leaves `search/demo` and `parser/page` as they were, and sees nothing of what others leave there.
    """
    async with _serving(_furnish(tmp_path_factory.mktemp("shared"))) as server:
        yield server


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    """The server of the test: its own, unless it uses the shared one."""
    name = "shared_server" if "shared_server" in request.fixturenames else "own_server"
    server: Server = request.getfixturevalue(name)
    return server


@pytest_asyncio.fixture(loop_scope="session")
async def relay(server: Server) -> AsyncIterator[Relay]:
    relay = Relay(server.port)
    await relay.start()
    yield relay
    await relay.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, server: Server) -> AsyncIterator[Opener]:
    """Opens the dashboard in a window of its own. After the test no page may have complained of anything."""
    contexts: list[BrowserContext] = []
    views: list[View] = []

    async def open_page(
        url: str = server.url,
        *,
        locale: str = "en-GB",
        theme: str = "light",
        width: int = 1280,
        wait: bool = True,
    ) -> View:
        context = await browser.new_context(
            locale=locale,
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce",
            viewport={"width": width, "height": 900},
        )
        contexts.append(context)
        await context.add_init_script(
            "window.violations = [];"
            "document.addEventListener('securitypolicyviolation',"
            " (event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));"
        )
        view = View(await context.new_page())
        views.append(view)
        await view.page.goto(url)
        if wait:
            await view.is_live()
        return view

    yield open_page
    violations = [violation for view in views for violation in await view.page.evaluate("window.violations")]
    for context in contexts:
        await context.close()
    assert violations == []
    assert [complaint for view in views for complaint in view.complaints] == []
