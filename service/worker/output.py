"""A plugin's log: lines on the output pipe, each with its level in front as sd-daemon(3) has it (`<4>careful`).

A line without a level was printed. What a plugin prints can therefore never be taken for a message to the server.
"""

from __future__ import annotations

import logging
import sys

_SYSLOG_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


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
