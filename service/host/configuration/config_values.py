"""Checking values against a list of `ConfigField`, kindly: HTML forms send `"8080"` and `"true"`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from service.host.configuration.config_file import kind_en, kind_zh
from service.model.plugin import ConfigField
from service.model.text import Text

_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,4})?")


class Wrong(ValueError):
    """One value does not fit; `text` says why, without repeating the value, which may be a password."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


class FieldCheck:
    """One pass over a configuration; collects `errors` and `unknown` keys on its way."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, Text]] = []
        self.unknown: list[str] = []

    def object(self, fields: Sequence[ConfigField], values: Mapping[str, Any], path: str) -> dict[str, Any]:
        """The values to store, converted where need be; what is not set is left out."""
        known = {field.name: field for field in fields}
        stored: dict[str, Any] = {}
        for name, value in values.items():
            where = f"{path}.{name}" if path else name
            field = known.get(name)
            if field is None:
                self.unknown.append(where)
                stored[name] = value
            elif not is_unset(value):
                try:
                    stored[name] = self._value(field, value, where)
                except Wrong as wrong:
                    self.errors.append((where, wrong.text))
        return stored

    def _value(self, field: ConfigField, value: Any, path: str) -> Any:
        match field.type:
            case "text" | "password":
                if not isinstance(value, str):
                    raise expected("字符串", "a string", value)
                return value
            case "number":
                return number(value)
            case "boolean":
                return boolean(value)
            case "select":
                return _choice(field, value)
            case "list":
                return self._list(field, value, path)
            case _:
                return value

    def _list(self, field: ConfigField, value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise expected("数组", "an array", value)
        if not field.fields:
            return value
        stored = []
        for index, entry in enumerate(value):
            where = f"{path}[{index}]"
            if isinstance(entry, Mapping):
                stored.append(self.object(field.fields, entry, where))
            else:
                self.errors.append((where, expected("对象", "an object", entry).text))
        return stored


def is_unset(value: Any) -> bool:
    """Whether a value means that none is set."""
    return value is None or (isinstance(value, str) and value == "")


def number(value: Any) -> int | float:
    """A finite number, or a string that is one.

    Raises:
        Wrong: it is neither.
    """
    if isinstance(value, str):
        text = value.strip()
        if _INTEGER.fullmatch(text):
            return int(text)
        if not _DECIMAL.fullmatch(text):
            raise expected("数字", "a number", value)
        value = float(text)
    if not _is_number(value):
        raise expected("数字", "a number", value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong(Text(zh="应为有限的数字", en="has to be a finite number"))
    return value  # type: ignore[no-any-return]


def boolean(value: Any) -> bool:
    """A boolean, or a string that is one.

    Raises:
        Wrong: it is neither.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise expected("布尔值 true 或 false", "true or false", value)


def expected(zh: str, en: str, value: Any) -> Wrong:
    """The error for a value of the wrong type."""
    return Wrong(Text(zh=f"应为{zh}，实际是{kind_zh(value)}", en=f"has to be {en}, not {kind_en(value)}"))


def _choice(field: ConfigField, value: Any) -> Any:
    choices = [_choice_value(option) for option in field.options or []]
    if not choices:
        if isinstance(value, dict | list):
            raise expected("单个值", "a single value", value)
        return value
    for choice in choices:
        # 1 and True are equal in Python, and not the same choice.
        if type(choice) is type(value) and choice == value:
            return choice
    for choice in choices:
        if isinstance(value, str) and not isinstance(choice, str) and _as_form_value(choice) == value:
            return choice
        if _is_number(value) and _is_number(choice) and choice == value:
            return choice
    names = ", ".join(str(choice) for choice in choices)
    raise Wrong(Text(zh=f"只能是以下之一：{names}", en=f"has to be one of: {names}"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _choice_value(option: Any) -> Any:
    return option["value"] if isinstance(option, Mapping) and "value" in option else option


def _as_form_value(choice: Any) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)
