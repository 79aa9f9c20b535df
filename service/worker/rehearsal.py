"""A worker's whole life, gone through with a plugin of no use: a load, a call, a stop.

The template does it before it freezes its heap: what a first run writes (adaptive code, caches of types and
attributes) is then shared by all workers. A spare does it again while it waits: after a fork every page that is written
to is copied first, and here that is done while nobody waits for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys

from service.wire import messages
from service.wire.frames import FrameDecoder, encode
from service.worker.runtime import Worker

_FRAME_BYTES = 1 << 20
_LIMITS = {
    "frame_bytes": _FRAME_BYTES,
    "threads": 1,
    "load_s": 20.0,
    "start_s": 10.0,
    "self_check_s": 10.0,
    "stop_s": 5.0,
    "settle_s": 1.0,
}
_MODULE = "plugins.search.rehearsal_plugin"
_SOURCE = b'''
"""A module like most."""

import json
import re
from typing import Any
from urllib.parse import quote

from service.sdk import ConfigField, SearchPlugin, SearchResult

PATTERN = re.compile("re(hearsal)")


class Rehearsal(SearchPlugin):
    name = "rehearsal"
    version = "1"
    description = "is never listed"

    def get_config_schema(self) -> list[ConfigField]:
        return [ConfigField(name="url", label="URL", default="http://127.0.0.1")]

    async def search(self, keyword: str, **kwargs: Any) -> list[SearchResult]:
        results = []
        for page in range(3):
            try:
                results.append(SearchResult(title=f"{keyword} {page}", url=quote(keyword)))
            except (KeyError, ValueError) as error:
                self.log.info("%s", error)
        return json.loads(json.dumps([one.model_dump() for one in results]))
'''

_HEADER = {
    "t": messages.LOAD,
    "type": "search",
    "module": _MODULE,
    "file": "/rehearsal_plugin.py",
    "root": "/",
    "home": "/",
    "config": {},
    "data_dir": os.sep,
    "downloads_dir": os.sep,
    "modules": [{"name": _MODULE, "path": "/rehearsal_plugin.py", "package": False, "size": len(_SOURCE)}],
}


def rehearse() -> None:
    """Go through all of it and leave nothing behind.

    Raises:
        RuntimeError: it did not go through, which is a fault of the server's own code.
    """
    ours, theirs = socket.socketpair()
    loop = asyncio.new_event_loop()
    worker = Worker(ours, FrameDecoder(_FRAME_BYTES), _LIMITS, _HEADER, _SOURCE)
    try:
        theirs.sendall(
            encode(
                json.dumps({"t": messages.CALL, "id": 1, "method": "search"}).encode(), b'{"keyword": "x"}'
            )
            + encode(json.dumps({"t": messages.STOP}).encode())
        )
        status = worker.load(loop) or loop.run_until_complete(worker.run([]))
        loop.run_until_complete(worker.close())
        answers = [
            json.loads(header)["t"] for header, _ in FrameDecoder(_FRAME_BYTES).feed(theirs.recv(1 << 16))
        ]
        if status or messages.RESULT not in answers:
            raise RuntimeError(f"a worker cannot run: status {status}, {answers}")
    finally:
        worker.retract()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        # By name: to look at every module there is would be to write to every page that holds a name.
        for name in ("plugins", "plugins.search", _MODULE):
            sys.modules.pop(name, None)
        loop.close()
        theirs.close()
        ours.close()
