"""Downloads in this worker: the `DownloadTask` of each call, what it tells the server, and why it shall stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from service.sdk.models import DONE, DownloadTask
from service.wire import messages

# More often than that nobody can see it; what comes in between is merged into the next one.
_REPORT_INTERVAL_SECONDS = 0.1
_CHECKPOINT_BYTES = 1024 * 1024
_METADATA_BYTES = 1024 * 1024
# The longest title, and the longest of the other texts of an outcome.
_TITLE_CHARACTERS = 1000
_TEXT_CHARACTERS = 4096
_WHOLE_NUMBERS = ("downloaded", "total")

# By the task's id; the original application's `database` looks here.
running: dict[str, DownloadTask] = {}

Send = Callable[[dict[str, Any], bytes], None]


class Downloads:
    """The calls that are given a task.

    Args:
        send: puts a message on the wire; called on the loop only.
        encode: makes JSON of what plugins give.
        warn: tells the plugin's log of something that was left out.
        task_class: what the plugin takes for a task: `DownloadTask`, or a class derived from it.
    """

    def __init__(
        self,
        send: Send,
        encode: Callable[[Any], bytes],
        warn: Callable[..., None],
        task_class: type[DownloadTask],
    ) -> None:
        self._task_class = task_class
        self._send = send
        self._encode = encode
        self._warn = warn
        self._reporters: dict[int, _Reporter] = {}

    @contextmanager
    def task(self, call_id: int, data: Mapping[str, Any]) -> Iterator[DownloadTask]:
        """The task of one call, made of what the server sent, for as long as the call runs."""
        reporter = _Reporter(call_id, self._send, self._encode, self._warn)
        task = self._task_class(**data, _send=reporter.tell, _stopped_for=lambda: reporter.why)
        id = task.id  # the plugin may change it
        self._reporters[call_id] = reporter
        running[id] = task
        try:
            yield task
        finally:
            del self._reporters[call_id]
            if running.get(id) is task:
                del running[id]
            reporter.close()

    def outcome(self, done: Any, task: DownloadTask) -> dict[str, Any]:
        """What the server is told when a download has ended; metadata that cannot be told must not cost it."""
        return {
            "done": bool(done),
            "status": str(task.status)[:_TITLE_CHARACTERS],
            "title": str(task.title)[:_TITLE_CHARACTERS],
            "save_path": _text(task.save_path),
            "external_id": _text(task.external_id),
            "error": _text(task.error),
            "metadata": self._metadata(task.metadata),
        }

    def _metadata(self, metadata: Any) -> Any:
        try:
            size = len(self._encode(metadata))
        except (TypeError, ValueError, RecursionError) as error:
            self._warn("task.metadata is left out, it is no JSON: %s", error)
            return None
        if size > _METADATA_BYTES:
            self._warn("task.metadata is left out: %d bytes, over the limit of %d", size, _METADATA_BYTES)
            return None
        return metadata

    def stop(self, call_id: int, why: str) -> None:
        """Have `task.cancelled` say so, and `task.paused` where that is why."""
        if (reporter := self._reporters.get(call_id)) is not None:
            reporter.why = why

    def noted(self, call_id: int, number: int) -> None:
        """The server has kept a checkpoint."""
        if (reporter := self._reporters.get(call_id)) is not None:
            reporter.noted(number)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:_TEXT_CHARACTERS]


class _Reporter:
    """What one task tells the server. Reports are merged while they come too fast, checkpoints while one is on its way.

    Attributes:
        why: `cancel` or `pause`, once the task shall stop.
    """

    def __init__(
        self, call_id: int, send: Send, encode: Callable[[Any], bytes], warn: Callable[..., None]
    ) -> None:
        self.why: str | None = None
        self._call_id = call_id
        self._send = send
        self._encode = encode
        self._warn = warn
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._pending: dict[str, Any] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._number = 0
        self._under_way = False
        self._next: bytes | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._next_waiters: list[asyncio.Future[None]] = []
        self._closed = False

    def tell(self, kind: str, data: dict[str, Any]) -> Awaitable[None]:
        """What `DownloadTask.report` and `checkpoint` call, on the loop or in a thread."""
        if kind == "report":
            data = self._numbers(data)
            if threading.get_ident() == self._thread:
                self._report(data)
            else:
                self._loop.call_soon_threadsafe(self._report, data)
            return DONE
        state = self._encode(data)
        if len(state) > _CHECKPOINT_BYTES:
            raise ValueError(f"a checkpoint of {len(state)} bytes is over the limit of {_CHECKPOINT_BYTES}")
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._checkpoint, state, None)
            return DONE
        kept: asyncio.Future[None] = self._loop.create_future()
        self._checkpoint(state, kept)
        return kept

    def noted(self, number: int) -> None:
        """The checkpoint of that number is kept: who waits for it goes on, and the next one is sent."""
        if number != self._number:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._under_way = False
        if self._next is not None:
            state, self._next = self._next, None
            self._waiters, self._next_waiters = self._next_waiters, []
            self._send_checkpoint(state)

    def close(self) -> None:
        """The call is over: what was held back is told, and nobody waits any more."""
        self._flush()
        if self._pause is not None:
            self._pause.cancel()
        if self._next is not None:
            self._send_checkpoint(self._next)
        self._closed = True
        for waiter in self._waiters + self._next_waiters:
            waiter.cancel()

    def _report(self, data: dict[str, Any]) -> None:
        self._pending |= data
        if self._pause is None and not self._closed:
            self._flush()
            self._pause = self._loop.call_later(_REPORT_INTERVAL_SECONDS, self._after_pause)

    def _after_pause(self) -> None:
        self._pause = None
        if self._pending:
            self._flush()
            self._pause = self._loop.call_later(_REPORT_INTERVAL_SECONDS, self._after_pause)

    def _flush(self) -> None:
        if self._pending and not self._closed:
            data, self._pending = self._pending, {}
            self._send({"t": messages.NOTE, "id": self._call_id, "kind": "report"}, self._encode(data))

    def _checkpoint(self, state: bytes, waiter: asyncio.Future[None] | None) -> None:
        if self._closed:
            if waiter is not None:
                waiter.cancel()
        elif self._under_way:
            self._next = state
            self._next_waiters += [waiter] if waiter is not None else []
        else:
            self._waiters += [waiter] if waiter is not None else []
            self._send_checkpoint(state)

    def _send_checkpoint(self, state: bytes) -> None:
        self._number += 1
        self._under_way = True
        self._send({"t": messages.NOTE, "id": self._call_id, "kind": "checkpoint", "n": self._number}, state)

    def _numbers(self, data: dict[str, Any]) -> dict[str, Any]:
        """Old plugins give numbers as texts, or what is none; that must not cost the download."""
        told: dict[str, Any] = {}
        for name, value in data.items():
            if name == "message":
                told[name] = str(value)[:500]
                continue
            try:
                number = float(value)
                told[name] = int(number) if name in _WHOLE_NUMBERS else number
            except (TypeError, ValueError, OverflowError):
                self._warn("report(%s=%r) is no number and was left out", name, value)
                continue
            if not abs(number) < float("inf"):
                del told[name]
        return told
