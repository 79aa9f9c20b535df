"""An event loop that thousands of sockets cannot hold: it looks after a few at a time."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque

# At 50 to 200 µs each, which is what a message or a disconnect costs, a millisecond or two.
EVENTS_AT_ONCE = 16

_Ready = tuple[selectors.SelectorKey, int]


class FairSelector(selectors.DefaultSelector):
    """Gives the loop what is ready in small portions.

    When thousands of clients become writable, answer a ping or go away at once, asyncio would serve them all before it
    looks at anything else. Here timers and other tasks have their turn after every few. What was found ready is given
    out before anything is looked up again, so everyone is served in the order found.
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: deque[_Ready] = deque()

    def select(self, timeout: float | None = None) -> list[_Ready]:
        if not self._found:
            found = super().select(timeout)
            if len(found) <= EVENTS_AT_ONCE:
                return found
            self._found.extend(found)
        portion: list[_Ready] = []
        registered = self.get_map()
        while self._found and len(portion) < EVENTS_AT_ONCE:
            key, events = self._found.popleft()
            # What was closed since, or is waited for in another way, is left out; where it matters it is found again.
            if registered.get(key.fd) is key:
                portion.append((key, events))
        return portion


def new_event_loop() -> asyncio.AbstractEventLoop:
    """asyncio's own loop on such a selector; for `asyncio.Runner(loop_factory=…)`."""
    return asyncio.SelectorEventLoop(FairSelector())
