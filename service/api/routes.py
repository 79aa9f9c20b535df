"""Every route of the API, in one table: the router and the API document are both made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from service.api import (
    calls,
    configuration,
    downloads,
    health,
    installing,
    messages,
    plugins,
    searching,
    task_messages,
    tasks,
)
from service.api.keys import OPENAPI
from service.api.responses import json_bytes_response
from service.api.upload import Upload
from service.api.websocket import websocket_handler
from service.model.plugin import PluginView
from service.model.task import Task, TaskKind, TaskStatus

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of the query; `schema` is JSON Schema."""

    name: str
    schema: dict[str, Any]
    description: str
    required: bool = True


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    Args:
        operation: its name in the API document; the handler's docstring is its description.
        body: the type of the JSON body, if it takes one; `body_required` whether it must be there.
        upload: the fields of a multipart body that it takes as well.
        response: the types of the JSON answer; none where `media_type` says what is sent instead.
        errors: the codes that it answers beside those that every route may answer.
    """

    method: str
    path: str
    handler: Handler
    operation: str
    tag: str
    query: tuple[Query, ...] = ()
    body: Any = None
    body_required: bool = True
    upload: Any = None
    status: int = 200
    response: tuple[Any, ...] = ()
    media_type: str = "application/json"
    errors: tuple[str, ...] = ()


async def openapi(request: web.Request) -> web.Response:
    """Read this document."""
    return json_bytes_response(request.app[OPENAPI])


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
_KEYWORD = Query(
    name="keyword", schema={"type": "string", "pattern": r"\S"}, description="What to search for."
)


def _list_of(kind: type[TaskKind] | type[TaskStatus]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "enum": list(kind)}}


_TASK_QUERY = (
    Query(name="kind", schema=_list_of(TaskKind), description="Only of these kinds.", required=False),
    Query(name="status", schema=_list_of(TaskStatus), description="Only in these states.", required=False),
    Query(
        name="limit",
        schema={"type": "integer", "minimum": 1, "maximum": tasks.PAGE_MAX, "default": tasks.PAGE_DEFAULT},
        description="How many.",
        required=False,
    ),
    Query(
        name="cursor",
        schema={"type": "string", "pattern": "^[0-9]{0,18}$"},
        description="The `next_cursor` of the page before.",
        required=False,
    ),
)


def _change_task(verb: str, handler: Handler, *errors: str) -> Route:
    return Route(
        method="POST",
        path=f"/api/tasks/{{id}}/{verb}",
        handler=handler,
        operation=f"{verb}Task",
        tag="tasks",
        response=(Task,),
        errors=("task_not_found", "task_conflict", "store_failed", *errors),
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
        errors=("plugin_not_found", "config_invalid", "plugin_invalid", "config_not_saved"),
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
            "url_refused",
            "plugin_exists",
            "plugin_invalid",
            "hash_mismatch",
            "fetch_failed",
            "fetch_timeout",
            "plugin_not_saved",
        ),
    ),
    Route(
        method="POST",
        path="/api/plugins/delete",
        handler=plugins.delete_plugin,
        operation="deletePlugin",
        tag="plugins",
        body=messages.DeletePlugin,
        response=(messages.Deleted,),
        errors=("plugin_not_found", "files_not_deleted", "config_not_saved"),
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
        errors=("plugin_not_found", "config_not_saved"),
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
        response=(messages.ConfigImported,),
        errors=("config_invalid", "config_not_saved"),
    ),
    Route(
        method="GET",
        path="/api/search/{plugin}",
        handler=calls.search,
        operation="search",
        tag="calls",
        query=(_KEYWORD,),
        response=(messages.SearchResults,),
        errors=_CALL_ERRORS,
    ),
    Route(
        method="POST",
        path="/api/search",
        handler=searching.start_search,
        operation="startSearch",
        tag="tasks",
        body=task_messages.StartSearch,
        status=202,
        response=(task_messages.SearchStarted,),
        errors=("plugin_not_found", "plugin_disabled", "store_failed"),
    ),
    Route(
        method="POST",
        path="/api/search/async",
        handler=searching.start_search_async,
        operation="startSearchAsync",
        tag="tasks",
        query=(
            Query(
                name="plugin_name",
                schema={"type": "string"},
                description="Which plugin; all that are enabled where none is named.",
                required=False,
            ),
            _KEYWORD,
        ),
        response=(task_messages.SearchStarted,),
        errors=("plugin_not_found", "plugin_disabled", "store_failed"),
    ),
    Route(
        method="GET",
        path="/api/search/task/{id}",
        handler=searching.get_search_task,
        operation="getSearchTask",
        tag="tasks",
        response=(task_messages.SearchTask,),
        errors=("task_not_found", "store_failed"),
    ),
    Route(
        method="POST",
        path="/api/download",
        handler=downloads.start_download,
        operation="startDownload",
        tag="tasks",
        body=task_messages.StartDownload,
        response=(task_messages.DownloadStarted,),
        errors=("plugin_not_found", "plugin_disabled", "no_download_plugin", "store_failed"),
    ),
    Route(
        method="GET",
        path="/api/downloads",
        handler=downloads.list_downloads,
        operation="listDownloads",
        tag="tasks",
        query=(
            Query(
                name="platform",
                schema={"type": "string", "default": "all"},
                description="A download plugin, or `all`.",
                required=False,
            ),
        ),
        response=(task_messages.AllDownloads, task_messages.OneDownloads),
        errors=("plugin_not_found", "plugin_disabled", "store_failed"),
    ),
    Route(
        method="POST",
        path="/api/downloads/cancel",
        handler=downloads.cancel_download,
        operation="cancelDownload",
        tag="tasks",
        body=task_messages.CancelDownload,
        response=(task_messages.DownloadCancelled,),
        errors=(
            "plugin_not_found",
            "download_not_found",
            "task_conflict",
            "plugin_error",
            "plugin_crashed",
            "plugin_unavailable",
            "plugin_timeout",
            "store_failed",
        ),
    ),
    Route(
        method="GET",
        path="/api/tasks",
        handler=tasks.list_tasks,
        operation="listTasks",
        tag="tasks",
        query=_TASK_QUERY,
        response=(task_messages.TaskList,),
        errors=("store_failed",),
    ),
    Route(
        method="GET",
        path="/api/tasks/{id}",
        handler=tasks.get_task,
        operation="getTask",
        tag="tasks",
        response=(Task,),
        errors=("task_not_found", "store_failed"),
    ),
    _change_task(
        "cancel", tasks.cancel_task, "plugin_error", "plugin_crashed", "plugin_unavailable", "plugin_timeout"
    ),
    _change_task(
        "pause", tasks.pause_task, "plugin_error", "plugin_crashed", "plugin_unavailable", "plugin_timeout"
    ),
    _change_task(
        "resume", tasks.resume_task, "plugin_error", "plugin_crashed", "plugin_unavailable", "plugin_timeout"
    ),
    _change_task("retry", tasks.retry_task),
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
