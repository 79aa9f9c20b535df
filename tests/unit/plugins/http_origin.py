"""An HTTP server that misbehaves as it is told, on plain asyncio streams: no library would send such answers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

_PIECE = 64 * 1024


@dataclass
class Request:
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> tuple[int, int | None] | None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        return (int(match[1]), int(match[2]) + 1 if match[2] else None) if match else None


@dataclass
class Manner:
    """How one path is served.

    Attributes:
        drop_after: the connection is cut after so many bytes of a body.
        declared: the Content-Length to lie with.
        send: how many bytes of the body to send, whatever was declared.
        shift: added to what Content-Range says.
        refuse: statuses to answer the next requests with.
        busy_above: how many connections at once are served; 503 beyond.
        gate: is waited for after `gate_after` bytes of a body.
        stalls: whether the body of a request stops for good after `gate_after` bytes.
    """

    content: bytes = b""
    etag: str = '"v1"'
    last_modified: str = ""
    ranges: bool = True
    heeds_if_range: bool = True
    accept_ranges: bool = True
    chunked: bool = False
    drop_after: int | None = None
    declared: int | None = None
    send: int | None = None
    shift: int = 0
    status: int | None = None
    refuse: list[int] = field(default_factory=list)
    busy_above: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    gate_after: int = 0
    stalls: Callable[[Request], bool] = lambda request: False
    on_request: Callable[[Request], None] = lambda request: None


class Origin:
    """Attributes: `requests` that came, `serving` connections now, `sent` bytes of bodies."""

    def __init__(self) -> None:
        self.manners: dict[str, Manner] = {}
        self.requests: list[Request] = []
        self.serving = 0
        self.sent = 0
        self.port = 0
        self.scheme = "http"

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def add(self, path: str, content: bytes = b"", **manner: object) -> str:
        self.manners[path] = Manner(content, **manner)  # type: ignore[arg-type]
        return self.url(path)

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            self.serving += 1
            try:
                await self._serve(reader, writer)
                writer.close()
                await writer.wait_closed()
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                self.serving -= 1
                tasks.discard(task)
                with contextlib.suppress(AttributeError):  # it is closed already
                    writer.transport.abort()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        self.scheme = "https" if tls else "http"
        try:
            yield self
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()
            await asyncio.sleep(0)  # aborted transports close in the next round

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split()[1]
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        request = Request(path, headers)
        self.requests.append(request)
        manner = self.manners.get(path, Manner(status=404))
        manner.on_request(request)
        status = manner.refuse.pop(0) if manner.refuse else manner.status
        if manner.busy_above is not None and self.serving > manner.busy_above:
            status = 503
        if status is not None:
            extra = "".join(f"{name}: {value}\r\n" for name, value in manner.headers.items())
            writer.write(f"HTTP/1.1 {status} X\r\n{extra}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        await self._file(request, manner, writer, reader)

    async def _file(
        self, request: Request, manner: Manner, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
    ) -> None:
        content, total = manner.content, len(manner.content)
        wanted = request.range if manner.ranges else None
        condition = request.headers.get("if-range")
        if condition and manner.heeds_if_range and condition not in {manner.etag, manner.last_modified}:
            wanted = None
        lines = [f"{name}: {value}" for name, value in manner.headers.items()]
        lines += [f"ETag: {manner.etag}"] if manner.etag else []
        lines += [f"Last-Modified: {manner.last_modified}"] if manner.last_modified else []
        lines += ["Accept-Ranges: bytes"] if manner.accept_ranges else []
        status, start, end = 200, 0, total
        if wanted is not None:
            start, end = wanted[0], min(wanted[1] or total, total)
            if start >= total:
                writer.write(
                    f"HTTP/1.1 416 X\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\n\r\n".encode()
                )
                await writer.drain()
                return
            status = 206
            lines.append(f"Content-Range: bytes {start + manner.shift}-{end - 1 + manner.shift}/{total}")
        body = memoryview(content)[start:end]
        declared = len(body) if manner.declared is None else manner.declared
        lines.append("Transfer-Encoding: chunked" if manner.chunked else f"Content-Length: {declared}")
        writer.write("\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode("utf-8", "surrogateescape"))
        await writer.drain()
        await self._body(request, manner, writer, reader, body)

    async def _body(
        self,
        request: Request,
        manner: Manner,
        writer: asyncio.StreamWriter,
        reader: asyncio.StreamReader,
        body: memoryview,
    ) -> None:
        body = body if manner.send is None else body[: manner.send]
        gone = asyncio.ensure_future(reader.read())
        try:
            sent = 0
            while sent < len(body):
                stop = len(body)
                for limit in (
                    manner.drop_after,
                    manner.gate_after if manner.gate or manner.stalls(request) else None,
                ):
                    stop = min(stop, limit) if limit is not None and limit > sent else stop
                piece = body[sent : min(sent + _PIECE, stop)]
                writer.write(
                    b"%x\r\n" % len(piece) + bytes(piece) + b"\r\n" if manner.chunked else bytes(piece)
                )
                await writer.drain()
                sent += len(piece)
                self.sent += len(piece)
                if manner.drop_after is not None and sent >= manner.drop_after:
                    # What is on its way still arrives; then the connection ends in the middle.
                    return
                if sent == manner.gate_after and manner.stalls(request):
                    await gone
                    return
                if manner.gate is not None and sent == manner.gate_after:
                    waiting = asyncio.ensure_future(manner.gate.wait())
                    await asyncio.wait([waiting, gone], return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                    if not manner.gate.is_set():
                        return
            if manner.chunked:
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        finally:
            gone.cancel()
