"""Asking every parser that can: an address taken apart by several plugins at once, each failing on its own."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec

from service.errors import PlugbayError, PluginDisabled
from service.host.calls import Caller
from service.host.registry import Plugin, Registry
from service.model.identity import PluginType

_EPISODES_AT_ONCE = 16

Entry = dict[str, Any]
_entries = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class Parsed(NamedTuple):
    """What parsers gave, each entry with its plugin's name, in the order of the plugins; and who failed, with what."""

    entries: list[Entry]
    failures: list[tuple[Plugin, PlugbayError]]


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
        for plugin, task in zip(plugins, tasks, strict=True):
            outcome = task.result()
            if isinstance(outcome, PlugbayError):
                failures.append((plugin, outcome))
            else:
                entries += [{"plugin": plugin.identity.name} | _without_plugin(entry) for entry in outcome]
        return Parsed(entries, failures)

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
                episode["parsed_urls"], _ = await self.parse(parsers, episode["play_url"], ask=True)

        for episode in episodes:
            episode["parsed_urls"] = []
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for episode in episodes:
                    group.create_task(parse(episode))
        except TimeoutError:
            pass
        return msgspec.json.encode(decoded)

    async def _parse_one(
        self, plugin: Plugin, url: str, *, ask: bool
    ) -> list[dict[str, msgspec.Raw]] | PlugbayError:
        params: dict[str, object] = {"url": url}
        try:
            if not plugin.enabled:
                raise PluginDisabled(str(plugin.identity))
            # A parser without a `can_parse` of its own takes every address.
            manifest = plugin.manifest
            if ask and (manifest is None or "can_parse" in manifest.methods):
                agrees = await self._caller.call(plugin, "can_parse", params)
                if bytes(agrees) != b"true":
                    return []
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
