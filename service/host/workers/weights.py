"""The memory of plugins, their children and what they share included: whoever has too much is ended.

    resident pages of a worker and all below it ── within the limit ─► it has no more than that
           │ more
           └─► the share of each (PSS, which counts a page that n have as one nth) ── more than the limit: it ends

The limit of the kernel (`RLIMIT_DATA`) is on the private memory of one process, and comes first: who runs into it gets
a `MemoryError` and goes on. This is for memory that is shared, which that does not count, and for many processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable

import structlog

from service.host.descriptors import Spare
from service.host.plugin_limits import PluginLimits
from service.host.workers.worker_process import WorkerProcess
from service.model.text import Text

log = structlog.get_logger(__name__)

# 8 µs for each worker.
_REST_SECONDS = 0.25
# A worker's own share of libraries, and what comes between the two limits.
_SLACK_BYTES = 64 * 1024 * 1024
_CLOSE_SECONDS = 2.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KIB = 1024
_MIB = 1024 * 1024


class Weights:
    """Weighs, in a thread of its own.

    Args:
        workers: gives every worker that there is; called from the thread.
        below: gives the processes that a worker has started, as far as they are known; likewise.
        usual: how much a worker may have, with all that it started, where its plugin has no limits of its own.

    Attributes:
        ended: how many workers were ended.
    """

    def __init__(
        self,
        workers: Callable[[], Iterable[WorkerProcess]],
        below: Callable[[int], Iterable[int]],
        usual: PluginLimits,
    ) -> None:
        self._workers = workers
        self._below = below
        self._usual = usual
        self._loop = asyncio.get_running_loop()
        self.ended = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plugin memory", daemon=True)

    def start(self) -> None:
        """Weigh from now on."""
        self._thread.start()

    async def close(self) -> None:
        """Weigh no more; calling it twice is safe."""
        self._closing.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)

    def weigh(self) -> None:
        """Weigh once, and end the workers that have too much."""
        for worker in self._workers():
            if worker.ended_for is not None:
                continue
            limits = worker.limits or self._usual
            limit = limits.memory_bytes + _SLACK_BYTES
            pids = [worker.pid, *self._below(worker.pid)]
            if sum(map(_resident, pids)) > limit and (found := _weight(pids)) > limit:
                self._end(worker, limits, found)

    def _run(self) -> None:
        spare = Spare()
        while not self._closing.wait(_REST_SECONDS):
            try:
                with spare.lent():
                    self.weigh()
            except Exception:
                log.exception("weights.failed")
        spare.close()

    def _end(self, worker: WorkerProcess, limits: PluginLimits, found: int) -> None:
        self.ended += 1
        mib, limit_mib, setting = found // _MIB, limits.memory_bytes // _MIB, limits.setting("memory_mib")
        log.warning("worker.too_much_memory", pid=worker.pid, mib=mib, limit_mib=limit_mib)
        reason = Text(
            zh=f"它和它启动的进程占用了 {mib} MiB 内存，超过 {limit_mib} MiB（{setting}）",
            en=f"with what it started it had {mib} MiB of memory, more than {limit_mib} MiB ({setting})",
        )
        with contextlib.suppress(RuntimeError):  # the loop is closed, and with it the workers end anyway
            self._loop.call_soon_threadsafe(worker.end_for, reason)


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _weight(pids: Iterable[int]) -> int:
    """What the processes have together; where their shares cannot be read, what the largest has."""
    shares, largest = 0, 0
    for pid in pids:
        share = _sum(_read(f"/proc/{pid}/smaps_rollup"), b"Pss:")
        shares += share
        largest = max(largest, share or _sum(_read(f"/proc/{pid}/status"), b"RssAnon:", b"RssShmem:"))
    return max(shares, largest)


def _sum(text: bytes, *names: bytes) -> int:
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(names)) * _KIB


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 8192)
    except OSError:  # it has just gone
        return b""
    finally:
        os.close(fd)
