"""JSON answers."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

# What every answer carries, whoever gives it.
SAFE_HEADERS = {
    "Server": "plugbay",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Likewise, where a handler that serves pages does not say otherwise.
SAFE_HEADERS_UNLESS_SET = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

# What the request is called, taken from the client where that names one.
REQUEST_ID_HEADER = "X-Request-ID"

_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
_encode = msgspec.json.Encoder().encode


def json_response(value: Any, *, status: int = 200) -> web.Response:
    """Answer with a value that msgspec can encode."""
    return web.Response(body=_encode(value), status=status, headers=_HEADERS)


def json_bytes_response(body: bytes) -> web.Response:
    """Answer with JSON that is already encoded, such as a plugin's own result."""
    return web.Response(body=body, headers=_HEADERS)
