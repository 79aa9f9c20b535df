"""Pieces that wait for their turn, and the part file that they are joined in. All blocking work is in threads."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

SPOOL_MEMORY_BYTES = 2 * 1024 * 1024
COPY_BYTES = 1024 * 1024

P = ParamSpec("P")
T = TypeVar("T")


class HlsFailed(RuntimeError):
    """The download cannot go on; the message says why."""


class CannotWrite(HlsFailed):
    """The disk refused."""

    def __init__(self, place: Path, error: OSError) -> None:
        super().__init__(
            f"cannot write to {place}: {error.strerror or error}; "
            "free some space or check the folder, then retry: it goes on from here"
        )


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but a cancelled caller waits for the thread, so nobody takes the file from under it."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:
                continue
        if not work.cancelled():
            work.exception()  # nobody else asks; cancelled is what counts
        raise


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that counts in what a task group raises: the others come of it."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


class Spool:
    """One piece: small in memory, large in a file without a name, which goes with the process whatever happens.

    Args:
        folder: where that file is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._head = b""
        self.size = 0

    async def write(self, data: bytes) -> None:
        """Add to the end.

        Raises:
            CannotWrite
        """
        if not self.size:
            self._head = bytes(data[:256])
        self.size += len(data)
        self._memory += data
        if len(self._memory) > SPOOL_MEMORY_BYTES:
            await in_thread(self._spill)

    async def clear(self) -> None:
        """Empty it, for another attempt."""
        self.size = 0
        self._memory.clear()
        if self._file:
            await in_thread(self._file.truncate, 0)
            self._file.seek(0)

    def copy_to(self, file: IO[bytes]) -> None:
        """Write all of it to a file; blocks."""
        if self._file:
            self._file.seek(0)
            shutil.copyfileobj(self._file, file, COPY_BYTES)
        file.write(self._memory)

    def looks_like_html(self) -> bool:
        """Whether an error page came in place of media."""
        start = self._head.lstrip()[:15].lower()
        return start.startswith((b"<!doctype html", b"<html"))

    def close(self) -> None:
        """Forget it; twice is safe."""
        self._memory = bytearray()
        if self._file:
            self._file.close()
            self._file = None

    def _spill(self) -> None:
        try:
            if self._file is None:
                # Closed by close().
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            _write_all(self._file, self._memory)
        except OSError as error:
            raise CannotWrite(self._folder, error) from error
        self._memory = bytearray()


class PartFile:
    """The part file: grows by whole segments, and knows how long it is up to the last whole one.

    Args:
        path: an existing file.
        size: what is right of it; the rest is cut off.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        # Closed by close().
        self._file = path.open("r+b", buffering=0)
        try:
            self._file.truncate(size)
            self._file.seek(size)
        except BaseException:
            self._file.close()
            raise

    def append(self, spools: list[Spool]) -> None:
        """Add pieces; blocks.

        Raises:
            CannotWrite
        """
        try:
            for spool in spools:
                spool.copy_to(_Unbuffered(self._file))  # type: ignore[arg-type]  # only write() is used
            self.size = self._file.tell()
        except OSError as error:
            raise CannotWrite(self.path, error) from error

    def sync(self) -> int:
        """Have all of it on the disk; gives its size."""
        size = self.size
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise CannotWrite(self.path, error) from error
        return size

    def close(self) -> None:
        """Close the file; twice is safe."""
        self._file.close()


class _Unbuffered:
    """Writes all of what it is given: a raw file may write less when the disk is nearly full."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes | bytearray) -> int:
        _write_all(self._file, data)
        return len(data)


def _write_all(file: IO[bytes], data: bytes | bytearray) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) :]
    finally:
        view.release()
