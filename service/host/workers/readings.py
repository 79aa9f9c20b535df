"""What workers take of the machine, read from `/proc` when somebody asks: some 40 µs a worker, and it blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_BYTES = 1024
# Of the fields of `/proc/PID/stat` behind the command's name, see proc(5).
_CPU = slice(11, 15)
_THREADS = 17
_RESIDENT_PAGES = 21


class Reading(NamedTuple):
    """One worker, with what it has started.

    Attributes:
        resident_bytes: of all; pages that processes share count for each of them.
        cpu_s: of the worker, and of what it has started and waited for, in seconds.
        threads: of all.
        processes: how many they are.
        open_files: of the worker itself; `None` where this user may not look.
    """

    resident_bytes: int
    cpu_s: float
    threads: int
    processes: int
    open_files: int | None


def read_worker(pid: int, below: Iterable[int]) -> Reading | None:
    """Look at one worker.

    Args:
        pid: its process id.
        below: those of what it has started.

    Returns:
        `None` where it has gone.
    """
    own = _fields(pid)
    if own is None:
        return None
    others = [fields for one in below if (fields := _fields(one)) is not None]
    return Reading(
        resident_bytes=sum(int(one[_RESIDENT_PAGES]) for one in (own, *others)) * _PAGE_BYTES,
        cpu_s=sum(map(int, own[_CPU])) / _TICKS,
        threads=sum(int(one[_THREADS]) for one in (own, *others)),
        processes=1 + len(others),
        open_files=_open_files(pid),
    )


def _fields(pid: int) -> list[bytes] | None:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        stat = os.read(fd, _BYTES)
    except OSError:  # it has just gone
        return None
    finally:
        os.close(fd)
    fields = stat[stat.rfind(b")") + 2 :].split()
    return fields if len(fields) > _RESIDENT_PAGES else None


def _open_files(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
