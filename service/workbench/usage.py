"""What a worker uses: memory, processes and threads, as the kernel tells."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from service.host.workers.census import processes

_KIB = 1024
# The thread that watches the loop is not the plugin's.
_OWN_THREADS = 1


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a worker and all that it started, with their numbers.

    `pss` counts shared pages by their share, `private` only what no other process has.
    """

    pss: int
    private: int
    processes: int
    threads: int


def measure(pid: int) -> Usage | None:
    """What a worker uses now; None where it is gone, or the kernel does not tell. Reads the whole process table."""
    tree = _tree(pid)
    pss = private = threads = 0
    counted = 0
    for one in tree:
        with contextlib.suppress(OSError, ValueError):
            sizes = _numbers(Path(f"/proc/{one}/smaps_rollup"))
            pss += sizes.get("Pss", 0) * _KIB
            private += (sizes.get("Private_Clean", 0) + sizes.get("Private_Dirty", 0)) * _KIB
            threads += _numbers(Path(f"/proc/{one}/status")).get("Threads", 0)
            counted += 1
    if not counted:
        return None
    return Usage(pss=pss, private=private, processes=counted, threads=max(threads - _OWN_THREADS, 1))


def _tree(pid: int) -> list[int]:
    found = [pid]
    all_of_them = processes()
    for parent in found:  # which grows meanwhile
        found.extend(one.pid for one in all_of_them if one.parent == parent and not one.dead)
    return found


def _numbers(path: Path) -> dict[str, int]:
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, rest = line.partition(":")
        first = rest.split(maxsplit=1)[0] if rest.split() else ""
        if first.isdecimal():
            found[name] = int(first)
    return found
