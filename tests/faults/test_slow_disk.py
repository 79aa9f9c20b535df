"""The disk takes seconds for every write: whoever writes waits, and nobody else does.

A file system that is frozen (`fsfreeze`) is the slowest disk there is: no write ends before it is thawed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio

from tests.faults.ledger import Ledger, place_download_plugin, text_of, until_answer
from tests.faults.places import Place, disk_that_freezes, server_in
from tests.integration.live import Live, save
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

# Far more than there are threads.
WRITERS = 60
# Far less than the disk stands still for.
SOON_S = 3.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with disk_that_freezes(tmp_path_factory.mktemp("slow")) as place:
        # What plugins are saved on is quick: only the server's own records are not.
        plugins = place.home / "plugins"
        place.run("mkdir", str(plugins))
        place.run("mount", "-t", "tmpfs", "tmpfs", str(plugins))
        place_download_plugin(place.outside)
        yield place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(place: Place) -> AsyncIterator[Live]:
    async with server_in(place) as live:
        yield live


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


async def test_writers_wait_and_nobody_else(place: Place, live: Live) -> None:
    names = [f"p{number}" for number in range(8)]
    for name in names:
        save(live.plugins / f"search/{name}_plugin.py", text_of(name, "1"))
    for name in names:
        await until_answer(live, name, "1 none")
    draw = random.Random(SEED)
    ledger = Ledger(draw)
    slowest, waited = 0.0, 0
    for number in range(sized(1, 15)):
        before = len(live.events)
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
            save(live.plugins / f"search/{names[0]}_plugin.py", text_of(names[0], f"saved{number}"))
            await live.event("reloaded", f"search/{names[0]}", after=before)
            assert (await live.answer(names[0])).startswith(f"saved{number} ")
            ended = time.monotonic() + sized(2.0, 4.0)
            while time.monotonic() < ended:
                slowest = max(slowest, await quick(live, names))
            waited += sum(not one.done() for one in writes)
        answers = await asyncio.gather(*writes)
        assert {answer.status for answer in answers} == {200}, answers
        await changes
    assert waited, "nothing had to wait for the disk"
    await ledger.check_records(live)
    print(
        f"slow disk: {waited} writes waited, the slowest of the others took {slowest * 1000:.0f} ms; lost 0"
    )
