"""click's own words in Chinese: headings of help, and what it says of wrong usage.

click looks its sentences up with gettext, in compiled catalogues that are found by a path of the system's. Here they
are a dictionary instead, put in the place of that look-up. A sentence that is not in it stays English.
"""

from __future__ import annotations

import click.core
import click.decorators
import click.exceptions
import click.formatting
import click.parser
import click.termui
import click.types

_MODULES = (
    click.core,
    click.decorators,
    click.exceptions,
    click.formatting,
    click.parser,
    click.termui,
    click.types,
)
_WORDS = {
    "Usage:": "用法:",
    "Options": "选项",
    "Commands": "命令",
    "Show this message and exit.": "显示本帮助",
    "Show the version and exit.": "显示版本",
    "%(prog)s, version %(version)s": "%(prog)s %(version)s",
    "env var: {var}": "环境变量：{var}",
    "default: {default}": "默认：{default}",
    "required": "必填",
    "Aborted!": "已中止",
    "Error: {message}": "错误：{message}",
    "Try '{command} {option}' for help.": "用法详见 {command} {option}",
    "Invalid value: {message}": "{message}",
    "Invalid value for {param_hint}: {message}": "{param_hint} 的值有误：{message}",
    "Missing command.": "缺少命令",
    "Missing argument": "缺少参数",
    "Missing option": "缺少选项",
    "Missing parameter": "缺少参数",
    "Choose from:\n\t{choices}": "可选：\n\t{choices}",
    "No such option {name!r}.": "没有选项 {name}",
    "No such command {name!r}.": "没有命令 {name}",
    "(Did you mean one of: {possibilities}?)": "是否想输入：{possibilities}？",
    "Did you mean {possibility}?": "是否想输入 {possibility}？",
    "Got unexpected extra argument ({args})": "多余的参数：{args}",
    "Got unexpected extra arguments ({args})": "多余的参数：{args}",
    "Option {name!r} does not take a value.": "选项 {name} 不接受值",
    "Option {name!r} requires an argument.": "选项 {name} 需要一个值",
    "{value!r} is not one of {choices}.": "{value} 不是 {choices} 之一",
    "{value!r} is not a valid {number_type}.": "{value} 不是有效的数字",
    "{value} is not in the range {range}.": "{value} 不在范围 {range} 内",
    "{name} {filename!r} is a file.": "{filename} 是文件，应为目录",
    "Error: invalid input": "错误：输入无效",
}


def speak_chinese() -> None:
    """Have click say what it says in Chinese, in this process."""
    for module in _MODULES:
        names = vars(module)
        if "_" in names:
            names["_"] = _translated
        if "ngettext" in names:
            names["ngettext"] = _translated_number


def _translated(message: str) -> str:
    return _WORDS.get(message, message)


def _translated_number(one: str, many: str, number: int) -> str:
    return _translated(one if number == 1 else many)
