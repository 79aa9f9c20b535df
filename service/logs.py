"""The server's own log, to standard error: lines for people, or one JSON object a line.

What is logged goes through a queue and a thread of its own, so that a terminal or pipe that nobody reads
cannot hold up the event loop. The standard library's loggers (aiohttp's, asyncio's) take the same way.

Whatever is logged while a request is being answered, or by a task that it began, has its `request_id`; what is done for
a frame of a live connection has that of the connection, and the frame's own id as `rpc_id`.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import re
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import IO, Any

import structlog

from service.model.request_id import request_id, rpc_id

QUEUE_LINES = 10_000
STOP_S = 2.0

_LEVELS = {
    "debug": ("debug", "36"),
    "info": ("info ", "32"),
    "warning": ("warn ", "33"),
    "error": ("error", "31"),
}
_SECRET = re.compile(r"(?i)(token=|bearer\s+)[^\s&\"',;)}\]]+")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a part of the server, such as `host.watcher`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def lines_dropped() -> int:
    """How many lines of the server's log were dropped since its start, as nobody took them."""
    return sum(one.dropped for one in logging.getLogger().handlers if isinstance(one, _Sender))


@contextmanager
def logging_to(
    stream: IO[str] | None = None, *, level: str = "info", format: str = "console"
) -> Iterator[None]:
    """Logs to `stream` (standard error unless given) until left; what is queued by then is still written.

    Args:
        stream: a text stream; colours are used where it is a terminal and `NO_COLOR` is not set.
        level: `debug`, `info`, `warning` or `error`.
        format: `console` or `json`.
    """
    stream = sys.stderr if stream is None else stream
    render = structlog.processors.JSONRenderer(ensure_ascii=False) if format == "json" else _Console(stream)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_request,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=format == "json"),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            # Here and not in the writer's thread, where the exception of the moment is another.
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    writer = logging.StreamHandler(stream)
    writer.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                _mark_foreign,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _without_secrets,
                render,
            ],
        )
    )
    lines: queue.Queue[Any] = queue.Queue(QUEUE_LINES)
    sender = _Sender(lines)
    listener = _Writer(lines, writer)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = [sender]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        logging.captureWarnings(False)
        root.handlers[:], level_before = before
        root.setLevel(level_before)
        structlog.reset_defaults()
        if sender.dropped:
            stream.write(f"{sender.dropped} lines of the log were dropped\n")


class _Writer(logging.handlers.QueueListener):
    """Writes on a thread of its own; one that is stuck in a write is left behind rather than waited for."""

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        deadline = time.monotonic() + STOP_S
        try:
            self.queue.put(self._sentinel, timeout=STOP_S)  # type: ignore[attr-defined]  # not in its stub
        except queue.Full:
            return
        thread.join(max(0.0, deadline - time.monotonic()))


class _Sender(logging.handlers.QueueHandler):
    """Puts records into the queue as they are, and counts those that find it full."""

    def __init__(self, lines: queue.Queue[Any]) -> None:
        super().__init__(lines)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The base class formats here, which would lose the event's fields; nothing is pickled. A library's line is
        # only read in the writer's thread, where nobody knows any more for which request it was written.
        for name, value in _request().items():
            record.__dict__.setdefault(name, value)
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


def _request() -> dict[str, str]:
    """For which request something is being done, as fields of a line."""
    told = {}
    if (id := request_id.get()) is not None:
        told["request_id"] = id
    if (id := rpc_id.get()) is not None:
        told["rpc_id"] = id
    return told


def _with_request(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in _request().items():
        event.setdefault(name, value)
    return event


def _mark_foreign(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The name of a library's logger says who speaks; the server's own lines speak for themselves."""
    if not event.get("_from_structlog"):
        event["foreign"] = True
    return event


def _without_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes tokens out of everything that is text, wherever they came from."""
    for key, value in event.items():
        if key == "token":
            event[key] = "********"
        elif isinstance(value, str):
            event[key] = _SECRET.sub(r"\1********", value)
    return event


class _Console:
    """`12:00:00 info  plugin reloaded  id=search/demo generation=3`, a traceback below it."""

    def __init__(self, stream: IO[str]) -> None:
        self.colours = stream.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, _: Any, __: str, event: Mapping[str, Any]) -> str:
        fields = dict(event)
        time = str(fields.pop("timestamp", ""))[11:19]
        level, colour = _LEVELS.get(str(fields.pop("level", "info")), ("error", "31"))
        logger, foreign = fields.pop("logger", ""), fields.pop("foreign", False)
        message = str(fields.pop("event", ""))
        trailer = [str(fields.pop(name)) for name in ("stack", "exception") if fields.get(name)]
        values = " ".join(
            f"{key}={_short(value)}" for key, value in fields.items() if key not in ("exc_info", "stack_info")
        )
        if foreign:
            message = f"{logger}: {message}"
        head = f"{time} {self._paint(level, colour)} {message}"
        line = f"{head}  {self._paint(values, '2')}" if values else head
        return "\n".join([line, *trailer])

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text


def _short(value: object) -> str:
    """A value as it fits into a line: plain text bare, floats with three digits, the rest by `repr`."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, str) and value and not re.search(r"[\s\"=]", value):
        return value
    return repr(value)
