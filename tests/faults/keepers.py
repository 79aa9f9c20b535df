"""Clients that keep the registry of a server over a bad network, each in its own way: WebSocket, SSE, client, command.

Each holds a list of plugins that it takes from `GET /api/plugins` and keeps up by events. Whatever is cut, spoilt or
swallowed, it takes up where it was, and sees that nothing comes twice; `missed` says whether anything was left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import aiohttp

from service.client import Client, ClientError, Position
from service.client.feed import RESET
from tests.integration.event_source import Interpreter
from tests.integration.server_process import ServerProcess

# A server that is there says something every heartbeat, which is one second here.
SILENCE_S = 2.5
TOPICS = ["plugins/**"]

# What a client sees of a connection that breaks or of bytes that are spoilt.
BROKEN = (aiohttp.ClientError, ConnectionError, TimeoutError, ValueError, KeyError, TypeError, AttributeError)


class Keeper(ABC):
    """See the module.

    Attributes:
        plugins: every plugin by id.
        connections: how often it came back.
        resets: how often it had to begin anew from a list.
    """

    def __init__(self, url: str, chance: random.Random) -> None:
        self.plugins: dict[str, dict[str, Any]] = {}
        self.connections = self.resets = 0
        self._url = url
        self._chance = chance
        self._position: tuple[str, int] | None = None
        # Between two lists, the seqs from the first's on, of which each event counts once.
        self._stretches: list[tuple[int, list[int]]] = []

    @abstractmethod
    async def run(self) -> None:
        """Keep the plugins, until cancelled."""

    def missed(self, history: Sequence[int]) -> list[int]:
        """The events that it was not told of, of all that there were of its topics."""
        found = []
        for begin, seqs in self._stretches:
            last = seqs[-1] if seqs else begin
            found += sorted({seq for seq in history if begin < seq <= last} - set(seqs))
        return found

    def begin(self, listed: dict[str, Any]) -> None:
        """Take over a list."""
        self.plugins = {one["id"]: one for kind in ("search", "download", "parser") for one in listed[kind]}
        self._position = (listed["epoch"], int(listed["seq"]))
        self._stretches.append((self._position[1], []))
        self.resets += 1

    def take(self, event: dict[str, Any]) -> None:
        """Take in an event.

        Raises:
            AssertionError: it came before.
        """
        if "seq" not in event or event["type"] == "plugbay.heartbeat":
            return
        epoch, seq = event["epoch"], int(event["seq"])
        plugin = event["data"].get("plugin")
        assert self._position is not None
        assert (epoch, seq > self._position[1]) == (self._position[0], True), (event, self._position)
        self._position = (epoch, seq)
        self._stretches[-1][1].append(seq)
        if not event["type"].startswith("plugbay.plugin.") or not isinstance(plugin, dict):
            return
        if event["type"] == "plugbay.plugin.unloaded":
            self.plugins.pop(plugin["id"], None)
        else:
            self.plugins[plugin["id"]] = plugin


class _Returning(Keeper):
    """One that comes back by itself, after a while of chance."""

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, connect=SILENCE_S, sock_read=SILENCE_S)
        headers = {"Accept-Language": "zh"}
        while True:
            self.connections += 1
            # A session of its own for each: no connection of an earlier one is taken again.
            async with aiohttp.ClientSession(self._url, timeout=timeout, headers=headers) as http:
                with contextlib.suppress(*BROKEN):
                    await self.connection(http)
            await asyncio.sleep(self._chance.random() * 0.1)

    @abstractmethod
    async def connection(self, http: aiohttp.ClientSession) -> None:
        """One connection, to its end."""

    async def fetch(self, http: aiohttp.ClientSession) -> None:
        async with http.get("/api/plugins") as response:
            response.raise_for_status()
            self.begin(json.loads(await response.read()))


class SocketKeeper(_Returning):
    """Over a WebSocket, with `since`."""

    async def connection(self, http: aiohttp.ClientSession) -> None:
        if self._position is None:
            await self.fetch(http)
        async with asyncio.timeout(SILENCE_S):
            socket = await http.ws_connect(
                "/api/ws", max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=1)
            )
        try:
            while True:
                assert self._position is not None
                since = {"epoch": self._position[0], "seq": str(self._position[1])}
                params = {"topics": TOPICS, "since": since}
                await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params})
                if (await self._receive(socket))["result"]["recovered"]:
                    break
                await self.fetch(http)
            while True:
                self.take(await self._receive(socket))
        finally:
            # A cut, without a word: what is broken is not spoken to.
            if socket._response.connection is not None and socket._response.connection.transport is not None:
                socket._response.connection.transport.abort()

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await socket.receive_str(timeout=SILENCE_S))
        return frame


class StreamKeeper(_Returning):
    """Over server-sent events, with `Last-Event-ID`."""

    async def connection(self, http: aiohttp.ClientSession) -> None:
        if self._position is None:
            await self.fetch(http)
        assert self._position is not None
        headers = {"Last-Event-ID": f"{self._position[0]}:{self._position[1]}"}
        interpreter = Interpreter()
        url = f"/api/events?topics={','.join(TOPICS)}"
        async with http.get(url, headers=headers) as response:
            response.raise_for_status()
            while data := await response.content.readany():
                try:
                    messages = interpreter.feed(data)
                except AssertionError as error:  # a line that is none, as one of its bytes was spoilt
                    raise ValueError(*error.args) from None
                for message in messages:
                    if message.type == RESET:
                        # What comes from here on is dropped as far as the list knows it.
                        await self.fetch(http)
                    elif "seq" not in message.event or int(message.event["seq"]) > self._position[1]:
                        self.take(message.event)


class ClientKeeper(Keeper):
    """By the client that comes with Plugbay: cuts are its own affair, and told as resets where something is lost."""

    async def run(self) -> None:
        async with Client(self._url, language="zh", timeout_s=SILENCE_S) as client:
            while True:
                with contextlib.suppress(ClientError):
                    self.begin(dict(await client.plugins()))
                    assert self._position is not None
                    since = Position(self._position[0], str(self._position[1]))
                    async with aclosing(client.events(TOPICS, since=since)) as events:
                        async for event in events:
                            if event["type"] == RESET:
                                break
                            self.take(dict(event))
                self.connections += 1
                await asyncio.sleep(0.05)


class CommandKeeper(Keeper):
    """`plugbay list --watch --json`: the list after each change, line by line."""

    def __init__(self, url: str, chance: random.Random, server: ServerProcess) -> None:
        super().__init__(url, chance)
        self._server = server
        self.said = b""

    async def run(self) -> None:
        command = await self._server.start_plugbay("list", "--watch", "--json", PLUGBAY_URL=self._url)
        assert command.stdout is not None
        assert command.stderr is not None
        try:
            async with asyncio.TaskGroup() as readers:
                readers.create_task(self._listen(command.stderr))
                while line := await command.stdout.readline():
                    self.plugins = {one["id"]: one for one in json.loads(line)}
                raise AssertionError(f"the command ended, having said {self.said.decode()}")
        finally:
            if command.returncode is None:
                command.kill()
            await command.wait()

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        while line := await stderr.readline():
            self.said += line
            self.connections += b"cut" in line
