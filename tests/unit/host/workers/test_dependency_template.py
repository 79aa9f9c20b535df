"""Spares of a dependency set's template, with a socket that is none: what comes at the wrong moment is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from service.host.workers.dependency_template import DependencyTemplate
from service.host.workers.template_link import Forked
from service.worker.confinement.policy import Policy


class Worker:
    """Counts how often it is ended."""

    def __init__(self) -> None:
        self.kills = 0

    def kill(self) -> None:
        self.kills += 1

    def has_ended(self) -> bool:
        return False


class Link:
    """Forks one worker when it is told to; `on_fork` is called as it comes."""

    def __init__(self) -> None:
        self.ready, self.lost, self.unfit = asyncio.Event(), asyncio.Event(), None
        self.workers: dict[int, Worker] = {}
        self.may_come = asyncio.Event()
        self.on_fork: Callable[[], object] = lambda: None
        self.ready.set()

    async def have_imported(self, modules: object) -> None:
        """It has."""

    async def fork(self, *, ahead: bool = False) -> Worker:
        await self.may_come.wait()
        self.may_come.clear()
        worker = self.workers[len(self.workers)] = Worker()
        asyncio.get_running_loop().call_soon(self.on_fork)
        return worker

    def close(self) -> None:
        self.lost.set()


class Nursery:
    """Gives a template that is there already."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def fork_template(self, site: Path, policy: Policy, on_end: object) -> tuple[Forked, Link]:
        return Forked(0, -1), self._link


async def test_a_spare_that_comes_as_its_taker_goes_is_ended(tmp_path: Path) -> None:
    link = Link()
    template = DependencyTemplate(tmp_path, ["json"], Policy(), 5.0)
    await template.start(cast(Any, Nursery(link)))
    taker = asyncio.create_task(template.acquire())
    await asyncio.sleep(0)  # it begins to wait for the spare
    link.on_fork = taker.cancel
    link.may_come.set()
    await asyncio.wait([taker])
    assert taker.cancelled()
    await asyncio.sleep(0)
    assert [worker.kills for worker in link.workers.values()] == [1]
    template.end()


async def test_one_that_has_a_worker_is_not_idle_while_its_next_spare_comes(tmp_path: Path) -> None:
    link = Link()
    template = DependencyTemplate(tmp_path, ["json"], Policy(), 5.0)
    await template.start(cast(Any, Nursery(link)))
    assert template.is_idle
    link.may_come.set()
    await template.acquire()
    async with asyncio.timeout(15):
        while not template.has_spare:
            await asyncio.sleep(0.001)
    assert not template.is_idle, "the next spare is on its way, but a worker is there"
    link.may_come.set()
    async with asyncio.timeout(15):
        while len(link.workers) < 2:
            await asyncio.sleep(0.001)
    assert not template.is_idle
    template.end()
