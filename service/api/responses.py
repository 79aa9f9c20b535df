"""JSON answers."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
_encode = msgspec.json.Encoder().encode


def json_response(value: Any, *, status: int = 200) -> web.Response:
    """Answer with a value that msgspec can encode."""
    return web.Response(body=_encode(value), status=status, headers=_HEADERS)


def json_bytes_response(body: bytes) -> web.Response:
    """Answer with JSON that is already encoded, such as a plugin's own result."""
    return web.Response(body=body, headers=_HEADERS)
