"""A process that has imported the server once and turns a copy of itself into each that a test wants.

Most of what a server's start costs is importing it, and the tests start hundreds. Such a copy is a process of its own
that runs the command from its first line on; only what the commands import is there already. It is driven by
`tests.integration.forging`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import sys
import time
from typing import NamedTuple

# What a server and its clients import. The command line itself has a language, so each process imports it anew.
BEFOREHAND = (
    *("click", "jsonschema", "rich.console", "rich.traceback"),
    *("service.client", "service.logs", "service.serving", "service.workbench.examination"),
)
REQUEST_BYTES = 1 << 20


class Wanted(NamedTuple):
    """What a copy is to be.

    Attributes:
        streams: what it has as its standard streams.
        status: where its exit status is to be written to.
    """

    arguments: list[str]
    environ: dict[str, str]
    folder: str
    session: bool
    streams: list[int]
    status: int


def receive(link: socket.socket) -> Wanted | None:
    """The next request; nothing when whoever asks has gone."""
    message, descriptors, _, _ = socket.recv_fds(link, REQUEST_BYTES, 4)
    if not message:
        return None
    given = json.loads(message)
    return Wanted(
        given["arguments"],
        given["environ"],
        given["folder"],
        given["session"],
        descriptors[:3],
        descriptors[3],
    )


def become(wanted: Wanted) -> None:
    """Makes this copy what a process is that has just been started."""
    if wanted.session:
        os.setsid()
    for number, stream in enumerate(wanted.streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(wanted.folder)
    os.environ.clear()
    os.environ.update(wanted.environ)
    time.tzset()
    sys.path[0] = os.getcwd()
    sys.argv[1:] = wanted.arguments
    gc.enable()


def forge(link: socket.socket) -> bool:
    """Makes copies until nobody wants more; True in each copy, False in the end."""
    ended = selectors.DefaultSelector()
    ended.register(link, selectors.EVENT_READ)
    while True:
        for key, _ in ended.select():
            if key.data is None:
                if (wanted := receive(link)) is None:
                    return False
                if (pid := os.fork()) == 0:
                    # As objects, so that they do not close later what has their numbers by then.
                    ended.close()
                    link.close()
                    become(wanted)
                    return True
                for stream in wanted.streams:
                    os.close(stream)
                ended.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, wanted.status))
                link.send(str(pid).encode())
            else:
                pid, status = key.data
                _, how = os.waitpid(pid, 0)
                # Whoever wanted to know may have gone.
                with contextlib.suppress(BrokenPipeError):
                    os.write(status, str(os.waitstatus_to_exitcode(how)).encode())
                ended.unregister(key.fd)
                os.close(key.fd)
                os.close(status)


def main() -> None:
    gc.disable()
    for module in BEFOREHAND:
        importlib.import_module(module)
    # So that a collection in a copy does not touch, and thereby copy, every page.
    gc.freeze()
    if forge(socket.socket(fileno=int(sys.argv[1]))):
        runpy.run_module("service", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
