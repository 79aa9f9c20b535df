"""Direct calls to plugins: search, what is behind an address, taking an address apart."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from service.api.body import read_json
from service.api.changes import carry_through
from service.api.keys import CALLER, PARSERS, SEARCHES, TASKS
from service.api.language import language_of
from service.api.messages import Parse, ParseFailure, ParseResults, VideoInfo
from service.api.params import find_plugin, text_in_query
from service.api.responses import json_bytes_response, json_response
from service.errors import PlugbayError, RequestRefused
from service.model.identity import PluginType
from service.model.text import Text


async def search(request: web.Request) -> web.Response:
    """Search with one plugin and wait for its results.

    Episodes with a `play_url` gain `parsed_urls` from every enabled parser.
    """
    keyword = text_in_query(request, "keyword")
    plugin = find_plugin(request.app, PluginType.SEARCH, request.match_info["plugin"])
    found = bytes(await request.app[CALLER].call(plugin, "search", {"keyword": keyword}))
    return json_bytes_response(b'{"results":%b}' % await request.app[PARSERS].add_parsed_urls(found))


async def video_info(request: web.Request) -> web.Response:
    """Ask a search plugin what is behind an address."""
    body = await read_json(request, VideoInfo)
    plugin = find_plugin(request.app, PluginType.SEARCH, body.plugin_name)
    if plugin.manifest is not None and "get_video_info" not in plugin.manifest.methods:
        raise RequestRefused(
            Text(
                zh=f"插件 {plugin.identity} 没有实现 get_video_info",
                en=f"Plugin {plugin.identity} has no get_video_info",
            ),
            code="method_not_supported",
        )
    info = bytes(await request.app[CALLER].call(plugin, "get_video_info", {"url": body.url}))
    if info == b"null":
        raise RequestRefused(
            Text(
                zh=f"插件 {plugin.identity} 没有找到该地址的信息",
                en=f"Plugin {plugin.identity} knows nothing of this address",
            ),
            code="not_found",
        )
    return json_bytes_response(info)


async def parse(request: web.Request) -> web.Response:
    """Take an address apart with the named parsers, or with all enabled ones whose `can_parse` agrees.

    A parser that fails is named in `errors` and costs only its own results.
    """
    body = await read_json(request, Parse)
    plugins = None
    if body.plugins is not None:
        found = {name: find_plugin(request.app, PluginType.PARSER, name) for name in body.plugins}
        plugins = list({plugin.identity: plugin for plugin in found.values()}.values())
    live = await carry_through(request, request.app[SEARCHES].start_parse(body.url, plugins))
    try:
        await live.rests.wait()
    except asyncio.CancelledError:  # the client has gone, and nobody else asked for it
        with contextlib.suppress(PlugbayError):
            await request.app[TASKS].cancel(live.id)
        raise
    failures = live.task.in_language(language_of(request)).failures
    errors = [ParseFailure(plugin=one.plugin, code=one.code, message=one.message) for one in failures]
    return json_response(ParseResults(results=live.results, errors=errors, task_id=live.id))
