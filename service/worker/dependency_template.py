"""The template of a dependency set: a fork of the base template that has imported what the set's plugins import.

It speaks with the server over a socket of its own, as the base template does (see `service.worker.template`), and
before that:

    server → template   {"import": [MODULE, …]}  any number of times
                        {"begin": true}
    template → server   {"ready": true} or {"unfit": REASON}, after which it ends

A stranger's packages have run in it by then, so the server takes nothing that it says for true. It ends with the base
template, which ends with the server.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from service.worker import process, rehearsal, site_folder, template
from service.worker.alterations import Baseline
from service.worker.confinement.confining import Confinement
from service.worker.confinement.policy import Ground, Policy

_CONTROL_FD = 3
_REHEARSALS = 2
# Ended with this, whatever it was that went wrong.
_FAILED = 1
# Taken now: what is imported may put others in their place.
_dumps, _loads = json.dumps, json.loads


def become_dependency_template(
    site: str, control_fd: int, limits: dict[str, Any], parent_pid: int, *, idle_scheduling: bool
) -> NoReturn:
    """Turn this fork of the base template into a set's.

    Args:
        site: the set's folder.
        control_fd: its end of its socket to the server.
        limits: as for a worker; what is imported here is held to them, too. `policy` is what it may do.
        parent_pid: the base template; if it is gone already, so is this process.
        idle_scheduling: whether this user may take up SCHED_IDLE and leave it again.
    """
    status = _FAILED
    try:
        process.leave_the_template(parent_pid)
        _arrange_descriptors(control_fd)
        process.limit_resources(limits)
        # Before anything of the set runs here. Each worker is confined once more, to what its own plugin may do.
        Confinement(Ground.from_json(limits["ground"])).apply(Policy.from_json(limits["policy"]))
        if idle_scheduling:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        control = socket.socket(fileno=_CONTROL_FD)
        reason = _prepare(site, _asked_for(control))
        if reason is None:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            template.serve(control, idle_scheduling=idle_scheduling)
        control.send(_dumps({"unfit": reason}).encode())
        status = 0
    finally:
        os._exit(status)


def _asked_for(control: socket.socket) -> list[str]:
    modules: list[str] = []
    while True:
        packet = control.recv(template.PACKET_BYTES)
        if not packet:
            os._exit(0)
        request = _loads(packet)
        if "begin" in request:
            return modules
        modules += request["import"]


def _prepare(site: str, modules: list[str]) -> str | None:
    """Import and see what came of it: why this process must not be forked, `None` if it may be."""
    baseline = Baseline()
    try:
        site_folder.activate(site)
    except BaseException as error:
        return f"a .pth file of the set raised {type(error).__name__}"
    for name in modules:
        # One that cannot be imported alone is imported by its plugin, and has its say there.
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
    if (altered := baseline.altered()) is not None:
        return altered
    try:
        for _ in range(_REHEARSALS):
            rehearsal.rehearse()
    except BaseException as error:
        return f"no plugin could be loaded beside what was imported: {type(error).__name__}: {error}"[:500]
    return None


def _arrange_descriptors(control_fd: int) -> None:
    control = process.duplicate_above(control_fd, 16)
    null = process.duplicate_above(os.open(os.devnull, os.O_RDWR), 16)
    for target in (0, 1, 2):
        os.dup2(null, target)
    os.dup2(control, _CONTROL_FD, inheritable=False)
    os.closerange(_CONTROL_FD + 1, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # lives as long as the process
