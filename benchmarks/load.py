"""HTTP load from a process of its own: plain sockets, so that the server is what takes the time.

python -m benchmarks.load

{"command": "paced", "port": …, "path": …, "rate": requests/s, "seconds": …}
    → {"ms": [one time a request], "lost": how many of them lost their connection, and were sent again on another}
{"command": "flat_out", "port": …, "path": …, "connections": …, "seconds": …, "headers"?: …}
    → {"rate": requests/s, "answered": requests, "ms": [one time a request]}
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

_TIMEOUT_S = 30.0
_RETRY_S = 0.005
_OK = b"HTTP/1.1 200 "


def paced(port: int, path: str, rate: float, seconds: float) -> dict[str, Any]:
    """One request after the other at a steady rate.

    Each is timed from when it was due until it is answered, so that those that wait behind a slow one count as slow,
    too, and those whose server went away until another answers.
    """
    times: list[float] = []
    lost = 0
    request = _request(port, path)
    connection = _connected(port)
    start = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        if (early := due - time.perf_counter()) > 0:
            time.sleep(early)
            due = time.perf_counter()
        try:
            _exchange(connection, request)
        except OSError:
            lost += 1
            connection.close()
            connection = _exchange_anew(port, request)
        times.append((time.perf_counter() - due) * 1000)
    connection.close()
    return {"ms": times, "lost": lost}


def _exchange(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    _receive(connection)


def _exchange_anew(port: int, request: bytes) -> socket.socket:
    """Ask on new connections until one is answered: that one."""
    end = time.perf_counter() + _TIMEOUT_S
    while True:
        connection = None
        try:
            connection = _connected(port)
            _exchange(connection, request)
        except OSError:
            if connection is not None:
                connection.close()
            if time.perf_counter() > end:
                raise
            time.sleep(_RETRY_S)
        else:
            return connection


def flat_out(port: int, path: str, connections: int, seconds: float, headers: str = "") -> dict[str, Any]:
    """As many requests as are answered, one at a time on each connection; `headers` as they stand on the wire."""
    request = _request(port, path, headers)
    sockets = {one.fileno(): one for one in (_connected(port) for _ in range(connections))}
    poll = select.epoll()
    for number, one in sockets.items():
        poll.register(number, select.EPOLLIN)
        one.sendall(request)
    times: list[float] = []
    began = time.perf_counter()
    sent = dict.fromkeys(sockets, began)
    while (now := time.perf_counter()) < began + seconds:
        for number, _ in poll.poll(_TIMEOUT_S):
            # The answers are small and come whole; one that does not is seen by its missing status line.
            if not sockets[number].recv(65536).startswith(_OK):
                raise RuntimeError(f"{path} was not answered with 200")
            now = time.perf_counter()
            times.append((now - sent[number]) * 1000)
            sent[number] = now
            sockets[number].send(request)
    for one in sockets.values():
        one.close()
    return {"rate": len(times) / (now - began), "answered": len(times), "ms": times}


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _request(port: int, path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode()


def _receive(connection: socket.socket) -> None:
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if not (more := connection.recv(65536)):
            raise ConnectionError("the server closed the connection")
        data += more
    head = data[:end].lower()
    start = head.index(b"content-length:") + 15
    left = int(head[start:].split(None, 1)[0]) - (len(data) - end - 4)
    while left > 0:
        left -= len(connection.recv(65536))
    if not data.startswith(_OK):
        raise RuntimeError(f"not answered with 200: {data[:200]!r}")


def main() -> None:
    """Follow the commands on stdin."""
    commands: dict[str, Callable[..., dict[str, Any]]] = {"paced": paced, "flat_out": flat_out}
    for line in sys.stdin:
        arguments = json.loads(line)
        print(json.dumps(commands[arguments.pop("command")](**arguments)), flush=True)


if __name__ == "__main__":
    main()
