"""See `machine`: a short round here, ten minutes of it under `make soak`."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.load.machine import Changes
from tests.load.world import World
from tests.rounds import SEED


@pytest.mark.timeout(600)
def test_the_server_is_as_the_model_says_after_every_change(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        world = World(tmp_path)
        runner.run(world.open())
        try:

            @seed(SEED)
            class Round(Changes):
                pass

            Round.world, Round.run, Round.counts = world, runner.run, Counter()
            run_state_machine_as_test(
                Round,
                settings=settings(
                    max_examples=4, stateful_step_count=25, deadline=None, database=None,
                    suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
                ),
            )
        finally:
            runner.run(world.close())
            print(dict(Round.counts))
