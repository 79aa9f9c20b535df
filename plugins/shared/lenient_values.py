"""Values of a configuration that may have come in another form than the one meant, such as numbers as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_YES = ("true", "1", "yes", "on")
_NO = ("false", "0", "no", "off")


def as_number(value: object, default: float, least: float, most: float) -> float:
    """A number, moved into its bounds where it is outside of them; `default` where it is none."""
    try:
        number = float(value)  # type: ignore[arg-type]  # anything else raises TypeError
    except (TypeError, ValueError):
        return default
    return min(max(number, least), most) if number == number else default


def not_negative(value: object, default: float) -> float:
    """A number that is neither negative nor without end; `default` where it is another, or none."""
    number = as_number(value, default, float("-inf"), float("inf"))
    return number if 0 <= number < float("inf") else default


def as_bool(value: object, default: bool) -> bool:
    """A switch; `default` where it is not set, or is a text that is neither yes nor no."""
    if isinstance(value, str):
        text = value.strip().lower()
        return text in _YES if text in (*_YES, *_NO) else default
    return default if value is None else bool(value)


def text_of(config: Mapping[str, Any], *keys: str) -> str:
    """The first of the keys that is set, as text; empty where none is."""
    for key in keys:
        value = config.get(key)
        if value is not None and str(value).strip():
            return str(value).strip()
    return ""


def number_of(config: Mapping[str, Any], key: str) -> int | None:
    """A whole number; None where it is not set or is none."""
    try:
        return int(float(text_of(config, key)))
    except (ValueError, OverflowError):
        return None


def listed_in(value: object) -> object:
    """A list, or whatever else it is; as JSON or in lines it counts too."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value.splitlines()


def entries_of(value: object) -> Iterator[Mapping[str, Any]]:
    """The entries of a list of servers, each with its `url`; `name|address` or a bare address is one, too."""
    listed = listed_in(value)
    for entry in [listed] if isinstance(listed, Mapping) else listed if isinstance(listed, list) else []:
        if isinstance(entry, Mapping):
            yield entry
        elif isinstance(entry, str) and entry.strip():
            name, bar, address = entry.strip().partition("|")
            yield {"name": name, "url": address} if bar and "://" not in name else {"url": entry.strip()}
