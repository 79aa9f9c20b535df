"""The machine, the versions, and how noisy it is: without these a figure says nothing."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import p99
from hatch_build import find_node
from service.model.text import Text

# Whatever something is measured with or beside.
_LIBRARIES = (
    "aiohttp msgspec watchdog uvloop uv uvicorn watchfiles starlette websockets aiohttp-devtools pip".split()
)
_PROGRAMS = {
    "nginx": "-v",
    "aria2c": "--version",
    "curl": "--version",
    "chromium": "--version",
}
_PACKAGES = ("vite",)
_NODE_MODULES = Path(__file__).parents[1] / "web" / "node_modules"
_ANSWERS_WITHIN_SECONDS = 20.0
_SAMPLE_SECONDS = 0.5
_TIMER_SECONDS = 0.001


class Noise(NamedTuple):
    """What else the machine was doing while this process slept."""

    load_average: float
    busy_percent: float
    timer_late_ms: float

    @property
    def said(self) -> Text:
        """In words."""
        return Text(
            zh=f"负载 {self.load_average:.1f}，处理器占用 {self.busy_percent:.0f} %，"
            f"1 ms 定时器最多迟 {self.timer_late_ms:.2f} ms（p99）",
            en=f"load average {self.load_average:.1f}, processors {self.busy_percent:.0f} % busy, "
            f"a 1 ms timer up to {self.timer_late_ms:.2f} ms late (p99)",
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
    """The machine on a line."""
    kernel = f"{platform.system()} {platform.release()}"
    return f"{_processor()}, {os.cpu_count()} CPUs, {_memory_gib():.0f} GiB, {kernel}"


def versions() -> dict[str, str]:
    """Of Plugbay, Python, the kernel and all that something is measured beside, `-` where it is not there."""
    return {
        "Plugbay": installed("plugbay"),
        "Python": platform.python_version(),
        platform.system(): platform.release(),
        **{name: installed(name) for name in _LIBRARIES},
        "node": _answer(node(), "--version"),
        **{name: _answer(shutil.which(name), option) for name, option in _PROGRAMS.items()},
        **{name: package(name) for name in _PACKAGES},
    }


def package(name: str) -> str:
    """The version of an npm package of the front end, `-` where it is not installed."""
    try:
        found: str = json.loads((_NODE_MODULES / name / "package.json").read_bytes())["version"]
    except FileNotFoundError:
        return "-"
    return found


def node() -> str | None:
    """The node that builds the front end, where there is one."""
    found = find_node()
    return str(found[0]) if found is not None else None


def _answer(path: str | None, option: str) -> str:
    if path is None:
        return "-"
    try:
        said = subprocess.run([path, option], capture_output=True, text=True, timeout=_ANSWERS_WITHIN_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    found = re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return found[0] if found else "?"


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
