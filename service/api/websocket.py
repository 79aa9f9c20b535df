"""`GET /api/ws`: live events over a WebSocket. What is said on it is the hub's business; here is only the socket.

What a client can rely on besides the events themselves:

- A text frame above the limit (64 KiB), a binary frame, one that is no JSON or no UTF-8 is answered with a JSON-RPC
  error, and the connection lives. Above sixteen times the limit nothing is read any more: 1009. What breaks the
  WebSocket protocol itself ends with 1002, as RFC 6455 has it.
- 1001: the server shuts down. 4008: the client is too slow. 4009: it did not answer a ping for one heartbeat. Each says
  `reconnect` in its reason, and the client resumes. So does 4401: the token that it came in by was replaced, and the
  client needs the new one first.
- A client that does not take the goodbye has its connection cut after two seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from aiohttp import WSCloseCode, WSMsgType, web

from service.api.event_clients import bound_system_buffer, check_room, counted_address, end_if_void
from service.api.keys import HUB, TOKEN_NEEDED
from service.api.language import language_of
from service.errors import RequestRefused
from service.live.client import Client
from service.live.frames import close_frame, empty_close_frame, pong_frame
from service.live.hub import Hub
from service.live.session import Session
from service.model.text import Text

# Frames above the limit are read and refused up to here, so that the connection lives; beyond, nothing is read at all.
_READ_LIMITS = 16
_NO_CODE = 0
# What a close frame may have for its code (RFC 6455, 7.4): those of the protocol, of libraries and of applications.
_SENDABLE = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
_LINGER_STEP_S = 0.02


class _Socket(web.WebSocketResponse[Literal[False]]):
    """A WebSocket that ends as the hub's clients do, also where aiohttp ends it by itself."""

    end: Callable[[int], Awaitable[None]] | None = None

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        # After a frame that breaks the protocol aiohttp would close at once, with bytes unread: the system answers
        # those with a reset, which can take the close frame away from the client.
        end, self.end = self.end, None
        if end is not None:
            await end(code)
        try:
            return await super().close(code=code, message=message, drain=False)
        finally:
            # aiohttp keeps the error of a lost connection in the connection, and its frames hold the connection: a
            # cycle of sixty objects for every client, until a full collection finds it.
            error = self.exception()
            if error is not None:
                error.__traceback__ = error.__context__ = None


async def websocket_handler(request: web.Request) -> web.StreamResponse:
    """Live events: JSON-RPC control frames in, CloudEvents out.

    Raises:
        RequestRefused: this is no WebSocket handshake.
        PlugbayError: there are too many connections from the address, or the server is shutting down.
    """
    hub = request.app[HUB]
    limits = hub.limits
    await hub.turns.take()
    ws = _Socket(
        autoclose=False,
        autoping=False,
        compress=False,
        # One more, since a message of exactly this size is refused.
        max_msg_size=limits.frame_bytes * _READ_LIMITS + 1,
        decode_text=False,
    )
    if not _is_handshake(ws, request):
        raise RequestRefused(
            Text(
                zh="该地址只接受 WebSocket 连接；普通请求可用 GET /api/plugins",
                en="This address takes WebSocket connections only; GET /api/plugins is for plain requests",
            ),
            code="upgrade_required",
        )
    address = counted_address(request)
    check_room(hub, address)
    transport = request.transport
    writer = await ws.prepare(request)
    if transport is None or transport.is_closing():
        return ws
    bound_system_buffer(transport)
    client = hub.attach(transport, writer.drain, address, by_token=request[TOKEN_NEEDED])
    end_if_void(request, hub, client)
    ws.end = partial(_linger, hub, client)
    try:
        await _listen(ws, hub, client, Session(hub, client, language_of(request)))
    finally:
        hub.detach(client)
    return ws


def _is_handshake(ws: _Socket, request: web.Request) -> bool:
    try:
        return bool(ws.can_prepare(request))
    except ValueError:
        # A header of it is not ASCII, upon which aiohttp stumbles while it says so.
        return False


async def say_goodbye(app: web.Application) -> None:
    """For `on_shutdown`: aiohttp waits for handlers after it, and those of clients end with their connections."""
    await app[HUB].close()


async def _listen(ws: _Socket, hub: Hub, client: Client, session: Session) -> None:
    """Carry out the client's frames until the connection ends. Pings see to it that it does."""
    while True:
        message = await ws.receive()
        hub.alive(client)
        match message.type:
            case WSMsgType.PONG:
                continue
            case WSMsgType.CLOSE:
                # Either the answer to our own, and then this does nothing, or to be answered likewise.
                hub.close_client(client, _answer_to_close(message.data))
                return
            case WSMsgType.TEXT | WSMsgType.BINARY | WSMsgType.PING:
                if client.closing:
                    continue
                await hub.turns.take()
                await hub.room(client)
                if message.type is WSMsgType.TEXT:
                    await session.text(message.data)
                elif message.type is WSMsgType.BINARY:
                    session.binary()
                else:
                    hub.send(client, pong_frame(message.data))
            case _:
                return


def _answer_to_close(code: int) -> bytes:
    """The close frame that answers a client's: with the same code, unless that is one that nobody may send."""
    if code == _NO_CODE:
        return empty_close_frame()
    sendable = any(code in codes for codes in _SENDABLE)
    return close_frame(code if sendable else WSCloseCode.PROTOCOL_ERROR)


async def _linger(hub: Hub, client: Client, code: int) -> None:
    """Say goodbye and drop what still comes, until the client has closed too or is cut."""
    transport = client.transport
    hub.close_client(client, close_frame(code))
    # aiohttp gives no sign when a connection is lost after a broken frame; this is rare and short.
    while not transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(_LINGER_STEP_S)
