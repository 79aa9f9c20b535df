"""The threads that do what blocks: some for all that reads, others for all that writes to the disk.

A disk that takes seconds for a write holds up those who write and nobody else. All threads are started at once: later
there may be no more to be had, and a request must not fail for that.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from service.errors import PlugbayError
from service.model.text import Text

READERS = 16
WRITERS = 8
_START_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class TooFewThreads(PlugbayError):
    """The system gives the server no threads, so it does not start."""

    code = "too_few_threads"


class _Writers:
    """Those that write, once they are started; until then, as in a command or a test, the loop's own do."""

    pool: ThreadPoolExecutor | None = None


def start() -> None:
    """Have all threads, on the running loop.

    Raises:
        TooFewThreads
    """
    asyncio.get_running_loop().set_default_executor(_started(READERS, "server"))
    _Writers.pool = _started(WRITERS, "disk")


async def writing(write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`asyncio.to_thread` for what writes to the disk."""
    work = functools.partial(write, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_Writers.pool, work)


def _started(count: int, name: str) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(count, thread_name_prefix=name)
    gate = threading.Barrier(count + 1)
    try:
        for _ in range(count):
            pool.submit(_pass, gate)
        gate.wait(_START_S)
    except (RuntimeError, threading.BrokenBarrierError) as error:
        gate.abort()
        pool.shutdown(wait=False)
        raise TooFewThreads(
            Text(
                zh=f"无法启动服务器所需的 {READERS + WRITERS} 个线程（{error}）；"
                "请调大进程数上限（ulimit -u、pids.max 或 TasksMax）",
                en=f"The {READERS + WRITERS} threads that the server needs cannot be started ({error}); raise the "
                "limit of processes (ulimit -u, pids.max or TasksMax)",
            )
        ) from error
    return pool


def _pass(gate: threading.Barrier) -> None:
    try:
        gate.wait()
    except threading.BrokenBarrierError:
        pass
