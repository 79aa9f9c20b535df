"""The disk is full: what is answered as done is done, all else is refused whole, and with room again all goes on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger, place_download_plugin
from tests.faults.places import disk_in_memory, server_in
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.timeout(900)]
if SOAK:
    pytestmark.append(pytest.mark.soak)


async def test_a_disk_that_fills_and_empties_while_everything_is_changed(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    ledger = Ledger(draw)
    with disk_in_memory(tmp_path, 48) as place:
        place_download_plugin(place.outside)
        async with server_in(place) as live:
            await ledger.all_kinds(live)
            fills = 0
            for _ in range(sized(3, 60)):
                # A little room lets the first steps of a change through and refuses a later one.
                place.fill(leave=draw.choice((0, 4096, 8192, 20_000, 40_000, 120_000)))
                fills += 1
                await ledger.rounds(live, sized(6, 12))
                for path in place.outside.glob("config/plugins.json*"):
                    json.loads(path.read_bytes())
                assert (await live.get("/livez")).status == 200
                place.make_room()
                await ledger.rounds(live, sized(2, 5))
            await ledger.check(live)
            await ledger.tasks_end(live)
            await live.server.kill()
        async with server_in(place) as live:
            await ledger.check(live)
            await ledger.tasks_end(live)
    assert ledger.refused.total() > 0, "the disk was never full"
    print(f"full disk: seed {SEED}, {fills} times full, {ledger}; lost 0")
