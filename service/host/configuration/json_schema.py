"""A plugin's JSON Schema: as form fields, and as a check that a stranger's pattern cannot stall."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from service.host.configuration.config_secrets import applicable
from service.model.plugin import ConfigField
from service.model.text import Text

CHECK_TIMEOUT_S = 5.0

_MAX_FIELDS = 200
_MAX_DEPTH = 4
_CHECKER = Path(__file__).with_name("schema_check.py")


class _Found(msgspec.Struct):
    path: list[str | int]
    rule: str
    expected: str


class _Answer(msgspec.Struct):
    schema_error: str | None
    errors: list[_Found]


class SchemaResult(msgspec.Struct, frozen=True):
    """How a check ended: wrong values with their paths, or why the schema itself is of no use."""

    errors: list[tuple[str, Text]]
    schema_error: str | None = None


async def validate(
    schema: Mapping[str, Any], values: Mapping[str, Any], *, timeout_s: float = CHECK_TIMEOUT_S
) -> SchemaResult:
    """Check `values` in a process of its own; its absence of an answer in `timeout_s` seconds is an error too."""
    question = msgspec.json.encode({"schema": schema, "values": values})
    # By path and isolated: neither the working directory nor PYTHONPATH decides what is imported.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(_CHECKER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate(question)
    except TimeoutError:
        return SchemaResult(
            [
                (
                    "",
                    Text(
                        zh=f"按插件的 JSON Schema 检查超过 {timeout_s:g} 秒，已中止；请简化其中的 pattern",
                        en=f"Checking against the plugin's JSON Schema took more than {timeout_s:g} s and was "
                        "stopped; simplify its patterns",
                    ),
                )
            ]
        )
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except msgspec.DecodeError:
        return SchemaResult([], f"the check ended with status {process.returncode}")
    return SchemaResult(
        [(_shown_path(found.path), _sentence(found)) for found in answer.errors], answer.schema_error
    )


def fields_from_json_schema(schema: Mapping[str, Any]) -> list[ConfigField]:
    """The form fields that say as much of the schema as form fields can; never raises for an odd schema."""
    return _fields(schema, schema, 0)


def _fields(schema: Any, root: Mapping[str, Any], depth: int) -> list[ConfigField]:
    found: dict[str, ConfigField] = {}
    nodes = applicable([schema], root)
    required: set[str] = set()
    for node in nodes:
        names = node.get("required")
        # Only what holds in any case is required: a branch of `anyOf` may not be the one taken.
        if isinstance(names, list) and _always(node, schema):
            required.update(name for name in names if isinstance(name, str))
    for node in nodes:
        properties = node.get("properties")
        if not isinstance(properties, Mapping):
            continue
        for name, inner in properties.items():
            if name not in found and len(found) < _MAX_FIELDS:
                found[name] = _field(str(name), inner, name in required, root, depth)
    return list(found.values())


def _always(node: Mapping[str, Any], schema: Any) -> bool:
    if node is schema:
        return True
    combined = schema.get("allOf") if isinstance(schema, Mapping) else None
    return isinstance(combined, list) and any(node is part for part in combined)


def _field(name: str, schema: Any, required: bool, root: Mapping[str, Any], depth: int) -> ConfigField:
    nodes = applicable([schema], root)

    def first(word: str, kind: type | tuple[type, ...] = object) -> Any:
        return next((node[word] for node in nodes if word in node and isinstance(node[word], kind)), None)

    options = _options(nodes)
    kind = _kind(nodes)
    type_ = "text"
    fields: list[ConfigField] | None = None
    if any(node.get("format") == "password" or node.get("writeOnly") is True for node in nodes):
        type_ = "password"
        options = None
    elif options is not None:
        type_ = "select"
    elif kind in ("number", "integer"):
        type_ = "number"
    elif kind == "boolean":
        type_ = "boolean"
    elif kind == "array":
        type_ = "list"
        items = first("items", Mapping)
        if items is not None and depth < _MAX_DEPTH:
            fields = _fields(items, root, depth + 1) or None
    return ConfigField(
        name=name,
        label=first("title", str) or name,
        type=type_,
        default=first("default"),
        required=required,
        options=options,
        description=first("description", str) or "",
        fields=fields,
    )


def _kind(nodes: list[Mapping[str, Any]]) -> str | None:
    for node in nodes:
        kind = node.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        for one in kinds:
            if isinstance(one, str) and one != "null":
                return one
        if "properties" in node:
            return "object"
    return None


def _options(nodes: list[Mapping[str, Any]]) -> list[Any] | None:
    for node in nodes:
        if isinstance(node.get("enum"), list):
            return [value for value in node["enum"] if value is not None]
        for word in ("oneOf", "anyOf"):
            branches = node.get(word)
            if not isinstance(branches, list) or not branches:
                continue
            if all(isinstance(branch, Mapping) and "const" in branch for branch in branches):
                return [branch["const"] for branch in branches if branch["const"] is not None]
    return None


def _shown_path(path: list[str | int]) -> str:
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += f".{part}" if shown else part
    return shown


# The value itself is never repeated: it may be a password.
_SENTENCES: dict[str, tuple[str, str]] = {
    "type": ("类型应为 {}", "has to be of type {}"),
    "enum": ("只能是以下之一：{}", "has to be one of {}"),
    "const": ("只能是 {}", "has to be {}"),
    "minimum": ("不能小于 {}", "has to be at least {}"),
    "maximum": ("不能大于 {}", "has to be at most {}"),
    "exclusiveMinimum": ("必须大于 {}", "has to be greater than {}"),
    "exclusiveMaximum": ("必须小于 {}", "has to be less than {}"),
    "multipleOf": ("必须是 {} 的倍数", "has to be a multiple of {}"),
    "minLength": ("至少需要 {} 个字符", "needs at least {} characters"),
    "maxLength": ("不能超过 {} 个字符", "may have at most {} characters"),
    "pattern": ("不符合格式 {}", "does not match the pattern {}"),
    "format": ("不是有效的 {}", "is not a valid {}"),
    "minItems": ("至少需要 {} 项", "needs at least {} items"),
    "maxItems": ("不能超过 {} 项", "may have at most {} items"),
    "uniqueItems": ("不能有重复项", "may not hold the same item twice"),
    "required": ("必填", "is required"),
    "additionalProperties": ("含有未定义的键", "has keys that are not defined"),
    "anyOf": ("不符合任何一种允许的形式", "fits none of the forms allowed"),
    "oneOf": ("必须恰好符合一种允许的形式", "has to fit exactly one of the forms allowed"),
}


def _sentence(found: _Found) -> Text:
    if not found.expected and found.rule == "false":
        return Text(zh="不允许设置", en="may not be set")
    zh, en = _SENTENCES.get(
        found.rule, (f"不满足规则 {found.rule}：{{}}", f"does not satisfy {found.rule}: {{}}")
    )
    return Text(zh=zh.replace("{}", found.expected), en=en.replace("{}", found.expected))
