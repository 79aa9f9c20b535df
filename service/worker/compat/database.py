"""`database` of the original application: what a plugin writes there of a running download is told to its task.

Of a task that is not a download of this worker, what was written is kept for reading it back, and no more.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Generator, Mapping
from enum import Enum
from typing import Any

from service.sdk import DownloadTask
from service.worker import downloads
from service.worker.compat.answers import Done, Record
from service.worker.compat.conversions import to_float, to_int

_TASKS_KEPT = 1000
# What a task's report takes, and the names under which plugins write it.
_NUMBERS = {
    "progress": ("progress", "percent", "percentage"),
    "downloaded": ("downloaded", "downloaded_bytes", "downloaded_size"),
    "total": ("total", "total_bytes", "total_size", "file_size"),
    "speed": ("speed", "download_speed"),
    "eta": ("eta",),
}
_MESSAGES = ("progress_message", "message", "status_message")
_PATHS = ("save_path", "file_path", "filepath", "output_path")
_ERRORS = ("error", "error_message")
# Attributes of a task that are a text under the same name.
_TEXTS = ("title", "external_id")

_log = logging.getLogger(__name__)


class Database:
    """The one that `get_database()` gives. Its methods may be awaited or not, on the loop or in a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def update_task(self, task_id: Any, updates: Any = None, /, **more: Any) -> Done:
        """Write what has become of a task.

        Args:
            task_id: the task's id.
            updates: `status`, `progress` (0 to 100), `progress_message`, `downloaded`, `total`, `speed`, `eta`,
                `error`, `save_path`, `title`, `external_id`, `metadata`; what else there is can be read back.
            more: likewise.

        Returns:
            true, at once; it may be awaited.
        """
        values = {str(name): _plain(value) for name, value in {**_mapping(updates), **more}.items()}
        with self._lock:
            known = self._written.setdefault(str(task_id), {})
            known.update(values)
            self._written.move_to_end(str(task_id))
            while len(self._written) > _TASKS_KEPT:
                self._written.popitem(last=False)
        if (task := _running(task_id)) is None:
            _log.debug("update_task: no download %s runs here", task_id)
            return Done()
        return Done(_tell(task, values))

    def get_task(self, task_id: Any, /) -> Record:
        """What is known of a task: a dictionary; `None` when awaited, and an empty one else, where nothing is.

        Its status is `cancelled` or `paused` as soon as the user wants it to be.
        """
        with self._lock:
            written = dict(self._written.get(str(task_id), {}))
        if (task := _running(task_id)) is None:
            return Record({"id": str(task_id), **written} if written else None)
        dumped = task.model_dump()
        dumped.pop("resume", None)
        # A download that runs is called so over HTTP, whatever its plugin has said yet.
        status = "downloading" if task.status in ("pending", "running") else task.status
        if task.cancelled:
            status = "paused" if task.paused else "cancelled"
        return Record({**written, **dumped, "status": status})

    def __await__(self) -> Generator[Any, Any, Database]:
        yield from ()
        return self


_database = Database()


def get_database(*_: Any, **__: Any) -> Database:
    """The database; `await get_database()` gives it too."""
    return _database


def _running(task_id: Any) -> DownloadTask | None:
    return downloads.running.get(str(task_id))


def _tell(task: DownloadTask, values: Mapping[str, Any]) -> Awaitable[None] | None:
    """Have a running task know, and the server through it."""
    if isinstance(status := values.get("status"), str) and status:
        task.status = status.lower()
    if (path := _first(values, _PATHS)) is not None:
        task.save_path = str(path)
    for name in _TEXTS:
        if values.get(name):
            setattr(task, name, str(values[name]))
    if isinstance(values.get("metadata"), Mapping):
        task.metadata.update(values["metadata"])
    report: dict[str, Any] = {}
    for name, aliases in _NUMBERS.items():
        value = _first(values, aliases)
        if isinstance(value, str):
            value = value.strip().removesuffix("%")
        number = to_int(value) if name in ("downloaded", "total") else to_float(value)
        if number is not None and number >= 0:
            report[name] = min(number, 100.0) if name == "progress" else number
    error = _first(values, _ERRORS)
    if error is not None:
        task.error = str(error)
    message = _first(values, _MESSAGES)
    if message is not None or error is not None:
        report["message"] = str(error if message is None else message)
    return task.report(**report) if report else None


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if values.get(name) not in (None, "")), None)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _mapping(updates: Any) -> dict[str, Any]:
    if updates is None:
        return {}
    if hasattr(updates, "model_dump"):
        return dict(updates.model_dump())
    return dict(updates)
