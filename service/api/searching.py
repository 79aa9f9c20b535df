"""The routes of searches that outlive their request."""

from __future__ import annotations

from aiohttp import web

from service.api.body import read_json
from service.api.changes import carry_through
from service.api.keys import SEARCHES, TASKS
from service.api.language import language_of, say
from service.api.params import find_plugin, text_in_query
from service.api.responses import json_response
from service.api.task_messages import SearchStarted, SearchTask, StartSearch
from service.errors import PluginDisabled
from service.model.identity import PluginType
from service.model.task import TaskKind
from service.model.text import Text
from service.tasks.tasks import TaskNotFound

_STARTED = Text(zh="搜索已开始，结果会陆续到达", en="The search has begun; results come as they are found")


async def start_search(request: web.Request) -> web.Response:
    """Search with all enabled plugins at once, or with the named ones; results come as events and with the task."""
    body = await read_json(request, StartSearch)
    return await _start(request, body.keyword.strip(), body.plugins, body.limit, status=202)


async def start_search_async(request: web.Request) -> web.Response:
    """Search with one plugin, or with all where none is named, as clients of the original application do."""
    keyword = text_in_query(request, "keyword")
    name = request.query.get("plugin_name", "")
    return await _start(request, keyword, [name] if name else None, None, status=200)


async def get_search_task(request: web.Request) -> web.Response:
    """Read a search and what it has found so far, as clients of the original application know it."""
    id = request.match_info["id"]
    task = (await request.app[TASKS].get(id)).in_language(language_of(request))
    if task.kind is not TaskKind.SEARCH:
        raise TaskNotFound(id)
    return json_response(
        SearchTask(
            id=task.id,
            plugin_name=task.plugin_name,
            keyword=task.keyword,
            status=task.status,
            created_at=task.created_at,
            started_at=task.started_at,
            completed_at=task.completed_at,
            results=task.results or [],
            error=task.error,
            progress=task.progress,
            progress_message=task.progress_message,
        )
    )


async def _start(
    request: web.Request, keyword: str, names: list[str] | None, limit: int | None, *, status: int
) -> web.Response:
    plugins = None
    if names is not None:
        found = [find_plugin(request.app, PluginType.SEARCH, name) for name in names]
        plugins = list({plugin.identity: plugin for plugin in found}.values())
        for plugin in plugins:
            if not plugin.enabled:
                raise PluginDisabled(str(plugin.identity))
    live = await carry_through(request, request.app[SEARCHES].start(keyword, plugins, limit=limit))
    return json_response(SearchStarted(task_id=live.id, message=say(request, _STARTED)), status=status)
