"""What a route is, for the router and for the API document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

# Text of one line, as a pattern of JSON Schema.
PRINTABLE = "^[^\\x00-\\x1f\\x7f-\\x9f]*$"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of the query, or a header; `schema` is JSON Schema."""

    name: str
    schema: dict[str, Any]
    description: str
    required: bool = True


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    Args:
        operation: its name in the API document; the handler's docstring is its description.
        headers: those of the request that it heeds beside those that every route does.
        body: the type of the body, if it takes one; `body_required` whether it must be there, `body_media_type` what it
            is where it is no JSON.
        upload: the fields of a multipart body that it takes as well.
        response: the types of the JSON answer; none where `media_type` says what is sent instead.
        errors: the codes that it answers beside those that every route may answer.
    """

    method: str
    path: str
    handler: Handler
    operation: str
    tag: str
    query: tuple[Query, ...] = ()
    headers: tuple[Query, ...] = ()
    body: Any = None
    body_required: bool = True
    body_media_type: str = "application/json"
    upload: Any = None
    status: int = 200
    response: tuple[Any, ...] = ()
    media_type: str = "application/json"
    errors: tuple[str, ...] = ()


KEYWORD = Query(
    name="keyword", schema={"type": "string", "pattern": r"\S"}, description="What to search for."
)
