"""A client of server-sent events that keeps to the letter of the specification (WHATWG HTML, 9.2.6), as browsers do."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import aiohttp

SECONDS = 10.0


class Message(NamedTuple):
    """A dispatched event: what it carries, the id that its own block had, if any, and where the client is by it."""

    event: dict[str, Any]
    id: str | None
    last_event_id: str

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        type: str = self.event["type"]
        return type


class Interpreter:
    """Makes messages of the bytes of a stream, however they are cut. No I/O.

    Attributes:
        last_event_id: what a client that is cut now comes back with.
        comments: all of them.
        retry_ms: the newest.
    """

    def __init__(self) -> None:
        self.last_event_id = ""
        self.comments: list[str] = []
        self.retry_ms: int | None = None
        self._rest = b""
        self._data: list[str] = []
        self._id_buffer = ""
        self._own_id: str | None = None

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes; the messages that they complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [message for line in lines if (message := self._line(line.decode())) is not None]

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field:
            self.comments.append(value)
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._id_buffer = self._own_id = value
        elif field == "retry":
            self.retry_ms = int(value)
        else:
            raise AssertionError(f"a line that nobody expects: {line}")
        return None

    def _dispatch(self) -> Message | None:
        self.last_event_id = self._id_buffer
        data, self._data = self._data, []
        own, self._own_id = self._own_id, None
        if not data:
            return None
        assert len(data) == 1, "an event is one line"
        return Message(json.loads(data[0]), own, self.last_event_id)


class EventSource:
    """One connection.

    Attributes:
        interpreter: what has been made of it so far.
        opening: the comment at its beginning.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.interpreter = Interpreter()
        self._ready: list[Message] = []

    @property
    def opening(self) -> dict[str, Any]:
        opening: dict[str, Any] = json.loads(self.interpreter.comments[0])
        return opening

    async def opened(self) -> dict[str, Any]:
        """The comment at the beginning, once it is there; from then on the client is subscribed."""
        while not self.interpreter.last_event_id:
            assert await self._read(), "the stream ended before it began"
        return self.opening

    async def receive(self) -> Message | None:
        """The next event; None at the end of the stream."""
        while not self._ready:
            if not await self._read():
                return None
        return self._ready.pop(0)

    async def ids(self, count: int) -> list[int]:
        """The seqs of so many events of the log."""
        found = []
        while len(found) < count:
            message = await self.receive()
            assert message is not None, f"the stream ended after {found}"
            assert message.id is not None, message
            found.append(int(message.id.partition(":")[2]))
        return found

    async def rest(self) -> list[Message]:
        """All up to the end of the stream."""
        found = []
        while (message := await self.receive()) is not None:
            found.append(message)
        return found

    def cut(self) -> None:
        """Lose the connection."""
        connection = self.response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        self.response.close()

    async def _read(self) -> bool:
        async with asyncio.timeout(SECONDS):
            data = await self.response.content.readany()
        self._ready += self.interpreter.feed(data)
        return bool(data)


async def open_source(
    session: aiohttp.ClientSession, url: str, *topics: str, last_event_id: str | None = None
) -> EventSource:
    """Connect, and wait until the client is subscribed.

    Args:
        session: whose connection it is.
        url: of the stream.
        topics: what is wanted; everything where there are none.
        last_event_id: where the client had come to.
    """
    response = await session.get(
        url,
        params={"topics": ",".join(topics)} if topics else {},
        headers={"Last-Event-ID": last_event_id} if last_event_id is not None else {},
        timeout=aiohttp.ClientTimeout(total=None),
    )
    assert response.status == 200, await response.text()
    assert response.headers["Content-Type"] == "text/event-stream"
    source = EventSource(response)
    await source.opened()
    return source
