"""What plugins find, tasks, and events."""

# Annotations are evaluated here: only so is it known at run time which members are `NotRequired`.
from typing import Any, Literal, NotRequired, TypedDict

TaskState = Literal[
    "pending", "running", "downloading", "paused", "completed", "failed", "cancelled", "handed_over"
]


class SearchResult(TypedDict):
    """One thing that was found."""

    title: str
    url: str
    thumbnail: str | None
    duration: str | float | None
    platform: str | None
    description: str | None
    metadata: dict[str, Any] | None


class ParseResult(TypedDict):
    """One thing that a parser made of an address, with whatever else the plugin says of it."""

    plugin: str
    name: str
    url: str


class ParseError(TypedDict):
    """A parser that gave no results."""

    plugin: str
    code: str
    message: str


class Parsed(TypedDict):
    """What parsers made of an address."""

    results: list[ParseResult]
    errors: list[ParseError]
    task_id: str


class TaskFailure(TypedDict):
    """A plugin that failed within a task, and where in its own code, if it raised there."""

    plugin: str
    code: str
    message: str
    messages: NotRequired[dict[str, str]]
    file: NotRequired[str | None]
    line: NotRequired[int | None]


class TaskAnswer(TypedDict):
    """A plugin that has done its part of a task, and how many milliseconds it took."""

    plugin: str
    ms: float


class Task(TypedDict):
    """A search, a parse or a download.

    `progress` is 0 to 100, `speed` bytes a second, `eta` seconds. `results` is null in lists of tasks and in events.
    """

    id: str
    kind: str
    status: TaskState
    plugin_name: str | None
    generation: int | None
    title: str
    url: str | None
    keyword: str | None
    plugins: list[str] | None
    limit: int | None
    progress: float
    progress_message: str
    downloaded: int | None
    total: int | None
    speed: float | None
    eta: float | None
    error: str | None
    problem: dict[str, Any] | None
    results: list[Any] | None
    result_count: int
    failures: list[TaskFailure]
    searching: list[str]
    answered: list[TaskAnswer]
    save_path: str | None
    metadata: dict[str, Any]
    external_id: str | None
    resumable: bool
    request_id: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None


class Tasks(TypedDict):
    """A page of tasks, newest first."""

    tasks: list[Task]
    next_cursor: str | None


class TaskStarted(TypedDict):
    """A search that has begun."""

    task_id: str
    status: str
    message: str


class DownloadStarted(TypedDict):
    """A download that has begun."""

    status: str
    task: Task


class Event(TypedDict):
    """A CloudEvent. Passing ones, such as progress, have no `seq` and are never replayed."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: dict[str, Any]
    epoch: NotRequired[str]
    seq: NotRequired[str]
