"""`plugbay grant`: what a plugin asks for is granted, or taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.arguments import PLUGIN_ID
from service.cli.command import over_api
from service.cli.language import say
from service.cli.output import Output, load_error_lines, message_of
from service.cli.permissions import permissions_text
from service.cli.status import DONE, REFUSED
from service.client import Client

_HIGHEST_PORT = 65535


class Network(click.ParamType[bool | list[int]]):
    """`all`, `none`, or ports with commas between them."""

    name = "all|none|PORT,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bool | list[int]:
        """True, false, or the ports."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # converted before
        if value in ("all", "none"):
            return value == "all"
        ports = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdecimal() and 0 < int(part) <= _HIGHEST_PORT for part in ports):
            self.fail(
                say(
                    f"{value} 应为 all、none，或以逗号分隔的端口，如 80,443",
                    f"{value!r} should be all, none, or ports such as 80,443",
                ),
                param,
                ctx,
            )
        return [int(part) for part in ports]


@click.command(
    short_help=say("授予插件所申请的权限", "Grant a plugin what it asks for."),
    help=say(
        "授予插件所申请的权限，或收回；立即生效，plugbay undo 可恢复。\n\n"
        "\b\n不带选项    显示它申请了什么、获准了什么\n--all       授予它申请的全部权限\n"
        "--none      收回已授予的权限\n--network、--read、--write\n            只授予所列的这些；"
        "不写 --network 则可访问网络",
        "Grant a plugin what it asks for, or take that back. It counts at once; plugbay undo brings back what was.\n\n"
        "\b\nno option   show what it asks for and was granted\n--all       grant all that it asks for\n"
        "--none      take back what was granted\n--network, --read, --write\n"
        "            grant these and no others; without --network, the network",
    ),
)
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@click.option("--all", "all_", is_flag=True, help=say("授予全部", "Grant all of it."))
@click.option("--none", "none", is_flag=True, help=say("全部收回", "Take all of it back."))
@click.option(
    "--network",
    metavar="WHAT",
    type=Network(),
    help=say("all、none，或端口，如 80,443", "all, none, or ports such as 80,443."),
)
@click.option(
    "--read",
    metavar="FOLDER",
    multiple=True,
    help=say("可读取的文件夹，可多次给出", "A folder to read; may be given many times."),
)
@click.option(
    "--write",
    metavar="FOLDER",
    multiple=True,
    help=say("可写入的文件夹，可多次给出", "A folder to write to; may be given many times."),
)
@over_api
async def grant(
    client: Client,
    output: Output,
    *,
    plugin: tuple[str, str],
    all_: bool,
    none: bool,
    network: bool | list[int] | None,
    read: tuple[str, ...],
    write: tuple[str, ...],
) -> int:
    """Grants, and shows what it came to."""
    part = {"network": network, "read": list(read), "write": list(write)}
    part = {key: value for key, value in part.items() if value is not None and value != []}
    if all_ + none + bool(part) > 1:
        raise click.UsageError(
            say(
                "--all、--none 与其他选项只能选其一",
                "Give one of --all, --none, and what is granted of it",
            )
        )
    if not (all_ or none or part):
        found = await client.plugin(*plugin)
        output.answer(found["permissions"], Group(*_lines(found)))
        return DONE
    answer = await client.grant(*plugin, part or all_)
    lines: list[RenderableType] = []
    if answer["change"] is None:
        lines.append(Text(say("授权没有变化", "That is what it was granted already")))
    lines += _lines(answer["plugin"])
    if error := answer.get("error"):
        lines.append(Text(say("但插件无法加载：", "but it does not load: ") + message_of(error), style="red"))
        lines.extend(load_error_lines(error))
    output.answer(answer, Group(*lines))
    return REFUSED if error else DONE


def _lines(plugin: Mapping[str, Any]) -> Iterator[Text]:
    permissions: Mapping[str, Any] = plugin.get("permissions") or {}
    yield Text(str(plugin.get("id") or ""), style="bold")
    for key, words, style in (
        ("asked", say("申请：", "asks for:    "), ""),
        ("granted", say("获准：", "granted:     "), ""),
        ("lacking", say("未获准：", "not granted: "), "yellow"),
    ):
        if told := permissions_text(permissions.get(key) or {}, all_of_it=True):
            yield Text(f"  {words}{told}", style=style)
