"""What clients of live events have in common, whichever way they come: room, and a bound on what waits below."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web

from service.api.authority import is_loopback_address
from service.api.keys import ACTOR, DOOR
from service.errors import PlugbayError
from service.live.client import Client
from service.live.hub import Hub, HubClosed, TooManyClients
from service.model.text import Text

_UNSENT_BYTES = 64 * 1024


def counted_address(request: web.Request) -> str | None:
    """The client's address, as the door has it; None for loopback, which is not counted."""
    address = request[ACTOR].address
    return None if not address or is_loopback_address(address) else address


def check_room(hub: Hub, address: str | None) -> None:
    """Make sure that one more client may come.

    Args:
        hub: who would serve it.
        address: as `counted_address` gives it.

    Raises:
        PlugbayError: there are too many connections from the address, or the server is shutting down.
    """
    try:
        hub.check_room(address)
    except HubClosed:
        raise PlugbayError(
            Text(zh="服务器正在关闭，请稍后重连", en="The server is shutting down; reconnect in a moment"),
            code="shutting_down",
        ) from None
    except TooManyClients:
        limit = hub.limits.clients_per_address
        raise PlugbayError(
            Text(
                zh=f"来自 {address} 的连接已达上限 {limit} 个，请先关闭一些",
                en=f"{address} has as many connections as one address may have ({limit}); close some first",
            ),
            code="too_many_clients",
            limit=limit,
        ) from None


def end_if_void(request: web.Request, hub: Hub, client: Client) -> None:
    """End a client that has just come, where its token was replaced between the door and the hub."""
    if client.by_token and not request.app[DOOR].lets_in(request):
        hub.sign_out(client)


def bound_system_buffer(transport: asyncio.Transport) -> None:
    """Have a client that does not read noticed after 64 KiB, not after the megabytes that the system would take."""
    connection = _tcp(transport)
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)


def bound_silence(transport: asyncio.Transport, seconds: float) -> None:
    """Have the system give up a connection whose other side has acknowledged nothing for so long."""
    connection = _tcp(transport)
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(seconds * 1000)))


def _tcp(transport: asyncio.Transport) -> socket.socket | None:
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return connection
