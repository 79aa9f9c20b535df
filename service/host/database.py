"""The database: one thread owns it, and whatever waits to be written is written in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from service.host.database_file import StoreFailed, failed, is_damaged, move_aside, open_database
from service.model.request_id import for_no_request
from service.model.text import Text

log = structlog.get_logger(__name__)

_CLOSE_S = 5.0

T = TypeVar("T")
Write = Callable[[sqlite3.Connection], object]


class Database:
    """The database at `path`, usable between `open` and `close`.

    `problem` says that a damaged file was replaced by an empty one, and where the damaged one is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[Write, asyncio.Future[None] | None]] = []
        self._writing: asyncio.Task[None] | None = None
        self._closed = False
        self.problem: Text | None = None

    @property
    def writes_waiting(self) -> int:
        """How many writes wait to be done."""
        return len(self._waiting)

    def size_bytes(self) -> int:
        """What it takes on the disk, with what has not been taken over into it yet; blocks."""
        size = 0
        for suffix in ("", "-wal"):
            with contextlib.suppress(OSError):
                size += os.stat(f"{self._path}{suffix}").st_size
        return size

    async def open(self) -> None:
        """Open or make the database; one that is damaged is moved aside.

        Raises:
            StoreFailed: it cannot be opened at all; or, `store_too_new`, a newer version made it.
        """
        await self._in_thread(self._open)

    async def close(self) -> None:
        """Write what waits and close, 5 s at most. Calling it twice is safe."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                if self._writing is not None:
                    await asyncio.wait([self._writing])
                await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def read(self, query: Callable[[sqlite3.Connection], T], default: T) -> T:
        """What a query gives; `default` where the file turns out to be damaged, and a new one is made.

        Raises:
            StoreFailed: it cannot be read.
        """

        def guarded() -> T:
            try:
                return query(self._opened())
            except sqlite3.Error as error:
                if not is_damaged(error):
                    raise failed(self._path, error) from error
                self._start_anew()
                return default

        return await self._in_thread(guarded)

    async def write(self, write: Write) -> None:
        """Write something; durable when this returns.

        Raises:
            StoreFailed: nothing was changed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue(write, done)
        await done

    def write_soon(self, write: Write) -> None:
        """Write something when there is time, after all that was asked for before it."""
        self._queue(write, None)

    def _queue(self, write: Write, done: asyncio.Future[None] | None) -> None:
        if self._closed:
            if done is not None:
                done.set_exception(_not_open())
            return
        self._waiting.append((write, done))
        if self._writing is None or self._writing.done():
            # It writes for others, too.
            self._writing = asyncio.get_running_loop().create_task(
                self._write_waiting(), context=for_no_request()
            )

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                outcomes = await self._in_thread(functools.partial(self._write, batch))
            except Exception as error:
                outcomes = [error] * len(batch)
            for (_, done), outcome in zip(batch, outcomes, strict=True):
                if outcome is not None and done is None:
                    log.warning("database.not_written", reason=str(outcome))
                if done is None or done.done():
                    continue
                if outcome is None:
                    done.set_result(None)
                else:
                    done.set_exception(outcome)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError as error:
            raise _not_open() from error
        return await running

    def _open(self) -> None:
        try:
            self._connection, aside = open_database(self._path)
        except (OSError, sqlite3.Error) as error:
            raise failed(self._path, error) from error
        if aside is not None:
            self._report(aside)

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _write(self, batch: list[tuple[Write, asyncio.Future[None] | None]]) -> list[Exception | None]:
        """All in one transaction; one by one where that fails, so that each answers for itself only."""
        try:
            self._transaction([write for write, _ in batch])
            return [None] * len(batch)
        except Exception as error:
            if is_damaged(error):
                self._start_anew()
        outcomes: list[Exception | None] = []
        for write, _ in batch:
            try:
                self._transaction([write])
                outcomes.append(None)
            except sqlite3.Error as error:
                outcomes.append(failed(self._path, error))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def _transaction(self, writes: list[Write]) -> None:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for write in writes:
                write(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    def _start_anew(self) -> None:
        self._close()
        aside = move_aside(self._path)
        self._open()
        self._report(aside)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise _not_open()
        return self._connection

    def _report(self, aside: Path) -> None:
        name = f"{self._path.parent.name}/{self._path.name}"
        self.problem = Text(
            zh=f"数据库 {name} 已损坏，已移至 {aside.name} 并新建；丢失的是任务记录、插件的来源记录、"
            "保留的插件版本和更改记录（因此无法回退或撤销），插件与配置不受影响",
            en=f"The database {name} was damaged; it was moved to {aside.name} and a new one made. The list "
            "of tasks, where plugins came from, their revisions and the list of changes are lost, so nothing from "
            "before can be gone back to; the plugins and their configuration are untouched",
        )
        log.error("database.damaged", problem=self.problem.en)


def _not_open() -> StoreFailed:
    return StoreFailed(
        Text(zh="数据库未打开或已关闭；请重启服务器", en="The database is not open; restart the server")
    )
