"""What a plugin asks for, what it was granted, and what it may do therefore.

asked       in its file, `[tool.plugbay]`: `network`, `read`, `write`
granted     at its install, kept as `_granted` in `config/plugins.json`; the network and no folders where nothing is
allowed     what is in both
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.errors import GrantInvalid
from service.model.text import Text

# Of a plugin that says nothing, and for one that nobody granted anything.
DEFAULT: dict[str, Any] = {"network": True}
_FOLDERS = ("read", "write")


def asked_by(declared: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a plugin asks for.

    Args:
        declared: its `[tool.plugbay]`, checked.
    """
    declared = declared or {}
    folders = {key: list(declared[key]) for key in _FOLDERS if declared.get(key)}
    return {"network": declared.get("network", True), **folders}


def allowed(asked: Mapping[str, Any], granted: Mapping[str, Any] | None) -> dict[str, Any]:
    """What it may do: nothing that it does not ask for, and nothing that it was not granted.

    Args:
        asked: as `asked_by` gives it.
        granted: as it is stored; somebody may have written anything there.
    """
    granted = DEFAULT if granted is None else granted
    write = _strings(granted.get("write"))
    read = [*_strings(granted.get("read")), *write]
    return {
        "network": _network(asked.get("network", True), granted.get("network", True)),
        "read": [one for one in asked.get("read", ()) if one in read],
        "write": [one for one in asked.get("write", ()) if one in write],
    }


def granted_for(id: str, asked: Mapping[str, Any], wish: bool | Mapping[str, Any]) -> dict[str, Any] | None:
    """What is to be stored for a wish to grant something.

    Args:
        id: of the plugin, for the error.
        asked: as `asked_by` gives it.
        wish: all that it asks for, or the part of it that is granted (`network` is where it is left out); or false, to
            take back what was granted.

    Returns:
        what it is granted; `None` where nothing is to be stored.

    Raises:
        GrantInvalid: it does not ask for all of that.
    """
    if isinstance(wish, bool):
        return dict(asked) if wish else None
    errors: list[dict[str, Any]] = []
    network = wish.get("network", True)
    if isinstance(network, list):
        asks = asked.get("network", True)
        wrong = [] if asks is True else [port for port in network if not asks or port not in asks]
        errors += [_not_asked("network", f"端口 {port}", f"port {port}") for port in wrong]
        network = sorted(set(network)) or False
    granted: dict[str, Any] = {"network": network}
    for key in _FOLDERS:
        wanted = list(dict.fromkeys(wish.get(key, ())))
        errors += [_not_asked(key, one, one) for one in wanted if one not in asked.get(key, ())]
        if wanted:
            granted[key] = wanted
    if errors:
        raise GrantInvalid(id, errors)
    return granted


def _not_asked(key: str, zh: str, en: str) -> dict[str, Any]:
    return {"field": f"grant.{key}", "message": Text(zh=f"没有申请：{zh}", en=f"not asked for: {en}")}


def lacking(asked: Mapping[str, Any], granted: Mapping[str, Any] | None) -> dict[str, Any]:
    """What it asks for and was not granted; empty where that is nothing."""
    given = allowed(asked, granted)
    wanted = asked.get("network", True)
    lacks: dict[str, Any] = {} if given["network"] == wanted else {"network": wanted}
    for key in _FOLDERS:
        if folders := [one for one in asked.get(key, ()) if one not in given[key]]:
            lacks[key] = folders
    return lacks


def _network(asked: Any, granted: Any) -> bool | list[int]:
    if granted is True:
        return list(asked) if isinstance(asked, list) else bool(asked)
    if not isinstance(granted, list):
        return False
    if isinstance(asked, list):
        return [port for port in asked if port in granted]
    return [port for port in granted if type(port) is int and 0 < port < 65536] if asked else False


def _strings(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
