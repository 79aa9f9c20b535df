"""A client of all events, over every cut and every run of a server, that sees to it that it is told everything."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from tests.integration.live import without_passing


class Watcher:
    """See the module.

    Attributes:
        plugins: every plugin by id, as the events tell.
        epochs: how many runs of the server it has seen.
        events: how many events it was told.
    """

    def __init__(self) -> None:
        self.plugins: dict[str, dict[str, Any]] = {}
        self.epoch, self.seq = "", 0
        self.epochs = self.events = 0
        self.is_there = asyncio.Event()

    async def follow(self, url: str) -> None:
        """One connection, to its end: events come without a gap, or the client learns that it has to begin anew."""
        self.is_there.clear()
        async with aiohttp.ClientSession(url) as http:
            try:
                async with http.ws_connect("/api/ws", max_msg_size=0) as socket:
                    await self._subscribe(http, socket)
                    self.is_there.set()
                    async for message in socket:
                        self._take(message.json())
            except (aiohttp.ClientError, ConnectionError):
                return

    async def _subscribe(self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            params = {"topics": ["**"], "since": {"epoch": self.epoch or "none", "seq": str(self.seq)}}
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params})
            reply = await socket.receive()
            if reply.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionResetError
            result = reply.json()["result"]
            if result["recovered"]:
                assert result["epoch"] == self.epoch
                return
            assert result["epoch"] != self.epoch, "an epoch that is still the server's can be resumed from"
            async with http.get("/api/plugins", headers={"Accept-Language": "zh"}) as response:
                listed = await response.json()
            self.plugins = {
                one["id"]: one for kind in ("search", "download", "parser") for one in listed[kind]
            }
            self.epoch, self.seq = listed["epoch"], int(listed["seq"])
            self.epochs += 1

    def _take(self, event: dict[str, Any]) -> None:
        if "seq" not in event or event["type"] == "plugbay.heartbeat":
            return
        assert (event["epoch"], int(event["seq"])) == (self.epoch, self.seq + 1), event
        self.seq += 1
        self.events += 1
        plugin = event["data"].get("plugin")
        if not event["type"].startswith("plugbay.plugin.") or not isinstance(plugin, dict):
            return
        if event["type"] == "plugbay.plugin.unloaded":
            self.plugins.pop(plugin["id"], None)
        else:
            self.plugins[plugin["id"]] = plugin

    def knows(self, listed: dict[str, dict[str, Any]]) -> bool:
        """Whether it has the plugins as the server lists them."""
        return without_passing(self.plugins) == without_passing(listed)
