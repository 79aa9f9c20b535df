"""`plugbay env list` and `prune`: the sets of packages that plugins depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from service.cli.command import over_api
from service.cli.language import say
from service.cli.output import Output, clock
from service.cli.task_text import readable, size_text
from service.client import Client

_SHORT_ID = 12


@click.group(help=say("查看和清理插件的依赖", "Show and clear the packages that plugins depend on."))
def env() -> None:
    """The noun of the commands below."""


@env.command("list", help=say("列出各组依赖及使用它的插件", "List the sets of packages and who uses them."))
@over_api
async def list_environments(client: Client, output: Output) -> None:
    """A row a set, and what they take together."""
    answer = await client.environments()
    sets = answer.get("environments") or []
    if not sets:
        output.answer(
            answer,
            Text(
                say(
                    "没有已安装的依赖：插件所需的都由服务器的环境提供",
                    "None is installed: what plugins need is in the server's environment",
                )
            ),
        )
        return
    blocks: list[RenderableType] = []
    for one in sets:
        blocks += [_head(one), Padding(Text(_packages(one), style="dim"), (0, 0, 0, 2), expand=False)]
    total = size_text(float(answer.get("size") or 0))
    unused = sum(not one.get("used_by") for one in sets)
    hint = (
        say(f"，{unused} 组无人使用：plugbay env prune", f", {unused} unused: plugbay env prune")
        if unused
        else ""
    )
    line = say(
        f"{len(sets)} 组，共 {total}{hint}", f"{len(sets)} set{'' if len(sets) == 1 else 's'}, {total}{hint}"
    )
    output.answer(answer, Group(*blocks, Text(line)))


@env.command("prune", help=say("清除无人使用的依赖", "Remove the sets of packages that nobody uses."))
@over_api
async def prune(client: Client, output: Output) -> None:
    """Says what became free."""
    answer = await client.prune_environments()
    removed = answer.get("removed") or []
    size = size_text(float(answer.get("freed") or 0))
    freed = say(f"，释放 {size}", f", {size} freed") if removed else ""
    lines = [Text(f"{answer.get('message', '')}{freed}")]
    lines += [Text(f"  - {str(one['id'])[:_SHORT_ID]}  {_packages(one)}", style="dim") for one in removed]
    output.answer(answer, Group(*lines))


def _head(one: Mapping[str, Any]) -> Text:
    """Who uses a set comes first: that is what one looks for."""
    users = say("、", ", ").join(readable(user) for user in one.get("used_by") or [])
    head = Text(users or say("无人使用", "nobody"), style="bold" if users else "dim")
    size, made = size_text(float(one.get("size") or 0)), clock(one.get("created_at"))
    return head.append(f"  {size}  {made}  {str(one['id'])[:_SHORT_ID]}", "default not bold")


def _packages(one: Mapping[str, Any]) -> str:
    """Each with its version, as a requirement, which no line break tears apart."""
    told = (
        f"{readable(package.get('name'))}=={readable(package.get('version'))}"
        for package in one.get("packages") or []
    )
    return ", ".join(told)
