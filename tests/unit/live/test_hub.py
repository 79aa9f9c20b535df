from __future__ import annotations

import asyncio
import random
from time import thread_time

import pytest

from service.live.client import Client
from service.live.feeder import NO_ANSWER, SLOW_CONSUMER, WATER_BYTES
from service.live.hub import GOING_AWAY, HubClosed, TooManyClients
from service.live.session import Session
from tests.unit.live.conftest import Begin, FakeTransport, Happened, Passing


async def test_a_live_client_gets_what_it_asked_for(begin: Begin) -> None:
    bench = begin()
    client, transport = bench.attach()
    await bench.subscribe(client, "a")
    for number in range(5):
        bench.log.publish(Happened(name="ab"[number % 2], value=number))
    await bench.settle()
    assert transport.values == [0, 2, 4]


async def test_the_hub_knows_what_anybody_wants(begin: Begin) -> None:
    bench = begin()
    assert not bench.hub.is_wanted("stats")
    client, _ = bench.attach()
    await bench.subscribe(client, "plugins/**")
    assert not bench.hub.is_wanted("stats")
    assert bench.hub.is_wanted("plugins/search/demo")
    await bench.subscribe(client, "stats")
    assert bench.hub.is_wanted("stats")
    bench.hub.unsubscribe(client, ["stats"])
    assert not bench.hub.is_wanted("stats")


async def test_what_is_written_at_once_is_bounded_for_a_client_that_is_stuck(begin: Begin) -> None:
    bench = begin(client_queue=500)
    client, transport = bench.attach()
    await bench.subscribe(client, "**")
    transport.stuck = True
    for number in range(400):
        bench.log.publish(Happened(value=f"{number}" + "x" * 1000))
    await bench.settle()
    assert WATER_BYTES < len(transport.written) < 3 * WATER_BYTES
    assert not client.closing
    transport.unstick()
    await bench.settle()
    assert [int(value.rstrip("x")) for value in transport.values] == list(range(400))
    assert client.live


async def test_a_stuck_client_is_closed_when_too_much_waits_for_it(begin: Begin) -> None:
    bench = begin(client_queue=50)
    stuck, stuck_transport = bench.attach()
    other, other_transport = bench.attach()
    for client in (stuck, other):
        await bench.subscribe(client, "**")
    stuck_transport.stuck = True
    for number in range(300):
        bench.log.publish(Happened(value="x" * 1000))
        if number % 20 == 0:
            await bench.settle()
    await bench.settle()
    assert stuck_transport.close_code == SLOW_CONSUMER
    assert stuck.outbox.empty
    assert len(other_transport.values) == 300
    # It does not read the close frame either: its connection is cut.
    await asyncio.sleep(0.1)
    assert stuck_transport.aborted


async def test_more_than_the_server_can_hand_out_ends_with_4008_and_never_with_a_gap(begin: Begin) -> None:
    bench = begin(max_events=100)
    client, transport = bench.attach()
    await bench.subscribe(client, "**")
    for number in range(250):
        bench.log.publish(Happened(value=number))
    await bench.settle()
    assert transport.values == []
    assert transport.close_code == SLOW_CONSUMER


async def test_progress_faster_than_it_can_be_handed_out_is_conflated(begin: Begin) -> None:
    bench = begin(client_queue=10)
    client, transport = bench.attach()
    await bench.subscribe(client, "**")
    for number in range(5000):
        bench.log.publish(Passing(key="x", value=number))
    bench.log.publish(Happened(value="end"))
    await bench.settle()
    assert transport.values == [4999, "end"]


async def test_a_broadcast_to_thousands_never_holds_the_loop(begin: Begin) -> None:
    bench = begin()
    clients = [bench.attach() for _ in range(2000)]
    for client, _ in clients:
        await bench.subscribe(client, "**")

    def slow_write() -> None:
        end = thread_time() + 10e-6
        while thread_time() < end:
            pass

    for _, transport in clients:
        transport.on_write = slow_write
    bench.log.publish(Happened(value=1))
    # In processor time, so that what other processes take of it counts for nothing.
    gaps = []
    last = thread_time()
    while not all(transport.written for _, transport in clients):
        await asyncio.sleep(0)
        now = thread_time()
        gaps.append(now - last)
        last = now
    # Two thousand writes take 20 ms and more; they came in more than ten pieces.
    assert len(gaps) > 10
    assert sorted(gaps)[len(gaps) // 2] < 0.004


async def test_a_client_whose_transport_fails_costs_nobody_else(begin: Begin) -> None:
    bench = begin()
    clients = [bench.attach() for _ in range(3)]
    for client, _ in clients:
        await bench.subscribe(client, "**")

    def fail() -> None:
        raise RuntimeError("broken")

    clients[1][1].on_write = fail
    bench.log.publish(Happened(value=1))
    await bench.settle()
    assert [transport.values for _, transport in clients] == [[1], [], [1]]
    assert clients[1][1].aborted


async def test_heartbeats_never_run_ahead_of_the_events(begin: Begin) -> None:
    bench = begin(heartbeat_s=0.02, client_queue=10_000)
    client, transport = bench.attach()
    await bench.subscribe(client, "**")
    async with asyncio.timeout(20):
        while sum(message["type"] == "plugbay.heartbeat" for message in transport.messages) < 5:
            bench.hub.alive(client)
            transport.stuck = random.random() < 0.1
            bench.log.publish(Happened(value="x" * 5000))
            if not transport.stuck:
                transport.unstick()
            await asyncio.sleep(0)
    seq = 0
    for message in transport.messages:
        if message["type"] == "plugbay.heartbeat":
            assert int(message["seq"]) == seq
        else:
            seq += 1
            assert int(message["seq"]) == seq


async def test_a_client_that_is_behind_gets_its_heartbeat_when_it_has_caught_up(begin: Begin) -> None:
    bench = begin(heartbeat_s=0.05)
    client, transport = bench.attach()
    await bench.subscribe(client, "**")
    transport.stuck = True
    for _ in range(100):
        bench.log.publish(Happened(value="x" * 1000))
    await bench.settle()
    async with asyncio.timeout(5):
        while not client.beat_due:
            bench.hub.alive(client)
            await asyncio.sleep(0.01)
    assert client.pinged
    transport.unstick()
    await bench.settle()
    # That it takes what was written is a sign of life as well.
    assert not client.pinged
    assert [message["seq"] for message in transport.messages] == [*map(str, range(1, 101)), "100"]
    assert transport.messages[-1]["type"] == "plugbay.heartbeat"


async def test_a_client_that_leaves_with_its_transport_full_is_cut(begin: Begin) -> None:
    bench = begin()
    client, transport = bench.attach()
    await bench.subscribe(client, "**")
    transport.stuck = True
    bench.log.publish(Happened())
    await bench.settle()
    bench.hub.detach(client)
    assert not transport.aborted
    async with asyncio.timeout(5):
        while not transport.aborted:
            await asyncio.sleep(0.01)


async def test_one_that_does_not_answer_pings_is_closed_and_cut(begin: Begin) -> None:
    bench = begin(heartbeat_s=0.05)
    client, transport = bench.attach()
    async with asyncio.timeout(5):
        while not transport.aborted:
            await asyncio.sleep(0.01)
    assert [first for first, _ in transport.frames] == [0x89, 0x88]
    assert transport.close_code == NO_ANSWER
    bench.hub.detach(client)
    assert bench.hub.clients == 0


async def test_a_stuck_replay_that_the_log_leaves_behind_ends_with_4008(begin: Begin) -> None:
    bench = begin(max_events=200, client_queue=10_000)
    for number in range(200):
        bench.log.publish(Happened(value=f"{number}" + "x" * 1000))
    client, transport = bench.attach()
    transport.stuck = True
    await bench.subscribe(client, "**", since=0)
    await bench.settle()
    for _ in range(200):
        bench.log.publish(Happened(name="b"))
    transport.unstick()
    await bench.settle()
    assert transport.close_code == SLOW_CONSUMER
    got = [int(value.rstrip("x")) for value in transport.values]
    assert got == list(range(len(got)))
    assert len(got) < 200


async def test_answers_wait_behind_events_and_too_many_stop_the_reading(begin: Begin) -> None:
    bench = begin()
    client, transport = bench.attach()
    await bench.subscribe(client, "**")
    session = Session(bench.hub, client, "en")
    transport.stuck = True
    for _ in range(100):
        bench.log.publish(Happened(value="x" * 1000))
    await bench.settle()
    written = len(transport.written)

    async def flood() -> None:
        for number in range(1000):
            await bench.hub.room(client)
            await session.text(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number)

    flooding = asyncio.create_task(flood())
    await bench.settle()
    assert not flooding.done()
    assert len(transport.written) == written
    assert client.outbox.answers == 64
    transport.unstick()
    async with asyncio.timeout(5):
        await flooding
    await bench.settle()
    assert [
        message["id"] for message in transport.messages if "id" in message and "result" in message
    ] == list(range(1000))


async def test_addresses_are_counted_and_forgotten(begin: Begin) -> None:
    bench = begin(clients_per_address=2)
    clients = [bench.attach("203.0.113.1")[0] for _ in range(2)]
    bench.hub.check_room(None)
    bench.hub.check_room("203.0.113.2")
    with pytest.raises(TooManyClients):
        bench.hub.check_room("203.0.113.1")
    bench.hub.detach(clients[0])
    bench.hub.detach(clients[0])
    bench.hub.check_room("203.0.113.1")
    bench.hub.detach(clients[1])
    assert bench.hub._addresses == {}


async def test_closing_says_goodbye_cuts_the_silent_and_may_be_repeated(begin: Begin) -> None:
    bench = begin()
    polite, polite_transport = bench.attach()
    _, silent_transport = bench.attach()
    await bench.subscribe(polite, "**")
    bench.log.publish(Happened(value="last"))

    async def answer() -> None:
        while polite_transport.close_code is None:
            await asyncio.sleep(0)
        bench.hub.detach(polite)

    answering = asyncio.create_task(answer())
    async with asyncio.timeout(5):
        await asyncio.gather(bench.hub.close(), bench.hub.close())
        await bench.hub.close()
    await answering
    assert polite_transport.values == ["last"]
    assert polite_transport.close_code == silent_transport.close_code == GOING_AWAY
    assert silent_transport.aborted
    assert bench.hub.clients == 0
    with pytest.raises(HubClosed):
        bench.hub.check_room(None)
    _, late = bench.attach()
    assert late.close_code == GOING_AWAY
    bench.log.publish(Happened())


async def test_nothing_is_written_to_a_client_that_was_fenced(begin: Begin) -> None:
    bench = begin(heartbeat_s=0.02)
    client, transport = bench.attach()
    await bench.subscribe(client, "**")
    bench.hub.fence(client)
    bench.log.publish(Happened())
    bench.hub.send(client, b"answer")
    await bench.subscribe(client, "b")
    await asyncio.sleep(0.04)
    assert transport.frames == []
    assert bench.hub._feeder._groups == {}


@pytest.mark.parametrize("seed", range(40))
async def test_any_mixture_ends_with_everything_once_and_in_order(
    begin: Begin, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that come, subscribe, resume and get stuck in the middle of rounds, which pause at every client."""
    monkeypatch.setattr("service.live.feeder.STEP_S", -1.0)
    monkeypatch.setattr("service.live.feeder._CLIENTS_PER_LOOK", 1)
    monkeypatch.setattr("service.live.feeder._SLICE_BYTES", 400)
    dice = random.Random(seed)
    bench = begin(max_events=5000, client_queue=5000)
    subjects: list[str] = []
    clients: list[tuple[Client, FakeTransport, int]] = []

    def publish() -> None:
        subject = dice.choice("abc")
        seq = bench.log.publish(
            Happened(
                name=subject,
                value=len(subjects),
            )
        )
        subjects.append(subject)
        assert seq == len(subjects)

    for _ in range(300):
        for _ in range(dice.randrange(4)):
            publish()
        action = dice.randrange(10)
        if action == 0 and len(clients) < 40:
            client, transport = bench.attach()
            since = dice.randrange(len(subjects) + 1)
            await bench.subscribe(client, "a", since=since)
            clients.append((client, transport, since))
        elif action == 1 and clients:
            client, _, since = dice.choice(clients)
            await bench.subscribe(client, dice.choice(("b", "*")), since=since)
        elif action == 2 and clients:
            client, _, since = dice.choice(clients)
            await bench.subscribe(client, "a", since=since)
        elif action == 3 and clients:
            _, transport, _ = dice.choice(clients)
            if transport.stuck:
                transport.unstick()
            else:
                transport.stuck = True
        elif action == 4:
            await asyncio.sleep(0)
    for _, transport, _ in clients:
        transport.unstick()
    async with asyncio.timeout(20):
        while bench.hub._feeder.busy:
            await asyncio.sleep(0)
    await bench.settle()

    for client, transport, since in clients:
        got = transport.values
        assert len(got) == len(set(got))
        wanted = client.group.topics if client.group is not None else None
        assert wanted is not None
        expected = [
            value for value, subject in enumerate(subjects) if value >= since and wanted.matches(subject)
        ]
        assert sorted(got) == expected
        only_a = [value for value in got if subjects[value] == "a"]
        assert only_a == sorted(only_a)
