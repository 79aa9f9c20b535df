"""A download task's other side, as the server is to a plugin, and what tests ask about a plugin's folder."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from service.sdk import DownloadTask

MIB = 1024 * 1024
CONTENT = random.Random(3).randbytes(12 * MIB)
OTHER = random.Random(4).randbytes(12 * MIB)
SMALL = CONTENT[: MIB // 2]


class Reports:
    """A task's other side: what it told, and why it shall stop."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        self.at: list[float] = []
        self.checkpoints: list[dict[str, Any]] = []
        self.stopped_for: str | None = None
        self.heard = asyncio.Condition()

    async def send(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "checkpoint":
            self.checkpoints.append(data)
        else:
            self.all.append(data)
            self.at.append(time.monotonic())
        async with self.heard:
            self.heard.notify_all()

    def task(self, url: str, **more: Any) -> DownloadTask:
        return DownloadTask(id="t1", url=url, _send=self.send, _stopped_for=lambda: self.stopped_for, **more)

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(20), self.heard:
            await self.heard.wait_for(what)


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.005)


def files(plugin: Any) -> dict[str, bytes]:
    folder = plugin.folder
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def names(plugin: Any) -> list[str]:
    return sorted(files(plugin))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "http download"]


async def stop(reports: Reports, running: asyncio.Task[bool], why: str) -> None:
    """As the server does it: cancelled by the user, or paused."""
    reports.stopped_for = why
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 2)
    assert threads() == []
