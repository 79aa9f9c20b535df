"""Downloads that another program goes on with: its plugin is asked how far they are, until they are done."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import msgspec

from service.errors import CallFailed, PlugbayError, PluginDisabled, PluginNotFound
from service.host.calls import Caller
from service.host.generation import Generation
from service.host.plugin import Plugin
from service.host.registry import Registry
from service.model.identity import Identity, PluginType
from service.model.states import GenerationState
from service.model.task import TaskStatus
from service.model.text import Text
from service.tasks.board import Board, LiveTask

_ASK_INTERVAL_SECONDS = 1.0
_ASK_PAUSED_INTERVAL_SECONDS = 5.0
_ASK_SECONDS = 10.0
_BACKOFF_SECONDS_MAX = 30.0
_DOUBLINGS_MAX = 5
# The program may not list at once what it was just given.
_UNKNOWN_MAX = 5

_COMPLETED = {"completed", "complete", "finished", "done", "seeding", "success"}
_FAILED = {"failed", "error"}
_CANCELLED = {"cancelled", "canceled", "removed", "deleted"}
_PAUSED = {"paused", "stopped"}


class ExternalFailed(CallFailed):
    """The other program says that the download failed, or knows nothing of it any more."""

    code = "download_failed"


class Following:
    """See the module.

    Args:
        board: keeps and tells.
        registry: where plugins are.
        caller: calls them.
    """

    def __init__(self, board: Board, registry: Registry, caller: Caller) -> None:
        self._board = board
        self._registry = registry
        self._caller = caller

    async def follow(self, live: LiveTask, generation: Generation | None) -> None:
        """Ask until it is done.

        The generation that handed it over goes on being asked where nothing newer of the plugin serves, so that it
        is followed to its end also when the plugin is deleted or disabled.

        Args:
            live: the download; `external_id` is set.
            generation: who handed it over; `None` after a start of the server.

        Raises:
            PlugbayError: it failed.
        """
        unknown = failures = 0
        live.follower = generation
        await self._registry.ready.wait()
        with ExitStack() as lease:
            if generation is not None:
                lease.enter_context(generation.lease())
            while not await self._pause(live, failures):
                try:
                    plugin, newest = who_to_ask(self._registry, live)
                except (PluginNotFound, PluginDisabled):
                    # Nobody here can ask any more; the program goes on.
                    await self._board.change(live, TaskStatus.HANDED_OVER)
                    return
                if newest is None:
                    failures += 1
                    continue
                if newest is not live.follower:
                    lease.pop_all().close()
                    lease.enter_context(newest.lease())
                    live.follower = newest
                try:
                    told = msgspec.json.decode(
                        await self._caller.call_in(
                            plugin,
                            newest,
                            "get_progress",
                            {"id": live.task.external_id},
                            timeout_s=_ASK_SECONDS,
                        )
                    )
                except PlugbayError as error:
                    failures += 1
                    self._board.progress(live, progress_message=error.text.zh[:500], speed=None, eta=None)
                    continue
                failures = 0
                unknown = unknown + 1 if told is None or told is False else 0
                if unknown >= _UNKNOWN_MAX:
                    raise _lost(plugin)
                if not unknown and await self._take(live, plugin, told):
                    return

    async def _pause(self, live: LiveTask, failures: int) -> bool:
        """Wait for the next time to ask; whether it was cancelled meanwhile."""
        is_paused = live.task.status is TaskStatus.PAUSED
        seconds = _ASK_PAUSED_INTERVAL_SECONDS if is_paused else _ASK_INTERVAL_SECONDS
        try:
            async with asyncio.timeout(
                min(_BACKOFF_SECONDS_MAX, seconds * 2 ** min(failures, _DOUBLINGS_MAX))
            ):
                await live.wished.wait()
        except TimeoutError:
            return False
        wish = live.wish
        live.forget_wish()
        if wish == "cancel":
            await self._board.change(live, TaskStatus.CANCELLED)
            return True
        if wish == "pause" and live.task.status is TaskStatus.DOWNLOADING:
            await self._board.change(live, TaskStatus.PAUSED, speed=None, eta=None)
        return False

    async def _take(self, live: LiveTask, plugin: Plugin, told: Any) -> bool:
        """Take an answer of `get_progress`: a number, or a dictionary; whether the download has ended."""
        answer = told if isinstance(told, dict) else {"progress": told}
        status = str(answer.get("status") or "").lower()
        facts: dict[str, Any] = {}
        for name in ("progress", "speed", "eta", "downloaded", "total"):
            if (number := _number(answer.get(name))) is not None:
                facts[name] = int(number) if name in ("downloaded", "total") else number
        if "progress" in facts:
            facts["progress"] = min(100.0, max(0.0, facts["progress"]))
        for name in ("title", "save_path"):
            if isinstance(answer.get(name), str) and answer[name]:
                facts[name] = answer[name]
        if status in _FAILED:
            reason = str(answer.get("error") or answer.get("message") or "")
            raise _failed(plugin, reason)
        if status in _CANCELLED:
            await self._board.change(live, TaskStatus.CANCELLED)
            return True
        if status in _COMPLETED or (not status and facts.get("progress", 0) >= 100):
            await self._board.change(
                live, TaskStatus.COMPLETED, **{**facts, "progress": 100.0, "progress_message": ""}
            )
            return True
        if status in _PAUSED and live.task.status is TaskStatus.DOWNLOADING:
            await self._board.change(live, TaskStatus.PAUSED, **{**facts, "speed": None, "eta": None})
        elif status not in _PAUSED and live.task.status is TaskStatus.PAUSED and status:
            await self._board.change(live, TaskStatus.DOWNLOADING, **facts)
        else:
            if live.task.status is TaskStatus.PENDING:
                await self._board.change(live, TaskStatus.DOWNLOADING)
            message = str(answer.get("message") or "")
            self._board.progress(live, **facts, progress_message=message[:500])
        return False


def who_to_ask(registry: Registry, live: LiveTask) -> tuple[Plugin, Generation | None]:
    """The plugin of a followed download, and the generation to ask: what serves, else what handed it over.

    Raises:
        PluginNotFound, PluginDisabled: neither is there.
    """
    alive = live.follower
    if alive is not None and (
        alive.state not in (GenerationState.SERVING, GenerationState.DRAINING) or alive.worker.has_ended()
    ):
        alive = None
    try:
        plugin = registry.find(PluginType.DOWNLOAD, live.task.plugin_name or "")
    except PluginNotFound:
        if alive is None or live.task.plugin_name is None:
            raise
        return _gone(live.task.plugin_name, alive), alive
    if plugin.serving is not None and not plugin.serving.worker.has_ended():
        return plugin, plugin.serving
    if alive is None and not plugin.enabled:
        raise PluginDisabled(str(plugin.identity))
    return plugin, alive


def _gone(name: str, generation: Generation) -> Plugin:
    """A plugin that is known no more, to be named by: its last generation is still there."""
    return Plugin(generation.snapshot.unit, Identity(PluginType.DOWNLOAD, name))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def _failed(plugin: Plugin, reason: str) -> ExternalFailed:
    return ExternalFailed(
        Text(
            zh=f"{plugin.identity.name} 报告下载失败：{reason or '未说明原因'}",
            en=f"{plugin.identity.name} says that the download failed: {reason or 'it gives no reason'}",
        )
    )


def _lost(plugin: Plugin) -> ExternalFailed:
    return ExternalFailed(
        Text(
            zh=f"{plugin.identity.name} 中已没有这个下载；可能已在该程序中被删除",
            en=f"{plugin.identity.name} knows nothing of this download any more; it may have been removed there",
        )
    )
