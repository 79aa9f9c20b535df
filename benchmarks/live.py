"""A WebSocket client that notes when messages came."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

_TIMEOUT_S = 30.0

Message = dict[str, Any]


class Client:
    """One connection, which is read all the while: a server ends those that do not answer its pings.

    Args:
        websocket: the connection.
        frames: takes what comes, each with `time.perf_counter()` when it did.
    """

    def __init__(
        self,
        websocket: aiohttp.ClientWebSocketResponse,
        frames: asyncio.Queue[tuple[float, aiohttp.WSMessage]],
    ) -> None:
        self._websocket = websocket
        self._frames = frames

    async def read(self) -> None:
        """Take what comes until the connection ends."""
        while True:
            frame = await self._websocket.receive()
            self._frames.put_nowait((time.perf_counter(), frame))
            if frame.type is not aiohttp.WSMsgType.TEXT:
                return

    async def send(self, message: Message) -> None:
        """Send one message."""
        await self._websocket.send_json(message)

    async def subscribe(self, *topics: str) -> None:
        """Subscribe to topics of Plugbay's events, from now on."""
        await self.send({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": topics}})
        await self.until(lambda message: message.get("id") == 1)

    async def until(self, wanted: Callable[[Message], bool]) -> tuple[float, Message]:
        """Go through what came and comes until a message is the wanted one.

        Returns:
            `time.perf_counter()` when it was received, before it was decoded; and the message.
        """
        async with asyncio.timeout(_TIMEOUT_S):
            while True:
                received, frame = await self._frames.get()
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(f"the connection ended: {frame.data} {frame.extra}")
                message: Message = json.loads(frame.data)
                if wanted(message):
                    return received, message


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A client of any WebSocket."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as websocket:
        client = Client(websocket, asyncio.Queue())
        reading = asyncio.create_task(client.read())
        try:
            yield client
        finally:
            reading.cancel()
            await asyncio.wait((reading,))


@contextlib.asynccontextmanager
async def following(url: str) -> AsyncIterator[Client]:
    """A client of Plugbay's events about plugins."""
    async with connected(f"{url}/api/ws") as client:
        await client.subscribe("plugins/**")
        yield client


def reloaded(name: str, version: str) -> Callable[[Message], bool]:
    """Whether a message says that this version of a plugin serves, in Plugbay's events or the peer's like them."""

    def is_it(message: Message) -> bool:
        plugin = message.get("data", {}).get("plugin", {})
        if message.get("type") == "plugbay.plugin.failed":
            raise RuntimeError(f"{name} did not load: {plugin.get('error')}")
        return (
            message.get("type") in ("plugbay.plugin.reloaded", "plugbay.plugin.loaded")
            and plugin.get("name") == name
            and plugin.get("version") == version
        )

    return is_it
