"""When which client is due for a ping and a heartbeat: spread evenly, so that they never come all at once. No I/O."""

from __future__ import annotations

import heapq

from service.live.client import Client

# The fractional parts of multiples of the golden ratio fill an interval evenly, however many there are.
_SPREAD = 0.6180339887498949


class Beats:
    """A queue of clients by the time at which they are due.

    Args:
        interval_s: between two beats of one client.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._heap: list[tuple[float, int, Client]] = []
        self._added = self._pushed = 0

    @property
    def next_at(self) -> float | None:
        """When the first is due, on the clock of the event loop."""
        return self._heap[0][0] if self._heap else None

    def add(self, client: Client, now: float) -> None:
        """Plan a new client's first beat, somewhere within the interval."""
        self._added += 1
        self._push(client, now + self._interval_s * (self._added * _SPREAD % 1.0))

    def next_due(self, now: float) -> Client | None:
        """The client that has been due for longest, its next beat planned; None where none is due."""
        while self._heap and self._heap[0][0] <= now:
            _, _, client = heapq.heappop(self._heap)
            if not client.closing:
                self._push(client, now + self._interval_s)
                return client
        return None

    def _push(self, client: Client, when: float) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (when, self._pushed, client))
