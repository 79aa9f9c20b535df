"""`GET /api/events`: live events as server-sent events, for whatever can read an HTTP response line by line.

What a client can rely on besides the events themselves, which are those of the WebSocket:

- Each event of the log has `id: {epoch}:{seq}`; a client that comes back with the last one in `Last-Event-ID`, or in
  the parameter `last_event_id`, gets what it missed and then all else. Passing events and heartbeats have no id. The
  first lines are a comment with what became of that, and an id from which a client cut before its first event goes on.
- Where the events after that position are gone, a first event `plugbay.stream.reset` says so, and the stream goes on
  from the head: the client fetches `GET /api/plugins` and drops what comes with a seq up to that of the answer.
- The last event, where the server ends the stream, is `plugbay.stream.closed` with a code as the WebSocket closes with:
  1001 shutdown, 4008 too slow, 4009 nothing read for one heartbeat, 4401 the token was replaced. Clients may come back
  in all four cases, in the last with the new token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache

import msgspec
from aiohttp import HttpVersion11, web

from service import __version__
from service.api import events_prose as prose
from service.api.event_clients import (
    bound_silence,
    bound_system_buffer,
    check_room,
    counted_address,
    end_if_void,
)
from service.api.events_document import build_asyncapi
from service.api.keys import EVENT_LOG, HUB, TOKEN_NEEDED
from service.api.problems import RequestInvalid
from service.api.responses import json_bytes_response
from service.api.route import Query
from service.live.event_stream import EventStream, read_position
from service.live.hub import Subscribed
from service.live.subscription import Subscription
from service.live.topics import TopicInvalid, check_pattern
from service.model.text import Text

# An id that this server never gave: from there nothing can be resumed.
_NOWHERE = ("", 0)
# One that is there but reads nothing is noticed within as many.
_SILENCE_BEATS = 2

QUERY = tuple(
    Query(name=name, schema={"type": "string"}, description=description, required=False)
    for name, description in prose.STREAM_PARAMETERS.items()
)
LAST_EVENT_ID = Query(
    name="Last-Event-ID",
    schema={"type": "string"},
    description="The id of the last event that the client has.",
    required=False,
)

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # For nginx, which else would gather events until its buffer is full.
    "X-Accel-Buffering": "no",
}


class _Stream(web.StreamResponse):
    """A response whose body only the hub writes, to its end."""

    async def write_eof(self, data: bytes = b"") -> None:
        self._eof_sent = True


async def events_handler(request: web.Request) -> web.StreamResponse:
    """Live events: server-sent events, each a CloudEvent in one line.

    They are those of the WebSocket. `id` is `{epoch}:{seq}`; who comes back with the last one gets what it missed.

    Raises:
        RequestInvalid: a topic is none, or a parameter is unknown.
        PlugbayError: there are too many connections from the address, or the server is shutting down.
    """
    hub, log = request.app[HUB], request.app[EVENT_LOG]
    _check_parameters(request)
    patterns = topics_in_query(request)
    since = _position(request)
    await hub.turns.take()
    address = counted_address(request)
    check_room(hub, address)
    if request.method == "HEAD":
        return web.Response(headers=_HEADERS)
    response = _Stream(headers=_HEADERS)
    # What is left of the connection after a stream is of no use to anybody.
    response.force_close()
    transport = request.transport
    writer = await response.prepare(request)
    if transport is None or transport.is_closing() or writer is None:
        return response
    bound_system_buffer(transport)
    bound_silence(transport, _SILENCE_BEATS * hub.limits.heartbeat_s)
    stream = EventStream(log, chunked=request.version >= HttpVersion11)
    client = hub.attach(transport, writer.drain, address, stream, by_token=request[TOKEN_NEEDED])
    end_if_void(request, hub, client)
    try:
        await hub.subscribe(client, patterns, since, _opening(stream, since), else_from_now=True)
        # A lost connection cancels this; nothing that the client sends is heard any more.
        await client.detached.wait()
    finally:
        hub.detach(client)
    return response


async def asyncapi(request: web.Request) -> web.Response:
    """Read the description of the live events: AsyncAPI 3.0."""
    return json_bytes_response(await asyncio.to_thread(_document))


@cache
def _document() -> bytes:
    return msgspec.json.encode(build_asyncapi(version=__version__))


def _opening(stream: EventStream, since: tuple[str, int] | None) -> Callable[[Subscribed], bytes]:
    return lambda subscribed: stream.opening(subscribed, None if since is None else since[1])


def _check_parameters(request: web.Request) -> None:
    """Refuse what is unknown: `?topic=` for `?topics=` would give all events and say nothing."""
    for name in request.query:
        if name not in prose.STREAM_PARAMETERS:
            shown = "".join(char if char.isprintable() else "?" for char in name[:64])
            known = tuple(prose.STREAM_PARAMETERS)
            raise RequestInvalid(
                Text(
                    zh=f"参数 {shown} 不是已知参数，可用的有 {'、'.join(known)}",
                    en=f"The parameter {shown} is unknown; there are {' and '.join(known)}",
                ),
                field=shown,
            )


def topics_in_query(request: web.Request) -> frozenset[str]:
    """The patterns of `?topics=a,b`, which may be given more than once; everything where there is none.

    Raises:
        RequestInvalid: one is no topic, or there are too many.
    """
    given = request.query.getall("topics", ["**"])
    try:
        patterns = frozenset(check_pattern(one.strip()) for some in given for one in some.split(","))
        Subscription().check_room(patterns)
    except TopicInvalid as error:
        raise RequestInvalid(error.text, field="topics") from None
    return patterns


def _position(request: web.Request) -> tuple[str, int] | None:
    """How far the client has come; None where it starts now."""
    # The header is the newer one: an EventSource that comes back by itself asks for the address that it was made with.
    id = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
    return None if not id else read_position(id) or _NOWHERE
