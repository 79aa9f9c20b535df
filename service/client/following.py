"""One task from its start to its end, over cuts and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

from service.client.errors import ServerRefused, ServerUnreachable, gone
from service.client.feed import Connected, Disconnected, Feed, Happened
from service.client.shapes import Task
from service.client.tasks import TaskRoutes
from service.model.task import ENDED

# A restart takes seconds; a server that stays away for longer is not waited for.
PATIENCE_S = 120.0
# What a server says that is on its way up or down, a proxy in front of one, and one that was asked in spoilt words.
_PASSING = (400, 502, 503, 504)

Trouble = Disconnected | ServerUnreachable | ServerRefused


class TaskView:
    """A task and its results as far as they are known; knows no socket.

    Attributes:
        task: how it stands.
        results: what was found so far, in the order of its arrival.
        is_stale: something was missed; the whole task has to be asked for.
    """

    def __init__(self, task: Mapping[str, Any] | None = None) -> None:
        self.task: dict[str, Any] = dict(task or {})
        self.results: list[Any] = []
        self.is_stale = True

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.task.get("status") in ENDED

    def replace(self, task: Mapping[str, Any]) -> None:
        """Takes over a task as the server gives it whole."""
        self.task = dict(task)
        self.results = list(task.get("results") or [])
        self.is_stale = False

    def apply(self, event: Mapping[str, Any]) -> bool:
        """Takes in one event; whether it was one of the task."""
        data = event.get("data") or {}
        task = data.get("task")
        if not isinstance(task, dict) or task.get("id") != self.task.get("id"):
            return False
        self.task = task
        if found := data.get("results"):
            # An event says how many there are with it, so that none is taken twice and a gap shows.
            known, before = len(self.results), int(task.get("result_count") or 0) - len(found)
            self.is_stale |= before > known
            self.results += found[max(0, known - before) :]
        return True

    def whole(self) -> dict[str, Any]:
        """The task with its results."""
        return self.task | {"results": list(self.results)}


class TaskFollower(Feed, TaskRoutes):
    """Following tasks."""

    async def watch_task(self, id: str, *, patience_s: float = PATIENCE_S) -> AsyncGenerator[Task, None]:
        """A task as it stands now, and after each change, until it has ended; `results` has those found so far.

        Args:
            id: of the task.
            patience_s: how long a server that is away is waited for.

        Raises:
            ServerRefused: the server knows no such task any more, or does not want this client back.
            ServerUnreachable: it cannot be reached, or has been away for `patience_s`.
        """
        view = TaskView({"id": id})
        async with aclosing(self.follow_task(view, patience_s=patience_s)) as news:
            async for trouble in news:
                if trouble is None:
                    yield cast(Task, view.whole())

    async def follow_task(
        self, view: TaskView, *, patience_s: float = PATIENCE_S
    ) -> AsyncGenerator[Trouble | None, None]:
        """Keeps the view of a task up to date until it has ended; `watch_task` is this for who wants no details.

        It listens first and asks then, so nothing is missed: not at the start, nor after a cut or a restart of the
        server.

        Yields:
            after each change what is wrong with the connection; None, mostly.

        Raises:
            ServerRefused: the server knows no such task any more, or does not want this client back.
            ServerUnreachable: it cannot be reached, or has been away for `patience_s`.
        """
        trouble: Trouble | None = None
        async with aclosing(self.follow([f"tasks/{view.task['id']}"])) as feed:
            while not view.has_ended:
                try:
                    async with asyncio.timeout(None if trouble is None else patience_s):
                        item = await anext(feed)
                except TimeoutError:
                    raise gone(self.url, patience_s, self.language) from None
                match item:
                    case Connected():
                        trouble, view.is_stale = None, True
                    case Disconnected():
                        trouble = item
                    case Happened(event):
                        if not view.apply(event) and not view.is_stale:
                            continue
                if view.is_stale and not isinstance(item, Disconnected):
                    trouble = await self._refresh(view)
                yield trouble

    async def _refresh(self, view: TaskView) -> Trouble | None:
        """Asks for the whole task; what is wrong, where it is not given: then the feed breaks too, and comes back."""
        try:
            view.replace(await self.task(str(view.task["id"])))
        except ServerUnreachable as error:
            return error
        except ServerRefused as refusal:
            if refusal.status not in _PASSING:
                raise
            return refusal
        return None
