from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from service.live.beats import Beats
from service.live.client import Client


def fake() -> Client:
    return cast(Client, SimpleNamespace(closing=False))


def due(beats: Beats, now: float) -> list[Any]:
    found = []
    while (client := beats.next_due(now)) is not None:
        found.append(client)
    return found


def test_every_client_is_due_once_in_an_interval() -> None:
    beats = Beats(10.0)
    clients = [fake() for _ in range(100)]
    for client in clients:
        beats.add(client, 0.0)
    seen = [client for tick in range(1, 101) for client in due(beats, tick / 10)]
    assert len(seen) == 100
    assert {id(client) for client in seen} == {id(client) for client in clients}
    again = [client for tick in range(101, 201) for client in due(beats, tick / 10)]
    assert len(again) in range(98, 103)


def test_clients_that_come_together_are_spread_over_the_interval() -> None:
    beats = Beats(10.0)
    for _ in range(1000):
        beats.add(fake(), 0.0)
    counts = [len(due(beats, float(second))) for second in range(1, 11)]
    assert sum(counts) == 1000
    assert all(80 <= count <= 120 for count in counts)


def test_a_client_that_is_going_is_not_due_again() -> None:
    beats = Beats(10.0)
    assert beats.next_at is None
    client = fake()
    beats.add(client, 5.0)
    assert beats.next_at is not None
    assert 5.0 < beats.next_at < 15.0
    client.closing = True
    assert due(beats, 100.0) == []
    assert beats.next_at is None
