"""Runs one program and sees to its end: a script of its own, started by path.

    keeper.py NICE CONFINEMENT PROGRAM ARGUMENT…

CONFINEMENT is a JSON object: `ground` and `policy` as in `service.worker.confinement.policy`; the program is confined
to that before it begins. The keeper itself is not, so that it can end whatever the program left.

Its standard input is a pipe that the server holds. When that closes, because the server wants it to or because the
server is gone, the program and all that it started are killed. They are killed too when the program ends by itself
and leaves something running. Exits as the program did.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # At once: the rest of the start, too, shall take nothing from requests that are being answered.
    os.nice(int(sys.argv[1]))
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))

import json
import select
import signal
import time

from service.worker import linux
from service.worker.confinement.confining import Confinement, NotConfined
from service.worker.confinement.policy import Ground, Policy

_END_SECONDS = 4.0
_NOT_STARTED = 127
_SESSION_NICE = "10"


def main(arguments: list[str]) -> int:
    """Run the program; returns the exit status to give."""
    keeper = os.getpid()
    linux.become_subreaper()
    # What it makes is read by workers that may run as another user.
    os.umask(0o022)
    program = os.fork()
    if program == 0:
        _become(arguments, keeper)
    ended = os.pidfd_open(program)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(ended, select.POLLIN)
    poll.poll()
    statuses: dict[int, int] = {}
    deadline = time.monotonic() + _END_SECONDS
    _reap(statuses)
    while (left := linux.children()) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        _reap(statuses)
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(statuses.get(program, signal.SIGKILL))


def _become(arguments: list[str], keeper: int) -> None:
    try:
        linux.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != keeper:
            return
        _make_way()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        confinement, *program = arguments
        told = json.loads(confinement)
        Confinement(Ground.from_json(told["ground"])).apply(Policy.from_json(told["policy"]), over_links=True)
        os.execv(program[0], program)
    except NotConfined as error:
        os.write(2, f"error: {arguments[1]} could not be confined: {error}\n".encode())
    except OSError as error:
        os.write(2, f"error: {arguments[1]}: {error.strerror}\n".encode())
    finally:
        os._exit(_NOT_STARTED)


def _make_way() -> None:
    """Leave the processors to workers, too, where the kernel shares them between sessions.

    A nice value counts within a session only then; workers have sessions of their own.
    """
    os.setsid()
    try:
        with open("/proc/self/autogroup", "w") as group:
            group.write(_SESSION_NICE)
    except OSError:
        # The kernel does no such thing, or is asked too often.
        return


def _reap(statuses: dict[int, int]) -> None:
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            statuses[pid] = status
    except ChildProcessError:
        return


if __name__ == "__main__":
    code = main(sys.argv[2:])
    # As a shell says it: a signal's number above 128.
    os._exit(code if code >= 0 else 128 - code)
