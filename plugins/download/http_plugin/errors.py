"""What can go wrong in a download over HTTP.

Stopped            cut off from outside
Interrupted        worth another try
StartAgain         what is there does not belong to what the server has now
DownloadFailed     trying again is no use; says why, and what to do (ValueError)
  Spoiled          and what has arrived is no use either
DiskFailed         the file cannot be written (OSError)
"""

from __future__ import annotations


class DownloadFailed(ValueError):
    """Trying again is no use.

    Args:
        message: why, and what to do.
        status: of the answer, where there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Interrupted(Exception):
    """Worth another try.

    Args:
        message: what happened.
        wait_s: what the server asked for (`Retry-After`).
        refused: the server answered, but does not want one more connection.
    """

    def __init__(self, message: str, wait_s: float | None = None, refused: bool = False) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.refused = refused


class Stopped(Exception):
    """Cut off from outside."""


class StartAgain(Exception):
    """What is there does not belong to what the server has now, and is never mixed with it.

    Args:
        message: how that was noticed.
        ranged: whether to ask for ranges again; some servers get them wrong.
        dropped: only the connection broke, and the server cannot go on in the middle.
    """

    def __init__(self, message: str, ranged: bool = True, dropped: bool = False) -> None:
        super().__init__(message)
        self.ranged = ranged
        self.dropped = dropped


class Spoiled(DownloadFailed):
    """What has arrived is no use either."""


class DiskFailed(OSError):
    """The file cannot be written; says where, why, and what to do."""
