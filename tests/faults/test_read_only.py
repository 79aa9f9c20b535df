"""A home that cannot be written to, from the start or from some moment on: what serves goes on, the rest is refused."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger, place_download_plugin, text_of, until_answer
from tests.faults.places import disk_in_memory, disk_that_freezes, server_in
from tests.integration.live import save
from tests.integration.server_process import environment
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.timeout(600)]
if SOAK:
    pytestmark.append(pytest.mark.soak)


async def test_a_home_that_can_be_written_to_again(tmp_path: Path) -> None:
    ledger = Ledger(random.Random(SEED))
    with disk_in_memory(tmp_path, 64) as place:
        place_download_plugin(place.outside)
        async with server_in(place) as live:
            await ledger.all_kinds(live)
            for _ in range(sized(1, 30)):
                before = ledger.done.copy()
                with place.covered():
                    await ledger.rounds(live, sized(6, 10))
                    # A task needs no more than the database, which is open.
                    assert set(ledger.done - before) <= {"download"}
                    await ledger.check(live)
                await ledger.rounds(live, sized(3, 5))
            save(live.plugins / "search/ann_plugin.py", text_of("ann", "hand"))
            if ledger.is_on("ann"):
                await until_answer(live, "ann", f"hand {ledger.word('ann')}")
        # From the start: it says so and changes nothing.
        place.remount("ro")
        process = await asyncio.create_subprocess_exec(
            *(place.python, "-m", "service", "serve", "--home", str(place.home), "--port", "0"),
            env=environment(),
            stderr=asyncio.subprocess.PIPE,
        )
        _, printed = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 1, printed.decode()
        assert "Read-only file system" in printed.decode()
        assert "--home" in printed.decode()
        assert "Traceback" not in printed.decode()
    print(f"read-only: seed {SEED}, {ledger}; lost 0")


async def test_a_disk_that_breaks_down(tmp_path: Path) -> None:
    """The kernel makes a file system read-only in which it meets an error, though files in it are open for writing."""
    draw = random.Random(SEED)
    done = refused = 0
    for number in range(sized(1, 12)):
        ledger = Ledger(draw)
        folder = tmp_path / str(number)
        folder.mkdir()
        with disk_that_freezes(folder) as place:
            place_download_plugin(place.outside)
            async with server_in(place) as live:
                await ledger.all_kinds(live)
                await ledger.rounds(live, sized(2, 10))
                await ledger.tasks_end(live)
                before = ledger.done.total()
                place.break_down()
                await ledger.rounds(live, sized(6, 12))
                assert ledger.done.total() == before, "something was answered as done"
                await ledger.check(live)
                await live.server.kill()
            place.mount_again()
            async with server_in(place) as live:
                await ledger.check(live)
                await ledger.rounds(live, 3)
        done, refused = done + ledger.done.total(), refused + ledger.refused.total()
    print(f"broken disks: seed {SEED}, {number + 1} of them, {done} done, {refused} refused; lost 0")
