"""What could not be written yet, because the disk was full or another process held the database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

import structlog

from service.errors import PlugbayError
from service.model.text import Text

log = structlog.get_logger(__name__)

# A server that goes on with a full disk must not fill its memory instead.
MOST = 5000

Write = Callable[[sqlite3.Connection], object]
# What is written, the whole before its part: a task's id, then which part of its rows.
About = tuple[str | int, ...]


class Item(NamedTuple):
    """One thing to be written; `done` where somebody waits for it."""

    write: Write
    about: About
    done: asyncio.Future[None] | None


class Waiting:
    """See the module.

    Attributes:
        problem: why it waits, `None` where nothing does.
    """

    def __init__(self) -> None:
        self._items: dict[About, Item] = {}
        self._dropped = 0
        self.problem: Text | None = None

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> list[Item]:
        """All that waits, in the order in which it came."""
        return list(self._items.values())

    def add(self, item: Item, reason: Exception) -> None:
        """It has to wait. A newer one about the same takes the place of an older one; beyond a count the oldest go."""
        if not self._items:
            log.warning("database.waiting", reason=str(reason))
        self._items.pop(item.about, None)
        self._items[item.about] = item
        if len(self._items) > MOST:
            del self._items[next(iter(self._items))]
            self._dropped += 1
        self._say(reason)

    def written(self, item: Item) -> None:
        """It is written, and with it whatever waits and is about a part of the same."""
        if not self._items:
            return
        if item.about:
            size = len(item.about)
            for about in [one for one in self._items if one[:size] == item.about]:
                del self._items[about]
        if not self._items:
            log.info("database.caught_up", lost=self._dropped)
            self._dropped, self.problem = 0, None

    def _say(self, reason: Exception) -> None:
        text = reason.text if isinstance(reason, PlugbayError) else Text(zh=str(reason), en=str(reason))
        count, lost = len(self._items), self._dropped
        self.problem = Text(
            zh=f"{text.zh}；有 {count} 条记录等待写入，恢复后会自动写入"
            + (f"，另有 {lost} 条因过多而丢失" if lost else ""),
            en=f"{text.en}. {count} records wait in memory and are written by themselves when that is over"
            + (f"; {lost} more were too many and are lost" if lost else ""),
        )
