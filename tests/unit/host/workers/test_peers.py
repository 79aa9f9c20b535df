"""Who is at the other end of a connection: this process and strangers are let in, what it has started is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.host.workers.peers import End, Peers, socket_of
from service.host.workers.processes import TEMPLATE_ENTRY

CLIENT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2]))).recv(1)"


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::") as server:
        server.settimeout(20)
        yield server


def ends(accepted: socket.socket) -> tuple[End, End]:
    return End(*accepted.getpeername()[:2]), End(*accepted.getsockname()[:2])


@pytest.mark.parametrize(
    ("listens", "asked"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1")]
)
def test_a_socket_is_found_by_its_addresses(listens: str, asked: str) -> None:
    with listening(listens) as server, socket.create_connection((asked, server.getsockname()[1])) as ours:
        accepted, _ = server.accept()
        with accepted:
            found = socket_of(*ends(accepted))
            assert found == (os.geteuid(), os.fstat(ours.fileno()).st_ino)
            assert not Peers(None).is_plugin(*ends(accepted))


def test_where_plugins_have_a_user_it_is_told_by_that() -> None:
    with listening("127.0.0.1") as server, socket.create_connection(server.getsockname()):
        accepted, _ = server.accept()
        with accepted:
            assert Peers(os.geteuid()).is_plugin(*ends(accepted))
            assert not Peers(os.geteuid() + 1).is_plugin(*ends(accepted))


@pytest.mark.parametrize("program", [[], ["sh", "-c", '"$@"', "sh"]], ids=["a child", "a child of a child"])
def test_what_this_process_has_started_is_a_plugin(program: list[str]) -> None:
    with listening("127.0.0.1") as server:
        command = [*program, sys.executable, "-c", CLIENT, *map(str, server.getsockname())]
        with subprocess.Popen(command):
            accepted, _ = server.accept()
            with accepted:
                assert Peers(None).is_plugin(*ends(accepted))


def test_a_stranger_of_the_same_user_is_none() -> None:
    with listening("127.0.0.1") as server:
        command = [sys.executable, "-c", CLIENT, *map(str, server.getsockname())]
        # The shell ends at once, so that the client is nobody's child here.
        subprocess.run(["sh", "-c", '"$@" &', "sh", *command], check=True)
        accepted, _ = server.accept()
        with accepted:
            assert not Peers(None).is_plugin(*ends(accepted))


def test_what_another_servers_template_has_started_is_a_plugin() -> None:
    with listening("127.0.0.1") as server:
        command = [sys.executable, "-c", CLIENT, *map(str, server.getsockname())]
        # Looks like a template, and is nobody's child here; the client below it does not look like one.
        template = f"import subprocess, sys; subprocess.run(sys.argv[2:]); sys.exit()  # {TEMPLATE_ENTRY}"
        subprocess.run(
            ["sh", "-c", '"$@" &', "sh", sys.executable, "-c", template, "0", *command], check=True
        )
        accepted, _ = server.accept()
        with accepted:
            assert Peers(None).is_plugin(*ends(accepted))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_whoever_has_a_user_that_only_plugins_have_is_one() -> None:
    with listening("127.0.0.1") as server:
        for user, is_plugin in ((1_900_000_007, True), (65_534, False)):
            asking = "import encodings.idna, os, socket, sys; os.setuid(int(sys.argv.pop(3))); exec(sys.argv.pop(3))"
            address, port = server.getsockname()
            command = [sys.executable, "-c", asking, address, str(port), str(user), CLIENT]
            with subprocess.Popen(command):
                accepted, _ = server.accept()
                with accepted:
                    assert Peers(1_900_000_001).is_plugin(*ends(accepted)) is is_plugin


def test_who_has_closed_the_connection_may_be_a_plugin() -> None:
    with listening("127.0.0.1") as server:
        ours = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            ours.close()
            assert Peers(None).is_plugin(*ends(accepted))
