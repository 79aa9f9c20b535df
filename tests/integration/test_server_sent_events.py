"""Server-sent events over real sockets: aiohttp's client, httpx, curl, and a socket that reads nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from jsonschema import Draft7Validator

from service.model.events import LogLine
from tests.integration.event_source import EventSource, Interpreter, Message, open_source
from tests.integration.followers import Follower, ride_out
from tests.integration.hub_server import Changed, Progress, Server, Start, servers
from tests.integration.live import live_server, search_plugin, write

SECONDS = 10.0
LINE = LogLine(id="search/demo", at="2026-11-22T12:00:00Z", level="info", generation=1, message="一\n二\r\n")

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with servers() as start_server:
        yield start_server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@contextlib.asynccontextmanager
async def source(
    session: aiohttp.ClientSession, server: Server, *topics: str, last_event_id: str | None = None
) -> AsyncIterator[EventSource]:
    opened = await open_source(session, server.stream_url, *topics, last_event_id=last_event_id)
    try:
        yield opened
    finally:
        opened.cut()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that gives no sign of its own."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def next_of(events: EventSource) -> Message:
    message = await events.receive()
    assert message is not None
    return message


# Events


async def test_events_are_those_of_the_websocket(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    async with source(session, server) as events, session.ws_connect(server.url) as ws:
        await ws.send_json({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": ["**"]}})
        await ws.receive_json()
        for number in range(40):
            if number % 4 == 3:
                server.log.publish(LINE)
            else:
                server.change(f"plugins/search/{number}")
        for _ in range(40):
            message = await next_of(events)
            over_socket = await ws.receive_json()
            assert message.event == over_socket
            seq = over_socket.get("seq")
            assert message.id == (None if seq is None else f"{server.log.epoch}:{seq}"), (
                "passing ones have none"
            )
    await until(lambda: server.hub.clients == 0)


async def test_the_head_keeps_proxies_and_caches_away(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    headers = {"Accept-Encoding": "gzip, deflate, br"}
    async with session.get(server.stream_url, headers=headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in response.headers
    async with session.head(server.stream_url) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    await until(lambda: server.hub.clients == 0)


async def test_only_what_matches_comes(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    async with source(session, server, "plugins/*/demo", "tasks/*") as events:
        for subject in ("plugins/search/other", "plugins/search/demo", "registry", "tasks/1", "tasks/1/2"):
            server.change(subject)
        assert await events.ids(2) == [2, 4]
    url = (
        f"{server.stream_url}?topics=tasks/*,%20registry&topics=plugins/**&last_event_id={server.log.epoch}:0"
    )
    async with session.get(url) as response:
        events = EventSource(response)
        assert (await events.opened())["replayed"] == 4
        assert await events.ids(4) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "topics", ["", "a,,b", "a//b", "**/a", "x" * 257, ",".join(f"t{number}" for number in range(65))]
)
async def test_topics_that_are_none_are_refused(
    start: Start, session: aiohttp.ClientSession, topics: str
) -> None:
    server = await start()
    async with session.get(server.stream_url, params={"topics": topics}) as response:
        assert response.status == 400
        problem = await response.json()
        assert (problem["code"], problem["field"]) == ("request_invalid", "topics")
    assert server.hub.clients == 0


@pytest.mark.parametrize("name", ["topic", "Topics", "since", "", "x" * 300, "a\nb"])
async def test_parameters_that_are_unknown_are_refused(
    start: Start, session: aiohttp.ClientSession, name: str
) -> None:
    server = await start()
    params = {"topics": "tasks/*", name: "tasks/*"}
    async with session.get(server.stream_url, params=params) as response:
        assert response.status == 400
        problem = await response.json()
        assert (problem["code"], problem["field"]) == ("request_invalid", name[:64].replace("\n", "?"))
        assert "last_event_id" in problem["detail"], "says what there is"
    assert server.hub.clients == 0


async def test_heartbeats_say_how_far_all_was_sent_and_have_no_id(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start(heartbeat_s=0.05)
    server.change("a")
    async with source(session, server, "nothing") as events:
        first, second = [await next_of(events) for _ in range(2)]
        assert first.type == second.type == "plugbay.heartbeat"
        assert (first.event["seq"], first.id) == ("1", None)
        assert first.event["id"] != second.event["id"]
        server.change("b")
        async with asyncio.timeout(SECONDS):
            while (await next_of(events)).event["seq"] != "2":
                pass
        assert events.interpreter.last_event_id == f"{server.log.epoch}:1"


async def test_over_http_1_0_the_body_ends_with_the_connection(start: Start) -> None:
    server = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /api/events HTTP/1.0\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    await until(lambda: server.hub.clients == 1)
    server.change("a")
    stopping = asyncio.create_task(server.stop())
    interpreter = Interpreter()
    messages = interpreter.feed(await reader.read())
    assert [message.type for message in messages] == ["plugbay.test.changed", "plugbay.stream.closed"]
    writer.close()
    await stopping


# Resuming


async def test_a_cut_at_any_byte_costs_nothing(start: Start, session: aiohttp.ClientSession) -> None:
    """What a client gets that is cut after any number of bytes and resumes, and one that is never cut."""
    server = await start()
    beginning = f"{server.log.epoch}:0"
    for number in range(8):
        server.change("plugins/search/demo" if number % 3 else "other")
    async with source(session, server, "plugins/**", last_event_id=beginning) as events:
        whole = [await next_of(events) for _ in range(5)]
        assert events.opening["replayed"] == 5
    async with session.get(
        server.stream_url, params={"topics": "plugins/**"}, headers={"Last-Event-ID": beginning}
    ) as response:
        body = b""
        while body.count(b"\n\n") < 6:
            body += await response.content.readany()

    for cut in range(0, len(body) + 1, 9):
        before = Interpreter()
        had = before.feed(body[:cut])
        resume = before.last_event_id or beginning
        async with source(session, server, "plugins/**", last_event_id=resume) as events:
            had += [await next_of(events) for _ in range(len(whole) - len(had))]
            assert events.opening["recovered"]
        assert had == whole, f"cut after {cut} bytes"


async def test_a_reset_is_not_lost_by_a_cut(start: Start, session: aiohttp.ClientSession) -> None:
    """A client that has the new position also has the reset."""
    server = await start()
    server.change("a")
    async with session.get(server.stream_url, headers={"Last-Event-ID": "other:1"}) as response:
        body = b""
        while not body.endswith(b"\n\n"):
            body += await response.content.readany()
    for cut in range(len(body) + 1):
        client = Interpreter()
        got = client.feed(body[:cut])
        assert bool(got) == bool(client.last_event_id)


async def test_a_client_that_is_cut_before_its_first_event_misses_none(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    server.change("a")
    async with source(session, server) as events:
        assert events.interpreter.last_event_id == f"{server.log.epoch}:1"
        assert events.interpreter.retry_ms == 1000
        assert events.opening == {"epoch": server.log.epoch, "seq": "1", "recovered": True, "replayed": 0}
        position = events.interpreter.last_event_id
    server.change("b")
    async with source(session, server, last_event_id=position) as events:
        assert await events.ids(1) == [2]
        position = events.interpreter.last_event_id
    async with source(session, server, last_event_id=position) as events:
        server.log.publish(LINE)
        assert (await next_of(events)).type == "plugbay.log"
        assert events.interpreter.last_event_id == position, "what has no id does not take it away"


async def test_the_header_counts_before_the_parameter(start: Start, session: aiohttp.ClientSession) -> None:
    """An EventSource that comes back by itself asks for the address that it was made with."""
    server = await start()
    for _ in range(5):
        server.change("a")
    url = f"{server.stream_url}?last_event_id={server.log.epoch}:1"
    async with session.get(url) as response:
        assert await EventSource(response).ids(4) == [2, 3, 4, 5]
    async with session.get(url, headers={"Last-Event-ID": f"{server.log.epoch}:3"}) as response:
        assert await EventSource(response).ids(2) == [4, 5]
    async with session.get(url, headers={"Last-Event-ID": ""}) as response:
        assert await EventSource(response).ids(1) == [2], "an empty one is none"


@pytest.mark.parametrize(
    "position", ["other:3", "{epoch}:1", "{epoch}:99", "nonsense", "{epoch}:-1", "插件:1"]
)
async def test_a_position_that_is_gone_is_told_and_the_stream_goes_on_from_the_head(
    start: Start, session: aiohttp.ClientSession, position: str
) -> None:
    server = await start(max_events=3)
    for _ in range(10):
        server.change("plugins/search/demo")
    id = position.format(epoch=server.log.epoch)
    async with source(session, server, "plugins/**", last_event_id=id) as events:
        said = {"epoch": server.log.epoch, "seq": "10", "recovered": False, "replayed": 0}
        assert events.opening == said
        reset = await next_of(events)
        assert (reset.type, reset.event["data"]) == ("plugbay.stream.reset", said)
        assert events.interpreter.last_event_id == f"{server.log.epoch}:10"
        server.change("plugins/search/demo")
        assert await events.ids(1) == [11]


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_is_cut_every_client_ends_with_the_state_of_the_server(
    start: Start, session: aiohttp.ClientSession, seed: int
) -> None:
    """Positions become too old, too."""
    server = await start(max_events=300, client_queue=100, heartbeat_s=0.3, close_s=0.3)
    cuts = await ride_out(
        server,
        lambda topic, dice, finished: StreamFollower(server, session, topic, dice, finished),
        ["**", "plugins/**", "plugins/search/*", "tasks/*"],
        seed=seed,
        gusts=250,
        calm=(0, 0, 0.001, 0.004),
        pauses=(0, 0.001, 0.02, 0.2),
    )
    assert cuts > 10
    await until(lambda: server.hub.clients == 0)


class StreamFollower(Follower):
    """As the interface asks for: resume; on a reset fetch a snapshot and drop what it knows already."""

    def __init__(
        self,
        server: Server,
        session: aiohttp.ClientSession,
        topic: str,
        dice: random.Random,
        finished: asyncio.Event,
    ) -> None:
        super().__init__(server, topic, dice, finished)
        self._session = session
        # Nobody's, so that the first connection begins with a reset.
        self._last_event_id = "none:0"
        self._seq = 0

    async def _connected(self) -> bool:
        dice = self._dice
        async with source(
            self._session, self._server, self._topic, last_event_id=self._last_event_id
        ) as events:
            left = dice.randrange(40) if not self._finished.is_set() else 10**6
            while left > 0:
                if self._done():
                    return True
                message = await events.receive()
                if message is None or message.type == "plugbay.stream.closed":
                    return False
                await self._apply(message)
                self._last_event_id = message.last_event_id
                left -= 1
                if dice.random() < 0.01:
                    await asyncio.sleep(0.05)
            return False

    async def _apply(self, message: Message) -> None:
        assert self._seq is not None
        if message.type == "plugbay.stream.reset":
            # As over the network: after the stream began, and of then.
            await asyncio.sleep(self._dice.choice((0, 0.002)))
            snapshot = self._server.snapshot()
            await asyncio.sleep(self._dice.choice((0, 0.002)))
            self._take_snapshot(snapshot)
        elif message.type == "plugbay.heartbeat":
            # How far a client has come is also told where nothing that it wants happens.
            self._seq = max(self._seq, int(message.event["seq"]))
        elif message.id is not None and int(message.event["seq"]) > self._seq:
            self._take(message.event)


# Clients of other makes


@needs_curl
async def test_curl_resumes_after_every_few_events(start: Start) -> None:
    server = await start()
    last = f"{server.log.epoch}:0"
    seen: list[int] = []
    for round_ in range(1, 6):
        for _ in range(round_):
            server.change("plugins/search/demo")
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sN", "--header", f"Last-Event-ID: {last}", f"{server.stream_url}?topics=plugins/**"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert curl.stdout is not None
        interpreter = Interpreter()
        got = 0
        async with asyncio.timeout(SECONDS):
            while got < round_:
                for message in interpreter.feed(await curl.stdout.readline()):
                    seen.append(int(message.event["seq"]))
                    got += 1
        curl.kill()
        await curl.wait()
        last = interpreter.last_event_id
    assert seen == list(range(1, 16))


@needs_curl
async def test_curl_sees_an_orderly_end_at_shutdown(start: Start) -> None:
    server = await start(close_s=SECONDS)
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sN", server.stream_url, stdout=asyncio.subprocess.PIPE
    )
    await until(lambda: server.hub.clients == 1)
    for _ in range(100):
        server.change("a")
    began = asyncio.get_running_loop().time()
    await server.stop()
    async with asyncio.timeout(SECONDS):
        output, _ = await curl.communicate()
    assert curl.returncode == 0
    *events, closed = Interpreter().feed(output)
    assert [message.event["seq"] for message in events] == [str(seq) for seq in range(1, 101)]
    assert closed.event["data"] == {"code": 1001, "reason": "server is shutting down; reconnect"}
    assert asyncio.get_running_loop().time() - began < SECONDS / 2, "nobody had to be cut"


async def test_httpx_reads_it_line_by_line(start: Start) -> None:
    server = await start()
    for _ in range(3):
        server.change("a")
    headers = {"Last-Event-ID": f"{server.log.epoch}:1"}
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", server.stream_url, headers=headers) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream"
        found: list[dict[str, Any]] = []
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
                if len(found) == 2:
                    break
    assert [event["seq"] for event in found] == ["2", "3"]
    await until(lambda: server.hub.clients == 0)


# Limits and ends


@contextlib.asynccontextmanager
async def lazy(server: Server) -> AsyncIterator[asyncio.StreamReader]:
    """A client that has asked and read the head, and whose system takes next to nothing for it."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    writer.write(b"GET /api/events HTTP/1.0\r\n\r\n")
    try:
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: server.hub.clients > 0)
        yield reader
    finally:
        writer.transport.abort()


async def test_one_that_is_too_slow_is_told_so_last_and_resumes(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start(client_queue=50, close_s=SECONDS)
    interpreter = Interpreter()
    async with lazy(server) as reader:
        for number in range(400):
            server.log.publish(Changed(name="a", value=number, padding="x" * 1000))
            if number % 20 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(SECONDS):
            messages = interpreter.feed(await reader.read())
    *events, closed = messages
    assert closed.type == "plugbay.stream.closed"
    assert closed.event["data"] == {"code": 4008, "reason": "slow consumer; reconnect"}
    assert "seq" not in closed.event
    got = [int(message.event["seq"]) for message in events]
    assert got == list(range(1, len(got) + 1))
    assert len(got) < 400
    async with source(session, server, last_event_id=interpreter.last_event_id) as again:
        assert got + await again.ids(400 - len(got)) == list(range(1, 401))


async def test_progress_of_one_task_is_conflated_for_a_slow_client(start: Start) -> None:
    server = await start(client_queue=50)
    async with lazy(server) as reader:
        for _ in range(20):
            server.log.publish(Changed(name="filler", value=0, padding="x" * 20_000))
        await until(lambda: any(client.blocked for client in server.hub._clients))
        for value in range(500):
            server.log.publish(Progress(name="tasks/1", value=value))
            if value % 50 == 0:
                await asyncio.sleep(0)
        server.change("last")
        interpreter, messages = Interpreter(), list[Message]()
        async with asyncio.timeout(SECONDS):
            while not messages or messages[-1].event["subject"] != "last":
                messages += interpreter.feed(await reader.read(65536))
    progress = [message for message in messages if message.type == "plugbay.task.progress"]
    assert progress[-1].event["data"]["value"] == 499
    assert len(progress) < 50
    assert all(message.id is None for message in progress)


async def test_one_that_reads_nothing_is_let_go(start: Start) -> None:
    server = await start(heartbeat_s=0.1, close_s=0.1)
    async with lazy(server):
        for _ in range(20):
            server.log.publish(Changed(name="a", value=1, padding="x" * 20_000))
        await until(lambda: server.hub.clients == 0)


async def test_shutdown_does_not_wait_for_one_that_reads_nothing(start: Start) -> None:
    server = await start(close_s=0.2)
    async with lazy(server):
        for _ in range(50):
            server.log.publish(Changed(name="a", value=1, padding="x" * 100_000))
        async with asyncio.timeout(4):
            await server.stop()
        assert server.hub.clients == 0


async def test_one_that_leaves_is_gone_at_once(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    for _ in range(3):
        async with source(session, server):
            assert server.hub.clients == 1
        await until(lambda: server.hub.clients == 0)


async def test_clients_of_both_kinds_count_for_their_address(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start(clients_per_address=2, remote="203.0.113.9")
    async with session.ws_connect(server.url):
        async with source(session, server):
            async with session.get(server.stream_url) as response:
                assert response.status == 429
                problem = await response.json()
                assert (problem["code"], problem["limit"]) == ("too_many_clients", 2)
        await until(lambda: server.hub.clients == 1)
        async with source(session, server):
            assert server.hub.clients == 2


async def test_a_server_that_ends_takes_no_more(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    await server.hub.close()
    async with session.get(server.stream_url) as response:
        assert response.status == 503
        assert (await response.json())["code"] == "shutting_down"


# The whole server


async def test_a_plugin_s_life_is_told_as_the_document_says_and_over_a_restart(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    home = tmp_path / "home"
    plugin = home / "plugins" / "search" / "demo_plugin.py"
    async with live_server(home) as live:
        url = live.server.url + "/api/events"
        document = (await live.get("/api/asyncapi.json")).body
        listed = (await live.get("/api/plugins")).body
        position = f"{listed['epoch']}:{listed['seq']}"
        stream = await open_source(session, url, "plugins/**", "tasks/*", "logs/**", last_event_id=position)
        write(plugin, search_plugin("demo", "1", imports="print('hello')"))
        await live.event("loaded", "search/demo")
        write(plugin, search_plugin("demo", "2"))
        await live.event("reloaded", "search/demo")
        write(plugin, "class Broken(")
        await live.event("failed", "search/demo")
        task = (await live.post("/api/search/async?plugin_name=demo&keyword=x")).body["task_id"]
        told = await _up_to(stream, "plugbay.task.completed")
        stream.cut()
        assert {message.event["subject"] for message in told} == {
            "plugins/search/demo",
            "logs/search/demo",
            f"tasks/{task}",
        }
        messages, components = document["components"]["messages"], document["components"]
        for message in told:
            schema = {**messages[message.type]["payload"], "components": components}
            Draft7Validator(schema).validate(message.event)
        assert all((message.id is None) == (message.type in PASSING) for message in told)

        again = await open_source(session, url, "plugins/**", "tasks/*", "logs/**", last_event_id=position)
        replayed = await _up_to(again, "plugbay.task.completed")
        assert replayed == [message for message in told if message.id is not None]
        for headers, status in (
            ({"Host": "evil.example"}, 421),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"X-Forwarded-For": "203.0.113.9"}, 401),
        ):
            assert (await live.get("/api/events", headers=headers)).status == status
        last = again.interpreter.last_event_id
        # It ends while somebody listens.
        assert await live.server.stop() == 0
        assert (await again.rest())[-1].event["data"]["code"] == 1001

    async with live_server(home) as live:
        stream = await open_source(session, live.server.url + "/api/events", last_event_id=last)
        message = await next_of(stream)
        assert message.type == "plugbay.stream.reset", "another run of the server, another log"
        assert message.id == f"{message.event['epoch']}:{message.event['seq']}"
        stream.cut()


PASSING = frozenset({"plugbay.log", "plugbay.task.progress", "plugbay.heartbeat"})


async def _up_to(stream: EventSource, type: str) -> list[Message]:
    found = [await next_of(stream)]
    while found[-1].type != type:
        found.append(await next_of(stream))
    return found
