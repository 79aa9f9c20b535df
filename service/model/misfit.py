"""What msgspec says of data that does not fit, as facts: which member, and what it must be, in both languages.

msgspec has sentences of a few shapes and in English only. A sentence of no known shape is passed on as it is, and the
Chinese one says that it is quoted.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from service.model.text import Text

SHOWN_MAX_LENGTH = 200

_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_TYPES = {
    "str": Text(zh="字符串", en="a string"),
    "int": Text(zh="整数", en="a whole number"),
    "float": Text(zh="数字", en="a number"),
    "bool": Text(zh=" true 或 false", en="true or false"),
    "object": Text(zh="对象", en="an object"),
    "array": Text(zh="数组", en="an array"),
    "null": Text(zh=" null", en="null"),
}
_UNITS = {
    "str": Text(zh="个字符", en="characters"),
    "bytes": Text(zh="字节", en="bytes"),
    "array": Text(zh="项", en="items"),
    "object": Text(zh="个成员", en="members"),
}
_ENDS_EARLY = "Input data was truncated"
_MALFORMED = re.compile(r"JSON is malformed: (?P<what>.*) \(byte (?P<byte>\d+)\)")
_JSON_FAULTS = {
    "expected ':'": Text(zh="缺少 :", en="a : is missing"),
    "expected '\"'": Text(zh='缺少 "', en='a " is missing'),
    "expected ',' or ']'": Text(zh="缺少 , 或 ]", en="a , or ] is missing"),
    "expected ',' or '}'": Text(zh="缺少 , 或 }", en="a , or } is missing"),
    "invalid character": Text(zh="有无效字符", en="a character does not belong there"),
    "invalid number": Text(zh="数字写法有误", en="a number is written wrongly"),
    "object keys must be strings": Text(zh="对象的键必须是字符串", en="keys of an object must be strings"),
    "trailing characters": Text(zh="多出了内容", en="something follows the JSON"),
    "trailing comma in array": Text(zh="数组末尾多了逗号", en="there is a comma at the end of an array"),
    "trailing comma in object": Text(zh="对象末尾多了逗号", en="there is a comma at the end of an object"),
}
# What follows has to hold the second half, which takes six bytes.
_HALF_A_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u)")
_PAIR_BYTES = 12
_OUT_OF_RANGE = re.compile(r"(?:Integer value|Number) out of range")
_ESCAPE = Text(zh="字符串中的转义有误", en="an escape in a string is wrong")


class Misfit(msgspec.Struct, frozen=True):
    """One thing that does not fit.

    `path` is the member's, such as `topics[0]`, empty for the whole. `must` is what it must be, a predicate such as
    "must be a string"; the subject is the caller's.
    """

    path: str
    must: Text


def misfit_of(message: str, type: Any = None, formats: Mapping[str, Text] | None = None) -> Misfit:
    """Understand the message of a `msgspec.ValidationError`.

    Args:
        message: as msgspec gave it.
        type: what the data was decoded as; with it, the values that are allowed can be named.
        formats: predicates for patterns, by their regular expression, which says little to most readers.
    """
    at = _AT.search(message)
    path = "" if at is None else at["path"].removeprefix("$").removeprefix(".")
    reason = message if at is None else message[: at.start()]
    for pattern, understand in _SHAPES:
        match = pattern.fullmatch(reason)
        if match is not None:
            found = understand(match)
            if isinstance(found, Misfit):
                inner = f"{path}.{found.path}".removeprefix(".")
                return Misfit(inner[:SHOWN_MAX_LENGTH], found.must)
            return Misfit(path[:SHOWN_MAX_LENGTH], found)
    if reason.startswith("Invalid enum value "):
        return Misfit(path[:SHOWN_MAX_LENGTH], _one_of(_allowed(type, path)))
    regex = reason.removeprefix("Expected `str` matching regex ")
    if regex != reason:
        for known, must in (formats or {}).items():
            if repr(known) == regex:
                return Misfit(path[:SHOWN_MAX_LENGTH], must)
        shown = regex[:SHOWN_MAX_LENGTH]
        must = Text(zh=f"不符合格式 {shown}", en=f"does not match {shown}")
        return Misfit(path[:SHOWN_MAX_LENGTH], must)
    shown = reason[:SHOWN_MAX_LENGTH]
    return Misfit(path[:SHOWN_MAX_LENGTH], Text(zh=f"有误（{shown}）", en=f"is wrong ({shown})"))


def fault_of(message: str, data: bytes = b"") -> Text:
    """Understand the message of a `msgspec.DecodeError`: why something is no JSON, and at which byte.

    Args:
        message: as msgspec gave it.
        data: what was decoded; half a surrogate pair near its end is said to end it too early.
    """
    if message == _ENDS_EARLY:
        return (
            _ESCAPE
            if _HALF_A_PAIR.search(data[-_PAIR_BYTES:])
            else Text(zh="内容不完整", en="it ends too early")
        )
    if (at := _AT.search(message)) is not None and _OUT_OF_RANGE.fullmatch(message, 0, at.start()):
        return Text(zh="有数值超出范围", en="a number in it is out of range")
    match = _MALFORMED.fullmatch(message)
    if match is None:
        shown = message[:SHOWN_MAX_LENGTH]
        return Text(zh=shown, en=shown)
    what = match["what"]
    fault = _JSON_FAULTS.get(what)
    if fault is None:
        fault = _ESCAPE if "escape" in what or "surrogate" in what else Text(zh=what, en=what)
    return Text(zh=f"第 {match['byte']} 字节处{fault.zh}", en=f"{fault.en}, at byte {match['byte']}")


def _wrong_type(match: re.Match[str]) -> Text:
    wanted = [_type(name.strip()) for name in match["wanted"].split("|")]
    got = _type(match["got"])
    zh = f"必须是{'或'.join(one.zh for one in wanted)}，而不是{got.zh}"
    return Text(zh=zh, en=f"must be {' or '.join(one.en for one in wanted)}, not {got.en}")


def _wrong_length(match: re.Match[str]) -> Text:
    number, unit = int(match["number"]), _UNITS.get(match["type"], _UNITS["array"])
    match match["bound"]:
        case ">=" if number == 1:
            return Text(zh="不能为空", en="must not be empty")
        case ">=" | "at least length":
            return Text(zh=f"至少要有 {number} {unit.zh}", en=f"must have at least {number} {unit.en}")
        case "<=" | "at most length":
            return Text(zh=f"最多 {number} {unit.zh}", en=f"must have at most {number} {unit.en}")
        case _:
            return Text(zh=f"必须有 {number} {unit.zh}", en=f"must have {number} {unit.en}")


def _wrong_number(match: re.Match[str]) -> Text:
    bound, number = match["bound"], match["number"].removesuffix(".0")
    words = {
        ">=": Text(zh="不能小于", en="must be at least"),
        "<=": Text(zh="不能大于", en="must be at most"),
        ">": Text(zh="必须大于", en="must be more than"),
        "<": Text(zh="必须小于", en="must be less than"),
    }[bound]
    return Text(zh=f"{words.zh} {number}", en=f"{words.en} {number}")


def _missing(match: re.Match[str]) -> Misfit:
    return Misfit(match["name"], Text(zh="缺失", en="is missing"))


def _unknown(match: re.Match[str]) -> Misfit:
    return Misfit(match["name"], Text(zh="不是已知字段", en="is unknown"))


def _out_of_range(_: re.Match[str]) -> Text:
    return Text(zh="数值超出范围", en="is a number out of range")


_SHAPES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Text | Misfit]], ...] = (
    (re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL), _missing),
    (re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL), _unknown),
    (re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`"), _wrong_type),
    (re.compile(r"Expected `(?P<type>\w+)` of length (?P<bound>>=|<=) (?P<number>\d+)"), _wrong_length),
    (
        re.compile(r"Expected `(?P<type>array)` of (?P<bound>(at \w+ )?length) (?P<number>\d+)(, got \d+)?"),
        _wrong_length,
    ),
    (re.compile(r"Expected `(?:int|float)` (?P<bound>>=|<=|>|<) (?P<number>\S+)"), _wrong_number),
    (_OUT_OF_RANGE, _out_of_range),
)


def _type(name: str) -> Text:
    return _TYPES.get(name, Text(zh=f" {name}", en=name))


def _one_of(values: list[str]) -> Text:
    if not values:
        return Text(zh="不是允许的值", en="is none of the values that are allowed")
    return Text(zh=f"必须是 {'、'.join(values)} 之一", en=f"must be one of {', '.join(values)}")


def _allowed(type: Any, path: str) -> list[str]:
    """The values of the enum at that path of a type; none where it is not found."""
    if type is None:
        return []
    found: Any = inspect.type_info(type)
    for step in re.findall(r"[^.\[\]]+|\[[^\]]*\]", path):
        found = _inside(found, step)
    for one in _alternatives(found):
        if isinstance(one, inspect.EnumType):
            return [str(member.value) for member in one.cls if isinstance(member, enum.Enum)]
        if isinstance(one, inspect.LiteralType):
            return [str(value) for value in one.values]
    return []


def _inside(found: Any, step: str) -> Any:
    for one in _alternatives(found):
        if isinstance(one, inspect.StructType):
            for field in one.fields:
                if field.encode_name == step:
                    return field.type
        elif isinstance(one, inspect.DictType) and step.startswith("["):
            return one.value_type
        elif isinstance(one, inspect.ListType) and step.startswith("["):
            return one.item_type
    return None


def _alternatives(found: Any) -> list[Any]:
    return list(found.types) if isinstance(found, inspect.UnionType) else [found]
