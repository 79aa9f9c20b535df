"""What is known of a task - a search, a parse or a download - in the shape that clients are given."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from service.model.text import Language, Text


class TaskKind(StrEnum):
    """What a task does."""

    SEARCH = "search"
    PARSE = "parse"
    DOWNLOAD = "download"


class TaskStatus(StrEnum):
    """How a task stands.

    `running` is called `downloading` of a download. `handed_over`: another program goes on with the download and nobody
    here can follow it.
    """

    PENDING = "pending"
    RUNNING = "running"
    DOWNLOADING = "downloading"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HANDED_OVER = "handed_over"


RUNNING = frozenset({TaskStatus.RUNNING, TaskStatus.DOWNLOADING})
ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.HANDED_OVER})
_BEGUN = frozenset({*RUNNING, TaskStatus.CANCELLED, TaskStatus.FAILED, TaskStatus.PAUSED})

TASK_TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.PENDING: _BEGUN,
    TaskStatus.RUNNING: frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.DOWNLOADING: frozenset({*ENDED, TaskStatus.PAUSED, TaskStatus.PENDING}),
    TaskStatus.PAUSED: frozenset({TaskStatus.PENDING, TaskStatus.DOWNLOADING, *ENDED}),
    # Tried again, as the same task.
    TaskStatus.FAILED: frozenset({TaskStatus.PENDING}),
    TaskStatus.CANCELLED: frozenset({TaskStatus.PENDING}),
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.HANDED_OVER: frozenset(),
}


class TaskProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task failed, as the problem object (RFC 9457) of a request would say it, in both languages."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    titles: Text
    messages: Text
    error: dict[str, Any] | None = None

    def in_language(self, language: Language) -> TaskProblem:
        """The same with `title` and `detail` in the given language."""
        return msgspec.structs.replace(
            self, title=self.titles.in_language(language), detail=self.messages.in_language(language)
        )


class TaskFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that failed within a task; the others' results count all the same.

    `file` and `line` are the place in its own code, where it raised there.
    """

    plugin: str
    code: str
    message: str
    messages: Text
    file: str | None = None
    line: int | None = None

    def in_language(self, language: Language) -> TaskFailure:
        """The same with `message` in the given language."""
        return msgspec.structs.replace(self, message=self.messages.in_language(language))


class TaskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that has done its part of a search or a parse, well or not, and how many milliseconds it took."""

    plugin: str
    ms: float


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task as clients see it.

    `progress` is 0 to 100, `speed` bytes a second, `eta` seconds, `downloaded` and `total` bytes. `error` is the text
    of `problem`. `results` is null where a list of tasks or an event leaves them out; `result_count` is how many there
    are. `resumable`: whether it can be paused, or goes on from a checkpoint. `external_id` is what another program
    calls the download. `searching` names the plugins that have not answered yet, `answered` those that have.
    `request_id` is the request that asked for it, which the lines of the logs about it have, too.
    """

    id: str
    kind: TaskKind
    status: TaskStatus = TaskStatus.PENDING
    plugin_name: str | None = None
    generation: int | None = None
    title: str = ""
    url: str | None = None
    keyword: str | None = None
    plugins: list[str] | None = None
    limit: int | None = None
    progress: float = 0.0
    progress_message: str = ""
    downloaded: int | None = None
    total: int | None = None
    speed: float | None = None
    eta: float | None = None
    error: str | None = None
    problem: TaskProblem | None = None
    results: list[Any] | None = None
    result_count: int = 0
    failures: list[TaskFailure] = []
    searching: list[str] = []
    answered: list[TaskAnswer] = []
    save_path: str | None = None
    metadata: dict[str, Any] = {}
    external_id: str | None = None
    resumable: bool = False
    request_id: str | None = None
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status in ENDED

    def in_language(self, language: Language) -> Task:
        """The same task with its errors in the given language."""
        if self.problem is None and not self.failures:
            return self
        return msgspec.structs.replace(
            self,
            error=self.problem.messages.in_language(language) if self.problem else self.error,
            problem=self.problem.in_language(language) if self.problem else None,
            failures=[failure.in_language(language) for failure in self.failures],
        )
