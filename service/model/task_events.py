"""What clients are told of tasks; each docstring is the event's description in the documents."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from service.model.events import Event
from service.model.task import Task

TaskChange = Literal["created", "queued", "started", "paused", "completed", "failed", "cancelled"]


class TaskEvent(Event, frozen=True, kw_only=True):
    """The root of the events of tasks. The task comes without its results."""

    task: Task

    @property
    def subject(self) -> str:
        return f"tasks/{self.task.id}"

    @property
    def data(self) -> Any:
        return {"task": msgspec.structs.replace(self.task, results=None)}


class TaskChanged(TaskEvent, frozen=True, kw_only=True):
    """A task was created, queued again, started, paused, completed, failed or cancelled.

    `completed` also ends a download that was handed over to another program; its `status` says so.
    """

    change: TaskChange

    @property
    def type(self) -> str:
        return f"plugbay.task.{self.change}"


class TaskProgress(TaskEvent, frozen=True, kw_only=True):
    """A task has come further; at most four times a second."""

    passing: ClassVar[bool] = True

    @property
    def type(self) -> str:
        return "plugbay.task.progress"

    @property
    def data(self) -> Any:
        return {**super().data, "speed": self.task.speed, "eta": self.task.eta}

    @property
    def conflate_key(self) -> str | None:
        return f"progress {self.task.id}"


class TaskResults(TaskEvent, frozen=True, kw_only=True):
    """A search has found more: `results` holds what is new, in the order in which it came."""

    results: list[Any]

    @property
    def type(self) -> str:
        return "plugbay.task.results"

    @property
    def data(self) -> Any:
        return {**super().data, "results": self.results}
