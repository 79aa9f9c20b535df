"""Plugins are changed at random, under load, and the server is as a model of its promises says after every change.

A short round here; ten minutes at 80 % of what the machine can do under `make soak`. See `machine` for the changes,
`model` for what has to be so, `pressure` for the load.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.server_process import ROOT, environment
from tests.load.machine import Changes
from tests.load.pressure import CLIENTS
from tests.load.usage import Usage, usage
from tests.load.world import World
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.timeout(1500)]
if SOAK:
    # The same test at full length.
    pytestmark.append(pytest.mark.soak)

SECONDS = sized(0.0, 600.0)
# Of the measured ceiling.
SHARE = sized(0.05, 0.8)
CEILING_SECONDS = sized(0.3, 10.0)
# Rounds at a time, and the steps of each at most.
ROUNDS, STEPS = sized(3, 10), sized(20, 50)
# Whether all that is kept in memory is in use before the first look.
WARM_UP = sized(False, True)
# The one under load, and two spares.
WORKERS_AT_REST = 3
# What may have come on top of that. The events of 2,000 changes and the manifests of 2,000 texts are kept, 14 MB in
# all, and not all may be there at the first look; after that memory stays. Connections of clients come and go.
MEMORY_GROWTH, DESCRIPTOR_GROWTH = 16e6, 8


@asynccontextmanager
async def pressing(url: str) -> AsyncIterator[Load]:
    """A process that loads a server, until left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load.pressure", url),
        cwd=ROOT,
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Load(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)


class Load:
    """The process that loads the server."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def order(self, **order: float) -> dict[str, Any]:
        """Have it do something, see `pressure`; what it answers."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer


def test_the_server_is_as_the_model_says_after_every_change(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        world, counts = World(tmp_path), Counter[str]()
        runner.run(world.open())
        try:
            pressure = pressing(world.server.url)
            load = runner.run(pressure.__aenter__())
            try:
                _change(world, load, runner, counts)
            finally:
                runner.run(pressure.__aexit__(None, None, None))
        finally:
            runner.run(world.close())


class Mark(NamedTuple):
    """Where a run stood, with everything at rest."""

    usage: Mapping[str, Usage]
    load: Mapping[str, Any]
    requests: int
    counts: Counter[str]


def _change(world: World, load: Load, runner: asyncio.Runner, counts: Counter[str]) -> None:
    """Change plugins under load: some to warm up, then for as long as it shall last, with a look before and after."""
    ceiling = runner.run(load.order(seconds=CEILING_SECONDS))
    rate = SHARE * ceiling["beats"]
    numbers = itertools.count(SEED)
    if WARM_UP:
        runner.run(load.order(rate=rate))
        _batch(world, runner, counts, next(numbers))
    start = runner.run(_mark(world, load, counts))
    runner.run(load.order(rate=rate))
    began = time.monotonic()
    _batch(world, runner, counts, next(numbers))
    while time.monotonic() - began < SECONDS:
        _batch(world, runner, counts, next(numbers))
    seconds = time.monotonic() - began
    end = runner.run(_mark(world, load, counts))
    print(_report(ceiling, start, end, seconds))
    assert end.load["wrong"] == 0, end.load["odd"]
    assert _grown(start.usage, end.usage) == []


def _report(ceiling: Mapping[str, float], start: Mark, end: Mark, seconds: float) -> str:
    counts = end.counts - start.counts
    done, refused = counts.pop("done", 0), counts.pop("refused", 0)
    kinds = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    load = {name: end.load[name] - start.load[name] for name in ("requests", "events", "wrong", "closed")}
    return (
        f"\nchanges under load: {counts.total()} steps in {seconds:.0f} s ({kinds}); "
        f"{end.requests - start.requests} requests to change and to look, "
        f"{done} changes done, {refused} refused as they had to be, {end.counts['refused unexpectedly']} unexpectedly; "
        f"{load['requests']} calls and tasks under load, {load['wrong']} refused; "
        f"{load['events']} events to {CLIENTS} clients under load, {load['closed']} of which were too slow; "
        f"load of {load['requests'] / seconds:.0f} requests/s and {load['events'] / seconds:.0f} events/s, where "
        f"{SHARE:.0%} of the ceiling is {SHARE * ceiling['requests']:.0f} and {SHARE * ceiling['events']:.0f}; "
        + "; ".join(f"{name}: {start.usage[name]} -> {end.usage[name]}" for name in end.usage)
    )


def _batch(world: World, runner: asyncio.Runner, counts: Counter[str], number: int) -> None:
    @seed(number)
    class Round(Changes):
        pass

    Round.world, Round.runner, Round.counts = world, runner, counts
    try:
        run_state_machine_as_test(
            Round,
            settings=settings(
                max_examples=ROUNDS,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
                print_blob=False,
            ),
        )
    except BaseException as failure:
        failure.add_note(f"PLUGBAY_SEED={number}")
        raise


async def _mark(world: World, load: Load, counts: Counter[str]) -> Mark:
    """Have no plugin of the model, and nothing to do; what ran for those is gone by then."""
    told = await load.order()
    await world.clear()
    await world.request("POST", "/api/environments/prune")
    pid = world.server.process.pid

    async def is_at_rest() -> bool:
        return usage(pid)["workers"].processes == WORKERS_AT_REST

    await world.until(is_at_rest, lambda: f"there are still {usage(pid)['workers']}")
    return Mark(usage(pid), told, world.requests, Counter(counts))


def _grown(start: Mapping[str, Usage], end: Mapping[str, Usage]) -> list[str]:
    return [
        name
        for name in start
        if end[name].memory - start[name].memory > MEMORY_GROWTH
        or end[name].descriptors - start[name].descriptors > DESCRIPTOR_GROWTH
    ]
