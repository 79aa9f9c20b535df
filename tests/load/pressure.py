"""Load on a server, from a process of its own: calls over HTTP, and tasks whose events go to many WebSockets.

    python -m tests.load.pressure URL        then one order a line, as JSON, each answered with a line

`{"seconds": 3}` goes as fast as it can for so long, `{"rate": 12.5}` goes on at that pace until the next order, `{}`
rests. What is counted are beats: one task and `CALLS_A_BEAT` calls, one after the other, on one of `CONNECTIONS`
connections.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp

CALLS_A_BEAT = 20
CONNECTIONS = 8
CLIENTS = 40
NAME = "steady"
ANSWER = "as ever"
TEXT = f"""\
from service.sdk import SearchPlugin, SearchResult
class Steady(SearchPlugin):
    name = "{NAME}"
    version = "1"
    description = "under load"
    async def search(self, keyword, **kwargs):
        return [SearchResult(title="{ANSWER}", url=keyword)]
"""


class Pressure:
    """See the module.

    Attributes:
        counts: beats, requests, those that were refused or answered wrongly, events, and clients that were closed.
        odd: the first answer that nobody expects.
    """

    def __init__(self, url: str) -> None:
        self.counts = {"beats": 0, "requests": 0, "wrong": 0, "events": 0, "closed": 0}
        self.odd = ""
        self._url = url
        self._address = urlsplit(url)
        self._rate: float | None = None
        self._goes = asyncio.Event()
        self._next = 0.0

    async def obey(self) -> None:
        """Do as the lines of standard input say, until they end."""
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._listen(http)) for _ in range(CLIENTS)]
            running += [tasks.create_task(self._beat()) for _ in range(CONNECTIONS)]
            while line := await asyncio.to_thread(sys.stdin.readline):
                order = json.loads(line)
                before, began = dict(self.counts), time.monotonic()
                self._go(order.get("rate"), goes=bool(order))
                if "seconds" in order:
                    await asyncio.sleep(order["seconds"])
                    while self.counts["beats"] == before["beats"]:
                        await asyncio.sleep(0.05)
                    self._go(None, goes=False)
                    seconds = time.monotonic() - began
                    told: dict[str, Any] = {
                        name: (count - before[name]) / seconds for name, count in self.counts.items()
                    }
                else:
                    told = {**self.counts, "odd": self.odd}
                print(json.dumps(told), flush=True)
            for one in running:
                one.cancel()

    def _go(self, rate: float | None, *, goes: bool) -> None:
        self._rate, self._next = rate, time.monotonic()
        if goes:
            self._goes.set()
        else:
            self._goes.clear()

    async def _listen(self, http: aiohttp.ClientSession) -> None:
        """Be a client that is told everything; one that is closed comes back."""
        while True:
            async with http.ws_connect(self._url + "/api/ws", max_msg_size=0) as socket:
                await socket.send_json(
                    {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": ["**"]}}
                )
                async for _ in socket:
                    self.counts["events"] += 1
            self.counts["closed"] += 1

    async def _beat(self) -> None:
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        call = self._request("GET", f"/api/search/{NAME}?keyword=x")
        task = self._request("POST", f"/api/search/async?plugin_name={NAME}&keyword=x")
        while True:
            await self._goes.wait()
            if self._rate is not None:
                self._next += 1 / self._rate
                await asyncio.sleep(self._next - time.monotonic())
            for _ in range(CALLS_A_BEAT):
                self._look(await _answer(reader, writer, call), ANSWER)
            self._look(await _answer(reader, writer, task), "task_id")
            self.counts["beats"] += 1

    def _look(self, answer: tuple[int, bytes], expected: str) -> None:
        self.counts["requests"] += 1
        status, body = answer
        if status not in (200, 202) or expected.encode() not in body:
            self.counts["wrong"] += 1
            self.odd = self.odd or f"{status} {body.decode()}"

    def _request(self, method: str, path: str) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: {self._address.netloc}\r\nContent-Length: 0\r\n\r\n".encode()
        )


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split(None, 2)[1]), await reader.readexactly(length)


if __name__ == "__main__":
    asyncio.run(Pressure(sys.argv[1]).obey())
