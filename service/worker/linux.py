"""The Linux calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_M_TRIM_THRESHOLD = -1
# What glibc begins with.
_USUAL_TRIM_THRESHOLD = 128 * 1024
_NEVER = 2**31 - 1

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def set_parent_death_signal(signal_number: int) -> None:
    """Have the kernel send this signal when the thread that created this process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def leave_idle_priority(pid: int) -> None:
    """End the lowest priority (`SCHED_IDLE`) of a process; one that is gone, or has another, is left alone."""
    try:
        if os.sched_getscheduler(pid) == os.SCHED_IDLE:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        pass


def keep_heap() -> None:
    """Have the C allocator keep what is freed until `trim_heap`, where it is glibc's and nobody has told it else."""
    if hasattr(_libc, "malloc_trim") and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        _libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def trim_heap() -> None:
    """Give back what the C allocator keeps of freed memory, and have it keep little, where it is glibc's."""
    if hasattr(_libc, "malloc_trim"):
        if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
            _libc.mallopt(_M_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
        _libc.malloc_trim(0)


def children() -> set[int]:
    """The process ids of this process's children, zombies included."""
    found: set[int] = set()
    try:
        for task in Path("/proc/self/task").iterdir():
            found.update(int(pid) for pid in (task / "children").read_text().split())
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        found = set(_children_by_stat())
    return found


def _children_by_stat() -> list[int]:
    me = os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        # The command's name may hold spaces and brackets; the fields after its last bracket do not.
        if int(stat.rpartition(")")[2].split()[1]) == me:
            found.append(int(entry.name))
    return found
