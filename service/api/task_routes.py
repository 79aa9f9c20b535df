"""The routes of searches, downloads and tasks."""

from __future__ import annotations

from typing import Any

from service.api import downloads, searching, task_messages, tasks, thumbnails
from service.api.route import KEYWORD, PRINTABLE, Handler, Query, Route
from service.model.task import Task, TaskKind, TaskStatus


def _list_of(kind: type[TaskKind] | type[TaskStatus]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "enum": list(kind)}}


_TASK_QUERY = (
    Query(name="kind", schema=_list_of(TaskKind), description="Only of these kinds.", required=False),
    Query(name="status", schema=_list_of(TaskStatus), description="Only in these states.", required=False),
    Query(
        name="q",
        schema={"type": "string", "maxLength": 255, "pattern": PRINTABLE},
        description="Only those with each of these words in their title, keyword, address or plugin's name.",
        required=False,
    ),
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


TASK_ROUTES: tuple[Route, ...] = (
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
            KEYWORD,
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
        method="GET",
        path="/api/thumbnail",
        handler=thumbnails.get_thumbnail,
        operation="getThumbnail",
        tag="tasks",
        query=(
            Query(
                name="url",
                schema={"type": "string", "minLength": 1, "maxLength": 8000},
                description="The `thumbnail` of a search result.",
            ),
        ),
        media_type="image/*",
        errors=(
            "url_refused",
            "uri_too_long",
            "too_large",
            "picture_invalid",
            "fetch_failed",
            "fetch_timeout",
        ),
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
)
