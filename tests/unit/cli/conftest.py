"""A server that answers as the interface says, without plugins or processes behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from service.cli.main import plugbay


def plugin(type: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{type}/{name}",
        "type": type,
        "name": name,
        "version": "1.0.0",
        "description": f"The {name}",
        "config_schema": [],
        "enabled": True,
        "state": "active",
        "generation": 1,
        "file": f"plugins/{type}/{name}_plugin.py",
        "loaded_at": "2026-11-22T12:00:00.000000Z",
        "load_ms": 4.9,
        "error": None,
        "config_missing": [],
    } | more


LOAD_ERROR = {
    "stage": "import",
    "code": "plugin_invalid",
    "type": "NameError",
    "message": "name 'sudo' is not defined",
    "file": "plugins/search/broken_plugin.py",
    "line": 7,
    "column": 3,
    "traceback": "Traceback (most recent call last):\n  line 7\nNameError: name 'sudo' is not defined",
    "generation": 2,
}


class FakeServer:
    """Holds plugins and configuration, records requests, and lets a test send events and cut connections."""

    def __init__(self) -> None:
        self.plugins = {one["id"]: one for one in (plugin("search", "demo"), plugin("download", "http"))}
        self.config: dict[str, Any] = {"greeting": "hi", "secret": "********"}
        self.epoch, self.seq = "k1", 0
        self.log: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.missing: dict[str, Any] | None = None  # what it says of any plugin but in its list
        self.warnings = ["unknown: odd"]
        self.sockets: set[web.WebSocketResponse] = set()
        self.subscriptions: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/ws", self.websocket)
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        body: Any = None
        if request.content_type == "multipart/form-data":
            body = {}
            async for part in await request.multipart():
                assert hasattr(part, "name")
                body[part.name] = (part.filename, await part.text()) if part.filename else await part.text()
        elif request.can_read_body:
            body = await request.json()
        self.requests.append((request.method, request.path_qs, body))
        self.headers.append(dict(request.headers))
        if self.refusal is not None:
            status, problem = self.refusal
            return web.json_response(problem, status=status, content_type="application/problem+json")
        if self.missing is not None and request.path != "/api/plugins":
            return web.json_response(self.missing, status=404, content_type="application/problem+json")
        return web.json_response(self.result(request, body))

    def result(self, request: web.Request, body: Any) -> dict[str, Any]:
        match [part for part in request.path.split("/") if part]:
            case ["api", "plugins"]:
                listing: dict[str, Any] = {
                    type: [one for one in self.plugins.values() if one["type"] == type]
                    for type in ("search", "download", "parser")
                }
                return listing | {"epoch": self.epoch, "seq": str(self.seq)}
            case ["api", "plugins", "install"]:
                return {
                    "status": "success",
                    "plugin_name": "demo",
                    "hot_loaded": True,
                    "message": "installed",
                    "change": "c1",
                    "plugin": self.plugins["search/demo"],
                }
            case ["api", "plugins", "delete"]:
                done = {"message": "deleted", "running_calls": 1, "change": "c1"}
                return {"status": "success", "hot_unloaded": True, **done}
            case ["api", "plugins", "reload"]:
                ok = [
                    {"id": one["id"], "ok": not one["error"], "state": one["state"], "generation": 2, "ms": 5}
                    | ({"error": one["error"]} if one["error"] else {})
                    for one in self.plugins.values()
                ]
                return {"status": "success", "message": "reloaded", "results": ok}
            case ["api", "plugins", _, _, "toggle"]:
                return {"status": "success", "enabled": request.query["enabled"] == "true", "change": "c1"}
            case ["api", "plugins", type, name, "grant"]:
                return {"plugin": self.plugins[f"{type}/{name}"], "error": None, "change": "c1"}
            case ["api", "plugins", _, _, "config"]:
                if request.method != "GET":
                    self.config = body
                    return {"status": "success", "config": body, "warnings": self.warnings}
                return {"config": self.config}
            case ["api", "config", "export"]:
                config = {"search:demo": {"secret": "open sesame"}}
                return {"status": "success", "config": config, "timestamp": "2026-11-22T12:00:00Z"}
            case ["api", "config", "import"]:
                count = len(body["config"])
                return {"status": "success", "reloaded_count": count, "message": "imported", "change": "c1"}
            case ["api", "plugins", type, name]:
                return self.plugins[f"{type}/{name}"]
        raise web.HTTPNotFound

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        try:
            async for message in socket:
                assert message.type is WSMsgType.TEXT
                frame = json.loads(message.data)
                since = frame["params"].get("since")
                recovered = since is None or since["epoch"] == self.epoch
                missed = [
                    event
                    for event in self.log
                    if since and recovered and int(event["seq"]) > int(since["seq"])
                ]
                result = {"epoch": self.epoch, "seq": str(self.seq), "recovered": recovered}
                await socket.send_json({"jsonrpc": "2.0", "id": frame["id"], "result": result})
                for event in missed:
                    await socket.send_json(event)
                self.subscriptions.put_nowait(frame["params"])
        finally:
            self.sockets.discard(socket)
        return socket

    async def publish(self, verb: str, subject: str, data: dict[str, Any]) -> None:
        self.seq += 1
        event = {
            "specversion": "1.0",
            "id": f"{self.epoch}-{self.seq}",
            "type": f"plugbay.plugin.{verb}",
            "subject": subject,
            "time": "2026-11-22T12:00:00.123456Z",
            "epoch": self.epoch,
            "seq": str(self.seq),
            "data": data,
        }
        self.log.append(event)
        for socket in list(self.sockets):
            await socket.send_json(event)

    async def cut(self) -> None:
        """Ends every connection without a word, as a lost network does."""
        for socket in list(self.sockets):
            transport = socket._req.transport if socket._req is not None else None
            if transport is not None:
                transport.abort()


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    async with TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        yield fake


Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(server: FakeServer) -> Run:
    async def run(*arguments: str, **more: Any) -> Result:
        environment = {"PLUGBAY_URL": server.url} | more.pop("env", {})
        runner = CliRunner(env=environment)
        return await asyncio.to_thread(runner.invoke, plugbay, arguments, catch_exceptions=False, **more)

    return run
