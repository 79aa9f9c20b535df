"""`os.chmod` by descriptor, where plugins share the server's user and changes of modes by path are refused.

The filter of system calls cannot tell one path from another. Who has opened a file has passed Landlock, so its mode may
be changed through the descriptor; that is done here for whoever calls `os.chmod`, as `shutil.copy` and `tarfile` do.
It is no guard, but spares plugins an error. The modes of what a plugin may only read it can change, too, this way.
"""

from __future__ import annotations

import os
from typing import Any


def change_by_descriptor() -> None:
    """Put it in the place of `os.chmod`; twice is as good as once."""
    for supported in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        supported.add(_chmod)
    os.chmod = _chmod


def _chmod(path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
    """As `os.chmod`; the file is opened for it."""
    if isinstance(path, int):
        os.fchmod(path, mode)
        return
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_symlinks else os.O_NOFOLLOW)
    fd = os.open(path, flags, dir_fd=dir_fd)
    try:
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
