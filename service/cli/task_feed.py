"""One task from its start to its end, over cuts and restarts; Ctrl-C cancels it where it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, Self

from service.cli.client import (
    Client,
    ClientError,
    Connected,
    Disconnected,
    Happened,
    ServerRefused,
    ServerUnreachable,
)
from service.cli.language import say
from service.cli.output import Output
from service.cli.task_text import localised, short_id
from service.model.task import ENDED

# A restart takes seconds; a server that stays away for longer is not waited for.
PATIENCE_S = 120.0
_UNAVAILABLE = 503


class View:
    """A task and its results as far as they are known; knows no socket.

    Attributes:
        task: how it stands.
        results: what was found so far, in the order of its arrival.
        is_stale: something was missed; the whole task has to be asked for.
    """

    def __init__(self) -> None:
        self.task: dict[str, Any] = {}
        self.results: list[Any] = []
        self.is_stale = True

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.task.get("status") in ENDED

    def replace(self, task: Mapping[str, Any]) -> None:
        """Takes over a task as the server gives it whole."""
        self.task = dict(task)
        self.results = list(task.get("results") or [])
        self.is_stale = False

    def apply(self, event: Mapping[str, Any]) -> bool:
        """Takes in one event; whether it was one of the task."""
        data = event.get("data") or {}
        task = data.get("task")
        if not isinstance(task, dict) or task.get("id") != self.task.get("id"):
            return False
        self.task = task
        if found := data.get("results"):
            # An event says how many there are with it, so that none is taken twice and a gap shows.
            known, before = len(self.results), int(task.get("result_count") or 0) - len(found)
            self.is_stale |= before > known
            self.results += found[max(0, known - before) :]
        return True

    def whole(self) -> dict[str, Any]:
        """The task with its results, in the reader's language."""
        return localised(self.task) | {"results": self.results}


class Screen:
    """Where a task is shown while it runs; this one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, view: View, trouble: str) -> None:
        """The task has changed, or the connection has: `trouble` says what is wrong with it, if anything."""

    def cancelling(self) -> None:
        """The user has pressed Ctrl-C."""


class Ended(NamedTuple):
    """What became of a task, and whether it was the user here who ended it."""

    view: View
    interrupted: bool


async def see_through(
    client: Client, output: Output, starting: Coroutine[Any, Any, dict[str, Any]], screen: Screen
) -> Ended:
    """Starts a task and follows it to its end; Ctrl-C cancels it, a second one leaves at once.

    Args:
        client: to the server.
        output: for what is to be said beside the screen.
        starting: asks for the task and gives it, as far as it is known then.
        screen: shows it meanwhile.

    Raises:
        ServerRefused: it was not begun.
        ServerUnreachable: it was not begun, or the server has been away for long.
    """
    view = View()
    # A Ctrl-C in between must not lose the id: nobody could cancel what has just begun.
    started = asyncio.ensure_future(starting)
    with screen:
        try:
            view.task = await asyncio.shield(started)
            screen.show(view, "")
            async with aclosing(follow_task(client, view)) as news:
                async for trouble in news:
                    screen.show(view, trouble)
            return Ended(view, False)
        except asyncio.CancelledError:
            try:
                screen.cancelling()
                view.task = view.task or await started
                view.replace(await _cancel(client, view))
            except ClientError as error:
                if not view.task:
                    raise  # it was refused, so there is nothing to cancel
                output.failure(error)
                output.note(_may_go_on(view))
            except (asyncio.CancelledError, KeyboardInterrupt):
                # Once more: nobody waits for what the server answers.
                output.note(_may_go_on(view))
                raise
            return Ended(view, True)


async def follow_task(client: Client, view: View) -> AsyncGenerator[str, None]:
    """Keeps the view of a task up to date until it has ended.

    It listens first and asks then, so nothing is missed: not at the start, nor after a cut or a restart of the server.

    Yields:
        after each change what is wrong with the connection; nothing, mostly.

    Raises:
        ServerRefused: the server knows no such task any more, or does not want this client back.
        ServerUnreachable: it cannot be reached, or has been away for `PATIENCE_S`.
    """
    trouble = ""
    async with aclosing(client.follow([f"tasks/{view.task['id']}"])) as feed:
        while not view.has_ended:
            try:
                async with asyncio.timeout(PATIENCE_S if trouble else None):
                    item = await anext(feed)
            except TimeoutError:
                raise _gone(client, view) from None
            match item:
                case Connected():
                    trouble, view.is_stale = "", True
                case Disconnected(reason):
                    trouble = say(f"连接中断（{reason}），正在重连…", f"cut ({reason}), coming back…")
                case Happened(event):
                    if not view.apply(event) and not view.is_stale:
                        continue
            if view.is_stale and not isinstance(item, Disconnected):
                trouble = await _refresh(client, view)
            yield trouble


async def _refresh(client: Client, view: View) -> str:
    """Asks for the whole task; what is wrong, where it is not given: then the feed breaks too, and comes back."""
    try:
        view.replace(await client.task(str(view.task["id"])))
    except ServerUnreachable as error:
        return str(error)
    except ServerRefused as refusal:
        if refusal.status != _UNAVAILABLE:
            raise
        return str(refusal)
    return ""


async def _cancel(client: Client, view: View) -> dict[str, Any]:
    id = str(view.task["id"])
    try:
        return await client.change_task(id, "cancel")
    except ServerRefused as refusal:
        if refusal.problem.get("code") != "task_conflict":
            raise
        return await client.task(id)  # it had ended by itself


def _may_go_on(view: View) -> str:
    if not view.task:
        return say("任务可能已经开始，用 plugbay tasks 查看", "It may have begun: plugbay tasks tells")
    id = short_id(view.task)
    return say(
        f"任务可能仍在运行，可用 plugbay tasks cancel {id} 取消",
        f"It may go on; to cancel it: plugbay tasks cancel {id}",
    )


def _gone(client: Client, view: View) -> ServerUnreachable:
    id = short_id(view.task)
    return ServerUnreachable(
        say(
            f"{client.url} 已失联超过 {PATIENCE_S:.0f} 秒；服务器恢复后，用 plugbay tasks show {id} 查看任务",
            f"{client.url} has been away for more than {PATIENCE_S:.0f} s; when it is back, "
            f"plugbay tasks show {id} tells what became of the task",
        )
    )
