"""What is counted of the clients of live events, and how they are at a moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple


class ClientFigures(NamedTuple):
    """How the clients are.

    Attributes:
        connected: how many are, by transport: `websocket`, `sse`.
        behind: how many have not been given all that is theirs.
        queued: events that wait in their queues, all together; those that are being replayed are not counted.
        queued_most: in the longest queue.
        backlog: events that nobody has been given yet.
    """

    connected: Mapping[str, int]
    behind: int
    queued: int
    queued_most: int
    backlog: int


class ClientCounts:
    """What has happened since the start.

    Attributes:
        came: connections, by transport.
        resumed: subscriptions from a position that could be gone on from, and those from one that could not.
        replayed: events that the former were given once more.
    """

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()
        self.resumed: Counter[str] = Counter()
        self.replayed = 0
