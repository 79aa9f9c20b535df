"""The connection below the API: what aiohttp's parser cannot read gets a problem as everything else does.

The parser comes before the application, so the middleware never hears of a request that is no HTTP. Three things more
are done here, since nobody later can:

- Raw bytes above 127 in a request line are percent-encoded before the parser sees them. A user who types
  `curl 'http://…/api/search/files?keyword=海贼王'` sends such bytes; the parser refuses them, most servers take
  them.
- A body whose chunks break is ended at once. The parser forgets it, and its reader would wait for more.
- A connection whose other side takes nothing of an answer is let go, as that may be gone without a word.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, InvalidURLError, LineTooLong
from aiohttp.http_parser import RawRequestMessage

from service.api.event_clients import bound_silence
from service.api.keys import REQUEST_ID
from service.api.language import preferred_language
from service.api.problems import problem_of_unreadable
from service.api.responses import SAFE_HEADERS, SAFE_HEADERS_UNLESS_SET
from service.model.request_id import named, new_request_id
from service.model.text import Language, Text

# How long a request line, and one header, may be; what aiohttp takes where it is not told otherwise.
LINE_MAX_BYTES = 8190
# How long a connection may be idle, or take over the head of a request. Proxies that keep connections to us open give
# them up after a minute, and have to be the first to do so.
IDLE_S = 75.0
# How long the other side may take nothing of what is sent to it.
UNREAD_S = 120.0

_END_OF_HEAD = b"\r\n\r\n"
# What says that the bytes behind a head are no head.
_MORE_FOLLOWS = re.compile(rb"\r\n(?:content-length|transfer-encoding|upgrade)[\t ]*:", re.IGNORECASE)
_RAW_BYTE = re.compile(rb"[\x80-\xff]")
_ACCEPT_LANGUAGE = re.compile(rb"\r\naccept-language:([\x20-\x7e\t]{0,256})", re.IGNORECASE)

_NOT_HTTP = Text(
    zh="收到的内容不是有效的 HTTP/1.1 请求，请检查请求行、请求头和分块编码",
    en="What was sent is no valid HTTP/1.1 request; check its request line, headers and chunks",
)
_TLS = Text(
    zh="这里只提供 http，收到的却是 TLS；请把地址中的 https:// 改为 http://",
    en="This port speaks plain http and got TLS; write http:// instead of https:// in the address",
)
_TARGET = Text(
    zh="地址中含有不允许的字符，请先做百分号编码（curl 可用 -G --data-urlencode 'keyword=…'）",
    en="The address has characters that must be percent-encoded (with curl: -G --data-urlencode 'keyword=…')",
)
_LONG_TARGET = Text(
    zh=f"地址超过 {LINE_MAX_BYTES} 字节的上限", en=f"The address is longer than {LINE_MAX_BYTES} bytes"
)
_LONG_HEADER = Text(
    zh=f"请求头过多，或有一个超过 {LINE_MAX_BYTES} 字节",
    en=f"There are too many headers, or one is longer than {LINE_MAX_BYTES} bytes",
)
_TOO_MANY_HEADERS = "Too many headers"


class Runner(web.AppRunner):
    """The application's runner, with connections of the kind described above."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


class RequestLines:
    """Knows where request lines are in the bytes of a connection, and makes them ASCII. No I/O.

    Only what is certainly part of a request line is changed: after a request that has a body or asks for another
    protocol, and after a head that came in pieces, everything is passed on as it came.
    """

    __slots__ = ("_in_line", "line_bytes", "lost")

    def __init__(self) -> None:
        self.lost = False
        self.line_bytes = 0
        self._in_line = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and give them as the parser shall have them."""
        if self.lost:
            return data
        pieces: list[bytes] = []
        position = 0
        changed = False
        while position < len(data):
            if not self._in_line:
                begin = position
                while data.startswith(b"\r\n", position):
                    position += 2
                pieces.append(data[begin:position])
                self._in_line, self.line_bytes = True, 0
            end = data.find(b"\r\n", position)
            line = data[position:] if end < 0 else data[position:end]
            escaped = line if line.isascii() else _RAW_BYTE.sub(_percent, line)
            self.line_bytes += len(escaped)
            changed = changed or escaped is not line
            pieces.append(escaped)
            if end < 0:
                # A line end that is cut in two is not worth following.
                self.lost = line.endswith(b"\r")
                break
            self._in_line = False
            head_end = data.find(_END_OF_HEAD, end)
            if head_end < 0 or line.startswith(b"CONNECT") or _MORE_FOLLOWS.search(data, end, head_end):
                self.lost = True
                pieces.append(data[end:])
                break
            position = head_end + len(_END_OF_HEAD)
            pieces.append(data[end:position])
        return b"".join(pieces) if changed else data


class _Server(web.Server):
    """Makes the connections."""

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_language", "_lines")

    def __init__(self, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, max_line_size=LINE_MAX_BYTES, max_field_size=LINE_MAX_BYTES, **kwargs)
        self._lines = RequestLines()
        self._language: Language = "zh"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection; called by the event loop."""
        super().connection_made(transport)
        bound_silence(cast(asyncio.Transport, transport), UNREAD_S)

    def data_received(self, data: bytes) -> None:
        """Take what came; called by the event loop."""
        if not self._lines.lost:
            data = self._lines.feed(data)
        super().data_received(data)
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            self._cannot_read(data)

    def _cannot_read(self, data: bytes) -> None:
        self._lines.lost = True
        named = _ACCEPT_LANGUAGE.search(data)
        if named is not None:
            self._language = preferred_language(named[1].decode("ascii"))
        request = self._current_request
        if request is not None and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("the coding of the body is broken"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what did not come to the application, or did not come out of it; the connection is closed."""
        id = request.get(REQUEST_ID) or new_request_id()
        with named(id):
            # Logs it, and raises where an answer is on its way already.
            super().handle_error(request, status, exc, message)
        if isinstance(exc, HttpProcessingError):
            code, detail = self._reason(exc)
        else:
            code, detail = "internal", None
        response = problem_of_unreadable(code, detail, self._language, id)
        response.headers.update(SAFE_HEADERS | SAFE_HEADERS_UNLESS_SET)
        response.force_close()
        return response

    def _reason(self, error: HttpProcessingError) -> tuple[str, Text]:
        if isinstance(error, LineTooLong):
            if self._lines.line_bytes > LINE_MAX_BYTES:
                return "uri_too_long", _LONG_TARGET
            return "headers_too_large", _LONG_HEADER
        if error.message.startswith(_TOO_MANY_HEADERS):
            return "headers_too_large", _LONG_HEADER
        if isinstance(error, InvalidURLError):
            return "request_invalid", _TARGET
        if isinstance(error, BadHttpMethod) and "HTTPS" in error.message:
            return "request_invalid", _TLS
        return "request_invalid", _NOT_HTTP


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
