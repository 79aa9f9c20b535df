"""Downloads: each is a call that may take days, pinned to the generation that it began in.

pending ─► slot ─► call in a generation ─► completed, failed
             ▲          │        │
             │  paused ◄┘        └─► another program: followed (`service.tasks.following`) or handed over
             └──── worker or server lost, and the plugin can go on from a checkpoint
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from service.errors import (
    ConfigMissing,
    PlugbayError,
    PluginCrashed,
    PluginRaised,
    PluginUnavailable,
)
from service.host.calls import Caller
from service.host.generation import Generation, describe_exit
from service.host.plugin import Plugin
from service.host.registry import Registry
from service.host.workers.calls_in_flight import Running
from service.host.workers.channel import ChannelClosed, MethodRaised
from service.model.identity import PluginType
from service.model.task import Task, TaskKind, TaskStatus
from service.tasks.board import Board, LiveTask, Wish
from service.tasks.choice import choose
from service.tasks.following import Following
from service.tasks.outcomes import DownloadFailed, Outcome, facts_of_report
from service.tasks.runners import Runners
from service.tasks.slots import Slots
from service.tasks.waiting import first

log = structlog.get_logger(__name__)

# A plugin's own cancel() may take that long, then its call is cancelled in any case.
_CANCEL_SECONDS = 1.0
# A call that goes on for longer loses its worker, see `service.host.workers.channel`.
_STOP_SECONDS = 3.0
_DISCARD_SECONDS = 15.0
_PASS_ON_SECONDS = 5.0
# How often a download goes on after its worker was lost without having come any further.
_ATTEMPTS = 5
# How long a download waits for its plugin to serve, after a start of the server or a crash.
_PLUGIN_SECONDS = 120.0
_RETRY_SECONDS_MAX = 5.0

_encode = msgspec.json.Encoder().encode


class Downloads:
    """See the module.

    Args:
        board: keeps and tells.
        registry: where plugins are.
        caller: calls them.
        runners: own the tasks that do it.
        slots: how many run at once.
        following: follows what another program goes on with.
        prefer: names of download plugins, the most wanted first.
    """

    def __init__(
        self,
        board: Board,
        registry: Registry,
        caller: Caller,
        runners: Runners,
        slots: Slots,
        following: Following,
        *,
        prefer: Sequence[str],
    ) -> None:
        self._board = board
        self._registry = registry
        self._caller = caller
        self._runners = runners
        self._slots = slots
        self._following = following
        self._prefer = prefer
        self._closing = False

    def choose(self, url: str) -> Plugin:
        """The plugin that downloads an address where none is named.

        Raises:
            NoDownloadPlugin
        """
        return choose(self._registry.all(), url, self._prefer)

    async def start(self, plugin: Plugin, url: str, title: str, metadata: dict[str, Any]) -> LiveTask:
        """Begin a download.

        Raises:
            StoreFailed
        """
        manifest = plugin.manifest
        live = await self._board.create(
            TaskKind.DOWNLOAD,
            plugin_name=plugin.identity.name,
            url=url,
            title=title,
            metadata=metadata,
            resumable=manifest is not None and manifest.resumable,
        )
        self.run(live)
        return live

    def run(self, live: LiveTask) -> None:
        """Have somebody work on a download that is pending, or that another program works on."""
        self._runners.begin(live, self._work(live))

    async def stop_for_now(self) -> None:
        """The server stops: what can go on later stops now and goes on at the next start."""
        self._closing = True
        for live in self._board.all():
            if live.task.kind is TaskKind.DOWNLOAD and live.task.resumable and not live.task.external_id:
                live.want("pause")

    # -- one download --------------------------------------------------------------------------------------------

    async def _work(self, live: LiveTask) -> None:
        try:
            if live.task.external_id is not None:
                await self._following.follow(live, None)
            else:
                await self._turn(live)
        except PlugbayError as error:
            if not live.task.has_ended:
                await self._board.fail(live, error)
        except Exception as error:
            await self._board.fail_broken(live, error)

    async def _turn(self, live: LiveTask) -> None:
        """Wait for a slot and download; a wish that comes first counts first."""
        name = live.task.plugin_name or ""
        async with contextlib.AsyncExitStack() as stack:
            turn = asyncio.ensure_future(stack.enter_async_context(self._slots.taken(name)))
            try:
                if not await first(turn, live.wished):
                    await self._stopped(live, clean=live.task.started_at is None)
                    return
            finally:
                if not turn.done():
                    turn.cancel()
                    await asyncio.gather(turn, return_exceptions=True)
            generation = await self._attempts(live)
        if generation is not None:
            # Another program goes on, and has a queue of its own: the slot is free again.
            await self._following.follow(live, generation)

    async def _attempts(self, live: LiveTask) -> Generation | None:
        """Download, and again where the worker is lost and the plugin can go on.

        Returns:
            the generation that handed the work over to another program, if it is to be followed.
        """
        lost = 0
        before = live.checkpoint
        while True:
            plugin, generation = await self._serving(live)
            if generation is None:
                await self._stopped(live, clean=live.task.started_at is None)
                return None
            resumable = generation.manifest.resumable
            try:
                return await self._attempt(live, plugin, generation)
            except PluginCrashed as crash:
                if live.wish is not None or self._closing:
                    await self._stopped(live, clean=False)
                    return None
                lost = lost + 1 if live.checkpoint == before else 1
                before = live.checkpoint
                if not resumable or lost > _ATTEMPTS:
                    raise
                log.warning("task.goes_on", task=live.id, after=str(crash), attempt=lost)
                await self._board.change(
                    live, TaskStatus.PENDING, progress_message=crash.text.zh, speed=None, eta=None
                )

    async def _serving(self, live: LiveTask) -> tuple[Plugin, Generation | None]:
        """The generation that the download begins in; `None` where it is to stop first.

        After a start of the server, or a crash, it waits for its plugin for a while.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PLUGIN_SECONDS
        ready = asyncio.ensure_future(self._registry.ready.wait())
        try:
            await first(ready, live.wished, seconds=_PLUGIN_SECONDS)
        finally:
            ready.cancel()
        while True:
            plugin = self._plugin(live.task)
            if live.wish is not None:
                return plugin, None
            try:
                generation = await self._registry.serving(plugin)
                if generation.manifest.config_missing:
                    raise ConfigMissing(str(plugin.identity), generation.manifest.config_missing)
                return plugin, generation
            except PluginUnavailable as error:
                if plugin.error is not None or loop.time() >= deadline:
                    raise
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(error.retry_after, _RETRY_SECONDS_MAX)):
                        await live.wished.wait()

    async def _attempt(self, live: LiveTask, plugin: Plugin, generation: Generation) -> Generation | None:
        """One call. It holds its generation from its start to its end, whatever becomes of the plugin."""
        with generation.lease():
            params = _encode({"task": _given(live.task, live.checkpoint)})
            running: Running | None = None

            def on_note(kind: str, number: int, body: bytes) -> None:
                if kind == "report":
                    self._report(live, body)
                elif running is not None:
                    self._runners.spawn(self._keep(live, running, number, body), name=f"checkpoint {live.id}")

            await self._board.change(
                live,
                TaskStatus.DOWNLOADING,
                generation=generation.number,
                resumable=generation.manifest.resumable,
                progress_message="",
            )
            with self._caller.counted(plugin, "download") as call:
                call.generation = generation.number
                try:
                    running = generation.worker.channel.start("download", params, on_note)
                    if not await first(running.answer, live.wished):
                        call.outcome = "cancelled"
                        return await self._stop(live, plugin, generation, running)
                    outcome = msgspec.json.decode(running.answer.result(), type=Outcome)
                except MethodRaised as raised:
                    raise PluginRaised(str(plugin.identity), raised.error) from None
                except ChannelClosed as closed:
                    raise PluginCrashed(
                        str(plugin.identity), describe_exit(closed.status, closed.ended_for)
                    ) from None
                finally:
                    if running is not None:
                        running.let_go()
                if not outcome.done:
                    call.outcome = "cancelled" if outcome.status == "cancelled" else DownloadFailed.code
            return await self._ended(live, plugin, generation, outcome)

    async def _stop(
        self, live: LiveTask, plugin: Plugin, generation: Generation, running: Running
    ) -> Generation | None:
        """Do what the user wishes: ask the plugin first, then cancel the call, then wait until it is over."""
        wish = live.wish or "cancel"
        if wish == "cancel" and "cancel" in generation.manifest.methods:
            with contextlib.suppress(PlugbayError):
                await self._caller.call_in(
                    plugin, generation, "cancel", {"id": live.id}, timeout_s=_CANCEL_SECONDS
                )
        running.stop(wish)
        await asyncio.wait((running.answer,), timeout=_STOP_SECONDS)
        clean = running.answer.done()
        if clean and running.answer.exception() is None:
            outcome = msgspec.json.decode(running.answer.result(), type=Outcome)
            if outcome.done:  # it was over before it heard of the wish
                follower = await self._ended(live, plugin, generation, outcome)
                if follower is not None:
                    await self._pass_on(live, plugin, follower, wish)
                return follower
        elif clean:
            # One that raised before it heard of the wish, or was killed, may have left something.
            error = running.answer.exception()
            clean = isinstance(error, MethodRaised) and bool(error.error.get("cancelled"))
        # One that was to pause, and is to be cancelled by now, has left what it would have gone on from.
        await self._stopped(live, clean=clean and live.wish == wish)
        return None

    async def _pass_on(self, live: LiveTask, plugin: Plugin, generation: Generation, wish: Wish) -> None:
        """Tell the program that has the download by now what the user wished of it; no more than tried."""
        if wish in generation.manifest.methods:
            with contextlib.suppress(PlugbayError):
                answer = await self._caller.call_in(
                    plugin, generation, wish, {"id": live.task.external_id}, timeout_s=_PASS_ON_SECONDS
                )
                if bytes(answer) != b"false":
                    live.want(wish)

    async def _stopped(self, live: LiveTask, *, clean: bool) -> None:
        """It has stopped as was wished: for now, or for good."""
        if live.wish != "cancel":
            live.forget_wish()
            if self._closing:
                await self._board.save(live)  # it goes on at the next start
            else:
                await self._board.change(live, TaskStatus.PAUSED, speed=None, eta=None)
            return
        # Only when nothing of it is left has it ended: it may be tried again from then on.
        if live.checkpoint is not None or not clean:
            await self._discard(live)
        await self._board.forget_checkpoint(live)
        await self._board.change(live, TaskStatus.CANCELLED)

    async def _ended(
        self, live: LiveTask, plugin: Plugin, generation: Generation, outcome: Outcome
    ) -> Generation | None:
        """The call is over: that is the end of the download, unless another program goes on with it."""
        live.forget_wish()
        metadata = outcome.metadata if isinstance(outcome.metadata, dict) else live.task.metadata
        facts: dict[str, Any] = {
            "title": outcome.title or live.task.title,
            "save_path": outcome.save_path,
            "metadata": metadata,
        }
        if not outcome.done:
            self._board.progress(live, **facts)
            if outcome.status == "cancelled":
                await self._board.change(live, TaskStatus.CANCELLED)
                return None
            raise DownloadFailed(str(plugin.identity), outcome.error)
        if outcome.status != "downloading":
            await self._board.change(live, TaskStatus.COMPLETED, progress=100.0, **facts)
            return None
        if outcome.external_id is None:
            await self._board.change(live, TaskStatus.HANDED_OVER, **facts)
            return None
        self._board.progress(live, external_id=outcome.external_id, **facts)
        try:
            await self._board.save(live)
        except PlugbayError as error:
            # The other program goes on all the same; the next progress is kept, if there is room again.
            log.error("task.not_kept", task=live.id, reason=str(error))
        return generation

    # -- small parts ---------------------------------------------------------------------------------------------

    def _plugin(self, task: Task) -> Plugin:
        return self._registry.find(PluginType.DOWNLOAD, task.plugin_name or "")

    async def _discard(self, live: LiveTask) -> None:
        """Have the plugin throw away what a download has left behind, where it can; no more than tried."""
        with contextlib.suppress(PlugbayError):
            plugin = self._plugin(live.task)
            if plugin.manifest is not None and "discard" in plugin.manifest.methods:
                params: dict[str, object] = {"task": _given(live.task, live.checkpoint)}
                await self._caller.call(plugin, "discard", params, timeout_s=_DISCARD_SECONDS)

    def _report(self, live: LiveTask, body: bytes) -> None:
        self._board.progress(live, **facts_of_report(body))

    async def _keep(self, live: LiveTask, running: Running, number: int, body: bytes) -> None:
        try:
            await self._board.set_checkpoint(live, body)
        except PlugbayError as error:
            # The plugin goes on: what it has kept so far still counts.
            if not live.is_behind:
                log.error("task.checkpoint_not_kept", task=live.id, reason=str(error))
            live.is_behind = True
        else:
            live.is_behind = False
        running.kept(number)


def _given(task: Task, checkpoint: dict[str, Any] | None) -> dict[str, object]:
    """A task as its plugin gets it."""
    return {
        "id": task.id,
        "url": task.url,
        "title": task.title,
        "status": str(task.status),
        "progress": task.progress,
        "plugin_name": task.plugin_name,
        "save_path": task.save_path,
        "metadata": task.metadata,
        "resume": checkpoint,
    }
