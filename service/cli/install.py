"""`plugbay install`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.text import Text

from service.cli.client import Client
from service.cli.command import over_api
from service.cli.language import say
from service.cli.output import PLUGIN_TYPES, Output, load_error_lines


@click.command(
    short_help=say("从地址或本机文件安装插件", "Install a plugin from an address or a file."),
    help=say(
        "从地址或本机文件安装插件。安装是一个整体：失败则什么都不留下",
        "Install a plugin from an address or a file of this machine, wholly or not at all.",
    ),
)
@click.argument("source", metavar="URL|FILE")
@click.option(
    "--type",
    "type_",
    metavar="T",
    type=click.Choice(PLUGIN_TYPES),
    required=True,
    help=say("插件类型：", "What it is: ") + say("、", ", ").join(PLUGIN_TYPES),
)
@click.option(
    "--sha256", metavar="HASH", help=say("内容必须符合的哈希", "The hash that its content must have.")
)
@click.option("--replace", is_flag=True, help=say("覆盖已有的同名插件", "Replace the plugin of that name."))
@click.option(
    "--keep",
    is_flag=True,
    help=say("加载失败也保留文件，以便修改", "Keep it for editing if it does not load."),
)
@click.option("--dry-run", is_flag=True, help=say("只说明会做什么", "Only tell what it would do."))
@over_api
async def install(
    client: Client,
    output: Output,
    *,
    source: str,
    type_: str,
    sha256: str | None,
    replace: bool,
    keep: bool,
    dry_run: bool,
) -> None:
    """Installs and says under which name it serves."""
    wanted = {"sha256": sha256, "replace": replace, "keep": keep, "dry_run": dry_run}
    options = {name: value for name, value in wanted.items() if value}
    with output.waiting(say("正在安装…", "Installing…")):
        if "://" in source:
            answer = await client.install_url(source, type_, options)
        else:
            answer = await client.install_file(await asyncio.to_thread(_file, source), type_, options)
    if answer.get("status") == "plan":
        output.answer(answer, _plan(answer))
        return
    plugin = answer.get("plugin") or {}
    lines: list[Any] = [Text(str(answer.get("message", "")))]
    lines.append(
        Text(
            f"{plugin.get('id', answer.get('plugin_name'))} {plugin.get('version') or ''}  {plugin.get('file') or ''}"
        )
    )
    if plugin.get("error"):
        lines.append(Text(str(plugin["error"].get("message", "")), style="red"))
        lines.extend(load_error_lines(plugin["error"]))
    output.answer(answer, Group(*lines))


def _file(source: str) -> Path:
    """The file to send; what is neither that nor an address is wrong usage."""
    path = Path(source).expanduser()
    if path.is_file():
        return path
    raise click.BadParameter(
        say(
            f"{source} 既不是文件，也不是 http:// 或 https:// 地址",
            f"{source} is neither a file nor an http:// or https:// address",
        ),
        param_hint="URL|FILE",
    )


def _plan(plan: dict[str, Any]) -> Group:
    plugin = plan.get("plugin") or {}
    dependencies = plan.get("dependencies") or {}
    lines = [
        Text(
            f"{plugin.get('type')}/{plugin.get('name')} {plugin.get('version') or ''} → {plugin.get('file')}"
        ),
        *(Text(f"  + {one.get('name')} {one.get('version') or ''}") for one in dependencies.get("add") or []),
        *(Text(f"  ✗ {conflict}", style="red") for conflict in plan.get("conflicts") or []),
    ]
    if plan.get("replaces"):
        lines.append(Text(say("  将覆盖已有的插件", "  It would replace the one that is there")))
    if error := plan.get("error"):
        lines.append(
            Text(f"  {error.get('message', error) if isinstance(error, dict) else error}", style="red")
        )
    return Group(*lines)
