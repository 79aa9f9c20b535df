"""`plugbay history` and `undo`: what was done to plugins and their configuration, and taking it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click
from rich.text import Text

from service.cli.arguments import PLUGIN_ID, complete_change
from service.cli.command import over_api
from service.cli.language import say
from service.cli.listing import Listing
from service.cli.output import Output, clock
from service.cli.progress import installing
from service.cli.revisions import serving_line
from service.cli.task_text import readable
from service.client import Client, ClientError

_LIMIT_MAX = 1000
_ID_MIN_CHARS = 6
_UNDO = "undo"


@click.command(
    short_help=say("列出做过的更改，新的在前", "List what was done, newest first."),
    help=say(
        "列出对插件及其配置做过的更改，新的在前；plugbay undo 可撤销",
        "List what was done to plugins and their configuration, newest first; plugbay undo takes it back.",
    ),
)
@click.argument("plugin", metavar="[T/NAME]", type=PLUGIN_ID, required=False)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, _LIMIT_MAX),
    default=20,
    show_default=True,
    help=say("最多几项", "How many at most."),
)
@over_api
async def history(client: Client, output: Output, *, plugin: tuple[str, str] | None, limit: int) -> None:
    """A row a change."""
    answer = await client.changes(plugin="/".join(plugin) if plugin else None, limit=limit)
    changes = answer.get("changes") or []
    if not changes and not output.as_json:
        output.console.print(say("还没有任何更改", "Nothing has been changed yet"))
        return
    width = _id_width(changes)
    heads = [
        say("编号", "id"),
        say("时间", "when"),
        say("插件", "plugin"),
        say("更改", "change"),
    ]
    rows = [
        [
            Text(str(one["id"])[:width]),
            Text(clock(one.get("at"))),
            Text(readable(one.get("plugin"))),
            _what(one, width),
        ]
        for one in changes
    ]
    table = Listing(heads, rows, elastic=len(heads) - 1, fold=True)
    output.answer(answer, table)


@click.command(
    short_help=say("撤销一次更改", "Take a change back."),
    help=say(
        "\b\n撤销一次更改：文件、配置和数据都恢复原样。\n"
        "默认为最近一次尚未撤销的更改；编号见 plugbay history，写出开头即可",
        "Take a change back: files, configuration and data are as before. Without an ID, the newest that was not "
        "taken back yet. plugbay history lists them; the beginning of an ID will do.",
    ),
)
@click.argument("id_", metavar="[ID]", required=False, shell_complete=complete_change)
@over_api
async def undo(client: Client, output: Output, *, id_: str | None) -> None:
    """Undoes one, and says what is there now."""
    changes = (await client.changes(plugin=None, limit=_LIMIT_MAX)).get("changes") or []
    wanted = _newest(changes) if id_ is None else _named(changes, id_)
    text = say("正在撤销…", "Undoing…")
    action = client.undo(str(wanted["id"]))
    answer = await installing(client, output, text, action, plugin=str(wanted.get("plugin") or "**"))
    parts = [readable(wanted.get("plugin")), _summary(wanted) or str(wanted["id"])]
    line = Text(say("已撤销：", "Undone: ") + " ".join(part for part in parts if part))
    plugin = answer.get("plugin")
    output.answer(answer, line if not plugin else Text("\n").join([line, serving_line(plugin)]))


def _newest(changes: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The newest that still counts. An undo is none: undoing again goes further back, not forth."""
    for one in changes:
        if one.get("undoable") and not one.get("undone_by") and one.get("kind") != _UNDO:
            return one
    raise ClientError(
        say("没有可撤销的更改；见 plugbay history", "There is nothing to undo; see plugbay history")
    )


def _named(changes: Iterable[Mapping[str, Any]], id: str) -> Mapping[str, Any]:
    """The one whose id begins so; one that is not listed is the server's to refuse."""
    found = [one for one in changes if str(one["id"]).startswith(id)]
    exact = [one for one in found if one["id"] == id]
    if len(found) > 1 and not exact:
        ids = ", ".join(str(one["id"]) for one in found[:5])
        raise ClientError(
            say(f"{id} 可能指 {ids}；请多写几位", f"{id} may be any of {ids}; write more of it")
        )
    return (exact or found or [{"id": id}])[0]


def _what(change: Mapping[str, Any], width: int) -> Text:
    """What was done, and what became of it."""
    by = str(change.get("undone_by") or "")[:width]
    note = say(f"已由 {by} 撤销", f"undone by {by}") if by else ""
    if not note and not change.get("undoable"):
        note = say("不可撤销", "cannot be undone")
    return Text.assemble(_summary(change), say("；", "; ") if note else "", (note, "dim"))


def _summary(change: Mapping[str, Any]) -> str:
    return readable(change.get("summary") or change.get("kind"))


def _id_width(changes: Iterable[Mapping[str, Any]]) -> int:
    """How many characters tell the ids apart."""
    ids = [str(one["id"]) for one in changes]
    longest = max(map(len, ids), default=0)
    width = _ID_MIN_CHARS
    while width < longest and len({id[:width] for id in ids}) < len(ids):
        width += 1
    return width
