"""The routes of tasks: what there is, and what can be done with one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from service.api.changes import carry_through
from service.api.keys import TASKS
from service.api.language import language_of
from service.api.params import number_in_query, optional_text_in_query
from service.api.problems import RequestInvalid
from service.api.responses import json_response
from service.api.task_messages import TaskList
from service.model.task import Task, TaskKind, TaskStatus
from service.model.text import Text

PAGE_DEFAULT = 50
PAGE_MAX = 500

E = TypeVar("E", bound=StrEnum)


async def list_tasks(request: web.Request) -> web.Response:
    """List tasks, newest first, without their results; `cursor` is the `next_cursor` of the page before."""
    page = await request.app[TASKS].page(
        kinds=_choices(request, "kind", TaskKind),
        statuses=_choices(request, "status", TaskStatus),
        words=optional_text_in_query(request, "q") or "",
        before=_cursor(request),
        limit=_limit(request),
    )
    language = language_of(request)
    tasks = [task.in_language(language) for task in page.tasks]
    return json_response(TaskList(tasks=tasks, next_cursor=page.next_cursor))


async def get_task(request: web.Request) -> web.Response:
    """Read a task with its results."""
    return _answer(request, await request.app[TASKS].get(request.match_info["id"]))


async def cancel_task(request: web.Request) -> web.Response:
    """Stop a task for good. A download's plugin is asked first; what it left behind goes."""
    return await _change(request, request.app[TASKS].cancel)


async def pause_task(request: web.Request) -> web.Response:
    """Stop a download for now, where its plugin can go on later."""
    return await _change(request, request.app[TASKS].pause)


async def resume_task(request: web.Request) -> web.Response:
    """Go on with a download that is paused."""
    return await _change(request, request.app[TASKS].resume)


async def retry_task(request: web.Request) -> web.Response:
    """Do a task again that failed or was cancelled."""
    return await _change(request, request.app[TASKS].retry)


async def _change(request: web.Request, change: Callable[[str], Awaitable[Task]]) -> web.Response:
    async def do() -> Task:
        return await change(request.match_info["id"])

    return _answer(request, await carry_through(request, do()))


def _answer(request: web.Request, task: Task) -> web.Response:
    return json_response(task.in_language(language_of(request)))


def _choices(request: web.Request, name: str, kind: type[E]) -> list[E]:
    """The values of a parameter that may be given more than once, or as a list with commas."""
    texts = [text for value in request.query.getall(name, []) for text in value.split(",") if text]
    try:
        return [kind(text) for text in texts]
    except ValueError:
        known = ", ".join(kind)
        raise RequestInvalid(
            Text(zh=f"参数 {name} 只能是：{known}", en=f"The parameter {name} can only be: {known}"),
            field=name,
        ) from None


def _limit(request: web.Request) -> int:
    if request.query.getall("limit", []) == [""]:
        return PAGE_DEFAULT
    return number_in_query(request, "limit", default=PAGE_DEFAULT, low=1, high=PAGE_MAX)


def _cursor(request: web.Request) -> int | None:
    text = request.query.get("cursor", "")
    if not text:
        return None
    if len(text) <= 18 and text.isascii() and text.isdigit():
        return int(text)
    raise RequestInvalid(
        Text(
            zh="参数 cursor 必须是上一页的 next_cursor",
            en="The parameter cursor has to be the next_cursor of the page before",
        ),
        field="cursor",
    )
