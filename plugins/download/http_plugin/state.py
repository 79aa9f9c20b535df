"""What a download over HTTP carries along: the user's choices, what is known of the file, and patience."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from plugins.download.http_plugin.connection import Sockets
from plugins.download.http_plugin.errors import DownloadFailed, Interrupted, Stopped
from plugins.download.http_plugin.part import Part
from plugins.download.http_plugin.version import Version

_BACKOFF_S = 0.5
_BACKOFF_MAX_S = 30.0
_RETRY_AFTER_MAX_S = 600.0
# A connection that brought as much is followed by the next at once.
_GOOD_PROGRESS_BYTES = 64 * 1024


def backoff_s(attempt: int) -> float:
    """How long to wait before trying for the so-manieth time in a row: exponential, with full jitter."""
    return random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** min(attempt - 1, 10)))


@dataclass(frozen=True, slots=True)
class Options:
    """What the user has chosen.

    Attributes:
        folder: where files go.
        timeout_s: how long to wait for data.
        limit_bytes: the largest file, 0 for any.
        connections: at most, for one file.
        retries: how often in a row to try without any progress.
        headers: sent with every request.
    """

    folder: Path
    timeout_s: float
    limit_bytes: int
    connections: int
    retries: int
    headers: dict[str, str]


@dataclass(slots=True)
class Found:
    """What is known of a file, from one pass to the next and in checkpoints.

    Attributes:
        version: the one that is being fetched.
        part: where it goes.
        finished: the bytes that are written, in pairs.
        ranged: whether the server serves ranges, as far as is known.
        is_resumed: what is finished is from an earlier time.
    """

    version: Version | None = None
    part: Part | None = None
    finished: tuple[tuple[int, int], ...] = ()
    ranged: bool = True
    is_resumed: bool = False


class Patience:
    """How often one connection tries again: exponential back-off with full jitter, and anew after any progress."""

    def __init__(self, retries: int, sockets: Sockets) -> None:
        self.attempts = 0
        self.failed_at = 0.0
        self._retries = retries
        self._sockets = sockets

    def wait(self, error: Interrupted, brought: int) -> None:
        """Wait until the next try.

        Args:
            error: why the last one ended.
            brought: bytes that came before.

        Raises:
            DownloadFailed: it was the last.
            Stopped: cut off meanwhile.
        """
        self.attempts = 1 if brought else self.attempts + 1
        self.failed_at = time.monotonic()
        asked_s = error.wait_s or 0.0
        if self.attempts > self._retries or asked_s > _RETRY_AFTER_MAX_S:
            asked = f", and asks to come back in {asked_s:.0f} s" if asked_s else ""
            raise DownloadFailed(
                f"{error}{asked}; given up after {self.attempts} tries without progress, retry later"
            ) from error
        delay = 0.0 if brought >= _GOOD_PROGRESS_BYTES else backoff_s(self.attempts)
        if self._sockets.is_cut.wait(max(delay, asked_s)):
            raise Stopped
