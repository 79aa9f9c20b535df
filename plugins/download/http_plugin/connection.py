"""One request over HTTP: the connection, redirects, and the answer, all of it blocking and all of it to be cut off."""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

from plugins.download.http_plugin.address import PORTS, http_proxy_for, plain_url, redirected
from plugins.download.http_plugin.errors import DownloadFailed, Interrupted, Stopped
from plugins.shared.web_failures import retry_after_s
from plugins.shared.web_origins import basic, is_same_origin

CONNECT_TIMEOUT_S = 10.0
MAX_REDIRECTS = 20
# How long to wait whether the server closes, as asked, or sends more than it announced.
_EXCESS_TIMEOUT_S = 0.5
_PRIVATE = {"authorization", "cookie", "proxy-authorization"}


class Sockets:
    """The open sockets of one transfer. `cut()` ends whatever waits for them, also while it connects."""

    def __init__(self) -> None:
        self.is_cut = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def add(self, sock: socket.socket) -> None:
        """One more; raises Stopped, and closes it, where all are cut."""
        with self._lock:
            self._open.add(sock)
        if self.is_cut.is_set():
            self.close(sock)
            raise Stopped

    def close(self, sock: socket.socket) -> None:
        """Close it; twice does no harm."""
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def replace(self, old: socket.socket, new: socket.socket) -> None:
        """TLS has taken the socket over."""
        with self._lock:
            self._open.discard(old)
        self.add(new)

    def cut(self) -> None:
        """Shut all down; whoever reads or connects gets an error at once, and no new one opens."""
        self.is_cut.set()
        with self._lock:
            for sock in self._open:
                shut(sock)


def shut(sock: socket.socket) -> None:
    """Shut a connection down that another thread may be waiting for."""
    try:
        # Not SSLSocket's own, which takes the TLS object away from under the other thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass


class Answer:
    """What the server answered; its body is still to be read."""

    def __init__(
        self, response: http.client.HTTPResponse, sock: socket.socket, url: str, sockets: Sockets
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self.url = url
        self._response = response
        self._sock = sock
        self._sockets = sockets

    @property
    def length(self) -> int | None:
        """The announced length of the body, None where there is none."""
        value = self.headers.get("Content-Length", "").strip()
        return int(value) if value.isascii() and value.isdigit() and not self._response.chunked else None

    @property
    def content_range(self) -> tuple[int | None, int | None, int | None]:
        """First byte, byte after the last and length of the whole, each None where it is not said."""
        value = self.headers.get("Content-Range", "").strip()
        match = re.fullmatch(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", value, re.IGNORECASE | re.ASCII)
        if match is None or int(match[2]) < int(match[1]):
            return None, None, None
        return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])

    @property
    def retry_after_s(self) -> float | None:
        """What `Retry-After` asks for."""
        return retry_after_s(self.headers.get("Retry-After", ""))

    def read_into(self, view: memoryview) -> int:
        """What has arrived, at least one byte; 0 at the end of the body.

        Raises:
            Interrupted: the connection broke, or nothing came for too long.
        """
        try:
            if not self._response.chunked:
                # Straight into the buffer: HTTPResponse's own `readinto` waits until it is full.
                body: io.BufferedReader = self._response.fp
                return body.readinto1(view)
            data = self._response.read1(len(view))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise_interrupted(error, self._sockets)
        view[: len(data)] = data
        return len(data)

    def has_excess(self) -> bool:
        """Whether more comes after the announced length; asked when all of that has been read."""
        try:
            self._sock.settimeout(_EXCESS_TIMEOUT_S)
            return bool(self._response.fp.read1(1))
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Give the connection up; twice does no harm."""
        try:
            self._response.close()
        except (OSError, ValueError):
            pass
        self._sockets.close(self._sock)


class Client:
    """Makes requests, each on a connection of its own.

    Args:
        sockets: to register at.
        timeout_s: how long to wait for anything to come.
        headers: sent with every request; the private ones only to the host that they are for.
        tls: makes the TLS context, at the first `https` address.
    """

    def __init__(
        self,
        sockets: Sockets,
        timeout_s: float,
        headers: Mapping[str, str],
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        self._sockets = sockets
        self._timeout_s = timeout_s
        self._headers = dict(headers)
        self._tls = tls

    def get(self, url: str, headers: Mapping[str, str], home: str) -> Answer:
        """The answer behind all redirects.

        Args:
            url: where to begin.
            headers: of this request only.
            home: the address that the private headers are for.

        Raises:
            DownloadFailed: the address, a redirect or the certificate is not acceptable.
            Interrupted: no connection, or no answer.
            Stopped: cut off.
        """
        url, credentials = plain_url(url)
        home, given = plain_url(home)
        credentials = credentials or given
        seen = {url}
        private = is_same_origin(home, url)
        while True:
            sent = {**self._headers, **headers}
            if credentials and not any(name.lower() == "authorization" for name in sent):
                sent["Authorization"] = credentials
            if not private:
                sent = {name: value for name, value in sent.items() if name.lower() not in _PRIVATE}
            answer = self._request(url, sent)
            location = answer.headers.get("Location")
            if answer.status not in {301, 302, 303, 307, 308} or not location:
                return answer
            answer.close()
            following = redirected(url, location)
            if following in seen or len(seen) > MAX_REDIRECTS:
                raise DownloadFailed(
                    f"the server sends {home} round in a circle, or over more than {MAX_REDIRECTS} redirects; "
                    "open the address in a browser to see whether it wants a login"
                )
            seen.add(following)
            private = private and is_same_origin(url, following)
            url = following

    def _request(self, url: str, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        proxy = http_proxy_for(parts.scheme, host)
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        headers = {"Host": parts.netloc, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        headers["Connection"] = "close"
        sock: socket.socket | None = None
        try:
            if proxy is None:
                sock = self._connect(host, port)
            else:
                sock = self._connect(proxy.hostname or "", proxy.port or PORTS["http"])
                login = basic(proxy)
                if parts.scheme == "https":
                    _tunnel(sock, host, port, login)
                else:
                    target = url
                    headers |= {"Proxy-Authorization": login} if login else {}
            if parts.scheme == "https":
                plain = sock
                sock = self._tls().wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
                self._sockets.replace(plain, sock)
                sock.do_handshake()
            connection = http.client.HTTPConnection(host, port)
            connection.sock = sock
            connection.request("GET", target, headers=dict(headers))
            return Answer(connection.getresponse(), sock, url, self._sockets)
        except (OSError, http.client.HTTPException) as error:
            if sock is not None:
                self._sockets.close(sock)
            raise_interrupted(error, self._sockets, f"{host}:{port}")
        except BaseException:
            if sock is not None:
                self._sockets.close(sock)
            raise

    def _connect(self, host: str, port: int) -> socket.socket:
        """As `socket.create_connection`, but it can be cut off meanwhile."""
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock: socket.socket | None = None
            try:
                sock = socket.socket(family, kind, protocol)
                self._sockets.add(sock)
                sock.settimeout(min(self._timeout_s, CONNECT_TIMEOUT_S))
                sock.connect(address)
                sock.settimeout(self._timeout_s)
                return sock
            except OSError as error:
                failure = error
                if sock is not None:
                    self._sockets.close(sock)
                if self._sockets.is_cut.is_set():
                    raise Stopped from error
        raise failure or OSError(f"{host} has no address")


def raise_interrupted(error: Exception, sockets: Sockets, peer: str = "") -> NoReturn:
    """Say what a failure of the network means: Stopped, DownloadFailed or Interrupted."""
    if sockets.is_cut.is_set():
        raise Stopped from error
    where = f" to {peer}" if peer else ""
    if isinstance(error, ssl.SSLCertVerificationError):
        raise DownloadFailed(
            f"the certificate of {peer} is not valid: {error.verify_message}; check the address and the clock"
        ) from error
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
        raise DownloadFailed(f"there is no host {peer.rpartition(':')[0]}; check the address") from error
    if isinstance(error, TimeoutError):
        raise Interrupted(f"nothing came in time over the connection{where}") from error
    raise Interrupted(f"the connection{where} broke: {error or type(error).__name__}") from error


def _tunnel(sock: socket.socket, host: str, port: int, login: str) -> None:
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [
        f"CONNECT {name} HTTP/1.1",
        f"Host: {name}",
        *([f"Proxy-Authorization: {login}"] if login else []),
    ]
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    response = http.client.HTTPResponse(sock, method="CONNECT")
    response.begin()
    if response.status != 200:
        raise DownloadFailed(
            f"the proxy answered {response.status} {response.reason} for {name}; check its settings"
        )
