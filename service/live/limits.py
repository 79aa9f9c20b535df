"""How much of what one client may have."""

from __future__ import annotations

import msgspec


class LiveLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of live events, as values.

    Args:
        client_queue: events that may wait for one client before it is closed as too slow.
        client_queue_bytes: the same in bytes.
        frame_bytes: the largest frame that a client may send.
        heartbeat_s: seconds between two heartbeats, which is also how long a ping may stay without an answer.
        clients_per_address: connections from one address, loopback excepted.
        close_s: seconds that a client has to say goodbye before its connection is cut.
    """

    client_queue: int = 1000
    client_queue_bytes: int = 8 * 1024 * 1024
    frame_bytes: int = 64 * 1024
    heartbeat_s: float = 15.0
    clients_per_address: int = 1000
    close_s: float = 2.0
