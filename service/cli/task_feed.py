"""One task from its start to its end, over cuts and restarts; Ctrl-C cancels it where it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, Self

from service.cli.language import say
from service.cli.output import Output
from service.cli.remedies import words_of_failure
from service.cli.task_text import localised, short_id
from service.client import (
    Client,
    ClientError,
    Disconnected,
    ServerRefused,
    ServerUnreachable,
    TaskView,
)
from service.client.following import PATIENCE_S


class View(TaskView):
    """A task as the command line shows it."""

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
    client: Client, output: Output, starting: Coroutine[Any, Any, Mapping[str, Any]], screen: Screen
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
            view.task = dict(await asyncio.shield(started))
            screen.show(view, "")
            async with aclosing(follow_task(client, view)) as news:
                async for trouble in news:
                    screen.show(view, trouble)
            return Ended(view, False)
        except asyncio.CancelledError:
            try:
                screen.cancelling()
                view.task = view.task or dict(await started)
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

    Yields:
        after each change what is wrong with the connection; nothing, mostly.

    Raises:
        ServerRefused: the server knows no such task any more, or does not want this client back.
        ServerUnreachable: it cannot be reached, or has been away for `PATIENCE_S`.
    """
    try:
        async with aclosing(client.follow_task(view, patience_s=PATIENCE_S)) as news:
            async for trouble in news:
                yield _told(trouble)
    except ServerUnreachable as error:
        raise _gone(client, view) if error.code == "server_gone" else error from None


def _told(trouble: Disconnected | ClientError | None) -> str:
    if isinstance(trouble, Disconnected):
        return say(f"连接中断（{trouble.reason}），正在重连…", f"cut ({trouble.reason}), coming back…")
    return "" if trouble is None else words_of_failure(trouble)


async def _cancel(client: Client, view: View) -> Mapping[str, Any]:
    id = str(view.task["id"])
    try:
        return await client.change_task(id, "cancel")
    except ServerRefused as refusal:
        if refusal.code != "task_conflict":
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
