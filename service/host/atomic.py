"""Writing a file so that whoever looks, at whatever instant, sees the old content or the new one, whole.

A temporary file beside the target, `fsync`, `rename`, `fsync` of the folder: after a power cut too, what was
answered as written is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from service.host.threads import writing

TEMPORARY_SUFFIX = ".tmp"

_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}


async def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `path` in one step, without blocking the event loop.

    Cancelling the caller does not stop a write that has begun: it ends whole in the background.

    Args:
        path: the file to make or to replace, in a folder that exists. A link is replaced, not followed.
        data: all of the new content.
        mode: permission bits of the new file, whatever the umask.

    Raises:
        OSError: nothing was changed, unless only the last `fsync` of the folder failed.
    """
    await writing(write_now, path, data, mode=mode)


def write_now(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """The same for callers that are in a thread already."""
    temporary = path.with_name(temporary_name(path.name))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            keep_owner(descriptor, path)
            os.fchmod(descriptor, mode)
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make the content of a file durable that somebody else has written."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in `folder` durable; does nothing where the file system cannot."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def temporary_name(name: str) -> str:
    """A name for a temporary file beside `name`: hidden, and never that of a plugin."""
    # Names may be 255 bytes long; a long one is cut so that the temporary name still fits.
    kept = os.fsdecode(os.fsencode(name)[:200])
    return f".{kept}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}"


def remove_leftovers(path: Path) -> int:
    """Delete temporary files that a killed process left beside `path`; returns how many.

    Only for targets that nobody else is writing at the moment.
    """
    removed = 0
    prefix = f".{path.name}."
    with contextlib.suppress(OSError):
        for entry in os.scandir(path.parent):
            if entry.name.startswith(prefix) and entry.name.endswith(TEMPORARY_SUFFIX):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
                    removed += 1
    return removed


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def keep_owner(descriptor: int, path: Path) -> None:
    """Have an open file belong to whom the one at `path` does: a server that runs as root must take none away."""
    with contextlib.suppress(OSError):
        old = os.stat(path, follow_symlinks=False)
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, old.st_uid, old.st_gid)
