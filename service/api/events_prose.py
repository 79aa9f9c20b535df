"""What the document of the live events says in words."""

from __future__ import annotations

DOCUMENT = """\
What happens in the server, told as it happens: plugins that change, tasks, log lines.

The events are the same over both transports: CloudEvents 1.0 in JSON. Their order is that of one log; `epoch` names the
run of the server, `seq` the place in it. A client that comes back with its last position gets what it missed.

Topics are matched against `subject`: `*` within one part, `**` over the rest.
"""

WEB_SOCKET = """\
Control frames are JSON-RPC 2.0, alone or in batches of at most 50; events follow once subscribed.

`subscribe` without `since` starts at the position of its answer. `recovered` false means that nothing was subscribed:
fetch `GET /api/plugins`, which has its own `epoch` and `seq`, and subscribe from there.

Close codes: 1001 the server shuts down, 4008 slow consumer, 4009 no answer to a ping, 4401 the token was replaced;
each says `reconnect`. 1009 a frame that is far too large, 1002 a broken protocol.
"""

STREAM = """\
One event a block, `data` in one line. Events of the log have `id: {epoch}:{seq}`; send the last one as `Last-Event-ID`
to go on from there. What has no place in the log has no id.

The first lines are a comment with the same answer that `subscribe` gives, the time after which to come back, and an id
with the position at which the stream begins.
"""

STREAM_PARAMETERS = {
    "topics": "Topics, separated by commas; all where there are none.",
    "last_event_id": "As the header `Last-Event-ID`, which counts first, for clients that cannot set it.",
}

METHODS = {
    "subscribe": "Add topics, from a position on or from now.",
    "unsubscribe": "Give up topics.",
    "ping": "Ask for a sign of life.",
}

HEARTBEAT = """\
Everything up to `seq` has been sent to this client.
It comes to every subscriber, every 15 seconds where the settings do not say otherwise, and uses up no `seq`."""

RESET = """\
The events after the client's position are gone; the stream goes on from `seq`.
Fetch `GET /api/plugins` and drop what comes with a `seq` up to that of the answer."""

CLOSED = """\
The server ends the stream; no other event follows.
`code` is one that the WebSocket closes with: 1001, 4008, 4009 or 4401. Come back with the last id."""

SEQ = "The place in the log, a whole number; passing events have none."

TOKEN = "The server's token; none is needed where everything about the connection is loopback."

SERVER = "`Host` and `Origin` are checked as on every route."
