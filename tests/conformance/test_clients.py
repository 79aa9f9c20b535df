"""Clients of other makes have one conversation with a server: the `websockets` library, Node's `ws` and Chromium.

What was said is recorded and held against JSON-RPC 2.0 and CloudEvents 1.0; each client has to be told the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConnectionClosed

from hatch_build import find_node
from tests.browser.conftest import CHROMIUM, CHROMIUM_ARGUMENTS
from tests.conformance.recorded import Said, check_session
from tests.integration.live import Live, live_server, search_plugin, write
from tests.integration.server_process import ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

HERE = Path(__file__).parent
CONVERSE = (HERE / "converse.js").read_text("utf-8")
PACKAGES = ROOT / "web" / "node_modules"
SECONDS = 20.0
DEMO = "plugins/search/demo"


def call(method: str, id: Any, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def switch(on: bool) -> list[dict[str, Any]]:
    """Have the plugin switched, and hear of it."""
    name = "enabled" if on else "disabled"
    return [
        {"do": "post", "path": f"/api/plugins/search/demo/toggle?enabled={str(on).lower()}"},
        {"do": "event", "type": f"plugbay.plugin.{name}", "subject": DEMO},
    ]


def said(text: str) -> list[dict[str, Any]]:
    """Say something, and hear the answer."""
    return [{"do": "send", "text": text}, {"do": "answer"}]


NOTIFICATION = '{"jsonrpc":"2.0","method":"ping"}'
RESUMED = (
    '{"jsonrpc":"2.0","id":"r","method":"subscribe","params":{"topics":["plugins/**"],"since":"POSITION"}}'
)
STEPS: list[dict[str, Any]] = [
    {"do": "open"},
    *said(call("subscribe", 1, topics=["plugins/**"])),
    *switch(False),
    *switch(True),
    *said(call("ping", "text")),
    *said(call("ping", 1.5)),
    *said(call("ping", None)),
    *said(call("nothing", 2)),
    *said(call("subscribe", 3, topics=["a//b"])),
    *said(call("subscribe", 4, topics=[], more=1)),
    *said("no JSON"),
    *said('"no request"'),
    *said("[]"),
    *said(f"[{call('ping', 5)}, {NOTIFICATION}, 5, {call('nothing', 6)}]"),
    {"do": "send", "text": f"[{NOTIFICATION}, {NOTIFICATION}]"},
    {"do": "send", "text": NOTIFICATION},
    {"do": "fragments", "text": call("ping", "in pieces: 例, which is three bytes")},
    {"do": "answer"},
    {"do": "ping", "data": "are you there"},
    {"do": "binary"},
    {"do": "answer"},
    {"do": "fill", "text": call("ping", "just as large as may be"), "size": 64 * 1024},
    {"do": "answer"},
    {"do": "fill", "text": call("ping", "larger"), "size": 64 * 1024 + 1},
    {"do": "answer"},
    *said(call("unsubscribe", 7, topics=["plugins/**"])),
    {"do": "close", "code": 4321, "reason": "enough"},
    {"do": "post", "path": "/api/plugins/search/demo/toggle?enabled=false"},
    {"do": "open"},
    *said(RESUMED),
    {"do": "event", "type": "plugbay.plugin.disabled", "subject": DEMO},
    *switch(True),
    {"do": "close", "code": 1000, "reason": ""},
    {"do": "open"},
    {"do": "fill", "text": "{}", "size": 64 * 1024 * 16 + 2},
    {"do": "closed"},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("conformance") / "home"
    write(home / "plugins" / "search" / "demo_plugin.py", search_plugin("demo"))
    async with live_server(home) as live:
        await live.event("loaded", "search/demo")
        yield live


async def test_the_websockets_library(live: Live) -> None:
    check(await Conversation(live).run(), pongs=1)


@pytest.mark.skipif(find_node() is None, reason="there is no node that is new enough")
@pytest.mark.skipif(
    not (PACKAGES / "ws").is_dir(), reason="the package ws is not installed: make setup, or npm ci in web/"
)
async def test_ws_of_node(live: Live) -> None:
    found = find_node()
    assert found is not None
    node = await asyncio.create_subprocess_exec(
        *(str(found[0]), str(HERE / "node_client.mjs"), str(PACKAGES), live.server.url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(node.communicate(json.dumps(STEPS).encode()), 5 * SECONDS)
    assert node.returncode == 0, errors.decode()
    check(json.loads(output), pongs=1)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt install chromium")
async def test_chromium(live: Live) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        try:
            page = await browser.new_page()
            # The dashboard, whose policy lets a page talk to its own server; without what it would do itself.
            await page.route("**/*.js", lambda route: route.abort())
            await page.goto(live.server.url)
            converse = f"([base, steps]) => ({without_comments(CONVERSE)})(WebSocket, base, steps)"
            session = await page.evaluate(converse, [live.server.url, STEPS])
        finally:
            await browser.close()
    # A page can neither ping nor cut a message into pieces.
    check(session, pongs=0)


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("//"))


def check(session: Sequence[Said], *, pongs: int) -> None:
    """What every client has to have been told in this conversation."""
    answers, events = check_session(session)
    # Heartbeats, and what is announced only, come besides.
    assert (answers, events >= 6) == (17, True)
    assert [what for kind, *what in session if kind == "opened"] == [["", ""]] * 3, "nothing is negotiated"
    assert sum(kind == "pong" for kind, *_ in session) == pongs
    first, second, third = (what for kind, *what in session if kind == "closed")
    # The code comes back; why it was closed is the client's own to know.
    assert first[0] == 4321
    assert (second[0], third[0]) == (1000, 1009)
    results = {
        str(value["id"]): value
        for kind, *what in session
        if kind == "received" and isinstance(value := json.loads(what[0]), dict) and "jsonrpc" in value
    }
    assert results["text"]["result"] == results["1.5"]["result"] == {}
    assert results["in pieces: 例, which is three bytes"]["result"] == {}
    assert results["just as large as may be"]["result"] == {} and "larger" not in results
    assert results["r"]["result"]["recovered"] is True
    assert (results["2"]["error"]["code"], results["3"]["error"]["code"]) == (-32601, -32602)


class Conversation:
    """The same conversation with the `websockets` library, which offers compression as browsers do."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._said: list[Said] = []
        self._inbox: asyncio.Queue[str] = asyncio.Queue()
        self._position: dict[str, str] | None = None
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def run(self) -> list[Said]:
        for step in STEPS:
            async with asyncio.timeout(SECONDS):
                await self._take(step)
        return self._said

    async def _take(self, step: dict[str, Any]) -> None:
        text = step.get("text", "").replace('"POSITION"', json.dumps(self._position))
        if step["do"] == "open":
            await self._open()
            return
        socket, reader = self._socket, self._reader
        assert socket is not None and reader is not None
        match step["do"]:
            case "send":
                await self._send(text)
            case "fill":
                await self._send(text.ljust(step["size"]))
            case "fragments":
                self._said.append(("sent", text))
                await socket.send(iter((text[:10], text[10:30], text[30:])))
            case "binary":
                self._said.append(("binary",))
                await socket.send(b"\1\2\3")
            case "ping":
                await (await socket.ping(step["data"]))
                self._said.append(("pong", step["data"]))
            case "answer":
                await self._next(lambda value: "specversion" not in value)
            case "event":
                event = await self._next(
                    lambda value: (value.get("type"), value.get("subject")) == (step["type"], step["subject"])
                )
                self._position = {"epoch": event["epoch"], "seq": event["seq"]}
            case "post":
                assert (await self._live.post(step["path"])).status == 200
            case "close":
                await socket.close(step["code"], step["reason"])
                await reader
            case "closed":
                await reader

    async def _open(self) -> None:
        self._socket = await websockets_connect(
            f"{self._live.server.url.replace('http', 'ws')}/api/ws", max_queue=None
        )
        self._said.append(("opened", ", ".join(one.name for one in self._socket.protocol.extensions), ""))
        self._reader = asyncio.create_task(self._read(self._socket))

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                frame = await socket.recv()
                assert isinstance(frame, str)
                self._said.append(("received", frame))
                self._inbox.put_nowait(frame)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the server has to say goodbye"
            self._said.append(("closed", closed.rcvd.code, closed.rcvd.reason, True))

    async def _send(self, text: str) -> None:
        self._said.append(("sent", text))
        assert self._socket is not None
        await self._socket.send(text)

    async def _next(self, wanted: Any) -> Any:
        while True:
            value = json.loads(await self._inbox.get())
            if wanted(value if isinstance(value, dict) else {}):
                return value
