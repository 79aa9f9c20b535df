from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from service.live.event_log import Entry, EventLog
from service.live.event_stream import EventStream, read_position
from service.live.framing import WEB_SOCKET
from service.live.hub import Subscribed
from tests.unit.live.conftest import Begin, FakeTransport, Happened, Passing


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def made(*events: Happened) -> tuple[EventLog, list[Entry]]:
    entries: list[Entry] = []
    log = EventLog(max_events=10, max_bytes=2**20, node="test")
    log.listen(entries.append)
    for event in events:
        log.publish(event)
    return log, entries


def test_an_event_of_the_log_has_its_place_as_id() -> None:
    log, [entry] = made(Happened(value=1))
    frame = EventStream(log, chunked=False).event(entry)
    assert frame == b"id: %s:1\ndata: %s\n\n" % (log.epoch.encode(), entry.payload)


def test_what_has_no_place_has_no_id() -> None:
    log, [entry] = made(Passing(value=1))
    stream = EventStream(log, chunked=False)
    assert stream.event(entry) == b"data: %s\n\n" % entry.payload
    assert stream.message(b"{}") == b"data: {}\n\n"


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb\rc", "\n\ndata: x\n\n", "\u2028\u2029\x85", "插件 🎬", "\0"]
)
def test_a_text_of_many_lines_is_one_line(text: str) -> None:
    log, [entry] = made(Happened(value=text))
    lines = EventStream(log, chunked=False).event(entry).split(b"\n")
    assert [line.partition(b":")[0] for line in lines] == [b"id", b"data", b"", b""]
    assert b"\r" not in lines[1]
    assert json.loads(lines[1].removeprefix(b"data: "))["data"] == text


def test_a_chunk_says_how_long_it_is() -> None:
    log, [entry] = made(Happened(value="x" * 500))
    plain, chunked = EventStream(log, chunked=False).event(entry), EventStream(log, chunked=True).event(entry)
    assert chunked == b"%x\r\n%s\r\n" % (len(plain), plain)


def test_the_goodbye_ends_the_body_and_names_no_position() -> None:
    log, _ = made(Happened())
    frame = EventStream(log, chunked=True).goodbye(4008, "slow consumer; reconnect")
    assert frame.endswith(b"\r\n0\r\n\r\n")
    assert not EventStream(log, chunked=False).goodbye(1001, "x").endswith(b"0\r\n\r\n")
    told = json.loads(frame.split(b"data: ")[1].partition(b"\n")[0])
    assert told["type"] == "plugbay.stream.closed"
    assert told["data"] == {"code": 4008, "reason": "slow consumer; reconnect"}
    assert "seq" not in told, "the client need not have everything up to there"
    assert b"id: " not in frame


@pytest.mark.parametrize(
    ("since", "recovered", "start"), [(None, True, 9), (5, True, 5), (0, True, 0), (5, False, 9)]
)
def test_the_opening_says_where_the_stream_begins(since: int | None, recovered: bool, start: int) -> None:
    log, _ = made()
    opening = (
        EventStream(log, chunked=False).opening(Subscribed(log.epoch, "9", recovered, 0), since).decode()
    )
    comment, retry, id, *rest = opening.split("\n")
    assert json.loads(comment.removeprefix(": "))["recovered"] is recovered
    assert (retry, id) == ("retry: 1000", f"id: {log.epoch}:{start}")
    if recovered:
        assert rest == ["", ""]
    else:
        reset, *blank = rest
        assert blank == ["", ""], "position and reset are one block"
        told = json.loads(reset.removeprefix("data: "))
        assert (told["type"], told["seq"]) == ("plugbay.stream.reset", "9")
        assert told["data"]["recovered"] is False


@pytest.mark.parametrize(
    ("id", "position"),
    [
        ("k3:41", ("k3", 41)),
        ("k3:0", ("k3", 0)),
        *((id, None) for id in ("", "k3", "k3:", ":1", "k3:-1", "k3:01", "k3:1 ", "k3:x", "a:b:1", "k3:1\n")),
        ("k3:" + "9" * 19, None),
        ("x" * 65 + ":1", None),
        ("k3:٣", None),
    ],
)
def test_positions(id: str, position: tuple[str, int] | None) -> None:
    assert read_position(id) == position


def test_streams_of_one_kind_are_one() -> None:
    log, _ = made()
    assert EventStream(log, True) == EventStream(log, True) != EventStream(log, False)
    assert len({EventStream(log, True), EventStream(log, True), EventStream(log, False), WEB_SOCKET}) == 3


async def test_each_client_gets_its_own_kind_of_frame(begin: Begin) -> None:
    bench = begin()
    streams = []
    for framing in (EventStream(bench.log, False), EventStream(bench.log, False), WEB_SOCKET):
        transport = FakeTransport()
        client = bench.hub.attach(transport, transport.drain, None, framing)
        await bench.subscribe(client, "**")
        streams.append(transport)
    bench.log.publish(Happened(value=7))
    await bench.settle()
    first, second, socket = streams
    assert first.written == second.written
    assert first.written.startswith(b"id: %s:1\ndata: {" % bench.log.epoch.encode())
    assert socket.values == [7]


async def test_who_reads_nothing_for_a_heartbeat_is_let_go(begin: Begin) -> None:
    bench = begin(heartbeat_s=0.05)
    transport = FakeTransport()
    client = bench.hub.attach(transport, transport.drain, None, EventStream(bench.log, False))
    await bench.subscribe(client, "**")
    transport.stuck = True
    bench.log.publish(Happened(value="x" * 20_000))
    await until(lambda: transport.ended)
    assert client.closing
    assert b'"code":4009,"reason":"nothing is read; reconnect"' in transport.written


async def test_who_reads_is_kept_although_it_answers_no_ping(begin: Begin) -> None:
    bench = begin(heartbeat_s=0.02)
    transport = FakeTransport()
    client = bench.hub.attach(transport, transport.drain, None, EventStream(bench.log, False))
    await bench.subscribe(client, "**")
    await until(lambda: transport.written.count(b"plugbay.heartbeat") >= 6)
    assert not client.closing


async def test_where_a_position_is_gone_a_stream_goes_on_from_now(begin: Begin) -> None:
    bench = begin(max_events=3)
    for number in range(10):
        bench.log.publish(Happened(value=number))
    transport = FakeTransport()
    stream = EventStream(bench.log, False)
    client = bench.hub.attach(transport, transport.drain, None, stream)
    answers: list[Subscribed] = []

    def answer(subscribed: Subscribed) -> bytes:
        answers.append(subscribed)
        return b""

    await bench.hub.subscribe(client, ["**"], (bench.log.epoch, 1), answer, else_from_now=True)
    bench.log.publish(Happened(value=10))
    await bench.settle()
    assert answers == [Subscribed(bench.log.epoch, "10", False, 0)]
    assert transport.written.count(b"data: ") == 1
    assert b"id: %s:11\n" % bench.log.epoch.encode() in transport.written
