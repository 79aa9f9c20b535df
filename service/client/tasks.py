"""The routes of tasks: searches and downloads, begun, looked at and changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from service.client.shapes import DownloadStarted, Task, Tasks, TaskStarted
from service.client.transport import Transport


class TaskRoutes(Transport):
    """See the module."""

    async def start_search(
        self, keyword: str, plugins: Iterable[str] = (), limit: int | None = None
    ) -> TaskStarted:
        """Begins a search with the named plugins, or with all that are enabled; the answer has its `task_id`."""
        options = {"plugins": list(plugins), "limit": limit}
        body = {"keyword": keyword} | {name: value for name, value in options.items() if value}
        return await self._ask(TaskStarted, "POST", "/api/search", json=body)

    async def start_download(
        self,
        url: str,
        title: str,
        plugin: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> DownloadStarted:
        """Begins a download, with the named plugin or with the one that fits best; the answer has the `task`."""
        body: dict[str, Any] = {"url": url, "title": title}
        if plugin is not None:
            body["plugin_name"] = plugin
        if metadata:
            body["metadata"] = dict(metadata)
        return await self._ask(DownloadStarted, "POST", "/api/download", json=body)

    async def tasks(
        self,
        *,
        kinds: Iterable[str] = (),
        statuses: Iterable[str] = (),
        words: str = "",
        limit: int = 100,
        cursor: str = "",
    ) -> Tasks:
        """The newest tasks without their results, or those before `cursor`; `limit` is 500 at most.

        With `words`, only those that have each of them in their title, keyword, address or plugin's name.
        """
        params = {"kind": ",".join(kinds), "status": ",".join(statuses), "q": words, "cursor": cursor}
        given = {name: value for name, value in params.items() if value}
        return await self._look_up(Tasks, "/api/tasks", {"limit": str(limit)} | given)

    async def task(self, id: str) -> Task:
        """One task with its results."""
        return await self._look_up(Task, f"/api/tasks/{quote(id, safe='')}")

    async def change_task(self, id: str, verb: str) -> Task:
        """Does `cancel`, `pause`, `resume` or `retry` with a task; the task as it is then."""
        return await self._ask(Task, "POST", f"/api/tasks/{quote(id, safe='')}/{verb}")
