"""`plugbay tasks`: what is searched, parsed and downloaded, and what can be done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import click
from rich.text import Text

from service.cli.arguments import complete_task
from service.cli.command import over_api
from service.cli.language import say
from service.cli.output import Output
from service.cli.status import DONE, REFUSED
from service.cli.task_table import TaskView, id_lengths, task_lines, task_table
from service.cli.task_text import name_of, status_text
from service.cli.watch import watch
from service.client import Client, ClientError, Position, ServerRefused
from service.client.shapes import Task, Tasks
from service.model.task import TaskKind, TaskStatus

_LISTED = 20
_PAGE = 500
_ID_CHARS = 32
# An abbreviated id is looked for among so many tasks.
_SEARCHED_MAX = 20_000
_CANDIDATES_SHOWN = 5


@click.group(
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    short_help=say("列出、查看和操作任务", "List tasks, look at them, change them."),
    help=say(
        "列出任务，新的在前；或查看、操作其中的几个。\n\n任务编号只需写出能区分的开头几位",
        "List the tasks, newest first, or look at some and change them.\n\nOf an id, as many characters are enough as "
        "tell it from the others.",
    ),
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="K",
    type=click.Choice([str(kind) for kind in TaskKind]),
    help=say("只列这种：", "Only of this kind: ") + ", ".join(TaskKind),
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    metavar="S",
    type=click.Choice([str(status) for status in TaskStatus]),
    help=say("只列这种状态：", "Only with this status: ") + ", ".join(TaskStatus),
)
@click.option(
    "--limit",
    metavar="N",
    default=_LISTED,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help=say("最多列出几个", "List so many at most."),
)
@click.option(
    "--watch",
    "keep",
    is_flag=True,
    help=say("持续显示变化，断线自动续接", "Keep it up to date, over cuts too."),
)
@over_api
async def tasks(
    client: Client,
    output: Output,
    *,
    kinds: tuple[str, ...],
    statuses: tuple[str, ...],
    limit: int,
    keep: bool,
) -> None:
    """One table, or a live one."""
    if not keep:
        answer = await _listed(client, limit, kinds=kinds, statuses=statuses)
        output.answer(answer, task_table(answer["tasks"]))
        if answer.get("next_cursor") and not output.as_json:
            output.note(say("还有更早的任务，可用 --limit N 列出", "There are older ones: --limit N"))
        return

    async def fetch() -> TaskView:
        # The position first: what happens in between is then told once more, and does no harm.
        plugins = await client.plugins()
        answer = await _listed(client, limit, kinds=kinds, statuses=statuses)
        return TaskView(
            Position(str(plugins["epoch"]), str(plugins["seq"])),
            map(dict, answer["tasks"]),
            lambda task: (
                (not kinds or task.get("kind") in kinds) and (not statuses or task.get("status") in statuses)
            ),
            limit,
        )

    await watch(client, output, ["tasks/*"], fetch)


@tasks.command(help=say("显示一个任务的全部信息", "Show all that is known of a task."))
@click.argument("id", metavar="ID", shell_complete=complete_task)
@over_api
async def show(client: Client, output: Output, *, id: str) -> None:
    """One task, with its results and errors."""
    [whole] = await _resolved(client, [id])
    task = await client.task(whole)
    if output.as_json:
        output.json(task)
        return
    for line in task_lines(task):
        output.console.print(line, soft_wrap=True)


def _command(verb: str, help: str) -> None:
    """Makes the command that does `verb` with tasks."""

    @tasks.command(verb, help=help)
    @click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_task)
    @over_api
    async def change(client: Client, output: Output, *, ids: tuple[str, ...]) -> int:
        whole = await _resolved(client, ids)
        outcomes = await asyncio.gather(*(_attempt(client.change_task(id, verb)) for id in whole))
        length = id_lengths(whole)
        changed = []
        for id, outcome in zip(whole, outcomes, strict=True):
            if isinstance(outcome, ClientError):
                if len(whole) > 1 and not output.as_json:
                    output.errors.print(Text(f"{id[:length]}:", style="red"))
                output.failure(outcome)
                continue
            changed.append(outcome)
            if not output.as_json:
                line = Text.assemble(id[:length], "  ", status_text(outcome), "  ", name_of(outcome))
                output.console.print(line, soft_wrap=True)
        if output.as_json:
            output.json({"tasks": changed})
        return DONE if len(changed) == len(whole) else REFUSED


_command(
    "cancel", say("取消任务，其已下载的部分一并删除", "Stop tasks for good; what they left behind goes.")
)
_command("pause", say("暂停下载", "Stop downloads for now."))
_command("resume", say("继续已暂停的下载", "Go on with downloads that are paused."))
_command("retry", say("重试失败或已取消的任务", "Try tasks again that failed or were cancelled."))


async def _attempt(request: Coroutine[Any, Any, Task]) -> Task | ClientError:
    try:
        return await request
    except ClientError as error:
        return error


async def _listed(
    client: Client, limit: int, *, kinds: Iterable[str] = (), statuses: Iterable[str] = ()
) -> Tasks:
    """The newest tasks, also where they are more than the server gives at once."""
    found: list[Task] = []
    cursor = ""
    while True:
        answer = await client.tasks(
            kinds=kinds, statuses=statuses, limit=min(limit - len(found), _PAGE), cursor=cursor
        )
        found += answer["tasks"]
        cursor = answer.get("next_cursor") or ""
        if not cursor or len(found) >= limit:
            return {**answer, "tasks": found}


async def _resolved(client: Client, ids: Iterable[str]) -> list[str]:
    """The whole ids of abbreviated ones, each once.

    Raises:
        ServerRefused: there is none, or more than one; then nothing has been done with any.
    """
    typed = list(dict.fromkeys(id.lower() for id in ids))
    known: list[str] = []
    if any(len(id) < _ID_CHARS for id in typed):
        known = [str(task["id"]) for task in (await _listed(client, _SEARCHED_MAX))["tasks"]]
    found = []
    for id in typed:
        matches = [id] if len(id) >= _ID_CHARS else [whole for whole in known if whole.startswith(id)]
        if len(matches) != 1:
            raise _unclear(id, matches)
        found += matches
    return list(dict.fromkeys(found))


def _unclear(id: str, matches: list[str]) -> ServerRefused:
    if not matches:
        detail = say(f"没有编号以 {id} 开头的任务", f"No task has an id that begins with {id}")
        return ServerRefused(404, {"code": "task_not_found", "detail": detail})
    length = id_lengths(matches)
    named = say("、", ", ").join(match[:length] for match in matches[:_CANDIDATES_SHOWN])
    detail = say(
        f"{id} 可能指 {len(matches)} 个任务：{named}；请多写几位",
        f"{id} may be any of {len(matches)} tasks: {named}; write more of it",
    )
    return ServerRefused(409, {"code": "task_ambiguous", "detail": detail})
