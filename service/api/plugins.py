"""The plugins themselves: list, delete, reload, switch on and off, and their logs."""

from __future__ import annotations

import msgspec
from aiohttp import web

from service.api.body import read_json, read_optional_json
from service.api.changes import carry_through
from service.api.keys import EVENT_LOG, METRICS, OPERATIONS, PLUGIN_LOGS, REGISTRY
from service.api.language import language_of, say
from service.api.messages import (
    Deleted,
    DeletePlugin,
    LogLines,
    LogLineView,
    PluginList,
    Reloaded,
    ReloadedPlugin,
    ReloadOne,
    Toggled,
)
from service.api.params import find_plugin, flag_in_query, number_in_query, plugin_in_path
from service.api.problems import RequestInvalid
from service.api.responses import json_response
from service.model.identity import PluginType
from service.model.plugin import PluginView
from service.model.text import Text

LOG_LINES_DEFAULT = 200
LOG_LINES_MAX = 10_000

_DELETED = Text(zh="插件删除成功并已卸载", en="The plugin was deleted and unloaded")


async def list_plugins(request: web.Request) -> web.Response:
    """List all plugins by type.

    `epoch` and `seq` are the position in the event log that the list is as of: a subscription from there misses
    nothing and repeats nothing.
    """
    language = language_of(request)
    views: dict[PluginType, list[PluginView]] = {type: [] for type in PluginType}
    # No await between here and the position: both are of one moment.
    for plugin in request.app[REGISTRY].all():
        views[plugin.identity.type].append(plugin.view().in_language(language))
    log = request.app[EVENT_LOG]
    return json_response(
        PluginList(
            search=views[PluginType.SEARCH],
            download=views[PluginType.DOWNLOAD],
            parser=views[PluginType.PARSER],
            epoch=log.epoch,
            seq=str(log.head),
        )
    )


async def get_plugin(request: web.Request) -> web.Response:
    """Show one plugin, found by its name or by its file's stem."""
    return json_response(plugin_in_path(request).view().in_language(language_of(request)))


async def delete_plugin(request: web.Request) -> web.Response:
    """Delete a plugin's files, its requirements file and its configuration.

    No new call starts; running ones finish. `purge` deletes the data folder too.
    """
    body = await read_json(request, DeletePlugin)
    plugin = find_plugin(request.app, body.plugin_type, body.plugin_name)
    done = await carry_through(request, request.app[OPERATIONS].delete(plugin, purge=body.purge))
    return json_response(
        Deleted(message=say(request, _DELETED), running_calls=done.running_calls, change=done.change)
    )


async def reload_plugins(request: web.Request) -> web.Response:
    """Reload one plugin, or all where none is named.

    Each gets a new generation, also of unchanged bytes. A plugin that fails keeps its older generation serving; the
    answer is a success all the same and says which failed.
    """
    body = await read_optional_json(request, ReloadOne) or ReloadOne()
    operations = request.app[OPERATIONS]
    if body.plugin_name is not None and body.plugin_type is not None:
        plugin = find_plugin(request.app, body.plugin_type, body.plugin_name)
        done = [await carry_through(request, operations.reload(plugin))]
    elif body.plugin_name is None and body.plugin_type is None:
        done = await carry_through(request, operations.reload_all())
    else:
        missing = "plugin_name" if body.plugin_name is None else "plugin_type"
        raise RequestInvalid(
            Text(
                zh=f"缺少字段 {missing}：plugin_type 和 plugin_name 须同时给出，或都不给",
                en=f"The field {missing} is missing: give plugin_type and plugin_name both, or neither",
            ),
            field=missing,
        )
    language = language_of(request)
    results = [
        ReloadedPlugin(
            id=result.id,
            ok=result.ok,
            state=result.state,
            generation=result.generation,
            ms=result.ms,
            error=msgspec.UNSET if result.error is None else result.error.in_language(language),
        )
        for result in done
    ]
    succeeded = sum(result.ok for result in results)
    failed = len(results) - succeeded
    request.app[METRICS].count_reloads(succeeded, failed)
    message = Text(
        zh=f"插件重新加载完成: 成功 {succeeded}, 失败 {failed}",
        en=f"Plugins reloaded: {succeeded} succeeded, {failed} failed",
    )
    return json_response(
        Reloaded(success_count=succeeded, fail_count=failed, message=say(request, message), results=results)
    )


async def toggle_plugin(request: web.Request) -> web.Response:
    """Switch a plugin on or off. Switched off, it takes no new calls; running ones finish."""
    enabled = flag_in_query(request, "enabled")
    plugin = plugin_in_path(request)
    done = await carry_through(request, request.app[OPERATIONS].set_enabled(plugin, enabled))
    return json_response(Toggled(enabled=done.plugin.enabled, change=done.change))


async def plugin_log(request: web.Request) -> web.Response:
    """Read the newest lines of a plugin's log, oldest first."""
    count = number_in_query(request, "lines", default=LOG_LINES_DEFAULT, low=1, high=LOG_LINES_MAX)
    plugin = plugin_in_path(request)
    records = await request.app[PLUGIN_LOGS].tail((plugin.identity.type.value, plugin.stem), count)
    return json_response(
        LogLines(
            lines=[
                LogLineView(
                    at=record.at,
                    level=record.level,
                    generation=record.generation,
                    message=record.message,
                    request=record.request or msgspec.UNSET,
                )
                for record in records
            ]
        )
    )
