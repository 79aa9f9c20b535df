"""Where tasks are kept: the rows of `tasks` and `task_results`, written by the database's one thread."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import structlog

from service.host.database import Database, Write
from service.model.task import ENDED, Task, TaskKind, TaskStatus

log = structlog.get_logger(__name__)

# An address may be as long as a magnet link with all its trackers.
_ADDRESS_LENGTH = 2000
_ROW = "row"

_decoder = msgspec.json.Decoder(Task)
_encode = msgspec.json.Encoder().encode


class Page(NamedTuple):
    """Tasks, newest first, and where the next page begins, `None` after the last."""

    tasks: list[Task]
    next_cursor: str | None


class Unfinished(NamedTuple):
    """A task that had not ended when the server did, and its last checkpoint."""

    task: Task
    checkpoint: dict[str, Any] | None


class TaskStore:
    """See the module.

    Args:
        database: the server's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, task: Task) -> None:
        """Keep a new task, or how one stands now; durable when this returns.

        Raises:
            StoreFailed: what was kept before still counts.
        """
        await self._database.write(_update(task), about=(task.id, _ROW))

    async def begin_again(self, task: Task) -> None:
        """Keep a task that is done again, without what it found before; durable when this returns."""
        update = _update(task)

        def write(connection: sqlite3.Connection) -> None:
            update(connection)
            connection.execute("DELETE FROM task_results WHERE task = ?", (task.id,))

        await self._database.write(write, about=(task.id,))

    def save_soon(self, task: Task) -> None:
        """Keep how a task stands, when there is time."""
        self._database.write_soon(_update(task), about=(task.id, _ROW))

    def add_results_soon(self, id: str, number: int, results: Sequence[Any]) -> None:
        """Keep some results, the first of which is the task's `number`th, when there is time."""
        body = _encode(results)
        self._database.write_soon(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO task_results VALUES (?, ?, ?)", (id, number, body)
            ),
            about=(id, "results", number),
        )

    async def set_checkpoint(self, id: str, state: bytes | None) -> None:
        """Keep where a download goes on, as JSON; durable when this returns."""
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE tasks SET checkpoint = ? WHERE id = ?", (state, id)
            ),
            about=(id, "checkpoint"),
        )

    async def get(self, id: str) -> Task | None:
        """A task with its results."""

        def read(connection: sqlite3.Connection) -> Task | None:
            row = connection.execute("SELECT task FROM tasks WHERE id = ?", (id,)).fetchone()
            task = None if row is None else _task(row[0])
            if task is None:
                return None
            return msgspec.structs.replace(task, results=_results(connection, task.id))

        return await self._database.read(read, None)

    async def results(self, id: str) -> list[Any]:
        """The results of a task, in the order in which they came."""
        return await self._database.read(lambda connection: _results(connection, id), [])

    async def checkpoint(self, id: str) -> dict[str, Any] | None:
        """Where a download goes on."""

        def read(connection: sqlite3.Connection) -> dict[str, Any] | None:
            row = connection.execute("SELECT checkpoint FROM tasks WHERE id = ?", (id,)).fetchone()
            return _state(row[0]) if row else None

        return await self._database.read(read, None)

    async def page(
        self,
        *,
        kinds: Iterable[TaskKind] = (),
        statuses: Iterable[TaskStatus] = (),
        plugin: str | None = None,
        words: str = "",
        before: int | None = None,
        limit: int,
    ) -> Page:
        """The newest tasks, without their results.

        Args:
            kinds: only of these, where any are given; `statuses` likewise.
            plugin: only of this plugin.
            words: only those with each of these words somewhere in their title, keyword, address or plugin's name.
            before: only older ones than this place in the order of creation.
            limit: how many at most.
        """
        conditions, values = [], []
        for column, wanted in (("kind", list(kinds)), ("status", list(statuses))):
            if wanted:
                conditions.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values += [str(one) for one in wanted]
        if plugin is not None:
            conditions.append("plugin = ?")
            values.append(plugin)
        table, order = "tasks", "seq"
        looked_for = _folded(words).split()
        if looked_for:
            # CROSS: the small table is walked, newest first, and only the rows of what fits are read of the large one.
            table, order = "task_words CROSS JOIN tasks USING (seq)", "task_words.seq"
            conditions += ["instr(words, ?) > 0"] * len(looked_for)
            values += looked_for
        where = " AND ".join([*conditions, f"{order} < ?"])
        numbers = (2**62 if before is None else before, limit + 1)

        def read(connection: sqlite3.Connection) -> Page:
            rows = connection.execute(
                f"SELECT {order}, task FROM {table} WHERE {where} ORDER BY {order} DESC LIMIT ?",
                (*values, *numbers),
            ).fetchall()
            shown = rows[:limit]
            tasks = [task for _, body in shown if (task := _task(body)) is not None]
            return Page(tasks, str(shown[-1][0]) if len(rows) > limit else None)

        return await self._database.read(read, Page([], None))

    async def unfinished(self) -> list[Unfinished]:
        """Every task that has not ended, oldest first."""
        marks = ", ".join("?" * len(ENDED))

        def read(connection: sqlite3.Connection) -> list[Unfinished]:
            rows = connection.execute(
                f"SELECT task, checkpoint FROM tasks WHERE status NOT IN ({marks}) ORDER BY seq",
                [str(one) for one in ENDED],
            ).fetchall()
            return [
                Unfinished(task, _state(state)) for body, state in rows if (task := _task(body)) is not None
            ]

        return await self._database.read(read, [])


def _row(task: Task) -> bytes:
    return _encode(msgspec.structs.replace(task, results=None))


def _task(body: bytes) -> Task | None:
    """A task as it was kept; `None`, and a line in the log, where its row was damaged: the others count on."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.error("task.unreadable", reason=str(error))
        return None


def _update(task: Task) -> Write:
    # A damaged database may have been replaced by an empty one while the task ran: then its row is made again.
    values = (task.id, task.kind, task.status, task.plugin_name, _row(task))
    words = _words(task)

    def write(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO tasks (id, kind, status, plugin, task) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET status = excluded.status, plugin = excluded.plugin, "
            "task = excluded.task",
            values,
        )
        connection.execute(
            "INSERT INTO task_words SELECT seq, ? FROM tasks WHERE id = ? "
            "ON CONFLICT (seq) DO UPDATE SET words = excluded.words WHERE words <> excluded.words",
            (words, task.id),
        )

    return write


def _words(task: Task) -> str:
    """What a task is found by; an address also as people read it, without its escapes."""
    address = (task.url or "")[:_ADDRESS_LENGTH]
    parts = (
        task.title,
        task.keyword,
        task.plugin_name,
        address,
        unquote(address) if "%" in address else None,
    )
    return _folded("\n".join(dict.fromkeys(part for part in parts if part)))


def _folded(text: str) -> str:
    """Large and small letters, and wide and narrow ones, as one."""
    return unicodedata.normalize("NFKC", text).casefold()


def _results(connection: sqlite3.Connection, id: str) -> list[Any]:
    rows = connection.execute("SELECT results FROM task_results WHERE task = ? ORDER BY number", (id,))
    results: list[Any] = []
    for (body,) in rows:
        try:
            results += msgspec.json.decode(body, type=list[Any])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.error("task.results_unreadable", task=id, reason=str(error))
    return results


def _state(body: bytes | None) -> dict[str, Any] | None:
    try:
        return None if body is None else msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.error("task.checkpoint_unreadable", reason=str(error))
        return None
