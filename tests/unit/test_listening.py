"""Nobody else gets the port of a server on another address that its name leads to."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

import pytest

from service.listening import listening_sockets, neighbours_kept_free


def takes(address: str, port: int) -> int | None:
    """The number of the error of who tries to listen there as hard as it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            one.bind((address, port))
            one.listen()
        except OSError as error:
            return error.errno
    return None


@pytest.mark.parametrize(
    ("host", "others"),
    [("127.0.0.1", ("::1", "::")), ("::1", ("127.0.0.1", "0.0.0.0")), ("0.0.0.0", ("::1", "127.0.0.2"))],
)
def test_the_other_addresses_of_localhost_are_taken(host: str, others: tuple[str, ...]) -> None:
    with ExitStack() as held:
        sockets = [held.enter_context(one) for one in listening_sockets(host, 0)]
        kept = [held.enter_context(one) for one in neighbours_kept_free(sockets)]
        port = sockets[0].getsockname()[1]
        assert [takes(other, port) for other in others] == [errno.EADDRINUSE] * len(others)
        family = kept[0].family
        with socket.socket(family) as asking:
            assert asking.connect_ex((kept[0].getsockname()[0], port)) == errno.ECONNREFUSED


def test_who_is_there_already_stays() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as there, ExitStack() as held:
        port = there.getsockname()[1]
        sockets = [held.enter_context(one) for one in listening_sockets("127.0.0.1", port)]
        assert neighbours_kept_free(sockets) == []
