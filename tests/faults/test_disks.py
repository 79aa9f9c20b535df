"""The disk is full, slow, or cannot be written to: what serves goes on, and what is answered as done is done.

What is refused is so as a whole, with what to do about it; with room again, all goes on by itself. A file system that
is frozen (`fsfreeze`) is the slowest disk there is: no write to it ends before it is thawed.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from tests.faults.ledger import Ledger, place_download_plugin, text_of, until_answer, until_ok
from tests.faults.places import Place, disk_of_its_own, disk_that_freezes, server_in
from tests.integration.live import Live, save
from tests.integration.server_process import environment
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]
if SOAK:
    pytestmark.append(pytest.mark.soak)


# Far more than there are threads.
WRITERS = 60
SOON_S = 10.0


class World(NamedTuple):
    """A home on a disk of its own, a server on it, what was answered as done there, and what draws."""

    place: Place
    live: Live
    ledger: Ledger
    draw: random.Random


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    draw = random.Random(SEED)
    ledger = Ledger(draw)
    with disk_of_its_own(tmp_path_factory.mktemp("disks"), 48) as place:
        place_download_plugin(place.outside)
        async with server_in(place) as live:
            await ledger.all_kinds(live)
            yield World(place, live, ledger, draw)


async def test_it_fills_and_empties_while_everything_is_changed(world: World) -> None:
    place, live, ledger, draw = world
    refused = ledger.refused.total()
    fills = sized(2, 60)
    for _ in range(fills):
        # A little room lets the first steps of a change through and refuses a later one.
        place.fill(leave=draw.choice((0, 4096, 8192, 20_000, 40_000, 120_000)))
        await ledger.rounds(live, sized(5, 12))
        for path in place.outside.glob("config/plugins.json*"):
            json.loads(path.read_bytes())
        assert (await live.get("/livez")).status == 200
        place.make_room()
        await ledger.rounds(live, sized(2, 5))
    await until_ok(live, "store")
    await ledger.check(live)
    await ledger.tasks_end(live)
    assert ledger.refused.total() > refused, "the disk was never full"
    print(f"full disk: seed {SEED}, {fills} times full, {ledger}; lost 0")


async def test_a_save_is_live_on_a_full_disk_and_kept_when_there_is_room(world: World) -> None:
    place, live, _, _ = world
    path = live.plugins / "search/hand_plugin.py"
    save(path, text_of("hand", "1000"))
    await until_answer(live, "hand", "1000 none")
    for number in range(1001, 1001 + sized(1, 20)):
        place.fill(leave=2 * 4096)
        # As editors do that do not ask for more room than there is: over what is there.
        path.write_text(text_of("hand", str(number)))
        await until_answer(live, "hand", f"{number} none")
        place.make_room()
        async with asyncio.timeout(20):
            while (kept := await versions(live))[0] != str(number):
                await asyncio.sleep(0.1)
        assert kept[1] == str(number - 1)
    path.unlink()
    async with asyncio.timeout(20):
        while "search/hand" in await live.listed():
            await asyncio.sleep(0.05)


async def versions(live: Live) -> list[str]:
    answer = await live.get("/api/plugins/search/hand/revisions")
    return [one["version"] for one in answer.body["revisions"]]


async def quick(live: Live, names: list[str]) -> float:
    """Ask for all that needs no write, once; the seconds that the slowest took."""
    slowest = 0.0
    for path in (
        "/livez",
        "/readyz",
        "/api/plugins",
        "/",
        "/metrics",
        f"/api/plugins/search/{names[0]}/source",
        *(f"/api/search/{name}?keyword=x" for name in names),
    ):
        began = time.monotonic()
        try:
            answer = await live.get(path, timeout=aiohttp.ClientTimeout(total=SOON_S))
        except TimeoutError:
            raise AssertionError(f"{path} had to wait for the disk") from None
        assert answer.status == 200, (path, answer)
        slowest = max(slowest, time.monotonic() - began)
    return slowest


async def test_those_who_write_wait_for_it_and_nobody_else(world: World) -> None:
    place, live, ledger, draw = world
    if not place.freezes:
        pytest.skip("a disk in memory cannot be frozen, and no other can be mounted here")
    names = [f"p{number}" for number in range(sized(2, 8))]
    for name in names:
        save(live.plugins / f"search/{name}_plugin.py", text_of(name, "1"))
    for name in names:
        await until_answer(live, name, "1 none")
    slowest, waited = 0.0, 0
    for number in range(sized(1, 15)):
        with place.frozen():
            writes = [
                asyncio.create_task(
                    live.post(
                        f"/api/plugins/search/{draw.choice(names)}/config", {"word": f"{number}.{index}"}
                    )
                )
                for index in range(WRITERS)
            ]
            writes += [
                asyncio.create_task(live.post("/api/download", {"url": f"quick:{index}", "title": "x"}))
                for index in range(WRITERS // 4)
            ]
            changes = asyncio.create_task(ledger.rounds(live, 3))
            await asyncio.sleep(sized(0.5, 2.0))
            # Whoever needs nothing from the disk has a new generation, too.
            again = await asyncio.wait_for(
                live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": names[0]}), SOON_S
            )
            assert again.body["success_count"] == 1, again
            for _ in range(sized(2, 20)):
                slowest = max(slowest, await quick(live, names))
                await asyncio.sleep(0.1)
            waited += sum(not one.done() for one in writes)
        answers = await asyncio.gather(*writes)
        assert {answer.status for answer in answers} == {200}, answers
        await changes
    assert waited, "nothing had to wait for the disk"
    await ledger.check(live)
    print(
        f"slow disk: {waited} writes waited, the slowest of the others took {slowest * 1000:.0f} ms; lost 0"
    )


async def test_it_cannot_be_written_to_for_a_while(world: World) -> None:
    place, live, ledger, _ = world
    for _ in range(sized(1, 30)):
        before = ledger.done.copy()
        with place.covered():
            await ledger.rounds(live, sized(6, 10))
            # A task needs no more than the database, which is open.
            assert set(ledger.done - before) <= {"download"}
            await ledger.check(live)
        await ledger.rounds(live, sized(3, 5))
    await ledger.check(live)
    print(f"read-only: seed {SEED}, {ledger}; lost 0")


async def test_all_of_it_is_there_after_a_kill_and_a_start_in_vain(world: World) -> None:
    place, live, ledger, _ = world
    await live.server.kill()
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
    place.remount("rw")
    async with server_in(place) as again:
        await ledger.check(again)
        await ledger.tasks_end(again)


@pytest.mark.soak
async def test_it_breaks_down(tmp_path: Path) -> None:
    """The kernel makes a file system read-only in which it meets an error, though files in it are open for writing."""
    draw = random.Random(SEED)
    done = refused = 0
    disks = sized(1, 12)
    for number in range(disks):
        ledger = Ledger(draw)
        folder = tmp_path / str(number)
        folder.mkdir()
        with disk_that_freezes(folder) as place:
            place_download_plugin(place.outside)
            async with server_in(place) as live:
                await ledger.all_kinds(live)
                await ledger.rounds(live, 10)
                await ledger.tasks_end(live)
                before = ledger.done.total()
                place.break_down()
                await ledger.rounds(live, 12)
                assert ledger.done.total() == before, "something was answered as done"
                await ledger.check(live)
                await live.server.kill()
            place.mount_again()
            async with server_in(place) as live:
                await ledger.check(live)
                await ledger.rounds(live, 3)
        done, refused = done + ledger.done.total(), refused + ledger.refused.total()
    print(f"broken disks: seed {SEED}, {disks} of them, {done} done, {refused} refused; lost 0")
