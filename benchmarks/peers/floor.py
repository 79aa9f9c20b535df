"""The least that a reload in a process of its own can cost: inotify, fork, compile, a write to a socket. Nothing else.

No event loop, no watcher's thread, no other plugin, no check, no confinement; one client on a plain socket, which the
child itself writes to. With `run` it also runs the module and makes the plugin, as everybody must who serves it. It
tells when it had the notice, when the child began and when it was through, on the clock of `time.perf_counter()`.

    python -m benchmarks.peers.floor HOME PORT compile|run
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from types import ModuleType

from service.sdk import SearchPlugin

_IN_MOVED_TO = 0x80
_EVENT = struct.Struct("iIII")
_VERSION = re.compile(rb'^    version = "(.*)"', re.MULTILINE)


def main(home: Path, port: int, *, run: bool) -> None:
    """Wait for a client, then for renames, until the client goes."""
    folder = home / "plugins" / "search"
    for path in folder.glob("*_plugin.py"):
        _live(os.fsencode(path), run=True)  # what it imports is there before the fork
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    notices = _watched(folder)
    with socket.create_server(("127.0.0.1", port)) as server:
        client, _ = server.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        data = os.read(notices, 65536)
        noticed = time.perf_counter()
        place = 0
        while place < len(data):
            *_, length = _EVENT.unpack_from(data, place)
            place += _EVENT.size + length
            name = data[place - length : place].rstrip(b"\0")
            if name.endswith(b"_plugin.py") and os.fork() == 0:
                forked = time.perf_counter()
                version = _live(os.path.join(os.fsencode(folder), name), run=run)
                times = [noticed, forked, time.perf_counter()]
                client.sendall(json.dumps({"version": version, "times": times}).encode() + b"\n")
                os._exit(0)


def _watched(folder: Path) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    notices: int = libc.inotify_init1(os.O_CLOEXEC)
    if notices < 0 or libc.inotify_add_watch(notices, os.fsencode(folder), _IN_MOVED_TO) < 0:
        raise OSError(ctypes.get_errno(), "the folder cannot be watched")
    return notices


def _live(path: bytes, *, run: bool) -> str:
    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, path, "exec")
    if not run:
        found = _VERSION.search(source)
        return found[1].decode() if found else ""
    module = ModuleType("plugins.search.floor")
    sys.modules[module.__name__] = module
    exec(code, module.__dict__)
    plugin = next(
        value()
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, SearchPlugin) and value.__module__ == module.__name__
    )
    return str(plugin.version)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), run=sys.argv[3] == "run")
