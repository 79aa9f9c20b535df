"""The part file of a download: written to by several threads at any place, and kept or removed in the end."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from plugins.download.http_plugin.errors import DiskFailed
from plugins.shared.readable_text import readable_size
from plugins.shared.saved_files import free_target, publish

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.ELOOP}


class Part:
    """An open part file.

    Args:
        path: of the part file.
        target: the name that it is to have in the end.

    Attributes:
        inode: stays when it is renamed, so that a finished download is known again.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self.target = target
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        self.inode = found.st_ino
        self.size = found.st_size
        self._lock = threading.Lock()
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "not a regular file", str(path))

    @classmethod
    def create(cls, folder: Path, name: str, size: int | None) -> Part:
        """A new one.

        Args:
            folder: made where it does not exist.
            name: of the file in the end.
            size: how many bytes it will have, where that is known.

        Raises:
            DiskFailed: the folder cannot be written to, or has not enough space.
        """
        try:
            target, path = free_target(folder, name)
            part = cls(path, target)
        except OSError as error:
            raise_disk_failed(error, folder)
        try:
            part.reserve(size or 0)
        except BaseException:
            part.close()
            part.remove()
            raise
        return part

    @classmethod
    def adopt(cls, state: Mapping[str, Any]) -> Part | None:
        """The one of a checkpoint; None where it is gone, or another file has its name."""
        try:
            part = cls(Path(str(state["part"])), Path(str(state["target"])))
        except (OSError, KeyError, ValueError):
            return None
        if part.inode != state.get("inode"):
            part.close()
            return None
        return part

    def reserve(self, size: int) -> None:
        """See whether there is space for so many more bytes; they are not allocated.

        Raises:
            DiskFailed: there is not.
        """
        free = shutil.disk_usage(self.path.parent).free
        if size > free:
            raise DiskFailed(
                errno.ENOSPC,
                f"the disk of {self.path.parent} has {readable_size(free)} free, {readable_size(size)} are needed; "
                "free some space and retry",
            )

    def write(self, view: memoryview, position: int) -> None:
        """Write all of it there.

        Raises:
            DiskFailed: the disk is full, or does not work.
        """
        assert self._descriptor is not None
        try:
            while view:
                count = os.pwrite(self._descriptor, view, position)
                view, position = view[count:], position + count
        except OSError as error:
            raise_disk_failed(error, self.path.parent)

    def is_same(self, view: memoryview, position: int) -> bool:
        """Whether these bytes are there already."""
        assert self._descriptor is not None
        return os.pread(self._descriptor, len(view), position) == view

    def cut(self, size: int) -> None:
        """Give it this size."""
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise_disk_failed(error, self.path.parent)

    def sync(self) -> None:
        """Return when all that has been written is on the disk.

        Raises:
            DiskFailed: it cannot be.
        """
        with self._lock:
            # A copy: it may be closed meanwhile.
            if self._descriptor is None:
                return
            copy = os.dup(self._descriptor)
        try:
            os.fdatasync(copy)
        except OSError as error:
            raise_disk_failed(error, self.path.parent)
        finally:
            os.close(copy)

    def publish(self) -> Path:
        """Give it its final name; DiskFailed where that does not work."""
        try:
            return publish(self.path, self.target)
        except OSError as error:
            raise_disk_failed(error, self.path.parent)

    def close(self) -> None:
        """Close it; twice does no harm."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def remove(self) -> None:
        """Delete the part file, if it is still this one."""
        remove(self.path, self.inode)


def remove(path: Path, inode: object) -> None:
    """Delete a part file, unless another file has that name."""
    try:
        if path.suffix == ".part" and path.lstat().st_ino == inode:
            path.unlink()
    except OSError:
        pass


def finished_file(state: Mapping[str, Any]) -> Path | None:
    """The file that a checkpoint's part file has become, where it was renamed just before the process ended."""
    try:
        found = os.lstat(str(state["target"]))
    except (OSError, KeyError, ValueError):
        return None
    is_it = found.st_ino == state.get("inode") and found.st_size == state.get("total")
    return Path(str(state["target"])) if is_it and stat.S_ISREG(found.st_mode) else None


def raise_disk_failed(error: OSError, folder: Path) -> NoReturn:
    """Say what a failure of the disk means."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        text = f"the disk of {folder} is full ({reason}); free some space and retry, it goes on from there"
    elif error.errno == errno.EFBIG:
        text = f"the file is larger than files may be in {folder} ({reason}); choose another folder"
    elif error.errno in _FORBIDDEN:
        text = (
            f"cannot write into {folder} ({reason}); choose another download folder, or allow writing to it"
        )
    else:
        text = f"writing into {folder} failed ({reason}); look after the disk, then retry"
    raise DiskFailed(error.errno or errno.EIO, text) from error
