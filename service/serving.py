"""The server at work: on its sockets, until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import structlog
from aiohttp import web

from service.api.access_log import AccessLog, protocol_logger
from service.api.protocol import IDLE_S, Runner
from service.app import build_app
from service.host import descriptors, threads
from service.loop_errors import LoopErrors
from service.settings import Settings

log = structlog.get_logger(__name__)


async def serve(settings: Settings, home: Path, sockets: Sequence[socket.socket]) -> None:
    """Run the server until SIGINT or SIGTERM; a second one ends it at once.

    Args:
        settings: as loaded.
        home: the home folder; it must be prepared and locked.
        sockets: where it listens, see `service.listening`; they are closed in the end.

    Raises:
        TooFewThreads
    """
    descriptors.raise_limit()
    threads.start()
    app = build_app(settings, home, {one.getsockname()[1] for one in sockets})
    runner = Runner(
        app,
        access_log_class=AccessLog,
        logger=protocol_logger(),
        # Half of the time for requests that are being answered, half for what runs in plugins.
        shutdown_timeout=settings.server.shutdown_s / 2,
        handler_cancellation=True,
        keepalive_timeout=IDLE_S,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopErrors())

    def on_signal() -> None:
        if stop.is_set():
            # The template sees the end of its socket and takes every worker with it.
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        await runner.setup()
        # Modules and routes live as long as the process: the collector need never walk over them (15 to 40 ms).
        gc.freeze()
        for one in sockets:
            await web.SockSite(runner, one).start()
        host, port, *_ = runner.addresses[0]
        log.info("server.listening", host=host, port=port, home=str(home))
        await stop.wait()
        log.info("server.stopping")
    finally:
        await runner.cleanup()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    log.info("server.stopped")
