"""A page that is left open does not grow, however much happens."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest
from playwright.async_api import CDPSession, expect

from tests.browser.conftest import Opener, Server, View

# One browser serves all tests, so they share its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

# A reload of both plugins is announced, serves and drains for each, and is told of as a whole: seven events.
EVENTS = 7
EVENTS_PER_SECOND = 50
# What a collection leaves differs a little from time to time.
MAY_GROW_BYTES = 1_000_000


@dataclass(frozen=True)
class Held:
    """What the page holds when all that nobody needs is thrown away."""

    bytes: int
    nodes: int
    listeners: int

    @classmethod
    async def by(cls, session: CDPSession) -> Held:
        # The second collection takes what the first one let go of.
        for _ in range(2):
            await session.send("HeapProfiler.collectGarbage")
        metrics = (await session.send("Performance.getMetrics"))["metrics"]
        values = {metric["name"]: int(metric["value"]) for metric in metrics}
        return cls(values["JSHeapUsedSize"], values["Nodes"], values["JSEventListeners"])


@pytest.mark.parametrize(
    ("rounds", "seconds"),
    [(32, 0), pytest.param(0, 600, marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
    ids=["short", "ten minutes"],
)
async def test_a_page_stays_as_large_as_it_is(
    server: Server, open_page: Opener, rounds: int, seconds: int
) -> None:
    view = await open_page()
    session = await view.page.context.new_cdp_session(view.page)
    await session.send("Performance.enable")
    # First all lists are filled, as far as they go.
    await reload(server, rounds=32, seconds=0)
    await shows_the_newest(server, view)
    before = await Held.by(session)
    await reload(server, rounds=rounds, seconds=seconds)
    await shows_the_newest(server, view)
    after = await Held.by(session)
    print(before, after)
    assert after.bytes < before.bytes + MAY_GROW_BYTES
    assert after.nodes < before.nodes * 1.1
    assert after.listeners < before.listeners * 1.1


async def reload(server: Server, *, rounds: int, seconds: int) -> None:
    """So many times as fast as it goes; then for so long, so many times that there are 50 events a second."""
    for _ in range(rounds):
        await server.post("/api/plugins/reload", None)
    began = time.monotonic()
    number = 0
    while (left := began + seconds - time.monotonic()) > 0:
        await server.post("/api/plugins/reload", None)
        number += 1
        due = began + number * EVENTS / EVENTS_PER_SECOND
        await asyncio.sleep(max(0.0, min(left, due - time.monotonic())))


async def shows_the_newest(server: Server, view: View) -> None:
    plugins = await server.get("/api/plugins")
    generation = plugins["search"][0]["generation"]
    await expect(view.row("search/demo")).to_have_attribute("data-generation", str(generation))
