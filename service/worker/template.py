"""The template process: imports what every plugin needs once, and forks workers on request.

It runs as `python -P -m service.worker.template FD GROUND`, where GROUND is what is the same for all plugins (see
`service.worker.confinement.policy`) and FD its end of a SOCK_SEQPACKET pair, one JSON object a packet:

    server → template   {"fork": REQUEST, "limits": {…}, "ahead": BOOL}  with the worker's socket and its output pipe
                        attached; ahead of need it makes itself ready before it looks for its plugin
                        {"fork": REQUEST, "limits": {…}, "site": FOLDER}  with the socket of a dependency set's
                        template attached, see `service.worker.dependency_template`
    template → server   {"ready": true}
                        {"forked": REQUEST, "pid": PID}   with a pidfd attached
                        {"refused": REQUEST, "reason": TEXT}
                        {"exited": PID, "status": WAIT STATUS}, once the worker and all that it started are gone

A set's template is to the base template what a worker is. It ends with the server: at the end of the stream it kills
its workers and whatever descends from them.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from service.worker import linux, process
from service.worker.confinement.confining import filter_calls
from service.worker.confinement.policy import Ground
from service.worker.rehearsal import rehearse

# What plugins on the standard library import most: loaded once, shared by all workers until written to.
_PRELOADED = (
    "asyncio abc base64 collections concurrent.futures contextlib copy csv dataclasses datetime email.message enum "
    "functools gzip hashlib hmac html html.parser http.client http.cookiejar inspect io itertools json logging math "
    "pathlib queue random re shutil socket ssl string subprocess tempfile textwrap threading time traceback typing "
    "urllib.error urllib.parse urllib.request uuid xml.etree.ElementTree zlib service.sdk service.worker.runtime "
    "service.worker.dependency_template service.worker.confinement.report"
).split()

_REHEARSALS = 10
PACKET_BYTES = 64 * 1024
_SWEEP_INTERVAL_MS = 20
_SWEEP_SECONDS = 2.0


class Template:
    """The loop of the template process.

    Args:
        control: this end of the control socket.
        idle_scheduling: whether a process of this user may take up SCHED_IDLE and leave it again.
    """

    def __init__(self, control: socket.socket, *, idle_scheduling: bool) -> None:
        self._control = control
        self._workers: set[int] = set()
        self._exits: list[tuple[int, int]] = []
        self._first_exit = 0.0
        self._idle_scheduling = idle_scheduling

    def run(self) -> NoReturn:
        """Serve until the server's end of the socket is closed."""
        linux.become_subreaper()
        wake_reader, wake_writer = socket.socketpair()
        wake_reader.setblocking(False)
        wake_writer.setblocking(False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()
        self._send({"ready": True})
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake_reader, select.POLLIN)
        while True:
            ready = dict(poll.poll(_SWEEP_INTERVAL_MS if self._exits else None))
            if wake_reader.fileno() in ready:
                wake_reader.recv(4096)
            self._reap()
            if self._control.fileno() in ready and not self._serve_request():
                self.end()

    def _serve_request(self) -> bool:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, 2)
        except ConnectionResetError:  # the server ended with something of ours unread
            return False
        if not packet:
            return False
        request = json.loads(packet)
        template_pid = os.getpid()
        site = request.get("site")
        try:
            if len(descriptors) != (2 if site is None else 1):
                raise ValueError("a request without its descriptors")
            pid = os.fork()
        except (OSError, ValueError) as error:
            # Too many processes, too little memory or no descriptor left: this one is refused, the others live on.
            for descriptor in descriptors:
                os.close(descriptor)
            self._send({"refused": request["fork"], "reason": str(error)})
            return True
        if pid == 0:
            become: Callable[..., NoReturn] = functools.partial(
                process.become_worker, ahead=request.get("ahead", False)
            )
            if site is not None:
                become = _become_dependency_template(site)
            become(*descriptors, request["limits"], template_pid, idle_scheduling=self._idle_scheduling)
        self._workers.add(pid)
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            _kill(pid)
            self._send({"refused": request["fork"], "reason": str(error)})
            return True
        try:
            self._send({"forked": request["fork"], "pid": pid}, [pidfd])
        finally:
            os.close(pidfd)
        return True

    def _reap(self) -> None:
        """Collect what ended, kill what a dead worker left behind, then report the workers' ends."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self._workers:
                self._workers.discard(pid)
                if not self._exits:
                    self._first_exit = time.monotonic()
                self._exits.append((pid, status))
        if not self._exits:
            return
        orphans = linux.children() - self._workers
        for pid in orphans:
            _kill(pid)
        # One that forks faster than it is killed must not hold up the ends of the others.
        if not orphans or time.monotonic() - self._first_exit > _SWEEP_SECONDS:
            exits, self._exits = self._exits, []
            for pid, status in exits:
                self._send({"exited": pid, "status": status})

    def _send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], descriptors or [])
        except OSError:  # the server is gone; the end of the stream is handled in the loop
            pass

    def end(self) -> NoReturn:
        """End every worker and all that descends from them, then this process."""
        while True:
            for pid in linux.children():
                _kill(pid)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                os._exit(0)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _may_leave_idle_scheduling() -> bool:
    """Whether a process of this user may take up SCHED_IDLE and leave it again; tried in a child."""
    pid = os.fork()
    if pid == 0:
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def _become_dependency_template(site: str) -> Callable[..., NoReturn]:
    from service.worker.dependency_template import become_dependency_template

    return functools.partial(become_dependency_template, site)


def serve(control: socket.socket, *, idle_scheduling: bool) -> NoReturn:
    """Be a template on this socket until the server closes its end, see `Template`."""
    template = Template(control, idle_scheduling=idle_scheduling)
    try:
        template.run()
    except BaseException:
        # Whatever it was, no worker and nothing that one started may outlive this process.
        traceback.print_exc()
        template.end()


def main() -> NoReturn:
    """The program."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in _PRELOADED:
        importlib.import_module(name)
    filter_calls(Ground.from_json(json.loads(sys.argv[2])))
    for _ in range(_REHEARSALS):
        rehearse()
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("the template has more than one thread and cannot fork safely")
    serve(control, idle_scheduling=_may_leave_idle_scheduling())


if __name__ == "__main__":
    main()
