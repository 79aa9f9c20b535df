"""Whether what a plugin gives as its JSON Schema is one, by draft 2020-12: told with the place inside of it.

With the standard library alone: what a plugin depends on may bring its own version of everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_SCHEMA = (
    "additionalItems additionalProperties contains contentSchema else if items not propertyNames then "
    "unevaluatedItems unevaluatedProperties"
).split()
_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_BY_NAME = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_COUNTS = "maxContains maxItems maxLength maxProperties minContains minItems minLength minProperties".split()
_NUMBERS = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum")
_FLAGS = ("deprecated", "readOnly", "uniqueItems", "writeOnly")
_TEXTS = (
    "$anchor $comment $dynamicAnchor $dynamicRef $id $ref $schema contentEncoding contentMediaType description "
    "format title"
).split()
_OTHERS = (
    "$vocabulary const default dependencies dependentRequired enum examples multipleOf pattern required type"
)
KEYWORDS = frozenset(
    [*_SCHEMA, *_SCHEMAS, *_BY_NAME, *_COUNTS, *_NUMBERS, *_FLAGS, *_TEXTS, *_OTHERS.split()]
)
_MAX_SCHEMAS = 5000

Path = tuple[str, ...]


class Breach(Exception):
    """It is no JSON Schema: `path` leads to what is wrong, `zh` and `en` say what belongs there."""

    def __init__(self, path: Path, zh: str, en: str) -> None:
        super().__init__(en)
        self.path = path
        self.zh = zh
        self.en = en


def require_schema(schema: Mapping[str, Any]) -> None:
    """Do nothing for what is a JSON Schema that refers to nothing outside of itself.

    Raises:
        Breach: at the first place where it is none.
    """
    parts = list(walk(schema))
    for path, part in parts:
        _require(path, part)
    has_bases = any("$id" in part for path, part in parts if path)
    anchors = {part.get(word) for _, part in parts for word in ("$anchor", "$dynamicAnchor")}
    ids = {part["$id"] for _, part in parts if "$id" in part}
    for path, part in parts:
        for word in ("$ref", "$dynamicRef"):
            reference = part.get(word)
            if reference is None or has_bases or reference.partition("#")[0] in ids:
                continue
            if not _is_there(schema, reference, anchors):
                raise Breach(
                    (*path, word),
                    f"{reference!r} 不指向此 schema 中的任何部分",
                    f"{reference!r} leads to nothing in the schema",
                )


def walk(schema: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Each schema inside of a schema that is an object, itself first, with the path to it; bounded."""
    pending: list[tuple[Path, Any]] = [((), schema)]
    for _ in range(_MAX_SCHEMAS):
        if not pending:
            return
        path, part = pending.pop()
        if not isinstance(part, Mapping):
            continue
        yield path, part
        inner: list[tuple[Path, Any]] = [((*path, word), part[word]) for word in _SCHEMA if word in part]
        for word in (*_SCHEMAS, "items"):
            if isinstance(part.get(word), list | tuple):
                inner.extend(((*path, word, str(index)), one) for index, one in enumerate(part[word]))
        for word in (*_BY_NAME, "dependencies"):
            if isinstance(part.get(word), Mapping):
                inner.extend(((*path, word, str(name)), one) for name, one in part[word].items())
        pending.extend(reversed(inner))


def _require(path: Path, part: Mapping[str, Any]) -> None:
    for word, value in part.items():
        if word == "pattern":
            _require_pattern((*path, word), value)
        elif word in _RULES:
            is_right, zh, en = _RULES[word]
            if not is_right(value):
                raise Breach(
                    (*path, word), f"应为{zh}，而不是 {_cut(value)}", f"{_cut(value)} where {en} belongs"
                )
    for word in _SCHEMAS:
        for index, one in enumerate(part.get(word) or ()):
            _require_kind((*path, word, str(index)), one)
    for word in _BY_NAME:
        for name, one in (part.get(word) or {}).items():
            if word == "patternProperties":
                _require_pattern((*path, word, str(name)), name)
            _require_kind((*path, word, str(name)), one)


def _require_kind(path: Path, value: Any) -> None:
    if not _is_schema(value):
        raise Breach(path, f"应为 schema，而不是 {_cut(value)}", f"{_cut(value)} where a schema belongs")


def _require_pattern(path: Path, value: Any) -> None:
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise Breach(
            path,
            f"{_cut(value)} 不是正则表达式（{error}）",
            f"{_cut(value)} is no regular expression ({error})",
        ) from None


def _is_schema(value: Any) -> bool:
    return isinstance(value, Mapping | bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and float(value).is_integer()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _is_type(value: Any) -> bool:
    names = [value] if isinstance(value, str) else value
    return _are_names(names) and bool(names) and all(one in TYPES for one in names)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


_Rule = tuple[Callable[[Any], bool], str, str]
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_SCHEMA, (_is_schema, " schema（对象，或 true、false）", "a schema")),
    # Older drafts had lists of them here.
    "items": (lambda value: _is_schema(value) or _is_list(value), " schema", "a schema"),
    **dict.fromkeys(
        _SCHEMAS, (lambda value: _is_list(value) and bool(value), " schema 列表", "a list of schemas")
    ),
    **dict.fromkeys(
        _BY_NAME,
        (lambda value: isinstance(value, Mapping), "由名称到 schema 的对象", "an object, name to schema,"),
    ),
    **dict.fromkeys(_COUNTS, (_is_count, "非负整数", "a whole number, 0 or more,")),
    **dict.fromkeys(_NUMBERS, (_is_number, "数字", "a number")),
    **dict.fromkeys(_FLAGS, (lambda value: isinstance(value, bool), " true 或 false", "true or false")),
    **dict.fromkeys(_TEXTS, (lambda value: isinstance(value, str), "字符串", "a string")),
    "type": (_is_type, f"以下之一：{'、'.join(TYPES)}", f"one of {', '.join(TYPES)}"),
    "required": (_are_names, "属性名的列表", "a list of names"),
    "enum": (_is_list, "列表", "a list"),
    "examples": (_is_list, "列表", "a list"),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "正数", "a number above 0"),
    "dependentRequired": (
        lambda value: isinstance(value, Mapping) and all(_are_names(one) for one in value.values()),
        "由名称到名称列表的对象",
        "an object, name to list of names,",
    ),
}


def _is_there(schema: Mapping[str, Any], reference: str, anchors: set[Any]) -> bool:
    import urllib.parse  # few need it

    whole, _, fragment = reference.partition("#")
    if whole:
        return False
    fragment = urllib.parse.unquote(fragment)
    if not fragment.startswith("/"):
        return not fragment or fragment in anchors
    here: Any = schema
    for step in fragment[1:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(here, Mapping) and name in here:
            here = here[name]
        elif isinstance(here, list | tuple) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            return False
    return _is_schema(here)


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
