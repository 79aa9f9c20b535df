"""The connected clients, as the hub sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from service.live.framing import Framing
from service.live.outbox import Outbox
from service.live.subscription import Subscription
from service.live.topics import Topics


class Group:
    """Clients that asked for exactly the same over the same kind of transport: an event is matched, and made into
    bytes, once for all of them.
    """

    __slots__ = ("clients", "framing", "topics")

    def __init__(self, topics: Topics, framing: Framing) -> None:
        self.topics = topics
        self.framing = framing
        self.clients: dict[Client, None] = {}


class Client:
    """The state of one client; the hub is the only one that changes it.

    A client is *live* while all that it was ever given has gone into its transport and the transport takes more: then
    the hub writes to it directly. Else what comes is queued in its outbox and given out slice by slice.

    Args:
        transport: where frames are written; its write limits are the hub's.
        drain: returns when the transport takes more after it was full.
        framing: how what is written looks.
        outbox: what the client still has to get.
        position: the entry up to which the client has been served.
        address: where it comes from, None where that is not counted.
        by_token: whether it came in by the token, which may be replaced.
    """

    __slots__ = (
        "address",
        "beat_due",
        "blocked",
        "buffered",
        "by_token",
        "closing",
        "cut_timer",
        "detached",
        "drain",
        "drain_task",
        "framing",
        "group",
        "live",
        "outbox",
        "pinged",
        "position",
        "queued",
        "room",
        "subscription",
        "transport",
        "write",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        drain: Callable[[], Awaitable[None]],
        framing: Framing,
        outbox: Outbox,
        position: int,
        address: str | None,
        by_token: bool,
    ) -> None:
        self.transport = transport
        self.write = transport.write
        self.buffered = transport.get_write_buffer_size
        self.drain = drain
        self.framing = framing
        self.outbox = outbox
        self.position = position
        self.address = address
        self.by_token = by_token
        self.subscription = Subscription()
        self.group: Group | None = None
        self.live = True
        self.blocked = False
        self.queued = False
        self.closing = False
        self.pinged = False
        self.beat_due = False
        self.drain_task: asyncio.Task[None] | None = None
        self.cut_timer: asyncio.TimerHandle | None = None
        self.room: asyncio.Future[None] | None = None
        self.detached = asyncio.Event()
