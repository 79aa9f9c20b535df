"""Telling that a load is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Announcement:
    """Tells once, by itself a moment from now, or earlier on request.

    A load begins before anybody is told of it: to tell takes time that every save would wait for.

    Args:
        tell: does it.
        after_s: seconds until it is told.
    """

    def __init__(self, tell: Callable[[], None], after_s: float) -> None:
        self._tell: Callable[[], None] | None = tell
        self._timer = asyncio.get_running_loop().call_later(after_s, self.now)

    def now(self) -> None:
        """Tell, unless that has been done or given up."""
        self._timer.cancel()
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def cancel(self) -> None:
        """Give it up, where it has not been told; calling it twice is safe."""
        self._timer.cancel()
        self._tell = None
