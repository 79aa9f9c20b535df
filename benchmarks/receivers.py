"""WebSocket clients in a process of their own: plain sockets, which cost less than what is measured.

    python -m benchmarks.receivers

{"command": "connect", "port": …, "clients": …, "wish": …}   so many more; each sends the wish and waits for an answer
{"command": "arm", "count": …}        → {}, and {"at": ns} when every client has got so many events
{"command": "resume", "port": …, "clients": …, "count": …, "wish": …}
    → {"ms": …}: so many clients come, send the wish at the same moment, and are gone when each has so many events
"""

from __future__ import annotations

import base64
import json
import os
import resource
import select
import socket
import struct
import time
from typing import Any

EVENT_MARK = b'"plugbay.plugin.'
_ANSWERED = b'"recovered"'
_HEADER = struct.Struct("!BB")
_TIMEOUT_S = 60.0
_BETWEEN = 16
_READ_BYTES = 262144


class Receivers:
    """Thousands of clients that count the events they get and answer pings."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._rests: dict[int, bytes] = {}
        self._missing: dict[int, int] = {}

    def serve(self) -> None:
        """Follow the commands on stdin."""
        self._epoll.register(0, select.EPOLLIN)
        pending = b""
        while True:
            for number, _ in self._epoll.poll(maxevents=256):
                if number:
                    self._receive(number)
                    continue
                data = os.read(0, 65536)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))

    def _obey(self, command: dict[str, Any]) -> None:
        match command["command"]:
            case "connect":
                for number in range(command["clients"]):
                    self._keep(connected(command["port"], command["wish"]))
                    if number % _BETWEEN == 0:
                        self._answer_pings()
                _say({})
            case "arm":
                self._missing = dict.fromkeys(self._sockets, command["count"])
                _say({})
            case "resume":
                _say({"ms": resumed(command["port"], command["clients"], command["count"], command["wish"])})

    def _answer_pings(self) -> None:
        """Of those that are there; nobody is to be dropped while the others still come."""
        for number, _ in self._epoll.poll(0):
            if number:
                self._receive(number)

    def _keep(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        number = connection.fileno()
        self._sockets[number] = connection
        self._rests[number] = b""
        self._epoll.register(number, select.EPOLLIN)

    def _receive(self, number: int) -> None:
        data = self._sockets[number].recv(_READ_BYTES)
        if not data:
            raise RuntimeError("a server closed a connection")
        rest = self._rests[number] + data if self._rests[number] else data
        events = at = 0
        while len(rest) >= at + 2:
            first, size = _HEADER.unpack_from(rest, at)
            start = at + 2
            if size == 126:
                if len(rest) < start + 2:
                    break
                size, start = int.from_bytes(rest[start : start + 2], "big"), start + 2
            if len(rest) < start + size:
                break
            if first == 0x89:
                self._sockets[number].send(_masked(0xA, rest[start : start + size]))
            elif first == 0x88:
                reason = rest[start + 2 : start + size].decode(errors="replace")
                raise RuntimeError(f"a server closed a connection: {reason}")
            elif rest.find(EVENT_MARK, start, start + size) >= 0:
                events += 1
            at = start + size
        self._rests[number] = rest[at:]
        if events and number in self._missing:
            self._missing[number] -= events
            if self._missing[number] <= 0:
                del self._missing[number]
                if not self._missing:
                    _say({"at": time.monotonic_ns()})


def connected(port: int, wish: str | None = None) -> socket.socket:
    """A WebSocket that has said what it wants, if anything, and has been answered."""
    connection = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(bytes(16)).decode()
    connection.sendall(
        (
            f"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    answer = _until(connection, b"", b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(answer.decode())
    if wish is not None:
        connection.sendall(_masked(0x1, wish.encode()))
        _until(connection, answer.partition(b"\r\n\r\n")[2], _ANSWERED)
    return connection


def resumed(port: int, clients: int, count: int, wish: str) -> float:
    """How long it takes, in ms, until so many clients that come back at once have got so many events each."""
    frame = _masked(0x1, wish.encode())
    poll = select.epoll()
    connections = {one.fileno(): one for one in (connected(port) for _ in range(clients))}
    missing = dict.fromkeys(connections, count)
    rests = dict.fromkeys(connections, b"")
    for number in connections:
        poll.register(number, select.EPOLLIN)
    began = time.perf_counter()
    for one in connections.values():
        one.sendall(frame)
    while missing:
        ready = poll.poll(_TIMEOUT_S)
        if not ready:
            raise RuntimeError(f"{len(missing)} clients did not get all {count} events")
        for number, _ in ready:
            data = connections[number].recv(_READ_BYTES)
            if not data:
                raise RuntimeError("a server closed a connection")
            events, rests[number] = counted(rests[number] + data)
            missing[number] -= events
            if missing[number] <= 0:
                del missing[number]
                poll.unregister(number)
    took = (time.perf_counter() - began) * 1000
    for one in connections.values():
        one.close()
    return took


def counted(data: bytes) -> tuple[int, bytes]:
    """How many events there are, and what is to be put before what comes next: an event may be cut in two."""
    last = data.rfind(EVENT_MARK)
    return data.count(EVENT_MARK), data[max(last + 1, len(data) - len(EVENT_MARK) + 1) :]


def _until(connection: socket.socket, data: bytes, wanted: bytes) -> bytes:
    while wanted not in data:
        if not (more := connection.recv(4096)):
            raise RuntimeError("a server closed a connection")
        data += more
    return data


def _masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame; its mask is zero, which leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB4x", 0x80 | opcode, 0x80 | size) + payload
    return struct.pack("!BBH4x", 0x80 | opcode, 0x80 | 126, size) + payload


def _say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Be the clients."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Receivers().serve()


if __name__ == "__main__":
    main()
