"""From a fresh fork of the template to a worker: its descriptors, signals, limits and place in the process tree."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import gc
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from service.wire.messages import CHANNEL_LOST
from service.worker import linux, rehearsal, runtime
from service.worker.confinement import limits as kernel_limits
from service.worker.confinement.confining import Confinement
from service.worker.confinement.policy import Ground
from service.worker.output import MarkedLines, log_to_output

_CHANNEL_FD = 3
_NICE_WHERE_IDLE_IS_A_TRAP = 5


def become_worker(
    channel_fd: int,
    output_fd: int,
    limits: dict[str, Any],
    template_pid: int,
    *,
    idle_scheduling: bool,
    ahead: bool,
) -> NoReturn:
    """Turn this process into a worker and serve until told to stop.

    Args:
        channel_fd: the worker's end of its channel to the server.
        output_fd: the pipe that takes what is printed.
        limits: `memory_bytes`, `open_files` and `ground`, besides those that the runtime reads.
        template_pid: who forked this process; if it is gone already, so is this process.
        idle_scheduling: whether this user may leave SCHED_IDLE again; a higher nice value is used otherwise.
        ahead: whether there is time before a plugin comes.
    """
    status = CHANNEL_LOST
    try:
        leave_the_template(template_pid)
        _arrange_descriptors(channel_fd, output_fd)
        limit_resources(limits)
        # What a native crash leaves behind is in the plugin's log.
        faulthandler.enable()
        if not idle_scheduling:
            os.nice(_NICE_WHERE_IDLE_IS_A_TRAP)
        if idle_scheduling:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        log_to_output()
        _reseed()
        if ahead:
            linux.keep_heap()
            rehearsal.rehearse(at_length=True)
        confinement = Confinement(Ground.from_json(limits["ground"]))
        confinement.prepare()
        channel = socket.socket(fileno=_CHANNEL_FD)
        status = runtime.serve(channel, limits, confinement, idle_scheduling=idle_scheduling)
    finally:
        try:
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError):
            pass
        os._exit(status)


def leave_the_template(template_pid: int) -> None:
    """Have a session and signals of one's own, and end with the process that forked this one."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    # A session of its own: a plugin that signals its process group signals itself only.
    os.setsid()
    linux.become_subreaper()
    linux.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != template_pid:
        os._exit(0)


def _reseed() -> None:
    """Give numpy's global generator a state of its own; the standard library's has one after every fork."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        with contextlib.suppress(Exception):  # it may be another that has the name
            numpy_random.seed()


def _arrange_descriptors(channel_fd: int, output_fd: int) -> None:
    null_fd = os.open(os.devnull, os.O_RDONLY)
    # Out of the way first: what came in may have the numbers that are about to be overwritten.
    first_free = 16
    channel, output, null = (duplicate_above(fd, first_free) for fd in (channel_fd, output_fd, null_fd))
    for source, target in ((null, 0), (output, 1), (output, 2), (channel, _CHANNEL_FD)):
        os.dup2(source, target, inheritable=target != _CHANNEL_FD)
    os.closerange(_CHANNEL_FD + 1, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # lives as long as the process
    sys.stdout, sys.stderr = MarkedLines(1), MarkedLines(2)
    # The interpreter falls back on these where a plugin has replaced the others.
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))


def duplicate_above(fd: int, lowest: int) -> int:
    """The same open file under a number that is `lowest` or more."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def limit_resources(limits: dict[str, Any]) -> None:
    """Keep this process, and what it forks, to `memory_bytes` and `open_files`."""
    gc.enable()
    kernel_limits.apply(limits["memory_bytes"], limits["open_files"])
