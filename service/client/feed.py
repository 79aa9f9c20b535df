"""Live events over WebSocket, taken up again after every cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, cast

import aiohttp
import msgspec

from service.client.errors import ServerRefused, Spoilt, cause, unreachable
from service.client.shapes import Event
from service.client.transport import Transport
from service.model.text import Text

HEARTBEAT_S = 20.0
# A handshake takes no time; one that is not answered never will be.
HANDSHAKE_S = 10.0
# Saying goodbye to a server that may be gone is not worth waiting for.
_GOODBYE_S = 1.0
RECONNECT_MIN_S = 0.2
RECONNECT_MAX_S = 5.0
RESET = "plugbay.stream.reset"
_HEARTBEAT = "plugbay.heartbeat"
# What a server answers to frames that are none, or no calls that it knows (JSON-RPC 2.0, 5.1).
_NOT_UNDERSTOOD = (-32700, -32600, -32601)
_CLOSED = Text(zh="服务器关闭了连接", en="the server closed the connection")


class Position(NamedTuple):
    """A place in the server's event log, written `EPOCH:SEQ` as server-sent events do."""

    epoch: str
    seq: str

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self | None:
        """That of an event, or of the list of plugins; None for an event that is passing and has none."""
        if "seq" not in answer or "epoch" not in answer:
            return None
        return cls(str(answer["epoch"]), str(answer["seq"]))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` wrote.

        Raises:
            ValueError: it is no position.
        """
        epoch, colon, seq = text.strip().rpartition(":")
        if not colon or not epoch or not seq.isdecimal():
            raise ValueError(f"{text!r} is no position such as k3:58")
        return cls(epoch, seq)


@dataclass(frozen=True)
class Connected:
    """The feed runs. `recovered` is false where what happened before cannot be told: fetch everything anew.

    `position` is where it goes on from.
    """

    recovered: bool
    position: Position | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Disconnected:
    """The feed was cut and is being taken up again by itself."""

    reason: str


@dataclass(frozen=True)
class Happened:
    """One event, as CloudEvents JSON."""

    event: Event


class Feed(Transport):
    """Events, with or without word of the connection that they come over."""

    async def events(
        self, topics: Iterable[str] = ("**",), since: Position | str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Events without end, in order and each once, over cuts and restarts of the server.

        Where what happened in between cannot be told any more (another run of the server, or too long ago), there
        comes one event of type `plugbay.stream.reset` instead: fetch what you keep anew with `plugins()`. It may
        have what the next events tell already; theirs is a `seq` up to that of the answer. Heartbeats are left out.

        Args:
            topics: patterns such as `plugins/**` or `tasks/*`.
            since: begin behind this place, as a `Position` or as its text; now, where it is not given.

        Raises:
            ValueError: `since` is no position.
            ServerUnreachable: at the first attempt only; later ones are repeated.
            ServerRefused: a topic is wrong, or the server does not want this client back.
        """
        position = Position.parse(since) if isinstance(since, str) else since
        async with aclosing(self.follow(topics, position)) as feed:
            async for item in feed:
                if isinstance(item, Happened):
                    if item.event["type"] != _HEARTBEAT:
                        yield item.event
                elif isinstance(item, Connected) and not item.recovered:
                    yield _reset(item.position)

    async def follow(
        self, topics: Iterable[str], since: Position | None = None
    ) -> AsyncGenerator[Connected | Disconnected | Happened, None]:
        """The same with heartbeats, and with word of the connection: for who shows that it was cut.

        Args:
            topics: patterns such as `plugins/**`.
            since: begin behind this place; now, where it is not given.

        Raises:
            ServerUnreachable: at the first attempt only; later ones are repeated.
            ServerRefused: a topic is wrong, or the server does not want this client back.
        """
        topics, position, attempt, was_connected = list(topics), since, 0, False
        while True:
            try:
                async with aclosing(self._connection(topics, position)) as feed:
                    async for item in feed:
                        if isinstance(item, Position):
                            position = item
                            continue
                        if isinstance(item, Connected):
                            attempt, was_connected = 0, True
                            position = item.position or position
                        yield item
                reason = _CLOSED.in_language(self.language)
            except (aiohttp.ClientError, TimeoutError, OSError, Spoilt) as error:
                if not was_connected:
                    # It may be refused or not reached just so, but with words to it.
                    await self._ask(dict[str, Any], "GET", "/api/plugins")
                    raise unreachable(self.url, error, self.language) from error
                reason = cause(error, self.language)
            if was_connected and attempt == 0:
                yield Disconnected(reason)
            attempt += 1
            # Jitter, so that many clients of one server do not all come back at once.
            await asyncio.sleep(random.uniform(0.1, 1) * min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2**attempt))

    async def _connection(
        self, topics: list[str], since: Position | None
    ) -> AsyncGenerator[Connected | Position | Happened, None]:
        """One connection: its result, its events, and after each the position to come back to."""
        params: dict[str, Any] = {"topics": topics}
        if since is not None:
            params["since"] = since._asdict()
        async with asyncio.timeout(HANDSHAKE_S):
            opened = await self._session.ws_connect(
                f"{self.url}/api/ws",
                heartbeat=HEARTBEAT_S,
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_S),
            )
        async with opened as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params})
            while True:
                message = await socket.receive()
                if message.type is aiohttp.WSMsgType.CLOSE:
                    _check_may_return(int(message.data), message.extra or "")
                    return
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                frame = _frame(message.data)
                if "error" in frame:
                    _check_refused(frame["error"])
                if "result" in frame:
                    result = frame["result"]
                    recovered = since is None or bool(result.get("recovered"))
                    # What a recovered one missed comes next, so its position is still where it was.
                    here = Position.of(result) if since is None or not recovered else None
                    yield Connected(recovered, here)
                    if not recovered:
                        # Such a subscription is not in force: ask again, from where the server is now.
                        params["since"] = {"epoch": result["epoch"], "seq": result["seq"]}
                        await socket.send_json(
                            {"jsonrpc": "2.0", "id": 2, "method": "subscribe", "params": params}
                        )
                    continue
                yield Happened(cast(Event, frame))
                if (position := Position.of(frame)) is not None:
                    yield position


def _frame(text: str) -> dict[str, Any]:
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        frame = None
    if not isinstance(frame, dict):
        raise Spoilt
    return frame


def _check_refused(error: Mapping[str, Any]) -> None:
    """Frames of this client are well-formed: a server that does not understand one did not get what was sent.

    Raises:
        ServerRefused: it did understand, and says no.
    """
    if error.get("code") in _NOT_UNDERSTOOD:
        raise Spoilt
    raise ServerRefused(400, {"detail": error.get("message", "")})


def _reset(position: Position | None) -> Event:
    """As server-sent events have it."""
    event: Event = {
        "specversion": "1.0",
        "id": "reset",
        "source": "",
        "type": RESET,
        "subject": "stream",
        "time": "",
        "datacontenttype": "application/json",
        "data": {},
    }
    if position is not None:
        event["id"] = f"{position.epoch}-{position.seq}-reset"
        event["epoch"], event["seq"] = position
        event["data"] = {**position._asdict(), "recovered": False, "replayed": 0}
    return event


def _check_may_return(code: int, reason: str) -> None:
    """A close code of the server's own says in its reason whether to come back."""
    if 4000 <= code < 5000 and "not reconnect" in reason:
        raise ServerRefused(400, {"detail": reason})
