"""The host's end of a worker's socket: the load, calls in flight, streams, and what happens when it breaks."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, Literal, cast

import msgspec

from service.host.workers.calls_in_flight import Call, OnNote, Running
from service.host.workers.worker_messages import (
    Error,
    Failed,
    FromWorker,
    Hello,
    Imports,
    Item,
    Note,
    Result,
    Stage,
    decoder,
)
from service.model.request_id import request_id
from service.model.text import Text
from service.wire import messages
from service.wire.frames import FrameDecoder, FrameError, encode

_STREAM_CREDIT = 32
# More than a socket holds.
_LAST_READS = 16
_READ_BYTES = 64 * 1024
_STUCK_AFTER_SECONDS = 2.0
# A worker merges what its plugin tells, so that one which sends more is not ours any more.
_REPORTS_A_SECOND = 100
# One on its way, and the last one, which the end of the call does not wait for.
_CHECKPOINTS_NOT_KEPT = 2
# Two stages, and hello or failed.
_LOAD_MESSAGES = 3


# Called with an item, and with what to call with the number of items that are done with.
OnItem = Callable[[bytes, Callable[[int], None]], None]

_encoder = msgspec.json.Encoder()
_json_checker = msgspec.json.Decoder(msgspec.Raw)


class ChannelClosed(Exception):
    """The worker's end is gone.

    `status` is the process's wait status, `None` if nobody could tell; `ended_for` is why the server ended it, if so.
    """

    def __init__(self, status: int | None, ended_for: Text | None = None) -> None:
        super().__init__(f"the worker ended with status {status}")
        self.status = status
        self.ended_for = ended_for


class MethodRaised(Exception):
    """The plugin's method raised; `error` is the description that the worker gave."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message")))
        self.error = error


class Channel(asyncio.Protocol):
    """One worker's socket.

    Attributes:
        closed: done when the worker's end is gone, with the wait status.
        imports: the plugin-side modules that the plugin imports, once it has said so.
        on_imports: called with the names of the plugin-side modules that the plugin imports.
        on_stuck: called when a call that was cancelled goes on all the same.
        on_lost: called when the worker closes its end.
        ended_for: why the server ends the worker, where it does so for what the plugin did.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._frames = FrameDecoder(max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, Call] = {}
        self._next_id = 0
        self._load: asyncio.Queue[tuple[Stage | Hello | Failed, bytes]] = asyncio.Queue()
        self._watchers: dict[int, asyncio.TimerHandle] = {}
        self.closed: asyncio.Future[int | None] = loop.create_future()
        self._is_loaded = False
        self._load_messages = 0
        self._has_stopped = False
        self.imports: list[str] | None = None
        self.on_imports: Callable[[list[str]], None] | None = None
        self.on_stuck: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.ended_for: Text | None = None

    @classmethod
    async def open(cls, sock: socket.socket, max_frame_bytes: int) -> Channel:
        """A channel on a connected, non-blocking socket."""
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: cls(max_frame_bytes), sock=sock)
        return channel

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being a subclass

    def data_received(self, data: bytes) -> None:
        """Take what came from the worker; a worker that breaks the protocol loses its channel."""
        try:
            for header, body in self._frames.feed(data):
                self._take(decoder.decode(header), body)
        except (FrameError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is ending, or shut its end; how it ended is told by whoever waits for the process."""
        self._transport = None
        if self.on_lost is not None:
            self.on_lost()

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Put a message on the wire; nothing happens where the other end is gone."""
        if self._transport is not None:
            self._transport.write(encode(_encoder.encode(header), body))

    async def loading(self) -> tuple[Stage | Hello | Failed, bytes]:
        """The next message about the load.

        Raises:
            ChannelClosed: the worker ended instead.
        """
        receive = asyncio.ensure_future(self._load.get())
        try:
            await asyncio.wait((receive, self.closed), return_when=asyncio.FIRST_COMPLETED)
            if receive.done():
                return receive.result()
            if not self._load.empty():
                return self._load.get_nowait()
            raise ChannelClosed(self.closed.result(), self.ended_for)
        finally:
            receive.cancel()

    async def call(self, method: str, params: bytes, timeout_s: float | None) -> bytes:
        """Call a method of the plugin.

        Args:
            method: its name.
            params: a JSON object.
            timeout_s: seconds until it is given up, `None` for no limit.

        Returns:
            the result as JSON, as the worker encoded it.

        Raises:
            MethodRaised, ChannelClosed, TimeoutError
        """
        call_id, call = self._begin(method, params, credit=0)
        # A timer on the answer does what `asyncio.timeout` does, at half the price.
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, _give_up, call.answer)
        try:
            return await call.answer
        finally:
            if timer is not None:
                timer.cancel()
            self.cancel(call_id)

    def start(self, method: str, params: bytes, on_note: OnNote) -> Running:
        """Begin a call and give it to whoever looks after it.

        Args:
            method: its name.
            params: a JSON object.
            on_note: called with the kind, the number and the JSON of each note.

        Raises:
            ChannelClosed
        """
        call_id, call = self._begin(method, params, credit=0)
        call.on_note = on_note
        return Running(self, call_id, call)

    def cancel(self, call_id: int, why: Literal["cancel", "pause"] = "cancel") -> None:
        """Ask a call to end, and watch it until it has; nothing happens where it has ended."""
        if call_id not in self._calls:
            return
        self.send({"t": messages.CANCEL, "id": call_id, "why": why})
        if call_id not in self._watchers:
            self._watchers[call_id] = self._loop.call_later(
                _STUCK_AFTER_SECONDS, self._still_running, call_id
            )

    async def stream(self, method: str, params: bytes, timeout_s: float, on_item: OnItem) -> bytes:
        """Call a method that may yield its results one by one; the consumer's pace is the plugin's.

        Args:
            method: its name.
            params: a JSON object.
            timeout_s: seconds for all of it.
            on_item: called with each result as it comes, and with what it has to call when it is done with some.

        Returns:
            a JSON array of the results that did not come one by one, or `null`.

        Raises:
            MethodRaised, ChannelClosed, TimeoutError
        """
        call_id, call = self._begin(method, params, credit=_STREAM_CREDIT)

        def done(count: int) -> None:
            # Told in half a window's steps: each message costs a system call at both ends.
            call.owed += count
            if call.owed * 2 >= _STREAM_CREDIT:
                call.credit += call.owed
                self.send({"t": messages.CREDIT, "id": call_id, "n": call.owed})
                call.owed = 0

        call.credit = _STREAM_CREDIT
        call.on_item = lambda item: on_item(item, done)
        timer = self._loop.call_later(timeout_s, _give_up, call.answer)
        try:
            return await call.answer
        finally:
            timer.cancel()
            self.cancel(call_id)

    def abort(self) -> None:
        """Cut the channel; the worker ends when it sees that."""
        if self._transport is not None:
            self._transport.abort()

    def close(self, status: int | None) -> None:
        """The process is gone: take what it said last, fail what is in flight. Calling it twice is safe."""
        self._take_last_words()
        if self._transport is not None:
            self._transport.close()
        if not self.closed.done():
            self.closed.set_result(status)
        for watcher in self._watchers.values():
            watcher.cancel()
        self._watchers.clear()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.answer.done():
                call.answer.set_exception(ChannelClosed(status, self.ended_for))
                call.answer.exception()  # marked as seen: a caller that gave up does not come for it

    def _take_last_words(self) -> None:
        """Two descriptors tell of what a worker says and of its end, and the end may be told first."""
        for _ in range(_LAST_READS):
            if self._transport is None or self._transport.is_closing():
                return
            try:
                data = os.read(self._transport.get_extra_info("socket").fileno(), _READ_BYTES)
            except OSError:
                return
            if not data:
                return
            self.data_received(data)

    # -- calls ---------------------------------------------------------------------------------------------------

    def _begin(self, method: str, params: bytes, *, credit: int) -> tuple[int, Call]:
        if self.closed.done():
            raise ChannelClosed(self.closed.result(), self.ended_for)
        call_id = self._next_id = self._next_id + 1
        call = Call(self._loop.create_future())
        self._calls[call_id] = call
        header = {"t": messages.CALL, "id": call_id, "method": method, "credit": credit}
        if (request := request_id.get()) is not None:
            header["request"] = request
        self.send(header, params)
        return call_id, call

    def _still_running(self, call_id: int) -> None:
        self._watchers.pop(call_id, None)
        if call_id in self._calls and self.on_stuck is not None:
            self.on_stuck()

    def _take(self, message: FromWorker, body: bytes) -> None:
        if isinstance(message, Result):
            self._answer(message.id, body, _not_json(body))
        elif isinstance(message, Error):
            error = msgspec.json.decode(body, type=dict[str, Any])
            self._answer(message.id, b"", MethodRaised(error))
        elif isinstance(message, Item):
            call = self._calls.get(message.id)
            if call is not None and call.on_item is not None:
                call.credit -= 1
                if call.credit < 0:
                    raise FrameError("more items than there was credit for")
                if (broken := _not_json(body)) is not None:
                    self._answer(message.id, b"", broken)
                else:
                    call.on_item(body)
        elif isinstance(message, Note):
            self._note(message, body)
        elif isinstance(message, Imports):
            if self.imports is not None:
                raise FrameError("imports are told once")
            self.imports = message.modules
            if self.on_imports is not None:
                self.on_imports(message.modules)
        elif isinstance(message, Stage | Hello | Failed):
            if (
                self._is_loaded
                or self._load_messages >= _LOAD_MESSAGES
                or len(body) > messages.MANIFEST_MAX_BYTES
            ):
                raise FrameError("messages of a load come once, and are small")
            self._load_messages += 1
            self._is_loaded = not isinstance(message, Stage)
            self._load.put_nowait((message, body))
        elif self._has_stopped:
            raise FrameError("a worker stops once")
        else:
            self._has_stopped = True

    def _note(self, note: Note, body: bytes) -> None:
        call = self._calls.get(note.id)
        if call is None or call.on_note is None:
            return
        if note.kind == "checkpoint":
            call.checkpoints_not_kept += 1
        else:
            now = self._loop.time()
            if now - call.reports_since > 1:
                call.reports, call.reports_since = 0, now
            call.reports += 1
        if (
            call.reports > _REPORTS_A_SECOND
            or call.checkpoints_not_kept > _CHECKPOINTS_NOT_KEPT
            or len(body) > messages.MANIFEST_MAX_BYTES + 1024
        ):
            raise FrameError("notes are few and small")
        if _not_json(body) is not None:
            raise FrameError("a note is JSON")
        call.on_note(note.kind, note.n, body)

    def _answer(self, call_id: int, body: bytes, error: Exception | None) -> None:
        call = self._calls.pop(call_id, None)
        if (watcher := self._watchers.pop(call_id, None)) is not None:
            watcher.cancel()
        if call is None or call.answer.done():
            return
        if error is None:
            call.answer.set_result(body)
        else:
            call.answer.set_exception(error)
            call.answer.exception()


def _give_up(answer: asyncio.Future[bytes]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _not_json(body: bytes) -> MethodRaised | None:
    """What is wrong with a result, which is passed on undecoded and so must be JSON; its own call alone pays for it."""
    try:
        body.decode()
        _json_checker.decode(body)
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError) as error:
        return MethodRaised({"type": "ValueError", "message": f"the result is no JSON: {error}"})
    return None
