"""What was probably meant by a word that nobody knows."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service.cli.language import say
from service.cli.output import plugins_of
from service.client import Client, ClientError

_SHOWN = 3
_DEADLINE_S = 1.0


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words that look like it, the nearest first; letters count alike in both cases."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(word.lower(), by_lower, _SHOWN)
    return [by_lower[one] for one in near]


def did_you_mean(words: Iterable[str]) -> str:
    """Asks so; empty where there is none."""
    named = say("、", ", ").join(words)
    return say(f"是否想输入 {named}？", f"Did you mean {named}?") if named else ""


async def plugin_meant(client: Client, arguments: Mapping[str, Any], command: str | None) -> str:
    """Which plugin was probably meant, where one that was named is not there.

    Args:
        client: to the server that does not know it.
        arguments: of the command.
        command: its name: `search` and `download` name plugins of that type only.
    """
    try:
        async with asyncio.timeout(_DEADLINE_S):
            listing = await client.plugins()
    except (ClientError, TimeoutError):
        return ""
    ids = [str(one["id"]) for one in plugins_of(listing)]
    of_type = [one for one in ids if command not in ("search", "download") or one.startswith(f"{command}/")]
    found: list[str] = []
    for asked in _asked(arguments, command):
        if asked in ids:
            continue
        name = asked.partition("/")[2]
        elsewhere = [one for one in of_type if one.partition("/")[2].lower() == name.lower()]
        found += elsewhere or nearest(asked, of_type)
    if command in ("search", "download"):
        found = [one.partition("/")[2] for one in found]
    return did_you_mean(dict.fromkeys(found[:_SHOWN]))


def _asked(arguments: Mapping[str, Any], command: str | None) -> Iterator[str]:
    """The ids of the plugins that the command was given."""
    named = arguments.get("plugins") or [arguments.get("plugin")]
    for one in named:
        if isinstance(one, tuple):
            yield "/".join(one)
        elif isinstance(one, str):
            yield one if "/" in one else f"{command}/{one}"
