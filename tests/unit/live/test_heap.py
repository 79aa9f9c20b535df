from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from service.live.heap import MANY_CLIENTS, Heap


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def frozen() -> bool:
    return gc.get_freeze_count() > 0


def test_with_few_clients_the_collector_is_left_alone() -> None:
    heap = Heap()
    for clients in range(1, MANY_CLIENTS):
        heap.joined(clients)
        heap.beat(clients)
    for _ in range(10_000):
        heap.joined(5)
        heap.left(4)
        heap.beat(5)
    assert not frozen()


def test_with_many_what_lives_long_is_set_aside() -> None:
    heap = Heap()
    for clients in range(1, 2 * MANY_CLIENTS):
        heap.joined(clients)
    assert frozen()


def test_pings_set_aside_what_they_renew() -> None:
    heap = Heap()
    for _ in range(100):
        heap.beat(MANY_CLIENTS)
    assert frozen()


def test_when_many_have_gone_all_is_put_back_until_it_was_collected() -> None:
    heap = Heap()
    for clients in range(1, 1001):
        heap.joined(clients)
    for clients in range(1000, 501, -1):
        heap.left(clients)
    assert frozen()
    for clients in range(501, 400, -1):
        heap.left(clients)
    assert not frozen()
    for _ in range(1000):
        heap.joined(400)
        heap.beat(400)
    assert not frozen()
    gc.collect()
    for _ in range(100):
        heap.joined(400)
    assert frozen()


def test_what_is_set_aside_is_put_back_after_a_while() -> None:
    clock = Clock()
    heap = Heap(clock)
    for _ in range(100):
        heap.beat(1000)
    assert frozen()
    clock.now = 601.0
    for _ in range(64):
        heap.beat(1000)
    assert not frozen()
