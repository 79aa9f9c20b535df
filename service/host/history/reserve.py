"""Room on the disk that is kept for undoing: what a full disk refuses halfway must not need room to be taken back."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import structlog

from service.host.threads import writing

log = structlog.get_logger(__name__)

# Far more than the files, the configuration and the rows of nearly every change.
BYTES = 1024 * 1024
_MODE = 0o600


class Reserve:
    """See the module.

    Args:
        path: a file that takes up the room; its folder is there.
        size: how much, in bytes.
    """

    def __init__(self, path: Path, *, size: int = BYTES) -> None:
        self._path = path
        self._size = size
        self._is_kept = False

    async def keep(self) -> None:
        """Have the room, unless it is had.

        Raises:
            OSError: the disk has not so much, or cannot be written to.
        """
        if not self._is_kept:
            await writing(self._keep)

    async def give_up(self) -> bool:
        """Let the room be used; whether there was any."""
        was_kept, self._is_kept = self._is_kept, False
        if was_kept:
            await writing(self._remove)
        return was_kept

    def _keep(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            if os.fstat(descriptor).st_blocks * 512 < self._size:
                os.posix_fallocate(descriptor, 0, self._size)
        except OSError as error:
            # Some file systems cannot set room aside. There, a full disk is undone when there is room again.
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                self._remove()
                raise
        finally:
            os.close(descriptor)
        self._is_kept = True

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)
