"""A session in which everything happens that can be made to, recorded: every frame is what its standard says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource

from tests.conformance.recorded import Said, check_session
from tests.integration.live import UNTIL_S, Live, live_server, save, search_plugin, write

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

# What comes at a time of its own, and a token, which this server has none of.
NOT_MADE_TO_HAPPEN = {"plugbay.token.rotated", "plugbay.stats", "plugbay.heartbeat"}
DOWNLOADER = """
from service.sdk import DownloadPlugin
import asyncio

class Slow(DownloadPlugin):
    name = "slow"
    version = description = "1"
    supported_protocols = ["slow"]
    resumable = True

    async def download(self, task):
        self.log.info("下载 <b>begins</b> \\u202e")
        await task.report(progress=10, downloaded=1, total=10, speed=1.5)
        if "fails" in task.url:
            raise ValueError("no \\ud83d such \\x00 thing")
        if "waits" in task.url:
            await asyncio.sleep(600)
        return True
"""
CRASHING = search_plugin("crashing", expression="__import__('os')._exit(5)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("recorded") / "home"
    write(home / "plugins" / "search" / "demo_plugin.py", search_plugin("demo"))
    write(home / "plugins" / "download" / "slow_plugin.py", DOWNLOADER)
    async with live_server(home) as live:
        await live.event("loaded", "download/slow")
        yield live


async def test_every_frame_is_as_the_standards_say(live: Live) -> None:
    recorder = Recorder(live)
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{live.server.url}/api/ws") as ws:
        reader = asyncio.create_task(recorder.listen(ws))
        await recorder.ask(ws, "subscribe", {"topics": ["**"], "since": await position(live)})
        for frame in ("", "{", '{"id": 1}', "[]", "[1, {}]", '{"jsonrpc":"2.0","method":"x","id":"\\ud800"}'):
            await recorder.say(ws, frame)
        await everything(live, recorder)
        await recorder.ask(ws, "ping", {})
        await ws.close()
        await reader
    answers, events = check_session(recorder.said)
    assert (answers, events > 40) == (8, True), events
    document = (await live.get("/api/asyncapi.json")).body
    for event in recorder.events:
        check_data(document, event)
    described = {name for name in document["components"]["messages"] if name.startswith("plugbay.")}
    described = {name for name in described if not name.startswith("plugbay.stream.")}
    assert described - {event["type"] for event in recorder.events} <= NOT_MADE_TO_HAPPEN


async def test_the_documents_are_valid(live: Live) -> None:
    document = (await live.get("/api/openapi.json")).body
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


async def everything(live: Live, recorder: Recorder) -> None:
    """Have each kind of event happen."""
    demo = live.plugins / "search" / "demo_plugin.py"
    happened = recorder.happened
    save(demo, "def broken(:\n")
    await happened("plugin.failed", "search/demo")
    save(demo, search_plugin("demo", "2", imports="print('\\x1b[31m <i>é</i>')"))
    await happened("plugin.reloaded", "search/demo")
    for enabled in ("false", "true"):
        await live.post(f"/api/plugins/search/demo/toggle?enabled={enabled}")
    await happened("plugin.enabled", "search/demo")
    await live.request("PUT", "/api/plugins/search/demo/config", json={"更多": "值 \u202e"})
    await happened("plugin.configured", "search/demo")
    await live.post("/api/config/import", {"config": {"search:demo": {"other": [1, None, {"a": 0.5}]}}})
    await live.post("/api/plugins/reload")
    form = aiohttp.FormData({"plugin_type": "search"})
    form.add_field("file", CRASHING.encode(), filename="crashing_plugin.py")
    assert (await live.request("POST", "/api/plugins/install", data=form)).status == 200
    assert (await live.search("crashing")).body["code"] == "plugin_crashed"
    await happened("plugin.crashed", "search/crashing")
    await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "crashing"})
    await happened("plugin.unloaded", "search/crashing")
    await live.post("/api/search", {"keyword": "<script>"})
    for address in ("slow:ends", "slow:fails", *["slow:waits"] * 5):
        answer = await live.post("/api/download", {"url": address, "title": address, "plugin_name": "slow"})
        assert answer.status == 200, answer
    await happened("task.progress", "tasks/")
    tasks = (await live.get("/api/tasks?kind=download&limit=50")).body["tasks"]
    waiting = [one["id"] for one in tasks if one["status"] in ("downloading", "pending")]
    await live.post(f"/api/tasks/{waiting[0]}/pause")
    await happened("task.paused", "tasks/")
    await live.post(f"/api/tasks/{waiting[0]}/resume")
    await happened("task.queued", "tasks/")
    for one in waiting:
        await live.post(f"/api/tasks/{one}/cancel")
    await happened("task.cancelled", "tasks/")
    await happened("task.failed", "tasks/")


async def position(live: Live) -> dict[str, str]:
    """The start of the log."""
    return {"epoch": (await live.get("/api/plugins")).body["epoch"], "seq": "0"}


class Recorder:
    """Keeps all that is said on a socket."""

    def __init__(self, live: Live) -> None:
        self.said: list[Said] = []
        self.events: list[dict[str, Any]] = []
        self._came = asyncio.Event()
        self._answers = 0

    async def listen(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for message in ws:
            self.said.append(("received", message.data))
            value = json.loads(message.data)
            if isinstance(value, dict) and "specversion" in value:
                self.events.append(value)
            else:
                self._answers += 1
            self._came.set()

    async def ask(self, ws: aiohttp.ClientWebSocketResponse, method: str, params: dict[str, Any]) -> None:
        await self.say(ws, json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": params}))

    async def say(self, ws: aiohttp.ClientWebSocketResponse, frame: str) -> None:
        """Say something that is answered, and wait for the answer."""
        before = self._answers
        self.said.append(("sent", frame))
        await ws.send_str(frame)
        await self._until(lambda: self._answers > before, frame)

    async def happened(self, type: str, subject: str) -> None:
        """Wait until such an event has come."""

        def has_come() -> bool:
            return any(one["type"] == f"plugbay.{type}" and subject in one["subject"] for one in self.events)

        await self._until(has_come, f"{type} {subject}")

    async def _until(self, is_so: Any, what: str) -> None:
        try:
            async with asyncio.timeout(UNTIL_S):
                while not is_so():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise AssertionError(
                f"there was no {what}; there were {[one['type'] for one in self.events]}"
            ) from None


def check_data(document: dict[str, Any], event: dict[str, Any]) -> None:
    """Whether an event is as the AsyncAPI document describes its type."""
    message = document["components"]["messages"][event["type"]]
    resource = Resource.from_contents({**document, "$schema": "http://json-schema.org/draft-07/schema#"})
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    place = f"urn:document#/components/messages/{event['type']}/payload"
    assert "payload" in message
    Draft202012Validator({"$ref": place}, registry=registry).validate(event)
