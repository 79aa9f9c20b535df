"""The server's own plugins are kept from its API: they run here, so they would need no token.

Asked once for each connection that needs none, before its first request is answered. A plugin that is to use the API
has to be given the token by whoever runs the server. The cookie does not do: a browser sends it to every port of a
host, so a plugin that listens on one may have it from there.
"""

from __future__ import annotations

import asyncio
import weakref

from aiohttp import web

from service.api.door_refusals import DoorRefused
from service.api.keys import DOOR, PEERS, TOKEN_NEEDED
from service.host.workers.peers import End, Peers, Unknown
from service.model.text import Text

_let_in: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()


async def keep_plugins_out(request: web.Request) -> None:
    """Do nothing where somebody else asks, or has shown the token.

    Raises:
        DoorRefused: a plugin of this server asks.
    """
    transport = request.transport
    peers = request.app.get(PEERS)
    if peers is None or request[TOKEN_NEEDED] or transport is None or transport in _let_in:
        return
    if await _is_plugin(peers, transport):
        credentials = request.app[DOOR].credentials
        if credentials is not None and credentials.shown_by(request) == "bearer":
            return
        raise DoorRefused(
            Text(
                zh="连接来自本服务器的插件，或无法确定来自谁；插件不能使用服务器自己的接口，其他程序请出示令牌（server.token）",
                en="A plugin of this server asks, or it cannot be told who does; plugins may not use the server's own "
                "API, other programs can show the token (server.token)",
            ),
            code="plugin_refused",
        )
    _let_in.add(transport)


async def _is_plugin(peers: Peers, transport: asyncio.Transport) -> bool:
    names = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    if not all(isinstance(name, tuple) for name in names):
        return False
    ends = [End(*name[:2]) for name in names]
    try:
        if peers.may_search:
            return await asyncio.to_thread(peers.is_plugin, *ends)
        return peers.is_plugin(*ends)
    except Unknown:
        # Where the kernel never says so, it was told at the start.
        return peers.can_tell
