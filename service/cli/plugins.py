"""`plugbay list`, `delete`, `reload`, `enable` and `disable`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group
from rich.text import Text

from service.cli.arguments import PLUGIN_ID
from service.cli.command import over_api
from service.cli.language import say
from service.cli.output import Output, load_error_lines, message_of, plugin_table, plugins_of
from service.cli.status import REFUSED
from service.cli.watch import View, watch
from service.client import Client


@click.command("list", help=say("列出全部插件及其状态", "List the plugins and how they are."))
@click.option(
    "--watch",
    "keep",
    is_flag=True,
    help=say("持续显示变化，断线自动续接", "Keep it up to date, over cuts too."),
)
@over_api
async def list_plugins(client: Client, output: Output, *, keep: bool) -> None:
    """One table, or a live one."""
    if keep:

        async def fetch() -> View:
            return View(await client.plugins())

        await watch(client, output, ["plugins/**"], fetch)
        return
    answer = await client.plugins()
    output.answer(answer, plugin_table(plugins_of(answer)))


@click.command(help=say("删除插件（运行中的调用会先完成）", "Delete a plugin; calls that run finish first."))
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@click.option("--purge", is_flag=True, help=say("连同插件的数据一起删除", "Delete the plugin's data too."))
@over_api
async def delete(client: Client, output: Output, *, plugin: tuple[str, str], purge: bool) -> None:
    """Deletes one plugin."""
    output.answer(await client.delete(*plugin, purge=purge))


@click.command(
    short_help=say("重新加载一个或全部插件", "Reload one plugin, or all."),
    help=say(
        "重新加载一个或全部插件；有插件加载失败时退出状态为 1",
        "Reload one plugin, or all. The exit status is 1 where one did not load.",
    ),
)
@click.argument("plugin", metavar="[T/NAME]", type=PLUGIN_ID, required=False)
@over_api
async def reload(client: Client, output: Output, *, plugin: tuple[str, str] | None) -> int | None:
    """Reloads and shows what did not load."""
    answer = await client.reload(*(plugin or ()))
    results = answer.get("results", [])
    failed = [result for result in results if not result.get("ok")]
    lines: list[Any] = [Text(str(answer.get("message", "")))]
    for result in failed:
        error: Mapping[str, Any] = result.get("error") or {}
        lines.append(
            Text.assemble((str(result["id"]), "red"), f": {message_of(error) or result.get('state')}")
        )
        lines.extend(load_error_lines(error) if error else ())
    output.answer(answer, Group(*lines))
    return REFUSED if failed else None


@click.command(help=say("启用插件", "Switch a plugin on."))
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@over_api
async def enable(client: Client, output: Output, *, plugin: tuple[str, str]) -> None:
    """Switches one plugin on."""
    answer = await client.toggle(*plugin, enabled=True)
    output.answer(answer, Text(say(f"已启用 {'/'.join(plugin)}", f"{'/'.join(plugin)} is enabled")))


@click.command(
    help=say("停用插件（运行中的调用会先完成）", "Switch a plugin off; calls that run finish first.")
)
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@over_api
async def disable(client: Client, output: Output, *, plugin: tuple[str, str]) -> None:
    """Switches one plugin off."""
    answer = await client.toggle(*plugin, enabled=False)
    output.answer(answer, Text(say(f"已停用 {'/'.join(plugin)}", f"{'/'.join(plugin)} is disabled")))
