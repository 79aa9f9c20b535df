"""The machine, the versions, and how noisy it is: without these a figure says nothing."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import p99

_LIBRARIES = "aiohttp msgspec watchdog uvicorn watchfiles starlette websockets".split()
_SAMPLE_SECONDS = 0.5
_TIMER_SECONDS = 0.001


class Noise(NamedTuple):
    """What else the machine was doing while this process slept."""

    load_average: float
    busy_percent: float
    timer_late_ms: float

    def __str__(self) -> str:
        return (
            f"load average {self.load_average:.1f}, processors {self.busy_percent:.0f} % busy, "
            f"a 1 ms timer up to {self.timer_late_ms:.2f} ms late (p99)"
        )


def noise() -> Noise:
    """Listen for half a second; nothing of the benchmark may run meanwhile."""
    busy, total = _processor_time()
    late = []
    end = time.perf_counter() + _SAMPLE_SECONDS
    while (began := time.perf_counter()) < end:
        time.sleep(_TIMER_SECONDS)
        late.append((time.perf_counter() - began - _TIMER_SECONDS) * 1000)
    busy_after, total_after = _processor_time()
    share = 100 * (busy_after - busy) / max(1, total_after - total)
    return Noise(os.getloadavg()[0], share, p99(late))


def described() -> str:
    """The machine and the versions, on two lines."""
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}\n"
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {installed(name)}" for name in _LIBRARIES)
    )


def installed(library: str) -> str:
    """A library's version, `-` where it is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "-"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _processor_time() -> tuple[int, int]:
    """Ticks that the processors were busy, and all ticks."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, idle, waiting, *rest = (int(one) for one in file.readline().split()[1:9])
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + waiting
