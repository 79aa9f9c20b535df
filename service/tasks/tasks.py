"""What can be done with tasks of any kind: find, cancel, pause, resume, retry; and what a start finds of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec
import structlog

from service.errors import PlugbayError, PluginUnavailable, RequestRefused
from service.host.calls import Caller
from service.host.plugin import Plugin
from service.host.registry import Registry
from service.model.request_id import request_id
from service.model.task import Task, TaskKind, TaskStatus
from service.model.text import Text
from service.tasks.board import Board, LiveTask
from service.tasks.downloads import Downloads
from service.tasks.following import who_to_ask
from service.tasks.runners import Runners
from service.tasks.searches import Searches
from service.tasks.store import Page, TaskStore

log = structlog.get_logger(__name__)

# To be over, one that is asked to stop has this long; see `service.tasks.downloads` for what happens meanwhile.
_STOP_SECONDS = 10.0
_CLOSE_SECONDS = 2.0


class TaskNotFound(RequestRefused):
    """There is no task of that id."""

    code = "task_not_found"

    def __init__(self, id: str) -> None:
        super().__init__(
            Text(
                zh=f"没有编号为 {id[:64]} 的任务",
                en=f"There is no task {id[:64]}",
            )
        )


class TaskConflict(RequestRefused):
    """The task is in no state for what was asked of it."""

    code = "task_conflict"

    def __init__(self, task: Task, zh: str, en: str) -> None:
        super().__init__(Text(zh=zh, en=en), task_status=str(task.status))


class TaskRefused(PlugbayError):
    """A plugin did not do what a user wished of a download."""

    code = "plugin_error"


class ServerStopped(PlugbayError):
    """The server stopped while the task ran, and it cannot go on where it was."""

    code = "server_stopped"

    def __init__(self) -> None:
        super().__init__(
            Text(
                zh="任务运行时服务器停止了，无法从中断处继续；可以重试",
                en="The server stopped while the task ran, and it cannot go on where it was; it can be tried again",
            )
        )


class Tasks:
    """See the module.

    Args:
        board: the tasks that have not ended.
        store: all of them.
        searches: does searches and parses.
        downloads: does downloads.
        runners: own the tasks that do it.
        registry: where plugins are.
        caller: calls them.
    """

    def __init__(
        self,
        board: Board,
        store: TaskStore,
        searches: Searches,
        downloads: Downloads,
        runners: Runners,
        registry: Registry,
        caller: Caller,
    ) -> None:
        self._board = board
        self._store = store
        self._searches = searches
        self._downloads = downloads
        self._runners = runners
        self._registry = registry
        self._caller = caller

    async def start(self) -> None:
        """Go on with what had not ended when the server did."""
        for task, checkpoint in await self._store.unfinished():
            live = self._board.take_up(task, checkpoint)
            if task.kind is not TaskKind.DOWNLOAD:
                live.results = await self._store.results(task.id)
                live.told_count = len(live.results)
                if task.status is TaskStatus.PENDING:
                    self._searches.run(live)
                else:
                    await self._board.fail(live, ServerStopped())
            elif task.external_id is not None:
                self._downloads.run(live)
            elif task.status is TaskStatus.PAUSED:
                live.rests.set()
            elif task.status is TaskStatus.PENDING or task.resumable:
                if task.status is not TaskStatus.PENDING:
                    await self._board.change(live, TaskStatus.PENDING, speed=None, eta=None)
                self._downloads.run(live)
            else:
                await self._board.fail(live, ServerStopped())

    async def close(self, seconds: float) -> None:
        """Stop what can go on later, wait for the rest, then end it; calling it twice is safe."""
        await self._downloads.stop_for_now()
        for live in self._board.all():
            # Nobody waits for a search any more; what another program goes on with is followed again at the next start.
            if live.runner is not None and (live.task.kind is not TaskKind.DOWNLOAD or live.task.external_id):
                live.runner.cancel()
        await self._runners.close(max(0.0, seconds - _CLOSE_SECONDS))
        await self._board.keep_rest()

    # -- looking up ----------------------------------------------------------------------------------------------

    async def get(self, id: str) -> Task:
        """A task with its results.

        Raises:
            TaskNotFound, StoreFailed
        """
        live = self._board.get(id)
        if live is not None:
            return shown(live)
        task = await self._store.get(id)
        if task is None:
            raise TaskNotFound(id)
        return msgspec.structs.replace(self._board.newest(task), results=task.results)

    async def page(
        self,
        *,
        kinds: Iterable[TaskKind] = (),
        statuses: Iterable[TaskStatus] = (),
        words: str = "",
        before: int | None = None,
        limit: int,
    ) -> Page:
        """The newest tasks without their results, those under way as they are at this moment.

        Args: as for `TaskStore.page`.
        """
        wanted = frozenset(statuses)
        page = await self._store.page(kinds=kinds, statuses=wanted, words=words, before=before, limit=limit)
        tasks = [self._board.newest(task) for task in page.tasks]
        return Page([task for task in tasks if not wanted or task.status in wanted], page.next_cursor)

    # -- changing ------------------------------------------------------------------------------------------------

    async def cancel(self, id: str) -> Task:
        """Stop a task's work for good, and what it left behind goes.

        Raises:
            TaskNotFound, StoreFailed
            TaskConflict: it has ended already.
            CallFailed: another program works on it and could not be told.
        """
        live = await self._find(id, zh="取消", en="cancelled")
        if live.task.external_id is not None:
            await self._tell(live, "cancel")
        is_paused = live.task.status is TaskStatus.PAUSED
        is_first = live.wish != "cancel"
        if is_paused:
            live.rests.clear()
        live.want("cancel")
        if is_paused and is_first and live.task.external_id is None:
            self._downloads.run(live)  # nobody works on it who could throw away what it left
        await self._rests(live)
        return shown(live)

    async def pause(self, id: str) -> Task:
        """Stop a download for now.

        Raises:
            TaskNotFound, StoreFailed, CallFailed
            TaskConflict: it has ended, or cannot go on later where it stopped.
        """
        live = await self._find(id, zh="暂停", en="paused")
        task = live.task
        if task.status is TaskStatus.PAUSED and live.wish != "cancel":
            return shown(live)
        if task.external_id is not None:
            await self._tell(live, "pause")
        elif task.kind is not TaskKind.DOWNLOAD or (
            task.status is not TaskStatus.PENDING and not task.resumable
        ):
            raise TaskConflict(
                task,
                zh="该任务无法暂停：插件不支持从中断处继续",
                en="This task cannot be paused: its plugin cannot go on where it stopped",
            )
        live.want("pause")
        await self._rests(live)
        return shown(live)

    async def resume(self, id: str) -> Task:
        """Go on with a download that is paused.

        Raises:
            TaskNotFound, StoreFailed, CallFailed
            TaskConflict: it is not paused.
        """
        live = await self._find(id, zh="继续", en="resumed")
        if live.wish == "cancel":
            raise TaskConflict(live.task, zh="任务正在取消，无法继续", en="The task is being cancelled")
        if live.task.status is not TaskStatus.PAUSED:
            raise TaskConflict(
                live.task,
                zh=f"任务没有暂停，而是 {live.task.status}",
                en=f"The task is not paused but {live.task.status}",
            )
        if live.task.external_id is not None:
            await self._tell(live, "resume")
            await self._board.change(live, TaskStatus.DOWNLOADING)
            live.wake()
        else:
            live.forget_wish()
            await self._board.change(live, TaskStatus.PENDING)
            try:
                await self._board.save(live)
            except PlugbayError:
                live.want("pause")
                raise
            finally:
                self._downloads.run(live)
        return shown(live)

    async def retry(self, id: str) -> Task:
        """Do a task again that failed or was cancelled; a download goes on from its checkpoint where there is one.

        Raises:
            TaskNotFound, StoreFailed
            TaskConflict: it has not ended, or it has succeeded.
        """
        task = await self.get(id)
        if task.status not in (TaskStatus.FAILED, TaskStatus.CANCELLED) or self._board.get(id) is not None:
            raise TaskConflict(
                task,
                zh=f"只能重试失败或已取消的任务，该任务为 {task.status}",
                en=f"Only a task that failed or was cancelled can be tried again; this one is {task.status}",
            )
        live = self._board.take_up(task, None)
        facts: dict[str, Any] = dict.fromkeys(
            ("error", "problem", "external_id", "started_at", "completed_at", "save_path", "generation")
        )
        facts |= {"failures": [], "answered": [], "progress_message": "", "progress": 0.0, "downloaded": None}
        facts["request_id"] = request_id.get()
        try:
            live.checkpoint = await self._store.checkpoint(id)
            if live.checkpoint is not None:
                facts |= {"progress": task.progress, "downloaded": task.downloaded}
            await self._store.begin_again(
                msgspec.structs.replace(live.task, status=TaskStatus.PENDING, **facts, result_count=0)
            )
        except BaseException:
            self._board.put_back(live)
            raise
        await self._board.change(live, TaskStatus.PENDING, **facts)
        if task.kind is TaskKind.DOWNLOAD:
            self._downloads.run(live)
        else:
            self._searches.run(live)
        return shown(live)

    # -- small parts ---------------------------------------------------------------------------------------------

    async def _find(self, id: str, *, zh: str, en: str) -> LiveTask:
        live = self._board.get(id)
        if live is not None:
            await live.settled()
            if self._board.get(id) is live and not live.task.has_ended:
                return live
        task = await self.get(id)
        raise TaskConflict(
            task,
            zh=f"任务已结束（{task.status}），无法{zh}",
            en=f"The task has ended ({task.status}) and cannot be {en}",
        )

    async def _tell(self, live: LiveTask, method: str) -> None:
        """Tell the program that works on a download, by way of its plugin.

        Raises:
            CallFailed: it could not be told.
            TaskConflict: the plugin cannot tell it that.
        """
        plugin, generation = who_to_ask(self._registry, live)
        if generation is None:
            raise PluginUnavailable(
                str(plugin.identity), Text(zh="没有运行中的版本", en="nothing of it serves"), 5.0
            )
        if method not in generation.manifest.methods:
            raise _cannot(live.task, plugin, method)
        params: dict[str, object] = {"id": live.task.external_id}
        answer = bytes(await self._caller.call_in(plugin, generation, method, params))
        if answer == b"false":
            raise _refused(plugin, method)

    async def _rests(self, live: LiveTask) -> None:
        """Wait until it has stopped; longer than that it goes on stopping by itself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await live.rests.wait()


def shown(live: LiveTask) -> Task:
    """A task that has not ended, with the results so far."""
    results = live.results if live.task.kind is not TaskKind.DOWNLOAD else []
    return msgspec.structs.replace(live.task, results=list(results))


def _cannot(task: Task, plugin: Plugin, method: str) -> TaskConflict:
    return TaskConflict(
        task,
        zh=f"插件 {plugin.identity} 没有 {method}，请在其自己的界面中操作",
        en=f"Plugin {plugin.identity} has no {method}; use the page of the program itself",
    )


def _refused(plugin: Plugin, method: str) -> TaskRefused:
    return TaskRefused(
        Text(
            zh=f"插件 {plugin.identity} 的 {method} 返回了 False，任务没有改变",
            en=f"{method} of plugin {plugin.identity} answered False; the task is as it was",
        )
    )
