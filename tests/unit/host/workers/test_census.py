"""Counting the processes below workers, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from service.host.plugin_limits import PluginLimits
from service.host.workers.census import Census, newest_id, processes
from service.host.workers.worker_process import WorkerProcess
from service.limiting import limits_of_plugins
from service.model.text import Text
from service.settings import LimitSettings, Settings

# A process like a worker: it leads a session, and what it starts stays below it.
_WORKER = """\
import os, subprocess, sys, time
from service.worker import linux
linux.become_subreaper()
for _ in range(int(sys.argv[1])):
    subprocess.Popen(["sleep", "600"])
for _ in range(int(sys.argv[2])):
    os.posix_spawn("/bin/true", ["true"], {})
print("ready", flush=True)
time.sleep(600)
"""


class FakeWorker:
    """What the census asks of a worker."""

    def __init__(self, started: int, ended: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(started), str(ended)],
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=Path(__file__).parents[3],
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.limits: PluginLimits | None = None
        self.pid = self.process.pid
        self.ended_for: Text | None = None

    def end_for(self, reason: Text) -> None:
        self.ended_for = reason
        self.process.kill()

    def below(self) -> set[int]:
        return {one.pid for one in processes() if one.session == self.pid and not one.dead}

    def close(self) -> None:
        for pid in self.below():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def workers() -> Iterator[list[FakeWorker]]:
    made: list[FakeWorker] = []
    yield made
    for worker in made:
        worker.close()


@pytest.fixture
async def census(workers: list[FakeWorker]) -> AsyncIterator[Census]:
    census = Census(lambda: cast(list[WorkerProcess], list(workers)), _LIMITS)
    yield census
    await census.close()


_LIMITS = limits_of_plugins(Settings(limits=LimitSettings(processes=10)))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.01)


async def test_at_the_limit_nobody_is_ended(workers: list[FakeWorker], census: Census) -> None:
    workers.extend([FakeWorker(10), FakeWorker(3)])
    assert await asyncio.to_thread(census.count) == 0
    assert [worker.ended_for for worker in workers] == [None, None]
    assert len(await asyncio.to_thread(workers[0].below)) == 11


async def test_over_the_limit_the_worker_and_all_below_it_end(
    workers: list[FakeWorker], census: Census
) -> None:
    workers.extend([FakeWorker(11), FakeWorker(3)])
    assert await asyncio.to_thread(census.count) == 7
    await _until(lambda: workers[0].ended_for is not None)
    assert "10" in workers[0].ended_for.en  # type: ignore[union-attr]
    await _until(lambda: not workers[0].below())
    assert workers[1].ended_for is None


async def test_dead_ones_that_nobody_collects_weigh_little(workers: list[FakeWorker], census: Census) -> None:
    workers.append(FakeWorker(5, ended=80))
    await _until(lambda: sum(one.parent == workers[0].pid and one.dead for one in processes()) == 80)
    assert await asyncio.to_thread(census.count) == 0
    workers.append(FakeWorker(5, ended=100))
    await _until(lambda: sum(one.parent == workers[1].pid and one.dead for one in processes()) == 100)
    await asyncio.to_thread(census.count)
    await _until(lambda: workers[1].ended_for is not None)
    assert workers[0].ended_for is None


async def test_growth_is_noticed_without_being_asked(workers: list[FakeWorker], census: Census) -> None:
    census.start()
    workers.append(FakeWorker(12))
    await _until(lambda: workers[0].ended_for is not None)


def test_a_stranger_with_the_number_of_a_worker_that_ended_is_left_alone(workers: list[FakeWorker]) -> None:
    """It does not lead a session, which every worker does."""
    worker = FakeWorker(0)
    workers.append(worker)
    code = (
        "import subprocess, sys; [subprocess.Popen(['sleep', '600']) for _ in range(12)]; "
        "print(flush=True); sys.stdin.read()"
    )
    stranger = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert stranger.stdout is not None
    stranger.stdout.readline()
    children = [one.pid for one in processes() if one.parent == stranger.pid]
    worker.pid, real = stranger.pid, worker.pid

    async def count() -> None:
        await asyncio.to_thread(Census(lambda: cast(list[WorkerProcess], [worker]), _LIMITS).count)

    try:
        asyncio.run(count())
        assert stranger.poll() is None
        assert len(children) == 12
        states = {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in children}
        assert states <= {"S", "R"}
    finally:
        worker.pid = real
        for pid in children:
            os.kill(pid, 9)
        stranger.communicate()


async def test_closing_twice(census: Census) -> None:
    census.start()
    await census.close()
    await census.close()


def test_the_newest_id_grows() -> None:
    before = newest_id()
    assert before is not None
    process = subprocess.Popen(["true"])
    process.wait()
    after = newest_id()
    assert after is not None and after != before


def test_every_process_is_seen() -> None:
    found = {one.pid: one for one in processes()}
    me = found[os.getpid()]
    assert (me.parent, me.group, me.session, me.dead) == (
        os.getppid(),
        os.getpgrp(),
        os.getsid(0),
        False,
    )
