"""What a plugin asks for, was granted or lacks, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.cli.language import say
from service.cli.readable import readable


def permissions_text(asked: Mapping[str, Any], *, all_of_it: bool = False) -> str:
    """Permissions in words; without `all_of_it` nothing where that is what every plugin has."""
    if asked == {"network": True} and not all_of_it:
        return ""
    parts = []
    network = asked.get("network")
    if network is True:
        parts.append(say("网络", "network"))
    elif isinstance(network, list):
        parts.append(say("网络端口 ", "network, ports ") + ", ".join(map(readable, network)))
    elif network is False:
        parts.append(say("不用网络", "no network"))
    for key, word in (("read", say("读取 ", "read ")), ("write", say("写入 ", "write "))):
        folders = asked.get(key)
        if isinstance(folders, list) and folders:
            parts.append(word + ", ".join(map(readable, folders)))
    return say("；", "; ").join(parts)
