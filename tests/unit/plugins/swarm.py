"""A server on loopback that is the tracker, the web seed and the place of torrent files for the daemons in tests."""

from __future__ import annotations

import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

HOLD_S = 40.0


class Origin:
    """Answers in threads of its own.

    `files` maps paths to contents; those in `held` are given up to `held[path]` bytes, and the rest when `gate` is set.
    `redirects` maps paths to addresses. `/announce` is a tracker.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.held: dict[str, int] = {}
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.gate = threading.Event()
        self.announced: list[tuple[bytes, int]] = []
        self.peers: dict[bytes, set[int]] = {}
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                origin.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # whoever breaks a connection off is part of the tests

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Origin:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def tracker(self) -> str:
        return f"{self.url}/announce"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        path = unquote(parts.path)
        if path == "/announce":
            self._send(request, 200, self._announce(parts.query))
        elif path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif path in self.statuses:
            self._send(request, self.statuses[path], b"")
        elif path in self.files:
            self._file(request, path)
        else:
            self._send(request, 404, b"")

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def _announce(self, query: str) -> bytes:
        fields = dict(one.split("=", 1) for one in query.split("&") if "=" in one)
        info_hash, port = unquote_to_bytes(fields["info_hash"]), int(fields["port"])
        self.announced.append((info_hash, port))
        others = self.peers.setdefault(info_hash, set())
        if fields.get("event") == "stopped":
            others.discard(port)
        else:
            others.add(port)
        home = socket.inet_aton("127.0.0.1")
        peers = b"".join(home + one.to_bytes(2, "big") for one in sorted(others - {port}))
        return b"d8:intervali1e12:min intervali1e5:peers%d:%se" % (len(peers), peers)

    def _file(self, request: BaseHTTPRequestHandler, path: str) -> None:
        content = self.files[path]
        first, last = 0, len(content) - 1
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
        if asked:
            first = int(asked[1])
            last = min(int(asked[2]) if asked[2] else last, last)
        request.send_response(206 if asked else 200)
        if asked:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(last - first + 1))
        request.end_headers()
        if request.command == "HEAD":
            return
        now = min(max(self.held.get(path, len(content)), first), last + 1)
        request.wfile.write(content[first:now])
        request.wfile.flush()
        if now <= last:
            self.gate.wait(HOLD_S)
            request.wfile.write(content[now : last + 1])
