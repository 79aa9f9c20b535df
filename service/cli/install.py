"""`plugbay install`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NoReturn, cast

import click
from rich.console import Group
from rich.text import Text

from service.cli.arguments import complete_file
from service.cli.command import over_api
from service.cli.language import say, told
from service.cli.output import PLUGIN_TYPES, Output, load_error_lines
from service.cli.plan import has_failed, plan_text
from service.cli.progress import installing
from service.cli.status import REFUSED
from service.client import Client
from service.client.shapes import InstallOptions
from service.workbench.targets import Unusable, type_of


@click.command(
    short_help=say("从地址或本机文件安装插件", "Install a plugin from an address or a file."),
    help=say(
        "从地址或本机文件安装插件。安装是一个整体：失败则什么都不留下",
        "Install a plugin from an address or a file of this machine, wholly or not at all.",
    ),
)
@click.argument("source", metavar="URL|FILE", shell_complete=complete_file)
@click.option(
    "--type",
    "type_",
    metavar="T",
    type=click.Choice(PLUGIN_TYPES),
    help=say("类型，地址必须给出：", "What it is; a file mostly tells, an address does not: ")
    + say("、", ", ").join(PLUGIN_TYPES),
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
@click.option("--plan", is_flag=True, help=say("只说明会做什么，不做更改", "Only tell what it would do."))
@click.option("--dry-run", is_flag=True, hidden=True)  # another name of --plan
@over_api
async def install(
    client: Client,
    output: Output,
    *,
    source: str,
    type_: str | None,
    sha256: str | None,
    replace: bool,
    keep: bool,
    plan: bool,
    dry_run: bool,
) -> int | None:
    """Installs and says under which name it serves, or tells the plan."""
    wanted = {"replace": replace, "keep": keep, "dry_run": plan or dry_run}
    options = cast(InstallOptions, {name: True for name, value in wanted.items() if value})
    if sha256:
        options["sha256"] = sha256
    if _is_address(source):
        type_ = type_ or _asked_for(source)
        action = client.install_url(source, type_, **options)
    else:
        file = await asyncio.to_thread(_file, source)
        if type_ is None:
            type_ = await asyncio.to_thread(_told_by, file)
        action = client.install_file(file, type_, **options)
    text = say("正在计划…", "Planning…") if plan or dry_run else say("正在安装…", "Installing…")
    answer = await installing(client, output, text, action, plugin=f"{type_}/*")
    if answer.get("status") == "plan":
        output.answer(answer, plan_text(answer))
        return REFUSED if has_failed(answer) else None
    plugin = answer.get("plugin") or {}
    lines: list[Any] = [Text(str(answer.get("message", "")))]
    lines.append(
        Text(
            f"{plugin.get('id', answer.get('plugin_name'))} {plugin.get('version') or ''}  {plugin.get('file') or ''}"
        )
    )
    if missing := plugin.get("config_missing"):
        id = plugin.get("id")
        needs = " ".join(f"{name}=…" for name in missing)
        lines.append(
            Text(
                say(
                    f"使用前请先配置：plugbay config set {id} {needs}",
                    f"Configure it first: plugbay config set {id} {needs}",
                )
            )
        )
    if plugin.get("error"):
        lines.append(Text(str(plugin["error"].get("message", "")), style="red"))
        lines.extend(load_error_lines(plugin["error"]))
    output.answer(answer, Group(*lines))
    return None


def _is_address(source: str) -> bool:
    return "://" in source


def _asked_for(source: str) -> NoReturn:
    types = "|".join(PLUGIN_TYPES)
    raise click.UsageError(
        say(
            f"从地址看不出插件类型，请加上 --type：plugbay install {source} --type {types}",
            f"An address does not tell what type of plugin it is; add --type: "
            f"plugbay install {source} --type {types}",
        )
    )


def _told_by(file: Path) -> str:
    try:
        return type_of(file)
    except Unusable as unusable:
        raise click.UsageError(told(unusable.text)) from None


def _file(source: str) -> Path:
    """The file to send; what is neither that nor an address is wrong usage."""
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise click.BadParameter(
            say(
                f"{source} 是目录，只能安装单个文件；请把目录复制到服务器的 plugins/类型/ 下，它会自动加载",
                f"{source} is a folder, and an install takes one file; copy the folder into plugins/TYPE/ of the "
                "server, such as plugins/search/, and it loads by itself",
            ),
            param_hint="URL|FILE",
        )
    raise click.BadParameter(
        say(
            f"{source} 既不是文件，也不是 http:// 或 https:// 地址；请检查路径",
            f"{source} is neither a file nor an http:// or https:// address; check the path",
        ),
        param_hint="URL|FILE",
    )
