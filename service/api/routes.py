"""Every route of the API, in one table: the router and the API document are both made from it."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import msgspec
from aiohttp import web

from service import __version__
from service.api import (
    calls,
    configuration,
    events,
    grant_messages,
    health,
    installing,
    messages,
    plugins,
    scaffolding,
)
from service.api.openapi import build_openapi
from service.api.responses import json_bytes_response
from service.api.route import KEYWORD, Query, Route
from service.api.server_routes import SERVER_ROUTES
from service.api.task_routes import TASK_ROUTES
from service.api.upload import Upload
from service.api.version_routes import VERSION_ROUTES
from service.api.websocket import websocket_handler
from service.model.identity import PluginType
from service.model.plugin import PluginView
from service.scaffolds.scaffold import STEM_MAX_LENGTH


async def openapi(request: web.Request) -> web.Response:
    """Read this document."""
    return json_bytes_response(await asyncio.to_thread(_document))


@cache
def _document() -> bytes:
    # Some 40 ms, which no start waits for.
    return msgspec.json.encode(build_openapi(ROUTES, version=__version__))


_PLUGIN = "/api/plugins/{type}/{name}"
_CALL_ERRORS = (
    "plugin_not_found",
    "plugin_disabled",
    "config_missing",
    "plugin_error",
    "plugin_crashed",
    "plugin_unavailable",
    "plugin_timeout",
)
_ENABLED = Query(name="enabled", schema={"type": "boolean"}, description="Whether it shall be on.")
_NEW = (
    Query(
        name="plugin_type",
        schema={"type": "string", "enum": [type.value for type in PluginType]},
        description="Of which type it shall be.",
    ),
    Query(
        name="name",
        schema={"type": "string", "minLength": 1, "maxLength": STEM_MAX_LENGTH},
        description="The name that it shall have.",
    ),
)
_LINES = Query(
    name="lines",
    schema={
        "type": "integer",
        "minimum": 1,
        "maximum": plugins.LOG_LINES_MAX,
        "default": plugins.LOG_LINES_DEFAULT,
    },
    description="How many lines.",
    required=False,
)


def _put_config(method: str, operation: str) -> Route:
    return Route(
        method=method,
        path=f"{_PLUGIN}/config",
        handler=configuration.put_config,
        operation=operation,
        tag="configuration",
        body=dict[str, Any],
        response=(messages.PluginConfigured,),
        errors=(
            "plugin_not_found",
            "config_invalid",
            "plugin_invalid",
            "config_not_saved",
            "change_not_saved",
        ),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/api/plugins",
        handler=plugins.list_plugins,
        operation="listPlugins",
        tag="plugins",
        response=(messages.PluginList,),
    ),
    Route(
        method="POST",
        path="/api/plugins/install",
        handler=installing.install_plugin,
        operation="installPlugin",
        tag="plugins",
        body=messages.InstallByUrl,
        upload=Upload,
        response=(messages.Installed, messages.Plan),
        errors=(
            "too_many_installs",
            "url_refused",
            "plugin_exists",
            "plugin_invalid",
            "hash_mismatch",
            "fetch_failed",
            "fetch_timeout",
            "registry_unreachable",
            "dependencies_timeout",
            "plugin_not_saved",
            "change_not_saved",
            "revision_not_kept",
        ),
    ),
    Route(
        method="GET",
        path="/api/plugins/template",
        handler=scaffolding.get_template,
        operation="getTemplate",
        tag="plugins",
        query=_NEW,
        response=(messages.Template,),
        errors=("request_invalid", "plugin_exists"),
    ),
    Route(
        method="POST",
        path="/api/plugins/delete",
        handler=plugins.delete_plugin,
        operation="deletePlugin",
        tag="plugins",
        body=messages.DeletePlugin,
        response=(messages.Deleted,),
        errors=(
            "plugin_not_found",
            "files_not_deleted",
            "config_not_saved",
            "change_not_saved",
            "revision_not_kept",
        ),
    ),
    Route(
        method="POST",
        path="/api/plugins/reload",
        handler=plugins.reload_plugins,
        operation="reloadPlugins",
        tag="plugins",
        body=messages.ReloadOne,
        body_required=False,
        response=(messages.Reloaded,),
        errors=("plugin_not_found", "plugin_disabled"),
    ),
    Route(
        method="GET",
        path=_PLUGIN,
        handler=plugins.get_plugin,
        operation="getPlugin",
        tag="plugins",
        response=(PluginView,),
        errors=("plugin_not_found",),
    ),
    Route(
        method="POST",
        path=f"{_PLUGIN}/toggle",
        handler=plugins.toggle_plugin,
        operation="togglePlugin",
        tag="plugins",
        query=(_ENABLED,),
        response=(messages.Toggled,),
        errors=("plugin_not_found", "config_not_saved", "change_not_saved"),
    ),
    Route(
        method="GET",
        path=f"{_PLUGIN}/logs",
        handler=plugins.plugin_log,
        operation="getPluginLog",
        tag="plugins",
        query=(_LINES,),
        response=(messages.LogLines,),
        errors=("plugin_not_found",),
    ),
    Route(
        method="GET",
        path=f"{_PLUGIN}/config",
        handler=configuration.get_config,
        operation="getPluginConfig",
        tag="configuration",
        response=(messages.PluginConfig,),
        errors=("plugin_not_found",),
    ),
    _put_config("POST", "setPluginConfig"),
    _put_config("PUT", "replacePluginConfig"),
    Route(
        method="POST",
        path=f"{_PLUGIN}/grant",
        handler=configuration.grant,
        operation="grantPlugin",
        tag="configuration",
        body=grant_messages.Grant,
        response=(grant_messages.PluginGranted,),
        errors=("plugin_not_found", "grant_invalid", "config_not_saved", "change_not_saved"),
    ),
    Route(
        method="GET",
        path="/api/config/export",
        handler=configuration.export_config,
        operation="exportConfig",
        tag="configuration",
        response=(messages.ConfigExport,),
    ),
    Route(
        method="POST",
        path="/api/config/import",
        handler=configuration.import_config,
        operation="importConfig",
        tag="configuration",
        body=messages.ImportConfig,
        response=(messages.ConfigImported, messages.ConfigPlan),
        errors=("config_invalid", "config_not_saved", "change_not_saved"),
    ),
    Route(
        method="GET",
        path="/api/search/{plugin}",
        handler=calls.search,
        operation="search",
        tag="calls",
        query=(KEYWORD,),
        response=(messages.SearchResults,),
        errors=_CALL_ERRORS,
    ),
    *VERSION_ROUTES,
    *TASK_ROUTES,
    Route(
        method="POST",
        path="/api/video-info",
        handler=calls.video_info,
        operation="getVideoInfo",
        tag="calls",
        body=messages.VideoInfo,
        response=(messages.SearchResult,),
        errors=(*_CALL_ERRORS, "not_found", "method_not_supported"),
    ),
    Route(
        method="POST",
        path="/api/parse",
        handler=calls.parse,
        operation="parse",
        tag="calls",
        body=messages.Parse,
        response=(messages.ParseResults,),
        errors=("plugin_not_found",),
    ),
    Route(
        method="GET",
        path="/api/ws",
        handler=websocket_handler,
        operation="openWebSocket",
        tag="events",
        status=101,
        media_type="",
        errors=("upgrade_required", "too_many_clients", "shutting_down"),
    ),
    Route(
        method="GET",
        path="/api/events",
        handler=events.events_handler,
        operation="streamEvents",
        tag="events",
        query=events.QUERY,
        headers=(events.LAST_EVENT_ID,),
        media_type="text/event-stream",
        errors=("too_many_clients", "shutting_down"),
    ),
    Route(
        method="GET",
        path="/api/asyncapi.json",
        handler=events.asyncapi,
        operation="asyncapi",
        tag="events",
        response=(dict[str, Any],),
    ),
    *SERVER_ROUTES,
    Route(
        method="GET",
        path="/livez",
        handler=health.livez,
        operation="livez",
        tag="health",
        response=(messages.Live,),
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=health.readyz,
        operation="readyz",
        tag="health",
        response=(messages.Ready,),
        errors=("not_ready",),
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=health.metrics,
        operation="metrics",
        tag="health",
        media_type="text/plain",
    ),
    Route(
        method="GET",
        path="/api/openapi.json",
        handler=openapi,
        operation="openapi",
        tag="health",
        response=(dict[str, Any],),
    ),
)
