"""Landlock: which files a process may open, which TCP ports it may connect to, whom it may signal. landlock(7).

It stops opening, making, renaming and removing of files outside the folders that are allowed, by whatever name they are
reached; with interface 4, TCP connections to ports that are not allowed; with 6, signals to processes outside the
confined tree, and sockets with abstract names. A process that has it cannot look into one that has not.

It does not stop looking a name up, `stat`, `chmod` and other changes of attributes, `inotify`, sockets with a path, UDP
and whatever else is no file; `identity` and `seccomp` are there for most of that. A rule is about a file and not about
a name: a file or folder that is replaced by another is not covered any more in processes that run already.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from service.worker.confinement.kernel import syscall

# The numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_OPENAT2 = 437
_AT_FDCWD = -100
_RESOLVE_NO_SYMLINKS = 0x04
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR, _MAKE_REG = (1 << bit for bit in range(4, 9))
_MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (1 << bit for bit in range(9, 13))
_REFER, _TRUNCATE, _IOCTL_DEV = (1 << bit for bit in range(13, 16))
_CONNECT_TCP = 1 << 1
_ABSTRACT_SOCKET, _SIGNAL = 1, 2

_FIRST = (1 << 13) - 1
_ADDED = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

READ = _READ_FILE | _READ_DIR
RUN = READ | _EXECUTE
WRITE = (
    READ
    | _WRITE_FILE
    | _TRUNCATE
    | _REFER
    | _MAKE_REG
    | _MAKE_DIR
    | _MAKE_SYM
    | _MAKE_FIFO
    | _REMOVE_FILE
    | _REMOVE_DIR
)
OWN = WRITE | _EXECUTE
DEVICE = READ | _WRITE_FILE

NETWORK_SINCE = 4
SCOPES_SINCE = 6


def version() -> int:
    """The version of the interface that the kernel has, 0 where it has none or does not let this process use it."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


class Ruleset:
    """Rules on files that are being collected, and then enforced once.

    Args:
        interface: the kernel's version of the interface, 1 at least.

    Raises:
        OSError
    """

    def __init__(self, interface: int) -> None:
        self._handled = _FIRST
        for since, right in _ADDED:
            if interface >= since:
                self._handled |= right
        scoped = _ABSTRACT_SOCKET | _SIGNAL if interface >= SCOPES_SINCE else 0
        self._fd = _ruleset(self._handled, 0, scoped)

    def allow(self, paths: Iterable[str], rights: int, *, over_links: bool = True) -> list[str]:
        """Allow something below these folders, or with these files.

        Args:
            paths: absolute.
            rights: of those above.
            over_links: whether symbolic links may lead there; where not, such a path is as if it were not there.

        Returns:
            those that are not there.

        Raises:
            OSError
        """
        missing = []
        for path in paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC) if over_links else _open_without_links(path)
            except OSError:
                missing.append(path)
                continue
            try:
                allowed = rights & self._handled
                if not stat.S_ISDIR(os.fstat(fd).st_mode):
                    allowed &= _FILE_ONLY
                _add_rule(self._fd, _PATH_BENEATH, struct.pack("=Qi", allowed, fd))
            finally:
                os.close(fd)
        return missing

    def enforce(self) -> None:
        """Hold this thread, and all that it starts, to the rules.

        Raises:
            OSError
        """
        syscall(_RESTRICT_SELF, self._fd, 0)
        self.close()

    def close(self) -> None:
        """Let go of the rules; calling it twice is safe."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)


def limit_connections(ports: Iterable[int]) -> None:
    """Have this thread, and all that it starts, make TCP connections to these ports only.

    Raises:
        OSError
    """
    fd = _ruleset(0, _CONNECT_TCP, 0)
    try:
        for port in ports:
            _add_rule(fd, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port))
        syscall(_RESTRICT_SELF, fd, 0)
    finally:
        os.close(fd)


def _open_without_links(path: str) -> int:
    # struct open_how: flags, mode, resolve
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS)
    return syscall(_OPENAT2, _AT_FDCWD, _pointer(os.fsencode(path)), _pointer(how), len(how))


def _ruleset(files: int, network: int, scoped: int) -> int:
    attributes = struct.pack("=QQQ", files, network, scoped)
    # A kernel that does not know the later fields takes the structure only without them, or where they are 0.
    return syscall(_CREATE_RULESET, _pointer(attributes), len(attributes), 0)


def _add_rule(ruleset: int, kind: int, rule: bytes) -> None:
    syscall(_ADD_RULE, ruleset, kind, _pointer(rule), 0)


def _pointer(data: bytes) -> ctypes.c_void_p:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)
