"""The tasks that have not ended, in memory; every change of one is kept and told here, in this order.

A task that has ended is only in the store: history costs no memory.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
import structlog

from service.errors import PlugbayError
from service.host.generation import Generation
from service.live.event_log import EventLog
from service.model import moment
from service.model.request_id import request_id
from service.model.task import (
    ENDED,
    RUNNING,
    TASK_TRANSITIONS,
    Task,
    TaskFailure,
    TaskKind,
    TaskProblem,
    TaskStatus,
)
from service.model.task_events import TaskChange, TaskChanged, TaskProgress, TaskResults
from service.model.text import Text
from service.tasks.store import TaskStore

log = structlog.get_logger(__name__)

# At most four times a second to clients, once a second to the disk.
_PROGRESS_INTERVAL_SECONDS = 0.25
_SAVE_INTERVAL_SECONDS = 1.0
# What is found within that time is told as one.
_RESULTS_INTERVAL_SECONDS = 0.03

Wish = Literal["cancel", "pause"]
Describe = Callable[[PlugbayError], TaskProblem]


class TaskBroken(PlugbayError):
    """Something went wrong with a task that nobody foresaw."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            Text(
                zh=f"服务器在处理该任务时出错（{type(error).__name__}），详情见服务器日志；可以重试",
                en=f"Something went wrong in the server ({type(error).__name__}), its log says what; "
                "the task can be tried again",
            )
        )


class LiveTask:
    """One task that has not ended.

    Attributes:
        task: how it stands.
        results: what was found so far.
        checkpoint: where a download goes on.
        wish: what a user wants of it that has not been done yet; `wished` is set with it.
        rests: set when it has ended, or is paused.
        runner: works on it.
        follower: the generation that is asked how far another program is with it.
        is_behind: whether its last checkpoint could not be kept, which is logged once.
    """

    def __init__(self, task: Task, checkpoint: dict[str, Any] | None = None) -> None:
        self.task = task
        self.results: list[Any] = []
        self.checkpoint = checkpoint
        self.wish: Wish | None = None
        self.wished = asyncio.Event()
        self.rests = asyncio.Event()
        self.runner: asyncio.Task[None] | None = None
        self.follower: Generation | None = None
        self.told_count = 0
        self.results_timer: asyncio.TimerHandle | None = None
        self.progress_timer: asyncio.TimerHandle | None = None
        self.progress_is_news = False
        self.saved_at = 0.0
        self.is_behind = False
        self._changing: asyncio.Event | None = None

    @property
    def id(self) -> str:
        """The task's id."""
        return self.task.id

    def want(self, wish: Wish) -> None:
        """Ask whoever works on it to stop; to cancel is the stronger wish."""
        if self.wish != "cancel":
            self.wish = wish
        self.wished.set()

    def wake(self) -> None:
        """Have whoever waits for another program look at it now."""
        self.wished.set()

    def forget_wish(self) -> None:
        """The wish is done."""
        self.wish = None
        self.wished.clear()

    async def settled(self) -> None:
        """Wait until no change is under way; whoever goes on without an `await` finds it so."""
        while self._changing is not None:
            await self._changing.wait()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """One change at a time: the next begins when this one is kept and told."""
        await self.settled()
        done = self._changing = asyncio.Event()
        try:
            yield
        finally:
            self._changing = None
            done.set()


class Board:
    """See the module.

    Args:
        store: where tasks are kept.
        events: where they are told of.
        describe: an error as the problem object that clients are given.

    Attributes:
        ended: how many tasks ended since the start, by kind and status.
        downloaded_bytes: what downloads have reported since the start.
    """

    def __init__(self, store: TaskStore, events: EventLog, describe: Describe) -> None:
        self._store = store
        self._events = events
        self._describe = describe
        self._live: dict[str, LiveTask] = {}
        self.ended: Counter[tuple[str, str]] = Counter()
        self.downloaded_bytes = 0
        self._not_kept: dict[str, Task] = {}

    def get(self, id: str) -> LiveTask | None:
        """A task that has not ended."""
        return self._live.get(id)

    def all(self) -> list[LiveTask]:
        """Every task that has not ended, oldest first."""
        return list(self._live.values())

    def newest(self, task: Task) -> Task:
        """A task that was read from the store as it is at this moment."""
        live = self._live.get(task.id)
        return self._not_kept.get(task.id, task) if live is None else live.task

    async def create(self, kind: TaskKind, **facts: Any) -> LiveTask:
        """Make a task that others know of when this returns.

        Raises:
            StoreFailed: it could not be kept, so there is none.
        """
        task = Task(
            id=uuid.uuid4().hex, kind=kind, created_at=moment.now(), request_id=request_id.get(), **facts
        )
        await self._store.save(task)
        live = self._live[task.id] = LiveTask(task)
        self._tell(live, "created")
        return live

    def take_up(self, task: Task, checkpoint: dict[str, Any] | None) -> LiveTask:
        """Know a task again that was only kept."""
        live = self._live[task.id] = LiveTask(msgspec.structs.replace(task, results=None), checkpoint)
        self._not_kept.pop(task.id, None)
        return live

    def put_back(self, live: LiveTask) -> None:
        """Let a task be as it was kept: nothing came of what it was taken up for."""
        self._live.pop(live.id, None)

    async def change(self, live: LiveTask, status: TaskStatus, **facts: Any) -> None:
        """Go on to another status: it is kept first, then told. Changes of one task come one after the other.

        Raises:
            ValueError: that status cannot follow this one.
        """
        async with live.changing():
            old = live.task.status
            if status not in TASK_TRANSITIONS[old] and (status is not old or old in ENDED):
                raise ValueError(f"task {live.id}: {old} cannot become {status}")
            if status in ENDED:
                facts.setdefault("completed_at", moment.now())
                facts |= {"speed": None, "eta": None, "searching": []}
            if status in RUNNING and live.task.started_at is None:
                facts.setdefault("started_at", moment.now())
            self._stop_progress(live)
            self._tell_results(live)
            live.task = msgspec.structs.replace(
                live.task, status=status, result_count=len(live.results), **facts
            )
            if status in RUNNING or status is TaskStatus.PENDING:
                live.rests.clear()
                self._store.save_soon(live.task)
                self._tell(live, _EVENT_OF[status])
                return
            try:
                await self._keep(live)
            finally:
                # It has happened, also where whoever works on it is cancelled in this moment.
                if status in ENDED:
                    self._live.pop(live.id, None)
                    self.ended[live.task.kind.value, status.value] += 1
                live.rests.set()
                self._tell(live, _EVENT_OF[status])

    async def fail(self, live: LiveTask, error: PlugbayError) -> None:
        """End a task with an error."""
        problem = self._describe(error)
        await self.change(live, TaskStatus.FAILED, problem=problem, error=problem.messages.zh)

    async def fail_broken(self, live: LiveTask, error: Exception) -> None:
        """End a task with an error that nobody foresaw; one that has ended stays as it is."""
        if not live.task.has_ended:
            await self.fail(live, TaskBroken(error))
        log.error("task.broken", task=live.id, exc_info=error)

    async def save(self, live: LiveTask) -> None:
        """Keep how a task stands; durable when this returns.

        Raises:
            StoreFailed
        """
        await self._store.save(live.task)

    def failure(self, plugin: str, error: PlugbayError) -> TaskFailure:
        """What a plugin that failed costs a task."""
        told = error.fields.get("error")
        place = {key: told.get(key) for key in ("file", "line")} if isinstance(told, dict) else {}
        return TaskFailure(
            plugin=plugin, code=error.code, message=error.text.zh, messages=error.text, **place
        )

    def progress(self, live: LiveTask, **facts: Any) -> None:
        """A task has come further; told at most four times a second, the last one always."""
        if live.task.has_ended:
            return
        self.downloaded_bytes += max(0, (facts.get("downloaded") or 0) - (live.task.downloaded or 0))
        live.task = msgspec.structs.replace(live.task, **facts)
        if live.progress_timer is not None:
            live.progress_is_news = True
            return
        self._tell_progress(live)

    def add_results(self, live: LiveTask, results: Sequence[Any], **facts: Any) -> None:
        """A search or a parse has found more; what comes within a moment is told as one."""
        if live.task.has_ended:
            return
        live.results += results
        live.task = msgspec.structs.replace(live.task, result_count=len(live.results), **facts)
        if results and live.results_timer is None:
            live.results_timer = asyncio.get_running_loop().call_later(
                _RESULTS_INTERVAL_SECONDS, self._tell_results, live
            )

    async def set_checkpoint(self, live: LiveTask, body: bytes | None) -> None:
        """Keep where a download goes on; durable when this returns.

        Raises:
            StoreFailed
        """
        live.checkpoint = None if body is None else msgspec.json.decode(body, type=dict[str, Any])
        await self._store.set_checkpoint(live.id, body)

    async def forget_checkpoint(self, live: LiveTask) -> None:
        """There is nothing left to go on from; where that cannot be kept, it is only logged."""
        try:
            await self.set_checkpoint(live, None)
        except PlugbayError as error:
            log.error("task.checkpoint_not_forgotten", task=live.id, reason=str(error))

    async def keep_rest(self) -> None:
        """Try again to keep the ends of tasks that could not be kept when they came."""
        for task in list(self._not_kept.values()):
            try:
                await self._store.save(task)
            except PlugbayError:
                return
            self._not_kept.pop(task.id, None)

    async def _keep(self, live: LiveTask) -> None:
        """What happened has happened: a full disk only costs its record, and that until there is room again."""
        task = live.task
        try:
            await self._store.save(task)
        except PlugbayError as error:
            log.error("task.not_kept", task=live.id, reason=str(error))
            if task.has_ended:
                self._not_kept[task.id] = task
            self._store.save_soon(task)
        else:
            await self.keep_rest()

    def _tell_progress(self, live: LiveTask) -> None:
        loop = asyncio.get_running_loop()
        live.progress_is_news = False
        self._events.publish(TaskProgress(task=live.task))
        if loop.time() - live.saved_at >= _SAVE_INTERVAL_SECONDS:
            live.saved_at = loop.time()
            self._store.save_soon(live.task)
        live.progress_timer = loop.call_later(_PROGRESS_INTERVAL_SECONDS, self._after_pause, live)

    def _tell_results(self, live: LiveTask) -> None:
        if live.results_timer is not None:
            live.results_timer.cancel()
            live.results_timer = None
        first, live.told_count = live.told_count, len(live.results)
        if results := live.results[first:]:
            self._store.add_results_soon(live.id, first, results)
            self._events.publish(TaskResults(task=live.task, results=results))

    def _after_pause(self, live: LiveTask) -> None:
        live.progress_timer = None
        if live.progress_is_news and not live.task.has_ended:
            self._tell_progress(live)

    def _stop_progress(self, live: LiveTask) -> None:
        if live.progress_timer is not None:
            live.progress_timer.cancel()
            live.progress_timer = None
        live.progress_is_news = False

    def _tell(self, live: LiveTask, change: TaskChange) -> None:
        task = live.task
        self._events.publish(TaskChanged(change=change, task=task))
        quiet = log.info if task.kind is TaskKind.DOWNLOAD else log.debug
        level = log.warning if change == "failed" else quiet
        level(
            f"task.{change}",
            task=task.id,
            kind=task.kind.value,
            plugin=task.plugin_name,
            generation=task.generation,
            error=task.problem.messages.en if task.problem else None,
        )


_EVENT_OF: dict[TaskStatus, TaskChange] = {
    TaskStatus.PENDING: "queued",
    TaskStatus.RUNNING: "started",
    TaskStatus.DOWNLOADING: "started",
    TaskStatus.PAUSED: "paused",
    TaskStatus.COMPLETED: "completed",
    TaskStatus.HANDED_OVER: "completed",
    TaskStatus.FAILED: "failed",
    TaskStatus.CANCELLED: "cancelled",
}
