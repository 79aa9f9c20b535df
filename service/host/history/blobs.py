"""Contents by their SHA-256: what revisions and changes keep.

A blob is written once and never changed, so many revisions share what they have in common. Only the owner may read
them: configuration with its passwords is among them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Set
from pathlib import Path

from service.host import atomic
from service.host.threads import writing

_MODE = 0o600
_CHUNK_BYTES = 1 << 16
# One that nothing refers to may belong to what is being written down at this moment.
_GRACE_S = 3600.0


class BlobLost(Exception):
    """The content is not kept any more, or what is kept is not it."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"the content {sha256} is not kept, or damaged")
        self.sha256 = sha256


class Blobs:
    """See the module.

    Args:
        folder: where they are kept; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # When each was put, on a clock that nobody sets; those of longer ago go at the next sweep.
        self._put_at: dict[str, float] = {}

    async def put(self, content: bytes) -> str:
        """Keep a content; durable when this returns.

        Returns:
            its SHA-256.

        Raises:
            OSError: it is not kept.
        """
        return await writing(self.put_now, content)

    async def get(self, sha256: str) -> bytes:
        """What was kept.

        Raises:
            BlobLost
            OSError: it cannot be read.
        """
        return await asyncio.to_thread(self.get_now, sha256)

    async def sweep(self, wanted: Set[str]) -> int:
        """Remove what nothing refers to, but for what was put in the last hour.

        Returns:
            how many went.
        """
        return await writing(self._sweep, wanted)

    async def start(self) -> None:
        """Remove what a killed process had not written whole; before anything is put."""
        await writing(self._remove_temporary)

    def put_now(self, content: bytes) -> str:
        """`put` for callers that are in a thread already."""
        sha256 = hashlib.sha256(content).hexdigest()
        self._put_at[sha256] = time.monotonic()
        if not self._renew(sha256, len(content)):
            path = self._ready_path(sha256)
            atomic.write_now(path, content, mode=_MODE)
        return sha256

    def put_file(self, source: Path) -> str:
        """Keep the content of a file, however large. Blocks; raises as `put` does."""
        self._make(self.folder)
        digest = hashlib.sha256()
        temporary = self.folder / atomic.temporary_name(secrets.token_hex(4))
        with open(source, "rb") as read:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            try:
                with open(descriptor, "wb") as write:
                    while chunk := read.read(_CHUNK_BYTES):
                        digest.update(chunk)
                        write.write(chunk)
                    write.flush()
                    os.fsync(write.fileno())
                sha256 = digest.hexdigest()
                self._put_at[sha256] = time.monotonic()
                if not self._renew(sha256, temporary.stat().st_size):
                    path = self._ready_path(sha256)
                    os.replace(temporary, path)
                    atomic.sync_folder(path.parent)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
        return sha256

    def get_now(self, sha256: str) -> bytes:
        """`get` for callers that are in a thread already."""
        try:
            content = self.path(sha256).read_bytes()
        except FileNotFoundError:
            raise BlobLost(sha256) from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BlobLost(sha256)
        return content

    def path(self, sha256: str) -> Path:
        """Where a content lies if it is kept."""
        return self.folder / sha256[:2] / sha256

    def _ready_path(self, sha256: str) -> Path:
        path = self.path(sha256)
        self._make(path.parent)
        return path

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self.folder:
            self._make(self.folder)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            atomic.sync_folder(folder.parent)

    def _renew(self, sha256: str, size: int) -> bool:
        """Whether it is kept whole; its time becomes now, so that no sweep under way takes it."""
        path = self.path(sha256)
        try:
            if path.stat().st_size != size:
                return False
            os.utime(path)
        except OSError:
            return False
        return True

    def _remove_temporary(self) -> None:
        for folder, _, names in os.walk(self.folder):
            for name in names:
                if name.endswith(atomic.TEMPORARY_SUFFIX):
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(folder, name))

    def _sweep(self, wanted: Set[str]) -> int:
        removed = 0
        old = time.time() - _GRACE_S
        # The clock of the files may be set forward, upon which all of them are old.
        began = time.monotonic() - _GRACE_S
        self._put_at = {key: at for key, at in self._put_at.items() if at > began}
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):
                    if name not in wanted and name not in self._put_at and os.stat(path).st_mtime < old:
                        os.unlink(path)
                        removed += 1
        return removed
