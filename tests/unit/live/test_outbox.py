from __future__ import annotations

import pytest

from service.live.event_log import Entry, EventLog
from service.live.outbox import Outbox, Replay, ReplayLost
from tests.unit.live.conftest import Happened, Passing


class Fixture:
    def __init__(self, *, max_events: int = 10, max_bytes: int = 2**20, log_events: int = 1000) -> None:
        self.entries: list[Entry] = []
        self.log = EventLog(max_events=log_events, max_bytes=2**25, node="test")
        self.log.listen(self.entries.append)
        self.outbox = Outbox(self.log, max_events=max_events, max_bytes=max_bytes)

    def publish(self, *events: Happened) -> list[Entry]:
        before = len(self.entries)
        for event in events:
            self.log.publish(event)
        return self.entries[before:]

    def all(self) -> bytes:
        """All that can be had, however small the steps."""
        data = b""
        while not self.outbox.empty:
            step = self.outbox.take(1)
            data += step
        return data


def frames(*entries: Entry) -> bytes:
    return b"".join(entry.frame for entry in entries)


def test_events_and_answers_come_in_order() -> None:
    box = Fixture()
    a, b = box.publish(Happened(name="a"), Happened(name="b"))
    assert box.outbox.extend([a])
    box.outbox.answer(b"answer")
    assert box.outbox.extend([b])
    assert (box.outbox.events, box.outbox.answers) == (2, 1)
    assert box.outbox.take(10**6) == a.frame + b"answer" + b.frame
    assert box.outbox.empty
    assert (box.outbox.events, box.outbox.answers) == (0, 0)
    assert box.outbox.take(10**6) == b""


def test_a_step_gives_one_frame_at_least_and_stops_when_it_is_full() -> None:
    box = Fixture()
    entries = box.publish(*[Happened()] * 5)
    box.outbox.extend(entries)
    assert box.outbox.take(1) == entries[0].frame
    assert box.outbox.take(len(entries[1].frame) + 1) == frames(*entries[1:3])


def test_of_events_with_one_key_the_newest_is_kept_in_its_own_place() -> None:
    box = Fixture()
    entries = box.publish(
        Passing(key="x", value=1),
        Happened(),
        Passing(key="y", value=2),
        Passing(key="x", value=3),
        Happened(),
    )
    box.outbox.extend(entries)
    assert box.outbox.events == 4
    assert box.all() == frames(*entries[1:])


def test_too_many_events_and_too_many_bytes() -> None:
    box = Fixture(max_events=3, max_bytes=5000)
    assert box.outbox.extend(box.publish(*[Happened()] * 3))
    assert not box.outbox.extend(box.publish(Happened()))
    box.outbox.clear()
    assert box.outbox.empty
    assert not box.outbox.extend(box.publish(Happened(value="x" * 6000)))


def test_conflated_events_never_overflow() -> None:
    box = Fixture(max_events=2, max_bytes=2000)
    for number in range(1000):
        assert box.outbox.extend(box.publish(Passing(key="x", value=number)))
    assert box.outbox.events == 1
    assert b'"data":999' in box.all()


def test_a_replay_reads_the_log_and_counts_as_nothing() -> None:
    box = Fixture(max_events=1)
    entries = box.publish(*[Happened(name="ab"[number % 2], value=number) for number in range(500)])
    box.outbox.answer(b"answer")
    box.outbox.replay(Replay(100, 400, lambda entry: entry.subject == "a"))
    [later] = box.publish(Happened())
    assert box.outbox.extend([later])
    assert box.outbox.events == 1
    wanted = [entry for entry in entries[100:400] if entry.subject == "a"]
    assert box.all() == b"answer" + frames(*wanted) + later.frame


def test_a_replay_that_finds_nothing_comes_to_its_end() -> None:
    box = Fixture()
    box.publish(*[Happened()] * 500)
    box.outbox.replay(Replay(0, 500, lambda entry: False))
    steps = 0
    while not box.outbox.empty:
        assert box.outbox.take(1000) == b""
        steps += 1
    assert 1 < steps < 20
    box.outbox.replay(Replay(7, 7, lambda entry: True))
    assert box.outbox.empty


def test_a_replay_that_the_log_has_left_behind() -> None:
    box = Fixture(log_events=100)
    box.publish(*[Happened()] * 100)
    box.outbox.replay(Replay(0, 100, lambda entry: True))
    assert box.outbox.take(1)
    box.publish(*[Happened()] * 50)
    with pytest.raises(ReplayLost):
        box.outbox.take(1)


def test_nothing_passes_an_answer_that_is_not_known_yet() -> None:
    box = Fixture()
    a, b = box.publish(Happened(), Happened())
    box.outbox.extend([a])
    hold = box.outbox.hold()
    box.outbox.extend([b])
    assert not box.outbox.held
    assert box.outbox.take(10**6) == a.frame
    assert box.outbox.held
    assert box.outbox.take(10**6) == b""
    hold.frame = b"answer"
    assert not box.outbox.held
    assert box.outbox.take(10**6) == b"answer" + b.frame
    assert box.outbox.answers == 0
