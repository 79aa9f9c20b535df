from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.live.event_log import ENTRY_OVERHEAD_BYTES, Entry, EventLog
from service.live.frames import text_header
from tests.unit.live.conftest import Happened, Passing


def make(max_events: int = 100, max_bytes: int = 2**20) -> EventLog:
    return EventLog(max_events=max_events, max_bytes=max_bytes, node="my node/1")


def seqs(log: EventLog, since: int) -> list[int | None] | None:
    entries = log.since(since)
    return None if entries is None else [entry.seq for entry in entries]


def test_an_entry_is_one_frame_with_a_cloudevent() -> None:
    log = make()
    before = datetime.now(UTC)
    assert log.publish(Happened(name="plugins/search/插件", value={"a": [1, None, "ü"]})) == 1
    [entry] = log.since(0) or []

    event = json.loads(entry.payload)
    assert entry.frame == text_header(len(entry.payload)) + entry.payload
    assert before <= datetime.fromisoformat(event.pop("time")) <= datetime.now(UTC)
    assert list(event) == ("specversion id source type subject datacontenttype epoch seq data".split())
    assert event == {
        "specversion": "1.0",
        "id": f"{log.epoch}-1",
        "source": "/plugbay/my%20node%2F1",
        "type": "plugbay.test",
        "subject": "plugins/search/插件",
        "datacontenttype": "application/json",
        "epoch": log.epoch,
        "seq": "1",
        "data": {"a": [1, None, "ü"]},
    }


def test_time_always_has_microseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sharp(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Sharp:
            return cls(2026, 11, 22, 12, 0, 0, 0, tz)

    monkeypatch.setattr("service.live.event_log.datetime", Sharp)
    log = make()
    log.publish(Happened())
    [entry] = log.since(0) or []
    assert json.loads(entry.payload)["time"] == "2026-11-22T12:00:00.000000Z"


def test_passing_events_are_told_and_not_kept() -> None:
    log = make()
    told: list[Entry] = []
    log.listen(told.append)
    assert log.publish(Passing(key="k")) == 0
    assert log.publish(Happened()) == 1
    assert log.publish(Passing()) == 1
    assert [(entry.position, entry.seq, entry.conflate_key) for entry in told] == [
        (1, None, "k"),
        (2, 1, None),
        (3, None, None),
    ]
    assert seqs(log, 0) == [1]
    payloads = [json.loads(entry.payload) for entry in told]
    assert ["seq" in payload for payload in payloads] == [False, True, False]
    assert len({payload["id"] for payload in payloads}) == 3


def test_a_listener_sees_the_head_of_its_entry_and_can_be_stopped() -> None:
    log = make()
    heads: list[tuple[int, int | None]] = []
    stop = log.listen(lambda entry: heads.append((log.head, entry.seq)))
    log.publish(Happened())
    log.publish(Happened())
    stop()
    stop()
    log.publish(Happened())
    assert heads == [(1, 1), (2, 2)]


def test_the_number_of_events_is_bounded() -> None:
    log = make(max_events=3)
    for _ in range(5):
        log.publish(Happened())
    assert (log.head, log.tail) == (5, 2)
    assert seqs(log, 1) is None
    assert seqs(log, 2) == [3, 4, 5]
    assert seqs(log, 5) == []
    assert seqs(log, 6) is None


def test_the_memory_is_bounded_and_the_newest_is_always_there() -> None:
    log = make(max_events=10_000, max_bytes=20_000)
    for _ in range(1000):
        log.publish(Happened(value="x" * 1000))
    entries = log.since(log.tail) or []
    assert 5 < len(entries) < 20
    assert sum(len(entry.frame) + ENTRY_OVERHEAD_BYTES for entry in entries) <= 20_000
    log.publish(Happened(value="x" * 100_000))
    assert seqs(log, log.head - 1) == [1001]
    assert log.tail == 1000
    log.publish(Happened())
    assert seqs(log, log.head - 1) == [1002]


def test_only_its_own_epoch_can_be_resumed() -> None:
    log, other = make(), make()
    log.publish(Happened())
    assert log.epoch != other.epoch
    assert log.resumable(log.epoch, 0)
    assert log.resumable(log.epoch, 1)
    assert not log.resumable(log.epoch, 2)
    assert not log.resumable(log.epoch, -1)
    assert not log.resumable(other.epoch, 0)


@given(st.integers(1, 20), st.lists(st.integers(0, 30), max_size=300), st.integers(1, 9))
def test_reading_agrees_with_a_list(max_events: int, steps: list[int], count: int) -> None:
    log = make(max_events=max_events)
    for step in steps:
        log.publish(Happened() if step else Passing())
        since = log.head - step
        gone = since < max(0, log.head - max_events)
        expected = None if gone else list(range(since + 1, log.head + 1))
        assert seqs(log, since) == expected
        read = log.read(since, count)
        assert (None if read is None else [entry.seq for entry in read]) == (
            None if expected is None else expected[:count]
        )


@pytest.mark.parametrize(
    "value",
    [
        {"text": "\udc80 half a character"},
        {"thing": object()},
        {(1, 2): "a key that is none"},
        {"error": ValueError("x")},
        [{"deep": {"\ud800": "\ud800"}}],
        2**70,
        float("inf"),
    ],
)
def test_what_a_plugin_says_never_fails_a_change(value: Any) -> None:
    log = make()
    log.publish(Happened(value=value))
    [entry] = log.since(0) or []
    assert json.loads(entry.payload)["seq"] == "1"


def test_a_value_without_end_is_cut() -> None:
    endless: list[Any] = []
    endless.append(endless)
    log = make()
    log.publish(Happened(value=endless))
    assert log.head == 1
    assert len(log.since(0) or []) == 1


def test_a_heartbeat_says_how_far_all_was_sent() -> None:
    log = make()
    log.publish(Happened())
    first, second = json.loads(log.heartbeat(1)), json.loads(log.heartbeat(1))
    assert first["type"] == "plugbay.heartbeat"
    assert first["subject"] == "heartbeat"
    assert (first["epoch"], first["seq"], first["data"]) == (log.epoch, "1", {})
    assert first["id"] != second["id"]
    assert log.head == 1


async def test_looking_through_a_long_log_lets_others_have_the_loop() -> None:
    log = make(max_events=10_000, max_bytes=2**24)
    for number in range(2000):
        log.publish(Happened(name=f"tasks/{number}"))
    looking = asyncio.create_task(log.newest(2, lambda subject: subject in ("tasks/1", "tasks/5", "tasks/9")))
    turns = 0
    while not looking.done():
        await asyncio.sleep(0)
        log.publish(Happened(name="tasks/9"))
        turns += 1
    assert [entry.subject for entry in await looking] == ["tasks/5", "tasks/9"]
    assert [entry.seq for entry in await looking] == [6, 10], "as of the call"
    assert turns > 5
