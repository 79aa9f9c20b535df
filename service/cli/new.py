"""`plugbay new`: a plugin that works as it is, with its test, to be changed from there."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import click

from service.cli.language import LANGUAGE, say, told
from service.cli.output import PLUGIN_TYPES
from service.cli.status import DONE, REFUSED
from service.scaffolds.scaffold import SUFFIX, name_problem, text_of_plugin, text_of_test

_TRIED = {
    "search": "search hello",
    "parser": "parse https://example.org/film",
    "download": "download data:,hello",
}


@click.command(
    short_help=say("新建一个可用的插件", "Begin a plugin."),
    help=say(
        "新建一个可用的插件：带配置、测试和说明其写法的注释。从不覆盖文件。\n\n类型：search、download、parser",
        "Begin a plugin: one that works as it is, with settings, a test, and comments that tell how it is done. No "
        "file is ever overwritten.\n\nTYPE is search, download or parser.",
    ),
)
@click.argument("type_", metavar="TYPE", type=click.Choice(PLUGIN_TYPES))
@click.argument("name", metavar="NAME")
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help=say(
        "放在哪里；默认为 PLUGBAY_HOME 或当前目录的 plugins/TYPE/",
        "Where to; by default plugins/TYPE/ of the home, which is PLUGBAY_HOME or else the working directory.",
    ),
)
@click.option("--json", "as_json", is_flag=True, help=say("输出 JSON", "Print JSON."))
def new(type_: str, name: str, folder: Path | None, as_json: bool) -> None:
    """Writes the files, or says why not."""
    _check_name(name)
    folder = folder.expanduser() if folder is not None else _default_folder(type_)
    plugin = folder / f"{name}{SUFFIX}.py"
    test = _test_path(folder, type_, name)
    for path in (plugin, folder / f"{name}{SUFFIX}", test):
        if os.path.lexists(path):
            _refuse(
                say(f"{path} 已存在，没有写入任何文件", f"{path} is there already; nothing was written"),
                say(
                    "换一个名称，或用 --dir 指定其他目录", "Choose another name, or another folder with --dir"
                ),
            )
    texts = {
        plugin: text_of_plugin(type_, name, LANGUAGE),
        test: _test_text(type_, plugin, test),
    }
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        _refuse(
            say(f"无法写入 {path}：{error.strerror}", f"{path} cannot be written: {error.strerror}"),
            say("用 --dir 指定可写的目录", "Name a folder that can be written with --dir"),
        )
    steps = _next_steps(type_, plugin, test, folder)
    if as_json:
        made = {
            "id": f"{type_}/{name}",
            "files": [str(plugin), str(test)],
            "next": [step for step, _ in steps],
        }
        click.echo(json.dumps(made, ensure_ascii=False, indent=2))
    else:
        click.echo(say(f"已新建 {plugin}", f"Made {plugin}"))
        click.echo(say(f"　　和 {test}", f"and  {test}"))
        click.echo(say("\n接下来：", "\nNext:"))
        for step, purpose in steps:
            click.echo(f"  {step}\n      {purpose}" if step else f"  {purpose}")
    sys.exit(DONE)


def _check_name(name: str) -> None:
    if (problem := name_problem(name)) is not None:
        _wrong(name, told(problem))


def _wrong(name: str, why: str) -> None:
    raise click.BadParameter(f"{name!r}: {why}", param_hint="NAME")


def _refuse(cause: str, remedy: str) -> None:
    click.secho(say("错误：", "Error: "), bold=True, fg="red", nl=False, err=True)
    click.echo(f"{cause}\n  {remedy}", err=True)
    sys.exit(REFUSED)


def _default_folder(type_: str) -> Path:
    """The folder of the type in the home, or where one already is in it."""
    home = os.environ.get("PLUGBAY_HOME")
    if home:
        return Path(home).expanduser() / "plugins" / type_
    here = Path.cwd()
    if here.name == type_ and here.parent.name == "plugins":
        return Path(".")
    if here.name == "plugins" and any((here / one).is_dir() for one in PLUGIN_TYPES):
        return Path(type_)
    return Path("plugins") / type_


def _test_path(folder: Path, type_: str, name: str) -> Path:
    """Beside `plugins/`, as every module below it is taken for a helper; elsewhere beside the plugin."""
    full = Path(os.path.abspath(folder))
    if full.parent.name == "plugins":
        return _shown(full.parent.parent / "tests" / f"test_{type_}_{name}.py", folder)
    return folder / f"test_{name}.py"


def _shown(path: Path, like: Path) -> Path:
    return path if like.is_absolute() else Path(os.path.relpath(path))


def _test_text(type_: str, plugin: Path, test: Path) -> str:
    """The test names the plugin relative to its own folder or the one above, where the fixture looks for it."""
    above = os.path.abspath(test.parent if plugin.parent == test.parent else test.parent.parent)
    relative = Path(os.path.relpath(os.path.abspath(plugin), above)).as_posix()
    return text_of_test(type_, relative, LANGUAGE)


def _next_steps(type_: str, plugin: Path, test: Path, folder: Path) -> list[tuple[str, str]]:
    is_in_home = Path(os.path.abspath(folder)).parent.name == "plugins"
    quoted = _quoted(plugin)
    steps = [
        (
            f"plugbay check {quoted}",
            say(
                "检查它，不需要服务器；加上 --watch 则每次保存后检查",
                "tells what is wrong with it; with --watch at every save",
            ),
        ),
        (
            f"plugbay try {quoted} {_TRIED[type_]}",
            say("调用它，显示结果、日志和用时", "calls it and shows result, log and time"),
        ),
        (
            f"pytest {_quoted(test)}",
            say("在真实的服务器中测试（需要 pytest）", "tests it in a real server (pip install pytest)"),
        ),
    ]
    if is_in_home:
        steps.append(
            (
                "plugbay serve",
                say(
                    "以此为主目录的服务器会立即加载它和之后的每次保存",
                    "a server of this home loads it at once, and every save of it",
                ),
            )
        )
    else:
        steps.append(
            (
                f"plugbay install {quoted} --type {type_}",
                say("安装到运行中的服务器", "puts it into a running server"),
            )
        )
    return steps


def _quoted(path: Path) -> str:
    text = str(path)
    return text if re.fullmatch(r"[\w./+@%:,=-]+", text) else "'" + text.replace("'", "'\\''") + "'"
