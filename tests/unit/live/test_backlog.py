from __future__ import annotations

from service.live.backlog import Backlog
from service.live.event_log import Entry, EventLog
from tests.unit.live.conftest import Happened, Passing


def entries(*events: Happened) -> list[Entry]:
    log = EventLog(max_events=10**6, max_bytes=2**30, node="test")
    found: list[Entry] = []
    log.listen(found.append)
    for event in events:
        log.publish(event)
    return found


def make(max_events: int = 10, max_bytes: int = 2**20) -> Backlog:
    return Backlog(max_events=max_events, max_bytes=max_bytes, taken=0, taken_seq=0)


def test_rounds_take_in_order_a_little_at_a_time() -> None:
    backlog = make()
    a, b, c = entries(Happened(), Passing(), Happened())
    for entry in (a, b, c):
        backlog.add(entry)
    assert backlog.take(1) == [a]
    assert (backlog.taken, backlog.taken_seq) == (1, 1)
    assert backlog.take(10**6) == [b, c]
    assert (backlog.taken, backlog.taken_seq) == (3, 2)
    assert not backlog


def test_what_a_client_is_still_to_get_includes_the_round_that_goes_on() -> None:
    backlog = make()
    a, b, c = entries(*[Happened()] * 3)
    backlog.add(a)
    backlog.add(b)
    backlog.take(1)
    backlog.add(c)
    assert backlog.after(0) == [a, b, c]
    assert backlog.after(1) == [b, c]
    backlog.end_round()
    assert backlog.after(0) == [b, c]


def test_passing_entries_with_one_key_are_conflated() -> None:
    backlog = make()
    a, b, c, d = entries(Passing(key="x"), Happened(), Passing(key="x"), Passing(key="y"))
    for entry in (a, b, c, d):
        backlog.add(entry)
    assert backlog.take(10**6) == [b, c, d]
    assert backlog.passing_dropped == 0


def test_too_many_passing_entries_are_dropped_and_the_others_are_not() -> None:
    backlog = make(max_events=5)
    first = entries(*[Passing()] * 20, Happened(), Passing(), Happened())
    for entry in first:
        backlog.add(entry)
    batch = backlog.take(10**6)
    assert [entry.seq for entry in batch] == [None] * 5 + [1, 2]
    assert backlog.passing_dropped == 16
    assert backlog.lost == 0


def test_too_many_of_the_others_are_a_loss_that_is_told() -> None:
    backlog = make(max_events=5)
    for entry in entries(*[Happened()] * 8):
        backlog.add(entry)
    assert backlog.lost == 3
    assert [entry.seq for entry in backlog.take(10**6)] == [4, 5, 6, 7, 8]


def test_so_are_too_many_bytes() -> None:
    backlog = make(max_bytes=10_000)
    for entry in entries(*[Happened(value="x" * 3000)] * 4, Happened(value="x" * 50_000)):
        backlog.add(entry)
    assert backlog.lost == 4
    assert [entry.seq for entry in backlog.take(10**6)] == [5]
    # The account is even again.
    for entry in entries(*[Happened(value="x" * 3000)] * 2):
        backlog.add(entry)
    assert len(backlog.take(10**6)) == 2


def test_what_nobody_wants_is_skipped_at_once() -> None:
    backlog = make()
    a, b, c = entries(Happened(), Happened(), Passing())
    backlog.add(a)
    backlog.skip(b)
    assert not backlog
    assert (backlog.taken, backlog.taken_seq) == (2, 2)
    backlog.skip(c)
    assert (backlog.taken, backlog.taken_seq) == (3, 2)
