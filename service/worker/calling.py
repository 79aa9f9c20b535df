"""Calls of a worker: running them, streaming what they yield, cancelling them, and waiting for what they began."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import inspect
import json
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as pool_threads
from typing import Any

from service.wire import messages
from service.worker.compat.bases import task_class
from service.worker.downloads import Downloads
from service.worker.output import REQUEST

OWNED_BY_START = "start"
# The methods that are given a DownloadTask.
_WITH_TASK = ("download", "discard")
# Stands for `**kwargs` among a method's parameters.
_TAKES_ALL = "**"
_THREAD_POLL_SECONDS = 0.02
_OWNED_BY_CALL = "call"
_owner: contextvars.ContextVar[str] = contextvars.ContextVar("plugbay_owner", default=OWNED_BY_START)

Send = Callable[[dict[str, Any], bytes], None]


class ResultRefused(Exception):
    """What the plugin returned is not what its method is meant to return."""


class OwnedTasks:
    """Knows of every task whether it was begun by `start()` (or the import) or by a call.

    Installed as the loop's task factory; the owner is inherited through the context.
    """

    def __init__(self) -> None:
        self.begun_by_start: set[asyncio.Task[Any]] = set()
        self.ours: set[asyncio.Task[Any]] = set()

    def factory(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        """Make a task, as `loop.set_task_factory` asks for it."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
        if _owner.get() == OWNED_BY_START:
            self.begun_by_start.add(task)
            task.add_done_callback(self.begun_by_start.discard)
        return task

    def begun_by_calls(self) -> set[asyncio.Task[Any]]:
        """The tasks that calls began and that still run."""
        return asyncio.all_tasks() - self.begun_by_start - self.ours


class Calls:
    """The calls under way.

    Args:
        plugin: the instance that is called.
        plugin_type: `search`, `download` or `parser`.
        send: puts a message on the wire.
        describe: turns an exception into what the caller is told.
        owned: who began which task.
        threads: how many plain methods may run at once.
        max_result: the largest result, in bytes.
    """

    def __init__(
        self,
        plugin: Any,
        send: Send,
        describe: Callable[[BaseException], dict[str, Any]],
        owned: OwnedTasks,
        *,
        threads: int,
        max_result: int,
    ) -> None:
        self._plugin = plugin
        self._send = send
        self._describe = describe
        self._owned = owned
        self._max_result = max_result
        self._downloads = Downloads(
            send, to_json, logging.getLogger(type(plugin).__module__).warning, task_class(type(plugin))
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="plugin-call")
        # By a method's name: its function, and what `_parameters_of` says of it.
        self._parameters: dict[str, tuple[Any, dict[str, bool] | None]] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._credit: dict[int, asyncio.Semaphore] = {}
        self._threads_before = set(threading.enumerate())

    def begin(
        self, call_id: int, method: str, params: Mapping[str, Any], credit: int, request: str | None = None
    ) -> None:
        """Start a call; its result or error goes out by itself.

        Args:
            call_id: its number.
            method: of the plugin.
            params: by name.
            credit: how many results it may send one by one before it is told to go on; 0 where all go at once.
            request: the id of the request that it is made for, with which what it prints and logs is marked.
        """
        if credit:
            self._credit[call_id] = asyncio.Semaphore(credit)
        # The task factory asks the context that it is called in whose task this is.
        context = contextvars.copy_context()
        context.run(_owner.set, _OWNED_BY_CALL)
        context.run(REQUEST.set, request)
        task = context.run(asyncio.get_running_loop().create_task, self._run(call_id, method, params))
        self._running[call_id] = task
        self._owned.ours.add(task)
        task.add_done_callback(lambda task: self._ended(call_id, task))

    def cancel(self, call_id: int, why: str) -> None:
        """Ask a call to end, for good (`cancel`) or for now (`pause`); a plain method goes on in its thread."""
        self._downloads.stop(call_id, why)
        if (task := self._running.get(call_id)) is not None:
            task.cancel()

    def add_credit(self, call_id: int, count: int) -> None:
        """Let a stream send this many items more."""
        if (semaphore := self._credit.get(call_id)) is not None:
            for _ in range(count):
                semaphore.release()

    def noted(self, call_id: int, number: int) -> None:
        """A download's checkpoint is kept."""
        self._downloads.noted(call_id, number)

    async def settle(self, seconds: float) -> None:
        """Wait for the calls and for the tasks and threads that they began; cancel the tasks that take longer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0:
            pending = set(self._running.values()) | self._owned.begun_by_calls()
            if not pending:
                break
            await asyncio.wait(pending, timeout=left)
        for task in set(self._running.values()) | self._owned.begun_by_calls():
            task.cancel()
        while self._has_busy_threads() and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_THREAD_POLL_SECONDS)  # a thread has no event to wait for

    def begin_counting_threads(self) -> None:
        """Take the threads that there are for the plugin's own; later ones belong to calls."""
        self._threads_before = set(threading.enumerate())

    def _has_busy_threads(self) -> bool:
        """Whether a call's thread goes on; a pool's thread that waits for work is no work."""
        frames = sys._current_frames()
        for thread in set(threading.enumerate()) - self._threads_before:
            if thread.daemon or thread.name.startswith("plugin-call"):
                continue
            frame = frames.get(thread.ident or 0)
            if frame is not None and frame.f_code is not pool_threads._worker.__code__:
                return True
        return False

    async def _run(self, call_id: int, method: str, params: Mapping[str, Any]) -> None:
        try:
            body = await self._result(call_id, method, params)
            if len(body) > self._max_result:
                raise ResultRefused(
                    f"the result of {method} has {len(body)} bytes, over the limit of {self._max_result}"
                )
        except asyncio.CancelledError as error:
            self._answer(messages.ERROR, call_id, self._describe(error) | {"cancelled": True})
        except (
            BaseException
        ) as error:  # a plugin's SystemExit or KeyboardInterrupt is its call's fault, no more
            self._answer(messages.ERROR, call_id, self._describe(error))
        else:
            self._send({"t": messages.RESULT, "id": call_id}, body)
        finally:
            self._running.pop(call_id, None)
            self._credit.pop(call_id, None)

    def _ended(self, call_id: int, task: asyncio.Task[None]) -> None:
        self._owned.ours.discard(task)
        if self._running.pop(call_id, None) is not None:
            # It was cancelled before its first step, and nothing in it has run.
            self._credit.pop(call_id, None)
            self._answer(
                messages.ERROR, call_id, self._describe(asyncio.CancelledError()) | {"cancelled": True}
            )

    def _answer(self, kind: str, call_id: int, value: Any) -> None:
        self._send({"t": kind, "id": call_id}, to_json(value))

    async def _result(self, call_id: int, method: str, params: Mapping[str, Any]) -> bytes:
        if method in _WITH_TASK:
            with self._downloads.task(call_id, params["task"]) as task:
                done = await self.invoke(getattr(self._plugin, method), {"task": task}, counts_late=True)
                return to_json(self._downloads.outcome(done, task))
        value = await self.invoke(getattr(self._plugin, method), params)
        check = _CHECKS.get(method)
        if inspect.isasyncgen(value) or hasattr(value, "__aiter__"):
            semaphore = self._credit.get(call_id)
            items = []
            async for item in value:
                checked = check([item])[0] if check else item
                if semaphore is None:
                    items.append(checked)
                else:
                    await semaphore.acquire()
                    self._answer(messages.ITEM, call_id, checked)
            return to_json(items)
        if inspect.isgenerator(value):
            value = list(value)
        return to_json(check(value) if check else value)

    async def invoke(
        self, method: Callable[..., Any], params: Mapping[str, Any], *, counts_late: bool = False
    ) -> Any:
        """Call a method of the plugin, plain or `async`, with the parameters that it takes.

        Args:
            method: of the plugin.
            params: by name.
            counts_late: what a plain method gives after it was cancelled is its result all the same: it may have done
                its work by then.
        """
        function = getattr(method, "__func__", method)
        arguments = self._arguments(method, function, params)
        if inspect.iscoroutinefunction(function):
            return await method(**arguments)
        if inspect.isasyncgenfunction(function):
            return method(**arguments)
        context = contextvars.copy_context()
        call = asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: context.run(lambda: _listed(method(**arguments)))
        )
        try:
            value = await asyncio.shield(call)
        except asyncio.CancelledError:
            # The thread goes on; only when it has ended has the call.
            await asyncio.wait((call,))
            if not counts_late or not call.done() or call.cancelled() or call.exception() is not None:
                raise
            value = call.result()
            if inspect.isawaitable(value):
                raise
            return value
        return await value if inspect.isawaitable(value) else value

    def _arguments(
        self, method: Callable[..., Any], function: Any, params: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The parameters under the names that the method itself gives them: authors choose their own."""
        name = getattr(function, "__name__", "")
        known, parameters = self._parameters.get(name, (None, None))
        if known is not function:
            parameters = _parameters_of(method)
            self._parameters[name] = function, parameters
        if parameters is None or all(name in parameters for name in params):
            return params
        # The interface's own parameter comes first, whatever it is called; further ones only where they are known.
        own = next((name for name, by_position in parameters.items() if by_position), None)
        return {
            own if number == 0 and own is not None else name: value
            for number, (name, value) in enumerate(params.items())
            if number == 0 or name in parameters or _TAKES_ALL in parameters
        }


def _listed(value: Any) -> Any:
    """A plain generator runs in the thread of its call, not on the loop."""
    return list(value) if inspect.isgenerator(value) else value


def _parameters_of(method: Callable[..., Any]) -> dict[str, bool] | None:
    """The names of a method's parameters, each with whether it may be given by position; None where nobody can tell."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (ValueError, TypeError):
        return None
    return {
        _TAKES_ALL if one.kind is one.VAR_KEYWORD else one.name: one.kind
        in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        for one in parameters
    }


def _results(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise ResultRefused(f"search must give a list of SearchResult, not {type(value).__name__}")
    return [_search_result(item) for item in value]


def _search_result(item: Any) -> Any:
    dumped = _plain(item)
    if not isinstance(dumped, Mapping) or not isinstance(dumped.get("title"), str):
        raise ResultRefused(f"search gave {type(item).__name__} where a SearchResult with a title belongs")
    return {**_EMPTY_RESULT, **dumped}


_EMPTY_RESULT: dict[str, Any] = {
    "title": "",
    "url": "",
    "thumbnail": None,
    "duration": None,
    "platform": None,
    "description": None,
    "metadata": {},
}


def _links(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise ResultRefused(f"parse_url must give a list of dictionaries, not {type(value).__name__}")
    links = [_plain(item) for item in value]
    for link in links:
        if not isinstance(link, Mapping):
            raise ResultRefused(f"parse_url gave {type(link).__name__} where a dictionary belongs")
    return links


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "search": _results,
    "parse_url": _links,
    "get_video_info": lambda value: None if value is None else _search_result(value),
    "can_parse": bool,
}


def to_json(value: Any) -> bytes:
    """UTF-8 JSON of what plugins return: models, dataclasses, sets, paths and dates included."""
    # Half of an emoji that was cut in two is no text; it must not cost the result.
    return _encode(value).encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


def _plain_or_text(value: Any) -> Any:
    plain = _plain(value)
    if plain is not value:
        return plain
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain_or_text
).encode
