"""A plugin's log: lines on the output pipe, each with its level in front as sd-daemon(3) has it (`<4>careful`).

A line without a level was printed. What a plugin prints can therefore never be taken for a message to the server.

    <;4f1c-17><4>careful        was logged by a call that was made for the request 4f1c-17
    <;4f1c-17>so far so good    was printed by one
"""

from __future__ import annotations

import io
import logging
import sys
from contextvars import ContextVar

# The id of the request that a call is made for; its tasks inherit it, and the thread of a plain method.
REQUEST: ContextVar[str | None] = ContextVar("plugbay_request", default=None)

_SYSLOG_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class MarkedLines(io.TextIOWrapper):
    """Standard output or error as plugins see it: each line that a call writes is marked with the request's id.

    Args:
        fd: 1 or 2, which stays open.
    """

    def __init__(self, fd: int) -> None:
        # It lives as long as the process.
        super().__init__(
            open(fd, "wb", closefd=False),  # noqa: SIM115
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        self._in_line = False

    def write(self, text: str, /) -> int:
        """Write text; what begins a line is marked."""
        request = REQUEST.get()
        if request is None or not text:
            super().write(text)
        else:
            mark = f"<;{request}>"
            body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
            head = "" if self._in_line else mark
            super().write(head + body.replace("\n", f"\n{mark}") + end)
        if text:
            self._in_line = not text.endswith("\n")
        return len(text)


class PrefixedLines(logging.Formatter):
    """Puts the level in front of every line of a record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text, tracebacks included."""
        prefix = f"<{_SYSLOG_PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines() or [""])


def log_to_output() -> None:
    """Send what is logged to the output pipe."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrefixedLines("%(message)s"))
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
