"""Tasks without plugins: a real store in a real database, whose disk can be full or slow, and events that are kept."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from service.api.task_problems import task_problem
from service.host.database import About, Database, Write
from service.host.database_file import StoreFailed
from service.live.event_log import EventLog
from service.model.task import Task, TaskKind
from service.model.task_events import TaskChanged, TaskEvent, TaskProgress, TaskResults
from service.model.text import Text
from service.tasks.board import Board, LiveTask
from service.tasks.store import TaskStore

UNTIL_S = 10.0


class Disk(Database):
    """A database on a disk that is full while `full`, and does not get to writing while `open` is not set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = False
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.waiting = asyncio.Event()

    def write_soon(self, write: Write, *, about: About) -> None:
        # On a full disk it waits; that it is written later is the database's own affair.
        if not self.full:
            super().write_soon(write, about=about)

    async def write(self, write: Write, *, about: About = ()) -> None:
        if self.full:
            raise StoreFailed(Text(zh="满了", en="full"))
        self.waiting.set()
        await self.open_gate.wait()
        await super().write(write, about=about)


class Events:
    """Keeps what is published, short: `completed`, `progress 50`, `results 3`."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.tasks: list[Task] = []

    def publish(self, event: TaskEvent) -> int:
        if isinstance(event, TaskChanged):
            self.came.append(event.change)
        elif isinstance(event, TaskProgress):
            self.came.append(f"progress {event.task.progress:g}")
        elif isinstance(event, TaskResults):
            self.came.append(f"results {len(event.results)}")
        self.tasks.append(event.task)
        return len(self.came)


class World:
    """See the module."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.events = Events()
        self.store = TaskStore(disk)
        self.board = Board(self.store, cast(EventLog, self.events), task_problem)

    async def download(self, **facts: Any) -> LiveTask:
        """A download that is pending."""
        return await self.board.create(
            TaskKind.DOWNLOAD, **({"plugin_name": "demo", "url": "x:y", "resumable": True} | facts)
        )

    async def kept(self, id: str) -> Task:
        """The task as the disk has it."""
        task = await self.store.get(id)
        assert task is not None
        return task

    async def damage(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Change the database behind everybody's back."""
        await self.disk.write(change)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A world whose database lies in a folder; what was kept there before is there."""
    disk = Disk(folder / "plugbay.db")
    await disk.open()
    try:
        yield World(disk)
    finally:
        disk.open_gate.set()
        await disk.close()


async def until(predicate: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(UNTIL_S):
        while not predicate():
            await asyncio.sleep(0.005)
