"""The database: one thread owns it, and whatever waits to be written is written in one transaction.

What nobody waits for is kept in memory while the disk is full or the file is held by another process, and written
when that is over.
"""

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

from service.host.database_file import (
    Identity,
    StoreFailed,
    failed,
    is_busy,
    is_damaged,
    is_passing,
    move_aside,
    open_database,
    write_anew,
)
from service.host.database_waiting import About, Item, Waiting, Write
from service.model.request_id import for_no_request
from service.model.text import Text

__all__ = ["About", "Database", "StoreFailed", "Write"]

log = structlog.get_logger(__name__)

_CLOSE_S = 5.0
_RETRY_S = 1.0

T = TypeVar("T")


class Database:
    """The database at `path`, usable between `open` and `close`.

    Attributes:
        problem: says that a damaged file was replaced by an empty one, and where the damaged one is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._was_open = False
        self._queue: list[Item] = []
        self._late = Waiting()
        self._writing: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False
        self.problem: Text | None = None

    @property
    def state(self) -> Text | None:
        """What is wrong with it now: `problem`, or that something waits to be written, and why."""
        return self._late.problem or self.problem

    @property
    def writes_waiting(self) -> int:
        """How many writes wait to be done."""
        return len(self._queue) + len(self._late)

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
        self._was_open = True

    async def close(self) -> None:
        """Write what waits and close, 5 s at most. Calling it twice is safe."""
        if self._closed:
            return
        if self._late:
            self._begin_writing()
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
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

    async def write(self, write: Write, *, about: About = ()) -> None:
        """Write something; durable when this returns.

        Args:
            write: does it.
            about: what of it is written, see `write_soon`; all that waits and is about a part of that is outdated then.

        Raises:
            StoreFailed: nothing was changed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Item(write, about, done))
        await done

    def write_soon(self, write: Write, *, about: About) -> None:
        """Write something when there is time, after all that was asked for before it.

        Args:
            write: does it; may be done more than once.
            about: what of it is written, the whole before its part: while it waits for a full disk, a newer one about
                the same takes its place.
        """
        self._put(Item(write, about, None))

    def _put(self, item: Item) -> None:
        if self._closed:
            if item.done is not None:
                item.done.set_exception(_not_open())
            return
        self._queue.append(item)
        self._begin_writing()

    def _begin_writing(self) -> None:
        if self._writing is None or self._writing.done():
            # It writes for others, too.
            self._writing = asyncio.get_running_loop().create_task(
                self._write_waiting(), context=for_no_request()
            )

    async def _write_waiting(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        while self._queue or (self._late and self._retry is None):
            batch, self._queue = [*self._late.items(), *self._queue], []
            try:
                outcomes = await self._in_thread(functools.partial(self._write, batch))
            except Exception as error:
                outcomes = [error] * len(batch)
            for item, outcome in zip(batch, outcomes, strict=True):
                self._end(item, outcome)
            if self._late and self._retry is None:
                self._retry = asyncio.get_running_loop().call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if not self._closed:
            self._begin_writing()

    def _end(self, item: Item, outcome: Exception | None) -> None:
        if outcome is None:
            self._late.written(item)
        elif item.done is None and is_passing(outcome):
            self._late.add(item, outcome)
        elif item.done is None:
            self._late.written(item)
            log.warning("database.not_written", reason=str(outcome))
        if item.done is None or item.done.done():
            return
        if outcome is None:
            item.done.set_result(None)
        else:
            item.done.set_exception(outcome)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError as error:
            raise _not_open() from error
        return await running

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self._connection, aside = open_database(self._path)
        except (OSError, sqlite3.Error) as error:
            raise failed(self._path, error) from error
        self._identity = Identity.of(self._path)
        if aside is not None:
            self._report(aside)

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _write(self, batch: list[Item]) -> list[Exception | None]:
        """All in one transaction; one by one where that fails, so that each answers for itself only."""
        try:
            self._transaction([item.write for item in batch])
            return [None] * len(batch)
        except StoreFailed as error:
            return [error] * len(batch)
        except Exception as error:
            if is_busy(error):
                # Whoever holds it holds it for each of them.
                return [failed(self._path, error)] * len(batch)
            if is_damaged(error):
                try:
                    self._start_anew()
                except StoreFailed as again:
                    return [again] * len(batch)
        outcomes: list[Exception | None] = []
        for item in batch:
            try:
                self._transaction([item.write])
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
        self._report(aside)
        self._open()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._closed or not self._was_open:
                raise _not_open()
            # It could not be opened when it had to be, for want of room or of a descriptor.
            self._open()
        elif self._identity is not None and not self._identity.is_at(self._path):
            self._bring_back(self._connection, self._identity)
        assert self._connection is not None
        return self._connection

    def _bring_back(self, connection: sqlite3.Connection, identity: Identity) -> None:
        """Somebody took the file away, or put another in its place: all that was in it is in the open one still."""
        try:
            aside = write_anew(self._path, connection, identity)
        except (OSError, sqlite3.Error) as error:
            raise failed(self._path, error) from error
        self._close()
        self._open()
        log.error("database.brought_back", other=None if aside is None else aside.name)

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
