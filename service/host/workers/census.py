"""A census of the processes that plugins start: whoever starts too many is ended, and all that it started with it.

    new process ids given out? ── no ─► nothing can have grown
           │ yes
           └─► who descends from which worker ─► more than the limit: all below it ends, then it

Threads take ids and the kernel's memory like processes, so many of them weigh as much as one.

A process limit of the kernel (`RLIMIT_NPROC`) counts per user, so it could not tell one plugin from another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import structlog

from service.host.descriptors import Spare
from service.host.plugin_limits import LimitsOfPlugins, PluginLimits
from service.host.workers.worker_process import WorkerProcess
from service.model.text import Text
from service.worker import linux

log = structlog.get_logger(__name__)

# A look at one small file; a process that only forks makes some hundred others within that time.
_GLANCE_SECONDS = 0.02
# A count costs about 12 µs for each process of the machine. It takes no more than about this share of one processor,
# and is done after this long at the latest, should the kernel not tell the truth about the ids that it gives out.
_SHARE = 0.05
_REST_SECONDS = 0.25
_COUNT_SECONDS = 5.0
# Ended ones that nobody collects hold nothing but their numbers; so many of them weigh as much as one that runs.
_DEAD_FOR_ONE = 16
# Threads beyond the first of each process: no plugin in earnest has more than so many.
_THREADS_FREE = 128
# Above that, as many weigh as much as one process.
_THREADS_FOR_ONE = 16
_END_PASSES = 50
_NEWCOMER_PASSES = 500
_CLOSE_SECONDS = 2.0
_STAT_BYTES = 512
# Of the fields behind the command's name.
_STAT_THREADS = 17


class Process(NamedTuple):
    """One process: its id, its parent's, those of its group and its session, its threads, and whether it has ended."""

    pid: int
    parent: int
    group: int
    session: int
    threads: int
    dead: bool


class Census:
    """Counts, in a thread of its own.

    Args:
        workers: gives every worker that there is; called from the thread.
        limits: how many processes a worker may have started that are still there, by its plugin.

    Attributes:
        ended: how many workers were ended.
    """

    def __init__(self, workers: Callable[[], Iterable[WorkerProcess]], limits: LimitsOfPlugins) -> None:
        self._workers = workers
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self.ended = 0
        self._closing = threading.Event()
        self._rest_until = 0.0
        self._spare = Spare()
        self._found: dict[int, list[int]] = {}
        self._thread = threading.Thread(target=self._run, name="process census", daemon=True)

    def start(self) -> None:
        """Count from now on."""
        self._thread.start()

    async def close(self) -> None:
        """Count no more; calling it twice is safe."""
        self._closing.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)
        self._spare.close()

    def count(self) -> int:
        """Count once, and end the workers that are over the limit.

        Returns:
            how many processes may come to be before another count is needed.
        """
        workers = {worker.pid: worker for worker in self._workers() if worker.ended_for is None}
        began = time.thread_time()
        with self._spare.lent():
            trees = Trees(processes())
        # A worker that waits may be told the plugin that may start the fewest.
        room = self._limits.least_processes
        self._rest_until = time.monotonic() + min((time.thread_time() - began) / _SHARE, _REST_SECONDS)
        self._found = {pid: below for pid in workers if (below := trees.pids_below(pid))}
        for pid, worker in workers.items():
            size, limits = trees.weight(pid), worker.limits or self._limits.usual
            if size > limits.processes:
                self._end(worker, limits)
            else:
                room = min(room, limits.processes - size)
        return room

    def below(self, worker_pid: int) -> list[int]:
        """What a worker had started by the last count; may be called from any thread."""
        return self._found.get(worker_pid, [])

    def _run(self) -> None:
        last_id, room, due = newest_id(), 0, 0.0
        failing = False
        while not self._closing.wait(_GLANCE_SECONDS):
            now, given = time.monotonic(), newest_id()
            # The numbers begin anew at some time; then nobody can say how many were given.
            quiet = last_id is not None and given is not None and 0 <= given - last_id <= room
            if now < self._rest_until or (quiet and now < due):
                continue
            try:
                room, failing = self.count(), False
            except Exception:
                if not failing:
                    log.exception("census.failed")
                failing, self._rest_until = True, now + _REST_SECONDS
            last_id, due = given, now + _COUNT_SECONDS

    def _end(self, worker: WorkerProcess, limits: PluginLimits) -> None:
        self.ended += 1
        with _ahead_of_all():
            ended = _end_below(worker.pid)
        for pid in ended | {worker.pid}:
            # With the low priority that it may have from a load it would take long to stop, and to end.
            linux.leave_idle_priority(pid)
        log.warning("worker.too_many_processes", pid=worker.pid, found=len(ended), limit=limits.processes)
        setting = limits.setting("processes")
        reason = Text(
            zh=f"它启动了超过 {limits.processes} 个进程，或与之相当的线程（{setting}）",
            en=f"it started more than {limits.processes} processes, or threads that weigh as much ({setting})",
        )
        with contextlib.suppress(RuntimeError):  # the loop is closed, and with it the workers end anyway
            self._loop.call_soon_threadsafe(worker.end_for, reason)


class Trees:
    """Who descends from whom, at one moment.

    Args:
        found: all processes.
    """

    def __init__(self, found: Iterable[Process]) -> None:
        self._by_pid = {one.pid: one for one in found}
        self._children: dict[int, list[Process]] = defaultdict(list)
        for one in self._by_pid.values():
            self._children[one.parent].append(one)

    def weight(self, worker_pid: int) -> int:
        """How much a worker has started."""
        below = self._below(worker_pid)
        dead = sum(one.dead for one in below)
        worker = self._by_pid.get(worker_pid)
        threads = sum(one.threads - 1 for one in below) + (worker.threads - 1 if worker is not None else 0)
        return len(below) - dead + dead // _DEAD_FOR_ONE + max(0, threads - _THREADS_FREE) // _THREADS_FOR_ONE

    def pids_below(self, worker_pid: int) -> list[int]:
        """The ids of all below a worker."""
        return [one.pid for one in self._below(worker_pid)]

    def alive_below(self, pid: int) -> list[Process]:
        """All that runs below a process."""
        return [one for one in self._below(pid) if not one.dead]

    def _below(self, pid: int) -> list[Process]:
        found = list(self._children.get(pid, ()))
        for one in found:  # which grows meanwhile
            found.extend(self._children.get(one.pid, ()))
        return found


def _end_below(worker_pid: int) -> set[int]:
    """Have a worker stand still and end all below it, also what forks as fast as it can.

    The worker stays, so that whatever is still being born is found below it. A signal to a group reaches all of it in
    one step, in which nobody forks; who forms groups of its own is followed by the ids that are given out.

    Returns:
        the processes.
    """
    ended: set[int] = set()
    worker = process_of(worker_pid)
    if (
        worker is None or worker.session != worker_pid
    ):  # a worker leads a session; this is a stranger with its number
        return ended
    _signal(-worker_pid, signal.SIGSTOP)
    for _ in range(_END_PASSES):
        newest = newest_id()
        found = [one for one in Trees(processes()).alive_below(worker_pid) if one.pid not in ended]
        if not found:
            break
        # None but members are in a group of one. It may have left that group just now.
        groups = {-one.group for one in found if one.group != worker_pid}
        for number in [*groups, *(one.pid for one in found)]:
            _signal(number, signal.SIGKILL)
        ended.update(one.pid for one in found)
        if newest is not None:
            _end_newcomers(worker_pid, ended, newest)
    return ended


def _end_newcomers(worker_pid: int, ended: set[int], newest: int) -> None:
    """End the children that were born since an id was the newest; much quicker than to look at all processes."""
    parents = ended | {worker_pid}
    for _ in range(_NEWCOMER_PASSES):
        seen, newest = newest, newest_id() or 0
        if newest <= seen:
            return
        for pid in range(seen + 1, newest + 1):
            one = process_of(pid)
            if one is not None and one.parent in parents:
                _signal(pid, signal.SIGKILL)
                parents.add(pid)
                ended.add(pid)


def processes() -> list[Process]:
    """Every process of the machine that can be seen.

    One pass over all of them, and not down from each worker: `/proc/PID/task/TID/children` is missing in many kernels.
    """
    return [
        one for name in os.listdir("/proc") if name.isdecimal() and (one := process_of(int(name))) is not None
    ]


def process_of(pid: int) -> Process | None:
    """One process; `None` where it has gone, or cannot be seen."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        stat = os.read(fd, _STAT_BYTES)
    except OSError:  # it has just gone
        return None
    finally:
        os.close(fd)
    # The command's name may hold spaces and brackets; what follows its last bracket does not.
    fields = stat.rpartition(b")")[2].split(maxsplit=_STAT_THREADS + 1)
    state, parent, group, session, *_ = fields
    threads = max(1, int(fields[_STAT_THREADS]))
    # Where only the first thread has ended, the others run.
    dead = state in b"ZX" and threads == 1
    return Process(pid, int(parent), int(group), int(session), threads, dead)


def newest_id() -> int | None:
    """The process or thread id that was given out last, `None` where the kernel does not say."""
    try:
        with open("/proc/loadavg", "rb", buffering=0) as file:
            number = int(file.read(256).split()[-1])
    except (OSError, ValueError, IndexError):
        return None
    return number or None


@contextlib.contextmanager
def _ahead_of_all() -> Iterator[None]:
    """Be scheduled before every ordinary process, where this user may: one would wait beside hundreds that want to run.

    The main thread too, as it may hold the interpreter's lock.
    """
    before = {}
    for thread in (0, os.getpid()):
        with contextlib.suppress(OSError):
            before[thread] = os.sched_getscheduler(thread), os.sched_getparam(thread)
            os.sched_setscheduler(thread, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        for thread, (policy, param) in before.items():
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread, policy, param)


def _signal(pid: int, number: signal.Signals) -> None:
    # Ids are given out in a circle: one that was just seen is not another's before all others had their turn.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
