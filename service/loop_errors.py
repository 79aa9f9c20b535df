"""What the event loop has to say when nobody else can: logged, but one and the same thing not again and again."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_AGAIN_S = 60.0
_LACKING = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class LoopErrors:
    """An exception handler for a loop.

    Where there are no descriptors left for new connections, the loop says so a hundred times a second, each time with a
    traceback: here once a minute, with what to do about it.
    """

    def __init__(self) -> None:
        self._said_at = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what the loop hands over."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _LACKING and "socket" in context):
            loop.default_exception_handler(context)
            return
        if loop.time() - self._said_at >= _AGAIN_S:
            self._said_at = loop.time()
            log.warning(
                "server.not_accepting",
                reason=str(error),
                remedy="new connections wait; raise `ulimit -n` or LimitNOFILE, or have fewer clients",
            )
