from __future__ import annotations

import asyncio
import itertools
import selectors
import socket
from collections.abc import Iterator

import pytest

from service.live.selector import EVENTS_AT_ONCE, FairSelector, new_event_loop


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    found = [socket.socketpair() for _ in range(3 * EVENTS_AT_ONCE + 1)]
    yield found
    for pair in found:
        for one in pair:
            one.close()


def test_what_is_ready_comes_in_portions_and_each_once(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    with FairSelector() as selector:
        for ours, theirs in pairs:
            selector.register(ours, selectors.EVENT_READ, ours)
            theirs.send(b"x")
        portions = []
        while sum(map(len, portions)) < len(pairs):
            portions.append([key.data for key, _ in selector.select(0)])
        assert [len(portion) for portion in portions] == [EVENTS_AT_ONCE] * 3 + [1]
        assert {one.fileno() for portion in portions for one in portion} == {
            ours.fileno() for ours, _ in pairs
        }
        for ours, _ in pairs:
            ours.recv(1)
        assert selector.select(0) == []


def test_what_has_changed_in_the_meantime_is_left_out(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    with FairSelector() as selector:
        for ours, theirs in pairs:
            selector.register(ours, selectors.EVENT_READ, "old")
            theirs.send(b"x")
        first = {key.fileobj for key, _ in selector.select(0)}
        later = [ours for ours, _ in pairs if ours not in first]
        selector.unregister(later[0])
        selector.modify(later[1], selectors.EVENT_WRITE, "new")
        seen = []
        for _ in range(2):
            seen += [(key.fileobj, key.data) for key, _ in selector.select(0)]
        assert len(seen) == len(later) - 2
        assert all(data == "old" for _, data in seen)
        # It is found in its new way when it is looked up again.
        for ours, _ in pairs:
            if ours is not later[0]:
                ours.recv(1)
        [(key, events)] = selector.select(0)
        assert (key.fileobj, key.data, events) == (later[1], "new", selectors.EVENT_WRITE)


def test_a_loop_on_it_looks_after_others_in_between(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        received: list[int] = []
        for number, (ours, theirs) in enumerate(pairs):
            theirs.send(b"x")

            def read(ours: socket.socket = ours, number: int = number) -> None:
                ours.recv(1)
                received.append(number)

            loop.add_reader(ours, read)
        counts = [0]
        async with asyncio.timeout(5):
            while len(received) < len(pairs):
                await asyncio.sleep(0)
                counts.append(len(received))
        for ours, _ in pairs:
            loop.remove_reader(ours)
        return [after - before for before, after in itertools.pairwise(counts)]

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        steps = runner.run(main())
    assert 0 < max(steps) <= EVENTS_AT_ONCE
