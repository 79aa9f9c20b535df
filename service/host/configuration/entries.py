"""A plugin's entry in the stored configuration, and what becomes of it; what begins with `_` is the server's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def own(entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the server itself keeps in an entry."""
    return {name: value for name, value in (entry or {}).items() if name.startswith("_")}


def plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the plugin itself is given of an entry."""
    return {name: value for name, value in entry.items() if not name.startswith("_")}


def is_on(entry: Mapping[str, Any]) -> bool:
    """Whether the plugin of an entry is switched on, which is so where nothing is said."""
    return entry.get("_enabled", True) is not False


def configured(entry: Mapping[str, Any] | None, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entry of a plugin that is given these values; no value at all is what is so where nothing is stored."""
    return {**values, **own(entry)} or (None if entry is None else {})


def granting(entry: Mapping[str, Any] | None, granted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The entry of a plugin that is granted something; `None` where nothing is left of it."""
    others = {name: value for name, value in (entry or {}).items() if name != "_granted"}
    return {**others, "_granted": dict(granted)} if granted is not None else others or None


def switched(entry: Mapping[str, Any] | None, enabled: bool) -> dict[str, Any] | None:
    """The entry of a plugin that is switched on or off; being on is what is so where nothing is said."""
    if (entry or {}).get("_enabled", True) is enabled:
        return dict(entry) if entry is not None else None
    return {**(entry or {}), "_enabled": enabled}
