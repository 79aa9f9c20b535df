"""The processes below a server, as the kernel knows them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


def descendants(pid: int) -> set[int]:
    """Every living process below `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def template_of(pid: int) -> int:
    """The template process of a server."""
    (template,) = (
        child
        for child in children(pid)
        if b"service.worker.template" in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    return template


def children(pid: int) -> set[int]:
    """The children of a process, of all its threads."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found.update(int(child) for child in (task / "children").read_text().split())
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run."""
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.add(pid)
    return found


async def until_gone(pids: set[int], seconds: float = 10.0) -> None:
    """Wait until none of the processes is left.

    Raises:
        AssertionError: some still are.
    """
    try:
        async with asyncio.timeout(seconds):
            while alive(pids):
                await asyncio.sleep(0.01)
    except TimeoutError:
        left = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in alive(pids)}
        raise AssertionError(f"still there: {left}") from None


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))
