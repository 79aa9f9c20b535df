"""`plugbay config get`, `set`, `export` and `import`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import click
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from service.cli.arguments import PLUGIN_ID
from service.cli.command import over_api
from service.cli.language import say
from service.cli.output import Output, load_error_lines
from service.cli.status import DONE, REFUSED
from service.cli.suggestions import did_you_mean, nearest
from service.client import Client, ClientError

STANDARD_STREAM = "-"

_NO_DEFAULT = object()
_NO_FIELD: Mapping[str, Any] = {}


class TextFile(click.File):
    """A file to be read as UTF-8, or standard input."""

    def __init__(self) -> None:
        super().__init__("r", encoding="utf-8")

    def convert(
        self,
        value: str | os.PathLike[str] | IO[Any],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> IO[Any]:
        """The open file."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(say(f"无法读取 {value}，请检查路径和权限", error.message), param, ctx)


@click.group(help=say("读取和修改插件配置", "Read and change the configuration of plugins."))
def config() -> None:
    """The noun of the commands below."""


@config.command("get", help=say("显示一个插件的配置", "Show the configuration of a plugin."))
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@over_api
async def get(client: Client, output: Output, *, plugin: tuple[str, str]) -> None:
    """Every field with its value and its label."""
    answer = await client.config(*plugin)
    if output.as_json:
        output.json(answer)
        return
    schema = (await client.plugin(*plugin)).get("config_schema", [])
    fields: dict[str, Mapping[str, Any]] = {field["name"]: field for field in schema}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(say("名称", "name"), no_wrap=True)
    table.add_column(say("值", "value"), overflow="fold")
    table.add_column(say("说明", "meaning"), overflow="fold", style="dim")
    values: dict[str, Any] = answer.get("config", {})
    for name in [*fields, *(name for name in values if name not in fields)]:
        field = fields.get(name, _NO_FIELD)
        label = str(field.get("label") or field.get("description") or "")
        required = say("（必填）", " (required)") if field.get("required") else ""
        table.add_row(Text(name), Text(_shown(values.get(name))), Text(label + required))
    if table.row_count:
        output.console.print(table)
    else:
        output.console.print(say("这个插件没有配置项", "This plugin has nothing to configure"))


@config.command(
    "set",
    short_help=say("修改一个插件的配置", "Change the configuration of a plugin."),
    help=say(
        "修改一个插件的配置，未提到的各项不变。\n\n"
        "\b\nKEY=VALUE  设为 VALUE\nKEY=       清空\nKEY        询问并隐藏输入（适合密码）",
        "Change the configuration of a plugin; what is not named stays as it is.\n\n"
        "\b\nKEY=VALUE  sets it\nKEY=       unsets it\nKEY        asks for it unseen (for passwords)",
    ),
)
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@click.argument("assignments", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--file",
    metavar="FILE",
    type=TextFile(),
    help=say("从 JSON 文件读取（- 为标准输入）", "Read a JSON object from a file, - for standard input."),
)
@over_api
async def set_(
    client: Client, output: Output, *, plugin: tuple[str, str], assignments: tuple[str, ...], file: Any
) -> int:
    """Lays the given values over those that are stored."""
    if not assignments and file is None:
        raise click.UsageError(say("请给出 KEY=VALUE 或 --file", "Give KEY=VALUE or --file"))
    for assignment in assignments:
        if assignment.startswith("="):
            raise click.UsageError(
                say(f"{assignment!r} 应写作 KEY=VALUE", f"{assignment!r} should be KEY=VALUE")
            )
    given: dict[str, Any] = (
        _object(await asyncio.to_thread(_text, file), file.name) if file is not None else {}
    )
    schema = (await client.plugin(*plugin)).get("config_schema", [])
    types = {field["name"]: field.get("type") for field in schema}
    defaults = {field["name"]: field.get("default") for field in schema}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            text = await asyncio.to_thread(
                click.prompt, key, hide_input=True, default="", show_default=False, err=True
            )
        given[key] = _value(text, types.get(key))
    # A default stays the plugin's own to change: only what differs from it is sent back.
    in_force = (await client.config(*plugin)).get("config", {})
    stored = {name: value for name, value in in_force.items() if value != defaults.get(name, _NO_DEFAULT)}
    answer = await client.set_config(*plugin, {**stored, **given})
    lines: list[Any] = [
        Text(say(f"已保存 {'/'.join(plugin)} 的配置", f"The configuration of {'/'.join(plugin)} is saved"))
    ]
    if error := answer.get("error"):
        lines.append(_not_taken(answer.get("plugin") or {}, error))
        lines.extend(load_error_lines(error))
    output.answer(answer, Group(*lines))
    if not output.as_json:
        for warning in answer.get("warnings") or []:
            output.note(_unknown(str(warning), types, plugin) if warning in given else str(warning))
    return REFUSED if error else DONE


def _not_taken(plugin: Mapping[str, Any], error: Mapping[str, Any]) -> Text:
    """It is stored, and the plugin does not load with it."""
    serves = plugin.get("state") == "degraded"
    text = say(
        f"但插件无法用它加载（{'之前的配置仍在运行' if serves else '现在没有代码在运行'}）：",
        f"but the plugin does not load with it ({'the one before serves on' if serves else 'nothing serves'}): ",
    )
    return Text(f"{text}{error.get('message', '')}", style="red")


@config.command(
    "export",
    short_help=say("导出全部插件的配置", "Export the configuration of all plugins."),
    help=say(
        "导出全部插件的配置（含密码原文）；写入的文件只有本人可读",
        "Export the configuration of all plugins, passwords included; a file is readable by its owner only.",
    ),
)
@click.argument("file", default=STANDARD_STREAM, metavar="[FILE]")
@over_api
async def export(client: Client, output: Output, *, file: str) -> None:
    """JSON, to a file or to standard output."""
    answer = await client.export_config()
    if file == STANDARD_STREAM:
        output.json(answer)
        return
    try:
        await asyncio.to_thread(
            _write_private, Path(file), json.dumps(answer, ensure_ascii=False, indent=2) + "\n"
        )
    except OSError as error:
        raise ClientError(
            say(
                f"无法写入 {file}：{error.strerror}；请换一个文件",
                f"{file} cannot be written: {error.strerror}; name another file",
            )
        ) from error
    text = say(
        f"已导出 {len(answer.get('config', {}))} 个插件的配置到 {file}",
        f"Exported the configuration of {len(answer.get('config', {}))} plugins to {file}",
    )
    output.answer({"status": "success", "file": file}, Text(text))


@config.command(
    "import",
    help=say("导入 export 写出的配置（- 为标准输入）", "Import what export wrote; - for standard input."),
)
@click.argument("file", type=TextFile())
@over_api
async def import_(client: Client, output: Output, *, file: Any) -> None:
    """Takes the export as it is, or the object of plugins alone."""
    document = _object(await asyncio.to_thread(_text, file), file.name)
    inner = document.get("config")
    entries = inner if isinstance(inner, dict) else document
    for key, entry in entries.items():
        if not isinstance(entry, dict):
            raise click.BadParameter(
                say(
                    f"{file.name} 中的 {key} 应为 JSON 对象；应导入 plugbay config export 写出的文件",
                    f"{key} in {file.name} should be a JSON object; import what plugbay config export wrote",
                )
            )
    output.answer(await client.import_config(entries))


def _unknown(key: str, fields: Iterable[str], plugin: tuple[str, str]) -> str:
    """What to say of a key that no field has."""
    text = say(
        f"没有配置项 {key}，其值已原样保留", f"No field is named {key}; its value is kept all the same"
    )
    hint = did_you_mean(nearest(key, fields))
    name = "/".join(plugin)
    look = say(f"见 plugbay config get {name}", f"plugbay config get {name} shows the fields")
    return f"{text}{say('。', '. ')}{hint or look}"


def _text(file: IO[str]) -> str:
    try:
        return file.read()
    except UnicodeDecodeError as error:
        raise click.BadParameter(
            say(
                f"{file.name} 不是 UTF-8 文本；请以 UTF-8 保存",
                f"{file.name} is not UTF-8 text; save it as UTF-8",
            )
        ) from error


def _object(text: str, name: str) -> dict[str, Any]:
    """A JSON object; anything else is wrong usage."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise click.BadParameter(
            say(
                f"{name} 第 {error.lineno} 行第 {error.colno} 列处不是有效的 JSON",
                f"{name} is no JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            )
        ) from error
    if not isinstance(value, dict):
        raise click.BadParameter(
            say(
                f'{name} 应为 JSON 对象，如 {{"名称": "值"}}',
                f'{name} should be a JSON object, such as {{"KEY": "VALUE"}}',
            )
        )
    return value


def _value(text: str, type: object) -> Any:
    """What a field of that type gets: text as it is, everything else as JSON where it reads as such."""
    if type in ("text", "password", "select") or not text:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_private(path: Path, text: str) -> None:
    """Never readable by others, not for a moment; a file that is there is replaced whole."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        staging.replace(path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
