"""Asking every parser that can: an address taken apart by several plugins at once, each failing on its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from service.api.keys import CALLER, METRICS, REGISTRY
from service.errors import PlugbayError, PluginDisabled
from service.model.identity import PluginType

if TYPE_CHECKING:
    from service.host.registry import Plugin

EPISODES_AT_ONCE = 16

Entry = dict[str, Any]
_entries = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


async def call_plugin(
    app: web.Application, plugin: Plugin, method: str, params: dict[str, Any]
) -> msgspec.Raw:
    """Call a plugin under a lease of its serving generation, and count how it ended.

    Raises:
        PlugbayError: as `Caller.call` does.
    """
    try:
        result: msgspec.Raw = await app[CALLER].call(plugin, method, params)
    except PlugbayError as error:
        app[METRICS].count_call(str(plugin.identity), method, error.code)
        raise
    app[METRICS].count_call(str(plugin.identity), method, "ok")
    return result


def enabled_parsers(app: web.Application) -> list[Plugin]:
    """The parsers that are switched on, by name."""
    return [
        plugin
        for plugin in app[REGISTRY].all()
        if plugin.identity.type is PluginType.PARSER and plugin.enabled
    ]


async def parse_with(
    app: web.Application, plugins: list[Plugin], url: str, *, ask: bool
) -> tuple[list[Entry], list[tuple[Plugin, PlugbayError]]]:
    """Have several parsers take one address apart, at once.

    Args:
        app: the application.
        plugins: the parsers.
        url: the address.
        ask: leave out those whose `can_parse` does not agree.

    Returns:
        The results with their plugin's name, in the order of the plugins; and who failed, with what.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_parse_one(app, plugin, url, ask=ask)) for plugin in plugins]
    results: list[Entry] = []
    failures: list[tuple[Plugin, PlugbayError]] = []
    for plugin, task in zip(plugins, tasks, strict=True):
        outcome = task.result()
        if isinstance(outcome, PlugbayError):
            failures.append((plugin, outcome))
        else:
            results += [{"plugin": plugin.identity.name} | _without_plugin(entry) for entry in outcome]
    return results, failures


async def _parse_one(
    app: web.Application, plugin: Plugin, url: str, *, ask: bool
) -> list[dict[str, msgspec.Raw]] | PlugbayError:
    params = {"url": url}
    try:
        if not plugin.enabled:
            raise PluginDisabled(str(plugin.identity))
        # A parser without a `can_parse` of its own takes every address.
        manifest = plugin.manifest
        if ask and (manifest is None or "can_parse" in manifest.methods):
            agrees = await call_plugin(app, plugin, "can_parse", params)
            if bytes(agrees) != b"true":
                return []
        return _entries.decode(await call_plugin(app, plugin, "parse_url", params))
    except PlugbayError as error:
        return error


def _without_plugin(entry: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    entry.pop("plugin", None)
    return entry


async def add_parsed_urls(app: web.Application, results: bytes) -> bytes:
    """Give every episode with a `play_url` in a search's results its `parsed_urls`, from every enabled parser.

    A parser that fails costs its own entries only. Results without such episodes come back as they are.
    """
    if b'"play_url"' not in results:
        return results
    decoded: list[Any] = msgspec.json.decode(results)
    episodes = [episode for result in decoded for episode in _episodes_of(result)]
    parsers = enabled_parsers(app)
    if not episodes or not parsers:
        return results
    gate = asyncio.Semaphore(EPISODES_AT_ONCE)

    async def parse(episode: dict[str, Any]) -> None:
        async with gate:
            episode["parsed_urls"], _ = await parse_with(app, parsers, episode["play_url"], ask=True)

    async with asyncio.TaskGroup() as group:
        for episode in episodes:
            group.create_task(parse(episode))
    return msgspec.json.encode(decoded)


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
