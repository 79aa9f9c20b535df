"""The plugin interface, checked in the text of a plugin: all at once, where a load stops at the first breach.

A load decides: what is found here counts as an error only while the plugin does not load.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from service.model.identity import is_valid_name
from service.model.plugin import ConfigField
from service.model.text import Text
from service.workbench.problems import Found
from service.workbench.reading import Function, PluginClass, Reading, literal_argument
from service.worker.contract import ARITIES, FIELD_TYPES, INTERFACE_METHODS, REQUIRED

_NEAR = 0.84
_SIGNATURES = {
    "search": "async def search(self, keyword, **kwargs)",
    "get_video_info": "async def get_video_info(self, url)",
    "download": "async def download(self, task)",
    "get_progress": "def get_progress(self, id)",
    "cancel": "def cancel(self, id)",
    "pause": "def pause(self, id)",
    "resume": "def resume(self, id)",
    "discard": "async def discard(self, task)",
    "parse_url": "def parse_url(self, url)",
    "can_parse": "def can_parse(self, url)",
    "set_config": "def set_config(self, config)",
}


def breaches(reading: Reading) -> Iterator[Found]:
    """What keeps it from loading, as far as the text tells."""
    plugin = reading.plugin
    if plugin is None:
        return
    name = plugin.node.name
    for method in REQUIRED[reading.type]:
        if plugin.is_plain and method not in plugin.methods and method not in plugin.values:
            yield _found(
                reading,
                "method_missing",
                f"类 {name} 缺少方法 {method}",
                f"Class {name} lacks the method {method}",
            )
    for method, arity in ARITIES[reading.type].items():
        function = plugin.methods.get(method)
        if function is not None and not function.decorator_list:
            yield from _signature(reading, plugin, function, arity)
    yield from _identity(reading, plugin)
    for field, call in reading.fields():
        kind = literal_argument(call, "type", 2)
        if kind is not None and kind not in FIELD_TYPES:
            known = ", ".join(FIELD_TYPES)
            yield Found(
                code="schema_invalid",
                message=Text(
                    zh=f"配置项 {field} 的类型 {kind!r} 不可用，可选：{known}",
                    en=f"Configuration field {field} has type {kind!r}; choose one of {known}",
                ),
                place=reading.main.at(call),
            )


def _identity(reading: Reading, plugin: PluginClass) -> Iterator[Found]:
    name, value = plugin.node.name, plugin.values.get("name")
    given = getattr(value, "value", None)
    if plugin.is_plain and value is None:
        yield _found(
            reading,
            "name_missing",
            f"类 {name} 需要属性 name（字符串）",
            f"Class {name} needs an attribute `name`, a string",
        )
    text = given.value if isinstance(given, ast.Constant) else None
    if value is not None and isinstance(text, str) and not is_valid_name(text):
        yield Found(
            code="name_invalid",
            message=Text(
                zh=f"名称 {text!r} 不可用：1 到 64 个字母、数字、_ 或 -",
                en=f"The name {text!r} cannot be used: 1 to 64 letters, digits, `_` or `-`",
            ),
            place=reading.main.at(value),
        )
    if reading.type == "download" and plugin.is_plain and "supported_protocols" not in plugin.values:
        yield _found(
            reading,
            "protocols_missing",
            f"类 {name} 需要 supported_protocols，例如 ['http', 'https']",
            f"Class {name} needs supported_protocols, such as ['http', 'https']",
        )


def _signature(reading: Reading, plugin: PluginClass, function: Function, arity: int) -> Iterator[Found]:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    least = positional - len(arguments.defaults)
    needs_more = any(default is None for default in arguments.kw_defaults)
    fits = least <= arity + 1 and (arity + 1 <= positional or arguments.vararg is not None)
    if fits and not needs_more:
        return
    wanted = ", ".join(["self", *(["…"] * arity)])
    shown = f"{plugin.node.name}.{function.name}({ast.unparse(arguments)})"
    yield Found(
        code="wrong_signature",
        message=Text(
            zh=f"{shown} 的参数不符合接口 {function.name}({wanted})",
            en=f"{shown} does not take what it is called with, {function.name}({wanted})",
        ),
        place=reading.main.at(function),
        help=signature_help(function.name),
    )


def signature_help(method: str) -> Text:
    """How a method of the interface is written."""
    shown = _SIGNATURES.get(method, f"def {method}(self)")
    return Text(zh=f"按接口写：{shown}", en=f"write it as the interface has it: {shown}")


def doubts(reading: Reading) -> Iterator[Found]:
    """What loads and is hardly meant so."""
    plugin = reading.plugin
    if plugin is None:
        return
    known = INTERFACE_METHODS[reading.type]
    for name, function in plugin.methods.items():
        if name in known or name.startswith("_"):
            continue
        near = [one for one in difflib.get_close_matches(name, known, 1, _NEAR) if one not in plugin.methods]
        if near:
            yield Found(
                code="method_misspelt",
                severity="warning",
                message=Text(
                    zh=f"{name} 不是接口的方法，是否想写 {near[0]}？",
                    en=f"{name} is no method of the interface; did you mean {near[0]}?",
                ),
                place=reading.main.at(function),
            )


def missing_texts(reading: Reading, manifest_texts: dict[str, str] | None) -> Iterator[Found]:
    """No version or no description.

    Args:
        reading: the plugin.
        manifest_texts: what it said of itself when it was loaded, None where it did not load.
    """
    plugin = reading.plugin
    for name, zh in (("version", "版本"), ("description", "说明")):
        if manifest_texts is not None:
            is_missing = not manifest_texts[name].strip()
        else:
            is_missing = plugin is not None and plugin.is_plain and name not in plugin.values
        if is_missing:
            place = reading.class_place()
            if plugin is not None and name in plugin.values:
                place = reading.main.at(plugin.values[name])
            yield Found(
                code=f"{name}_missing",
                severity="warning",
                message=Text(zh=f"插件没有{zh}（{name}）", en=f"The plugin has no {name}"),
                place=place,
            )


def field_problems(
    reading: Reading, fields: Sequence[ConfigField], *, is_made: bool = False
) -> Iterator[Found]:
    """Fields of the configuration that no form could do right.

    Args:
        reading: the plugin.
        fields: what it asks for.
        is_made: whether they were made from a JSON Schema, which says more than they do.
    """
    seen: set[str] = set()
    for field in fields:
        if field.name in seen:
            calls = [call for name, call in reading.fields() if name == field.name]
            yield Found(
                code="field_repeated",
                severity="warning",
                message=Text(
                    zh=f"有两个配置项名为 {field.name}，只有一个生效",
                    en=f"Two configuration fields are called {field.name}; only one can count",
                ),
                place=reading.main.at(calls[1]) if len(calls) > 1 else reading.schema_place(field.name),
            )
        seen.add(field.name)
        doubts = [*_doubts_of(field), *([] if is_made else _empty_list(field))]
        for text in doubts:
            yield Found(
                code="field_doubtful",
                severity="warning",
                message=text,
                place=reading.schema_place(field.name),
            )
        yield from field_problems(reading, field.fields or (), is_made=is_made)


def _doubts_of(field: ConfigField) -> Iterator[Text]:
    name, default = field.name, field.default
    if field.type == "select":
        choices = [_value_of(one) for one in field.options or ()]
        if not choices:
            yield Text(
                zh=f"配置项 {name} 是 select，却没有 options", en=f"Field {name} is a select without options"
            )
        elif default not in ("", None) and default not in choices:
            yield Text(
                zh=f"配置项 {name} 的缺省值 {default!r} 不在 options 中",
                en=f"The default of field {name}, {default!r}, is none of its options",
            )
    expected: dict[str, Any] = {
        "number": (int, float),
        "boolean": bool,
        "list": list,
        "text": str,
        "password": str,
    }
    kind = expected.get(field.type)
    is_wrong = kind is not None and default is not None and not isinstance(default, kind)
    if is_wrong or (field.type == "number" and isinstance(default, bool)):
        yield Text(
            zh=f"配置项 {name} 是 {field.type}，缺省值 {default!r} 却不是",
            en=f"Field {name} is a {field.type}, and its default {default!r} is none",
        )
    if field.type == "password" and default:
        yield Text(
            zh=f"密码 {name} 有缺省值，谁都能从源代码中读到",
            en=f"The password {name} has a default, which everybody can read in the source",
        )


def _empty_list(field: ConfigField) -> Iterator[Text]:
    if field.type == "list" and not field.fields:
        yield Text(
            zh=f"配置项 {field.name} 是 list，却没有 fields，其中的条目无从填写",
            en=f"Field {field.name} is a list without fields, so nothing tells what its entries are",
        )


def _value_of(option: Any) -> Any:
    return option.get("value") if isinstance(option, dict) else option


def _found(reading: Reading, code: str, zh: str, en: str) -> Found:
    return Found(code=code, message=Text(zh=zh, en=en), place=reading.class_place())
