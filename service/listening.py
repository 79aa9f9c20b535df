"""The sockets that the server listens on: taken before anything else, so that a start in vain changes nothing."""

from __future__ import annotations

import socket
from contextlib import ExitStack

_BACKLOG = 128


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of a host.

    Args:
        host: a name or an address; IPv6 may stand in brackets.
        port: 0 takes a free one, the same for all addresses.

    Raises:
        OSError: it cannot be listened on.
    """
    found: dict[tuple[int, str], None] = {}
    for info in socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
        found[info[0], str(info[4][0])] = None
    sockets: list[socket.socket] = []
    with ExitStack() as opened:
        for family, address in found:
            one = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address, sockets[0].getsockname()[1] if sockets else port))
            # Only a socket that listens keeps others from the port.
            one.listen(_BACKLOG)
            sockets.append(one)
        opened.pop_all()
    return sockets
