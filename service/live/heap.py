"""Keeps the garbage collector from walking over thousands of connections again and again.

A connection is about sixty objects that live long. With 5,000 of them one full collection holds the event loop for some
200 ms, and what the pings alone renew in fifteen seconds makes a young one of 15 ms. So, from a few hundred clients on,
what has survived is set aside (`gc.freeze`, which costs nothing): it is still freed when its last reference goes, only
cycles are not looked for in it. Those are what closed connections leave behind, so after enough of them, and after some
time in any case, everything is put back and nothing is set aside before it has been collected once.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import monotonic

# Below, the collector does no harm and is left alone.
MANY_CLIENTS = 256
_AT_ONCE = 64
_FROZEN_MAX_S = 600.0


class Heap:
    """Told of what happens to clients, decides when to set aside and when to put back.

    Args:
        clock: seconds that pass.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._joined = 0
        self._left = 0
        self._beats = 0
        self._frozen_since: float | None = None
        # How many full collections there had been when everything was put back.
        self._thawed_at: int | None = None

    def joined(self, clients: int) -> None:
        """A client has come; there are so many now."""
        self._joined += 1
        if clients >= MANY_CLIENTS and self._joined >= _AT_ONCE:
            self._joined = 0
            self._freeze()

    def left(self, clients: int) -> None:
        """A client has gone; so many remain."""
        self._left += 1
        if self._frozen_since is not None and self._left >= max(MANY_CLIENTS, clients):
            self._thaw()

    def beat(self, clients: int) -> None:
        """A client was pinged; what that renews is collected in small portions."""
        if clients < MANY_CLIENTS:
            return
        self._beats += 1
        if self._beats >= _AT_ONCE:
            self._beats = 0
            if self._frozen_since is not None and self._clock() - self._frozen_since > _FROZEN_MAX_S:
                self._thaw()
            elif self._may_freeze():
                gc.collect(1)
                self._freeze()

    def _may_freeze(self) -> bool:
        if self._thawed_at is not None and _full_collections() > self._thawed_at:
            self._thawed_at = None
        return self._thawed_at is None

    def _freeze(self) -> None:
        if self._may_freeze():
            gc.freeze()
            if self._frozen_since is None:
                self._frozen_since = self._clock()
                self._left = 0

    def _thaw(self) -> None:
        gc.unfreeze()
        self._frozen_since = None
        self._left = 0
        self._thawed_at = _full_collections()


def _full_collections() -> int:
    return int(gc.get_stats()[2]["collections"])
