"""Asking every parser that can: an address taken apart by several plugins at once, each failing on its own."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec

from service.errors import PlugbayError, PluginDisabled
from service.host.calls import Caller
from service.host.plugin import Plugin
from service.host.registry import Registry
from service.model.identity import PluginType

_EPISODES_AT_ONCE = 16

Entry = dict[str, Any]
_entries = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class Parsed(NamedTuple):
    """What parsers gave, each entry with its plugin's name, in the order of the plugins.

    `failures` are those that failed, with what; `took_ms` the names of all that took the address, with how long.
    """

    entries: list[Entry]
    failures: list[tuple[Plugin, PlugbayError]]
    took_ms: list[tuple[str, float]]


class _Outcome(NamedTuple):
    """What came of one parser; None where it does not take the address."""

    entries: list[dict[str, msgspec.Raw]] | PlugbayError | None
    ms: float


class Parsers:
    """See the module.

    Args:
        registry: where parsers are.
        caller: calls them.
    """

    def __init__(self, registry: Registry, caller: Caller) -> None:
        self._registry = registry
        self._caller = caller

    def enabled(self) -> list[Plugin]:
        """The parsers that are switched on, by name."""
        return [
            plugin
            for plugin in self._registry.all()
            if plugin.identity.type is PluginType.PARSER and plugin.enabled
        ]

    async def parse(self, plugins: list[Plugin], url: str, *, ask: bool) -> Parsed:
        """Have several parsers take one address apart, at once.

        Args:
            plugins: the parsers.
            url: the address.
            ask: leave out those whose `can_parse` does not agree.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._parse_one(plugin, url, ask=ask)) for plugin in plugins]
        entries: list[Entry] = []
        failures: list[tuple[Plugin, PlugbayError]] = []
        took_ms: list[tuple[str, float]] = []
        for plugin, task in zip(plugins, tasks, strict=True):
            name = plugin.identity.name
            found, ms = task.result()
            if found is None:
                continue
            took_ms.append((name, ms))
            if isinstance(found, PlugbayError):
                failures.append((plugin, found))
            else:
                entries += [{"plugin": name} | _without_plugin(entry) for entry in found]
        return Parsed(entries, failures, took_ms)

    async def add_parsed_urls(self, results: bytes, *, seconds: float | None = None) -> bytes:
        """Give every episode with a `play_url` in a search's results its `parsed_urls`, from every enabled parser.

        A parser that fails costs its own entries only. Results without such episodes come back as they are.

        Args:
            results: a JSON array.
            seconds: how long it may take; an episode that had no turn by then has an empty list.
        """
        if not has_episodes(results):
            return results
        decoded: list[Any] = msgspec.json.decode(results)
        episodes = [episode for result in decoded for episode in _episodes_of(result)]
        parsers = self.enabled()
        if not episodes or not parsers:
            return results
        gate = asyncio.Semaphore(_EPISODES_AT_ONCE)

        async def parse(episode: dict[str, Any]) -> None:
            async with gate:
                parsed = await self.parse(parsers, episode["play_url"], ask=True)
                episode["parsed_urls"] = parsed.entries

        for episode in episodes:
            episode["parsed_urls"] = []
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for episode in episodes:
                    group.create_task(parse(episode))
        except TimeoutError:
            pass
        return msgspec.json.encode(decoded)

    async def _parse_one(self, plugin: Plugin, url: str, *, ask: bool) -> _Outcome:
        clock = asyncio.get_running_loop().time
        started_s = clock()
        found = await self._entries_of(plugin, url, ask=ask)
        return _Outcome(found, round((clock() - started_s) * 1000, 1))

    async def _entries_of(
        self, plugin: Plugin, url: str, *, ask: bool
    ) -> list[dict[str, msgspec.Raw]] | PlugbayError | None:
        params: dict[str, object] = {"url": url}
        try:
            if not plugin.enabled:
                raise PluginDisabled(str(plugin.identity))
            # A parser without a `can_parse` of its own takes every address.
            manifest = plugin.manifest
            if ask and (manifest is None or "can_parse" in manifest.methods):
                agrees = await self._caller.call(plugin, "can_parse", params)
                if bytes(agrees) != b"true":
                    return None
            return _entries.decode(await self._caller.call(plugin, "parse_url", params))
        except PlugbayError as error:
            return error


def has_episodes(results: bytes) -> bool:
    """Whether there may be addresses to take apart in the JSON of results."""
    return b'"play_url"' in results


def _without_plugin(entry: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    entry.pop("plugin", None)
    return entry


def _episodes_of(result: Any) -> list[dict[str, Any]]:
    metadata = result.get("metadata") if isinstance(result, dict) else None
    episodes = metadata.get("episodes") if isinstance(metadata, dict) else None
    if not isinstance(episodes, list):
        return []
    return [
        episode
        for episode in episodes
        if isinstance(episode, dict) and isinstance(episode.get("play_url"), str) and episode["play_url"]
    ]
