"""All downloads, by plugin: those of tasks, and those that the plugins and the programs behind them know of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, NamedTuple

import msgspec

from service.errors import PlugbayError, RequestRefused
from service.host.calls import Caller
from service.host.generation import Generation
from service.host.plugin import Plugin
from service.host.registry import Registry
from service.model.identity import PluginType
from service.model.task import Task, TaskKind
from service.model.text import Text
from service.tasks.board import Board
from service.tasks.store import TaskStore
from service.tasks.tasks import Tasks

_ASK_SECONDS = 5.0
# Of what has ended, so much is shown; all of it is in the list of tasks.
_ENDED_SHOWN = 100

Download = dict[str, Any]


class DownloadNotFound(RequestRefused):
    """No task and no program knows a download of that id."""

    code = "download_not_found"

    def __init__(self, id: str) -> None:
        super().__init__(
            Text(zh=f"没有编号为 {id[:64]} 的下载", en=f"There is no download {id[:64]}"),
        )


class Platform(NamedTuple):
    """The downloads of one plugin; `error` is why they are not all there."""

    plugin: Plugin
    web_ui_url: str | None
    downloads: list[Download]
    error: PlugbayError | None


class Listing:
    """See the module.

    Args:
        board: the tasks that have not ended.
        store: those that have.
        tasks: stops tasks.
        registry: where plugins are.
        caller: calls them.
    """

    def __init__(
        self, board: Board, store: TaskStore, tasks: Tasks, registry: Registry, caller: Caller
    ) -> None:
        self._board = board
        self._store = store
        self._tasks = tasks
        self._registry = registry
        self._caller = caller

    async def all(self) -> list[Platform]:
        """The downloads of every enabled download plugin, asked at once; one that fails costs only its own."""
        plugins = [
            plugin
            for plugin in self._registry.all()
            if plugin.identity.type is PluginType.DOWNLOAD and plugin.enabled
        ]
        return list(await asyncio.gather(*(self.of(plugin) for plugin in plugins)))

    async def of(self, plugin: Plugin) -> Platform:
        """The downloads of one plugin: what its serving and its draining generations know, and its tasks, by id."""
        generations = [one for one in (plugin.serving, *plugin.draining) if one is not None]
        asked = [self._ask(plugin, generation) for generation in generations]
        page, answers = await asyncio.gather(
            self._store.page(kinds=[TaskKind.DOWNLOAD], plugin=plugin.identity.name, limit=_ENDED_SHOWN),
            asyncio.gather(*asked),
        )
        known: dict[str, Download] = {}
        nameless: list[Download] = []
        for answer in reversed(answers):  # what serves has the last word
            for download in answer.downloads:
                if "id" in download:
                    known[str(download["id"])] = download
                else:
                    nameless.append(download)
        live = [one.task for one in self._board.all() if self._is_of(one.task, plugin)]
        ended = (self._board.newest(task) for task in page.tasks if self._board.get(task.id) is None)
        for task in (*ended, *live):
            _merge(known, task)
        error = next((answer.error for answer in answers if answer.error is not None), None)
        url = next((answer.web_ui_url for answer in answers if answer.web_ui_url), None)
        return Platform(plugin, url, [*known.values(), *nameless], error)

    async def cancel(self, plugin: Plugin, id: str) -> None:
        """Stop a download, by the task's id or by what its plugin calls it.

        Raises:
            DownloadNotFound: nobody knows it.
            PlugbayError: it could not be stopped.
        """
        for live in self._board.all():
            if self._is_of(live.task, plugin) and id in (live.id, live.task.external_id):
                await self._tasks.cancel(live.id)
                return
        task = await self._store.get(id)
        if task is not None and self._is_of(task, plugin):
            await self._tasks.cancel(id)
            return
        failure: PlugbayError | None = None
        for generation in (plugin.serving, *plugin.draining):
            if generation is None or "cancel" not in generation.manifest.methods:
                continue
            try:
                answer = await self._caller.call_in(
                    plugin, generation, "cancel", {"id": id}, timeout_s=_ASK_SECONDS
                )
            except PlugbayError as error:
                failure = error
                continue
            if bytes(answer) not in (b"false", b"null"):
                return
        raise failure or DownloadNotFound(id)

    async def _ask(self, plugin: Plugin, generation: Generation) -> Platform:
        methods = generation.manifest.methods

        async def ask(method: str) -> Any:
            if method not in methods:
                return None
            answer = await self._caller.call_in(plugin, generation, method, {}, timeout_s=_ASK_SECONDS)
            return msgspec.json.decode(answer)

        (url, error), (downloads, other) = await asyncio.gather(
            self._answer(ask("get_web_ui_url")), self._answer(ask("get_downloads"))
        )
        return Platform(
            plugin, url if isinstance(url, str) else None, list(_downloads(downloads)), other or error
        )

    @staticmethod
    async def _answer(asking: Awaitable[Any]) -> tuple[Any, PlugbayError | None]:
        try:
            return await asking, None
        except PlugbayError as error:
            return None, error

    def _is_of(self, task: Task, plugin: Plugin) -> bool:
        return task.kind is TaskKind.DOWNLOAD and task.plugin_name == plugin.identity.name


def _downloads(answer: Any) -> Iterable[Download]:
    """What plugins give as their downloads: a list, or a dictionary by id."""
    if isinstance(answer, dict):
        inner = answer.get("downloads")
        answer = (
            inner
            if isinstance(inner, list)
            else [{"id": id, **one} for id, one in answer.items() if isinstance(one, dict)]
        )
    for one in answer if isinstance(answer, list) else ():
        if isinstance(one, dict):
            yield one


def _merge(known: dict[str, Download], task: Task) -> None:
    """Add a task to the downloads; what its plugin knows of it is kept, what only the task knows is added."""
    id = task.external_id if task.external_id in known else task.id
    seen = known.pop(id, {})
    told = {
        "id": id,
        "task_id": task.id,
        "title": task.title,
        "url": task.url,
        "status": str(task.status),
        "progress": task.progress,
        "downloaded": task.downloaded,
        "total": task.total,
        "speed": task.speed,
        "eta": task.eta,
        "save_path": task.save_path,
        "error": task.error,
        "created_at": task.created_at,
    }
    # While another program works on it, that program knows better.
    known[id] = {**told, **seen, "task_id": task.id} if task.external_id else {**seen, **told}
