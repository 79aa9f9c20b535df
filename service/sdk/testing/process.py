"""The process of a server that tests start."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_START_S = 30.0
_STOP_S = 20.0
_POLL_S = 0.01
# The server ends with the process that runs the tests, also where that is killed (PR_SET_PDEATHSIG).
_BOOT = (
    "import ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGTERM);"
    "from service.__main__ import main; raise SystemExit(main())"
)


@contextmanager
def server_process(home: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
    """A server in a process of its own, from its first answer to its end.

    Args:
        home: its home folder.
        more: of its environment, besides that of this process.

    Returns:
        its address.

    Raises:
        RuntimeError: it did not start; has what it printed.
    """
    # The settings of whoever runs the tests must not decide how they end.
    given = {**os.environ, **(more or {})}
    environ = {name: value for name, value in given.items() if not name.startswith("PLUGBAY_")}
    package = Path(__file__).resolve().parents[3]
    if package.name not in ("site-packages", "dist-packages"):
        environ["PYTHONPATH"] = os.pathsep.join([str(package), *filter(None, [environ.get("PYTHONPATH")])])
    printed = home.with_name("plugbay.log")
    with printed.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, "serve", "--home", str(home), "--port", "0"],
            cwd=home,
            env={**environ, "PLUGBAY_LOGS__FORMAT": "json"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield _address(process, printed)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def kill_workers(server: int) -> None:
    """Kill what plugins run in: all processes below those that the server itself started, which serve to fork them.

    Args:
        server: its process id.
    """
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                # The name, in brackets, may hold anything.
                parent = (
                    (entry / "stat")
                    .read_text(encoding="utf-8", errors="replace")
                    .rpartition(")")[2]
                    .split()[1]
                )
                below.setdefault(int(parent), []).append(int(entry.name))
    doomed = [worker for template in below.get(server, ()) for worker in below.get(template, ())]
    for worker in doomed:
        doomed += below.get(worker, ())
    for worker in doomed:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def _address(process: subprocess.Popen[bytes], printed: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        text = printed.read_text(encoding="utf-8", errors="replace")
        if match := re.search(r'^\{.*"event": "server\.listening".*\}$', text, re.MULTILINE):
            return f"http://127.0.0.1:{json.loads(match[0])['port']}"
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    raise RuntimeError(f"the server did not start, and printed:\n{printed.read_text(errors='replace')}")
