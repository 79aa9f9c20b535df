"""What a configured value is taken for. Forms send text, and what is empty or makes no sense is as if not set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_TRUE = frozenset(("true", "1", "on", "yes", "y", "t", "enable", "enabled", "是", "真", "开", "开启", "启用"))
_FALSE = frozenset(
    ("false", "0", "off", "no", "n", "f", "disable", "disabled", "否", "假", "关", "关闭", "禁用")
)


def value_of(config: Any, key: str) -> Any:
    """The value under a key, `None` where none is set: an empty text counts as none."""
    value = config.get(key) if isinstance(config, Mapping) else None
    return None if isinstance(value, str) and not value else value


def to_float(value: Any) -> float | None:
    """A finite number, or `None` where the value is none."""
    if not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def to_int(value: Any) -> int | None:
    """A whole number, a fraction cut off, or `None` where the value is none."""
    try:
        return int(value)  # not by way of a float, which has 53 bits only
    except (ValueError, TypeError, OverflowError):
        number = to_float(value)
        return None if number is None else int(number)


def to_bool(value: Any) -> bool | None:
    """Yes or no, also as a word in English or Chinese, or `None` where the value is neither."""
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else None
    return bool(value) if isinstance(value, int | float) else None


def to_list(value: Any) -> list[Any] | None:
    """A list, also from a text with one entry a line or commas between them, or `None` where the value is neither."""
    if isinstance(value, str):
        return [
            part.strip() for part in value.replace("，", ",").replace("\n", ",").split(",") if part.strip()
        ]
    return list(value) if isinstance(value, list | tuple | set | frozenset) else None
