"""The server as a process of its machine: since when it runs, on what, and the memory that it and its plugins take."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from service.host.workers.census import Trees, processes

# Asking the kernel costs it some tenths of a millisecond a process, so it is not asked for everyone who looks.
_REST_S = 5.0
_KIB = 1024


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Memory in bytes, pages that several processes share counted by their share (PSS).

    `plugins` is that of all processes below the server, which are `processes` in number; null where the kernel does not
    tell it of one of them.
    """

    server: int
    plugins: int | None
    processes: int


class ServerProcess:
    """See the module.

    Args:
        home: the home folder, as an absolute path.
        workers: how many workers there are, spares too.
    """

    def __init__(self, home: Path, workers: Callable[[], int]) -> None:
        self.home = home.name or str(home)
        self.workers = workers
        self.python = platform.python_version()
        system = os.uname()
        self.platform = f"{system.sysname} {system.release} {system.machine}"
        self.started_s = time.time()
        self.started_at = datetime.fromtimestamp(self.started_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._began_s = time.monotonic()
        self._measuring = asyncio.Lock()
        self._measured_at_s = float("-inf")
        self._memory: Memory | None = None

    @property
    def uptime_s(self) -> float:
        """How long the server has been running, in seconds."""
        return time.monotonic() - self._began_s

    async def memory(self) -> Memory | None:
        """What all processes take, as of some seconds ago; None where the kernel does not tell it."""
        async with self._measuring:
            if time.monotonic() - self._measured_at_s > _REST_S:
                self._memory = await asyncio.to_thread(_measure, os.getpid())
                self._measured_at_s = time.monotonic()
            return self._memory


def _measure(server_pid: int) -> Memory | None:
    own = _pss(server_pid)
    if own is None:
        return None
    below = Trees(processes()).alive_below(server_pid)
    sizes = [_pss(one.pid) for one in below]
    known = [size for size in sizes if size is not None]
    return Memory(server=own, plugins=sum(known) if len(known) == len(sizes) else None, processes=len(below))


def _pss(pid: int) -> int | None:
    """The bytes of one process; none of one that has just gone, None where it must not be asked."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * _KIB
    except (FileNotFoundError, ProcessLookupError):
        return 0 if os.path.exists("/proc/self/smaps_rollup") else None
    except OSError:
        return None
    return 0
