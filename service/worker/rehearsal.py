"""A worker's whole life, gone through with a plugin of no use: a load, a call, a stop.

The template does it before it freezes its heap: what a first run writes (adaptive code, caches of types and
attributes) is then shared by all workers. A spare does it again while it waits, at the length of a plugin: after a fork
every page that is written to is copied first, and every page that the compiler wants is fetched from the kernel. Here
that is done while nobody waits for it, and the pages are kept until the plugin is loaded.
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
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urljoin, urlsplit

from service.sdk import ConfigField, SearchPlugin, SearchResult

PATTERN = re.compile("re(?P<what>hearsal)|(?:([a-z]+):)?\\\\d{1,2}|.*?process PROCESS")


@dataclass
class Entry:
    """One of a page."""

    title: str
    url: str
    tags: list[str] = field(default_factory=list)
    seen: datetime | None = None


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
_METHOD = b'''
    def field_%d(self, record: dict[str, Any]) -> str | None:
        """A field of a record."""
        value = record.get("field_%d")
        if isinstance(value, list):
            value = ", ".join(str(item) for item in value if item)
        elif isinstance(value, dict):
            value = json.dumps(value, ensure_ascii=False, sort_keys=True)
        if match := PATTERN.fullmatch(str(value or "")):
            self.log.debug("field %%s: %%s", %d, match.groupdict())
        return value.split("=")[0] if value and "=" in value else value
'''
# With so many methods it is as long as most plugins.
_METHODS = 16

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
}


def rehearse(*, at_length: bool = False) -> None:
    """Go through all of it and leave nothing behind.

    Args:
        at_length: with a plugin of 200 lines, and with the memory kept that this took.

    Raises:
        RuntimeError: it did not go through, which is a fault of the server's own code.
    """
    ours, theirs = socket.socketpair()
    loop = asyncio.new_event_loop()
    methods = range(_METHODS if at_length else 0)
    source = _SOURCE + b"".join(_METHOD % (number, number, number) for number in methods)
    # A pattern that has never been compiled here.
    source = source.replace(b"PROCESS", b"%d" % os.getpid())
    module = {"name": _MODULE, "path": "/rehearsal_plugin.py", "package": False, "size": len(source)}
    worker = Worker(ours, FrameDecoder(_FRAME_BYTES), _LIMITS, {**_HEADER, "modules": [module]}, source)
    try:
        theirs.sendall(
            encode(
                json.dumps({"t": messages.CALL, "id": 1, "method": "search"}).encode(), b'{"keyword": "x"}'
            )
            + encode(json.dumps({"t": messages.STOP}).encode())
        )
        status = worker.load(loop) or loop.run_until_complete(worker.run([], trim=not at_length))
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
