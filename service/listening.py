"""The sockets that the server listens on: taken before anything else, so that a start in vain changes nothing."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import ExitStack

_BACKLOG = 128
# What `localhost` may lead to.
_LOCALHOST = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


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


def neighbours_kept_free(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Take the port on the other addresses of `localhost`, without listening there.

    A server on 127.0.0.1 is also asked for as `localhost`, for which a browser tries ::1 first. A plugin that listened
    there would be taken for the server, and its pages for the server's own.

    Args:
        sockets: those that the server listens on.

    Returns:
        what has to be kept open; less where this machine has no such address, or another program is there.
    """
    listened = [one.getsockname()[:2] for one in sockets]
    kept: list[socket.socket] = []
    if not all(_is_of_this_machine_only_or_of_all(address) for address, _ in listened):
        return kept
    taken = {address for address, _ in listened}
    for family, address in _LOCALHOST:
        if taken.isdisjoint((address, "0.0.0.0" if family == socket.AF_INET else "::")):
            with ExitStack() as opened:
                try:
                    one = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    # Without SO_REUSEADDR nobody else gets it, though nothing listens.
                    one.bind((address, listened[0][1]))
                except OSError:
                    continue
                opened.pop_all()
                kept.append(one)
    return kept


def _is_of_this_machine_only_or_of_all(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ip.is_loopback or ip.is_unspecified
