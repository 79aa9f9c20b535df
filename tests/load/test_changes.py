"""Plugins are changed at random, under load, and the server is as a model of its promises says after every change.

A short round here; ten minutes at 80 % of what the machine can do under `make soak`. See `machine` for the changes,
`model` for what has to be so, `pressure` for the load.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.server_process import ROOT, environment
from tests.load.machine import Changes
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
# After so many batches all caches have been in use.
WARM_UP = sized(0, 3)
# The one under load, and two spares.
WORKERS_AT_REST = 3
# What may have come on top in the steady part, all plugins of the model being gone both times: allocators keep some of
# what they had, and connections of clients come and go with a few descriptors.
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


def _change(world: World, load: Load, runner: asyncio.Runner, counts: Counter[str]) -> None:
    ceiling = runner.run(load.order(seconds=CEILING_SECONDS))
    rate = SHARE * ceiling["beats"]
    before = runner.run(load.order(rate=rate))
    began = time.monotonic()
    batch, start = 0, None
    while batch <= WARM_UP or time.monotonic() - began < SECONDS:
        if batch == WARM_UP:
            start = (runner.run(_at_rest(world, load)), time.monotonic(), world.requests, Counter(counts))
            before = runner.run(load.order(rate=rate))
        _batch(world, runner, counts, SEED + batch)
        batch += 1
    assert start is not None
    after = runner.run(load.order())
    seconds = time.monotonic() - start[1]
    end = runner.run(_at_rest(world, load))
    requests = world.requests - start[2] + after["requests"] - before["requests"]
    print(
        f"\nchanges under load for {seconds:.0f} s: "
        f"{sum((counts - start[3]).values())} steps ({_listed(counts - start[3])}); "
        f"{requests} requests, of which {counts['refused unexpectedly']} changes and {after['wrong']} calls under load "
        f"refused unexpectedly; {after['events'] - before['events']} events to clients under load, "
        f"{after['closed']} of them closed; "
        f"asked for {SHARE:.0%} of {ceiling['requests']:.0f} requests/s and {ceiling['events']:.0f} events/s, "
        f"had {(after['requests'] - before['requests']) / seconds:.0f} and "
        f"{(after['events'] - before['events']) / seconds:.0f}; "
        + "; ".join(f"{name}: {start[0][name]} -> {end[name]}" for name in end)
    )
    assert (after["wrong"], after["closed"]) == (0, 0), after["odd"]
    assert _grown(start[0], end) == []


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


async def _at_rest(world: World, load: Load) -> dict[str, Usage]:
    """What the processes take, with no plugin of the model and nothing to do: what ran for those is gone."""
    await load.order()
    await world.clear()
    await world.request("POST", "/api/environments/prune")
    pid = world.server.process.pid

    async def is_at_rest() -> bool:
        return usage(pid)["workers"].processes == WORKERS_AT_REST

    await world.until(is_at_rest, lambda: f"there are still {usage(pid)['workers']}")
    return usage(pid)


def _grown(start: Mapping[str, Usage], end: Mapping[str, Usage]) -> list[str]:
    return [
        name
        for name in start
        if end[name].memory - start[name].memory > MEMORY_GROWTH
        or end[name].descriptors - start[name].descriptors > DESCRIPTOR_GROWTH
    ]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
