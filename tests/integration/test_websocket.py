"""The WebSocket over real sockets: aiohttp's client, the websockets library, and sockets that break every rule."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConnectionClosed

from service.model.events import LogLine
from tests.integration.followers import Follower, ride_out
from tests.integration.hub_server import Changed, Progress, Server, Start, servers

SECONDS = 10.0


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with servers() as start_server:
        yield start_server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Client:
    """A client on aiohttp's WebSocket. Asserts the shape of all that it gets."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._id = 0

    async def receive(self) -> Any:
        async with asyncio.timeout(SECONDS):
            message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return json.loads(message.data)

    async def call(self, method: str, **params: Any) -> Any:
        """The result of a call; no event may come before it."""
        response = await self.request(method, **params)
        assert set(response) == {"jsonrpc", "id", "result"}, response
        return response["result"]

    async def request(self, method: str, **params: Any) -> Any:
        self._id += 1
        await self.socket.send_json({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        response = await self.receive()
        assert (response["jsonrpc"], response["id"]) == ("2.0", self._id), response
        return response

    async def seqs(self, count: int) -> list[int]:
        return [int((await self.receive())["seq"]) for _ in range(count)]

    async def silent(self) -> None:
        """Nothing is on its way: the next frame is the answer to a ping."""
        assert await self.call("ping") == {}


async def dial(session: aiohttp.ClientSession, server: Server, **options: Any) -> Client:
    return Client(
        await session.ws_connect(server.url, timeout=aiohttp.ClientWSTimeout(ws_close=2), **options)
    )


class Raw:
    """A bare connection: any byte can be sent, and nothing is answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def frame(self) -> tuple[int, bytes]:
        """The next frame that is no ping."""
        while (received := await self._frame())[0] == 0x89:
            pass
        return received

    async def _frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(SECONDS):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return first, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """Read to the close frame, and on to the end of the connection."""
        while True:
            first, payload = await self.frame()
            if first == 0x88:
                break
        async with asyncio.timeout(SECONDS):
            try:
                assert await self.reader.read() == b"", "nothing follows a close frame"
            except ConnectionResetError:
                pass
        return int.from_bytes(payload[:2], "big")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(SECONDS):
            await self.writer.drain()


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A client's frame with a mask of its own."""
    mask = b"\x01\x02\x03\x04"
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first, 0x80 | size) + mask + body
    if size < 65536:
        return struct.pack("!BBH", first, 0x80 | 126, size) + mask + body
    return struct.pack("!BBQ", first, 0x80 | 127, size) + mask + body


@contextlib.asynccontextmanager
async def raw(server: Server, *, receive_buffer: int | None = None) -> AsyncIterator[Raw]:
    connection = socket.socket()
    connection.setblocking(False)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    key = base64.b64encode(b"0123456789abcdef").decode()
    writer.write(
        f"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert b"sec-websocket-extensions" not in head.lower()
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def call(method: str, id: Any = 1, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that gives no sign of its own."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


# Subscribing and resuming


async def test_events_are_cloudevents_with_epoch_and_seq(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    client = await dial(session, server)
    result = await client.call("subscribe", topics=["plugins/**"])
    assert result == {"epoch": server.log.epoch, "seq": "0", "recovered": True, "replayed": 0}

    server.change("plugins/search/demo")
    event = await client.receive()

    time = event.pop("time")
    assert event == {
        "specversion": "1.0",
        "id": f"{server.log.epoch}-1",
        "source": "/plugbay/test",
        "type": "plugbay.test.changed",
        "subject": "plugins/search/demo",
        "datacontenttype": "application/json",
        "epoch": server.log.epoch,
        "seq": "1",
        "data": {"value": 1, "padding": ""},
    }
    assert len(time) == len("2026-11-22T12:00:00.123456Z")
    assert time.endswith("Z")


async def test_passing_events_have_no_seq_and_are_not_replayed(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    client = await dial(session, server)
    await client.call("subscribe", topics=["**"])

    line = LogLine(id="search/demo", at="2026-11-22T12:00:00Z", level="info", generation=1, message="插件")
    server.log.publish(line)
    server.log.publish(line)
    server.change("a")

    first, second, third = [await client.receive() for _ in range(3)]
    assert "seq" not in first
    assert first["subject"] == "logs/search/demo"
    assert first["data"]["message"] == "插件"
    assert first["id"] != second["id"]
    assert third["seq"] == "1"

    resumed = await dial(session, server)
    result = await resumed.call("subscribe", topics=["**"], since={"epoch": server.log.epoch, "seq": "0"})
    assert result["replayed"] == 1
    assert await resumed.seqs(1) == [1]


async def test_only_what_matches_comes(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    client = await dial(session, server)
    await client.call("subscribe", topics=["plugins/*/demo", "tasks/*"])

    for subject in (
        "plugins/search/demo",
        "plugins/search/other",
        "tasks/1",
        "tasks/1/x",
        "registry",
        "tasks/2",
    ):
        server.change(subject)

    assert await client.seqs(3) == [1, 3, 6]
    await client.silent()


async def test_resume_replays_what_was_missed_and_goes_on(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    for number in range(5):
        server.change(f"plugins/{number}")
    client = await dial(session, server)

    result = await client.call(
        "subscribe", topics=["plugins/**"], since={"epoch": server.log.epoch, "seq": "2"}
    )
    server.change("plugins/9")

    assert result == {"epoch": server.log.epoch, "seq": "5", "recovered": True, "replayed": 3}
    assert await client.seqs(4) == [3, 4, 5, 6]


@pytest.mark.parametrize("case", ["epoch", "future", "too old"])
async def test_what_cannot_be_resumed_is_not_in_force(
    start: Start, session: aiohttp.ClientSession, case: str
) -> None:
    server = await start(max_events=5)
    for _ in range(10):
        server.change("a")
    since = {
        "epoch": {"epoch": "other", "seq": "9"},
        "future": {"epoch": server.log.epoch, "seq": "11"},
        "too old": {"epoch": server.log.epoch, "seq": "4"},
    }[case]
    client = await dial(session, server)

    result = await client.call("subscribe", topics=["**"], since=since)
    assert result == {"epoch": server.log.epoch, "seq": "10", "recovered": False, "replayed": 0}

    # What happens while the client fetches its snapshot is in the snapshot, or is replayed, and never both.
    server.change("a")
    snapshot = server.snapshot()
    server.change("a")
    result = await client.call(
        "subscribe", topics=["**"], since={"epoch": snapshot["epoch"], "seq": snapshot["seq"]}
    )
    assert (result["recovered"], result["replayed"]) == (True, 1)
    server.change("a")
    assert await client.seqs(2) == [12, 13]
    await client.silent()


async def test_the_oldest_kept_position_can_be_resumed(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start(max_events=5)
    for _ in range(10):
        server.change("a")
    client = await dial(session, server)
    result = await client.call("subscribe", topics=["**"], since={"epoch": server.log.epoch, "seq": "5"})
    assert (result["recovered"], result["replayed"]) == (True, 5)
    assert await client.seqs(5) == [6, 7, 8, 9, 10]


async def test_a_second_subscribe_brings_only_what_the_client_lacks(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    for subject in ("a/1", "b/1", "a/2"):
        server.change(subject)
    client = await dial(session, server)
    epoch = server.log.epoch
    await client.call("subscribe", topics=["a/*"])
    server.change("a/3")
    server.change("b/2")
    assert await client.seqs(1) == [4]

    # Event 4 was sent; 1 and 3 were not, since the first subscription began after them.
    result = await client.call("subscribe", topics=["**"], since={"epoch": epoch, "seq": "0"})
    assert result["replayed"] == 4
    assert await client.seqs(4) == [1, 2, 3, 5]

    result = await client.call("subscribe", topics=["b/*", "a/*"], since={"epoch": epoch, "seq": "0"})
    assert result["replayed"] == 0
    server.change("b/1")
    assert await client.seqs(1) == [6]
    await client.silent()


async def test_unsubscribe_ends_what_no_other_topic_covers(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    client = await dial(session, server)
    await client.call("subscribe", topics=["a/*", "**"])
    assert await client.call("unsubscribe", topics=["**", "never"]) == {"topics": ["a/*"]}
    server.change("a/1")
    server.change("b/1")
    assert await client.seqs(1) == [1]
    assert await client.call("unsubscribe", topics=["a/*"]) == {"topics": []}
    server.change("a/1")
    await client.silent()

    # Given up and asked for again: then what was missed, and what was had, comes.
    result = await client.call("subscribe", topics=["a/*"], since={"epoch": server.log.epoch, "seq": "0"})
    assert result["replayed"] == 2
    assert await client.seqs(2) == [1, 3]


async def test_events_published_around_a_subscribe_join_without_a_seam(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    client = await dial(session, server)
    await client.call("subscribe", topics=["a"])
    epoch = server.log.epoch
    stop = False

    async def storm() -> None:
        while not stop:
            for subject in ("a", "b", "c"):
                server.change(subject)
            await asyncio.sleep(0)

    storming = asyncio.create_task(storm())
    seqs: list[int] = []
    try:
        for number, topic in enumerate(("b", "c")):
            since = server.log.head
            await client.socket.send_str(
                call("subscribe", number, topics=[topic], since=_since(epoch, since)).decode()
            )
            while "id" not in (message := await client.receive()) or "result" not in message:
                seqs.append(int(message["seq"]))
            assert message["result"]["recovered"]
            # The answer, then exactly `replayed` events up to its seq, then later ones.
            end = int(message["result"]["seq"])
            replay = await client.seqs(message["result"]["replayed"])
            assert all(since < seq <= end for seq in replay)
            assert replay == sorted(replay)
            seqs += replay
            following = await client.seqs(50)
            assert min(following) > end
            seqs += following
    finally:
        stop = True
        await storming
    seqs += await client.seqs(server.log.head - max(seqs))
    assert len(seqs) == len(set(seqs))
    subjects = dict(server.history)
    got = {subject: [seq for seq in seqs if subjects[seq] == subject] for subject in "abc"}
    for subject in "abc":
        expected = [seq for seq, name in server.history if name == subject and seq >= min(got[subject])]
        assert sorted(got[subject]) == expected


def _since(epoch: str, seq: int) -> dict[str, str]:
    return {"epoch": epoch, "seq": str(seq)}


# JSON-RPC


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -32700),
        ("hello", -32700),
        ('{"jsonrpc":"2.0","id":1,"method":"ping"', -32700),
        ("[" * 50_000, -32700),
        ('{"a":' * 10_000, -32700),
        ("NaN", -32700),
        ("1", -32600),
        ("null", -32600),
        ('"ping"', -32600),
        ("{}", -32600),
        ("[]", -32600),
        ('{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":1}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        ('{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":7}', -32600),
        ('{"jsonrpc":"2.0","id":1,"result":{}}', -32600),
        ("[" + ",".join(["1"] * 51) + "]", -32600),
    ],
)
async def test_a_wrong_frame_gets_an_error_with_id_null(
    start: Start, session: aiohttp.ClientSession, text: str, code: int
) -> None:
    server = await start()
    client = await dial(session, server)
    await client.socket.send_str(text)
    response = await client.receive()
    assert (response["jsonrpc"], response["id"], response["error"]["code"]) == ("2.0", None, code)
    assert response["error"]["message"]
    await client.silent()


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nonsense", {}, -32601),
        ("subscribe", {}, -32602),
        ("subscribe", {"topics": []}, -32602),
        ("subscribe", {"topics": "**"}, -32602),
        ("subscribe", {"topics": [1]}, -32602),
        ("subscribe", {"topics": [""]}, -32602),
        ("subscribe", {"topics": ["a//b"]}, -32602),
        ("subscribe", {"topics": ["a/**/b"]}, -32602),
        ("subscribe", {"topics": ["x" * 257]}, -32602),
        ("subscribe", {"topics": [f"t/{n}" for n in range(65)]}, -32602),
        ("subscribe", {"topics": ["**"], "sinse": None}, -32602),
        ("subscribe", {"topics": ["**"], "since": "k3-41"}, -32602),
        ("subscribe", {"topics": ["**"], "since": {"epoch": "k3"}}, -32602),
        ("subscribe", {"topics": ["**"], "since": {"epoch": "k3", "seq": 41}}, -32602),
        ("subscribe", {"topics": ["**"], "since": {"epoch": "k3", "seq": "-1"}}, -32602),
        ("subscribe", {"topics": ["**"], "since": {"epoch": "k3", "seq": "4\n"}}, -32602),
        ("subscribe", {"topics": ["**"], "since": {"epoch": "k3", "seq": "٤"}}, -32602),
        ("subscribe", {"topics": ["**"], "since": {"epoch": "k3", "seq": "9" * 400}}, -32602),
        ("unsubscribe", {"topics": []}, -32602),
    ],
)
async def test_a_wrong_call_gets_an_error_and_changes_nothing(
    start: Start, session: aiohttp.ClientSession, method: str, params: dict[str, Any], code: int
) -> None:
    server = await start()
    client = await dial(session, server)
    response = await client.request(method, **params)
    assert response["error"]["code"] == code
    server.change("a")
    await client.silent()


@pytest.mark.parametrize("id", [0, -7, 1.5, "text", "", None, 2**80])
async def test_any_id_comes_back(start: Start, session: aiohttp.ClientSession, id: Any) -> None:
    server = await start()
    client = await dial(session, server)
    await client.socket.send_str(call("ping", id).decode())
    response = await client.receive()
    assert response == {"jsonrpc": "2.0", "id": id, "result": {}}


async def test_notifications_are_carried_out_and_not_answered(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    client = await dial(session, server)
    for method, params in (("nonsense", {}), ("subscribe", {"topics": 5}), ("subscribe", {"topics": ["a"]})):
        await client.socket.send_json({"jsonrpc": "2.0", "method": method, "params": params})
    await client.silent()
    server.change("a")
    assert await client.seqs(1) == [1]


async def test_batches(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    for _ in range(3):
        server.change("a")
    client = await dial(session, server)
    subscribe = {"topics": ["a"], "since": _since(server.log.epoch, 1)}
    await client.socket.send_json(
        [
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "id": 2, "method": "subscribe", "params": subscribe},
            1,
            {"jsonrpc": "2.0", "method": "ping"},
            {"jsonrpc": "2.0", "id": "x", "method": "nonsense"},
        ]
    )
    server.change("a")
    answers = await client.receive()
    assert [answer["id"] for answer in answers] == [1, 2, None, "x"]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, None, -32600, -32601]
    seqs = [2, 3, 4]
    assert answers[1]["result"]["replayed"] in (2, 3)
    assert await client.seqs(3) == seqs

    await client.socket.send_json([{"jsonrpc": "2.0", "method": "ping"}])
    await client.silent()


async def test_errors_speak_the_language_of_the_handshake(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    chinese = await dial(session, server)
    english = await dial(session, server, headers={"Accept-Language": "en-GB"})
    assert "方法" in (await chinese.request("nonsense"))["error"]["message"]
    assert "method" in (await english.request("nonsense"))["error"]["message"]


async def test_wrong_parameters_are_told_in_words(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    chinese = await dial(session, server)
    english = await dial(session, server, headers={"Accept-Language": "en"})
    for params, zh, en in (
        ({"topics": 1}, "topics 必须是数组，而不是整数", "topics of subscribe must be an array"),
        ({"topics": ["a"], "since": {"epoch": "k", "seq": "-1"}}, '如 "41"', 'such as "41"'),
        ({}, "topics 缺失", "topics of subscribe is missing"),
    ):
        assert zh in (await chinese.request("subscribe", **params))["error"]["message"]
        assert en in (await english.request("subscribe", **params))["error"]["message"]


async def test_parameters_may_be_given_by_position(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    server.change("a")
    client = await dial(session, server)

    async def call(method: str, *params: Any) -> Any:
        await client.socket.send_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        return await client.receive()

    answer = await call("subscribe", ["**"], _since(server.log.epoch, 0))
    assert (answer["result"]["recovered"], answer["result"]["replayed"]) == (True, 1)
    assert await client.seqs(1) == [1]
    assert (await call("subscribe"))["error"]["code"] == -32602
    assert (await call("subscribe", ["**"], None, 1))["error"]["code"] == -32602
    assert (await call("unsubscribe", ["**"]))["result"] == {"topics": []}
    assert (await call("ping"))["result"] == {}


async def test_binary_frames_and_broken_utf8_get_an_error(start: Start) -> None:
    server = await start()
    async with raw(server) as client:
        for bad, code in (
            (frame(call("ping"), 0x82), -32600),
            (frame(b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}'), -32700),
            (frame(b"\xff"), -32700),
        ):
            await client.send(bad)
            first, payload = await client.frame()
            assert first == 0x81
            assert json.loads(payload)["error"]["code"] == code
        await client.send(frame(call("ping")))
        assert json.loads((await client.frame())[1])["result"] == {}


# Frames that are too large, or none


async def test_a_frame_of_64_kib_is_read_and_a_larger_one_gets_an_error(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    client = await dial(session, server)
    for size, is_error in ((65536, False), (65537, True), (1024 * 1024, True)):
        text = call("ping").decode()
        await client.socket.send_str(text + " " * (size - len(text)))
        response = await client.receive()
        assert ("error" in response) is is_error, size
        if is_error:
            assert response["id"] is None
            assert response["error"]["code"] == -32600
            assert response["error"]["data"] == {"limit": 65536}
    await client.silent()


async def test_a_huge_frame_ends_its_own_connection_only(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    other = await dial(session, server)
    await other.call("subscribe", topics=["**"])
    async with raw(server) as client:
        await client.send(struct.pack("!BBQ4x", 0x81, 0xFF, 2**62))
        await client.send(bytes(300_000))
        server.change("a")
        assert await client.close_code() == 1009
    async with raw(server) as client:
        # In fragments, each of them small.
        await client.send(frame(b'"', 0x01))
        for _ in range(40):
            await client.send(frame(b"x" * 60_000, 0x00))
        assert await client.close_code() == 1009
    assert await other.seqs(1) == [1]
    await until(lambda: server.hub.clients == 1)


@pytest.mark.parametrize(
    "bad",
    [
        frame(b"{}", 0xC1),
        frame(b"{}", 0x83),
        frame(b"{}", 0x8F),
        frame(b"", 0x09),
        frame(b"x" * 126, 0x89),
        frame(b"{}", 0x80),
        frame(b"\x03", 0x88),
        frame(b"\x00\x01", 0x88),
        # Codes that nobody may send are not sent back.
        frame(b"\x03\xee", 0x88),
        frame(b"\x13\x88", 0x88),
        frame(b"{", 0x01) + frame(b"}", 0x81),
    ],
    ids="reserved opcode3 opcode15 fragmented-ping long-ping continuation short-close code-1 code-1006 code-5000 "
    "interleaved".split(),
)
async def test_a_frame_that_is_none_ends_the_connection_by_the_rules(
    start: Start, session: aiohttp.ClientSession, bad: bytes
) -> None:
    server = await start(close_s=0.3)
    other = await dial(session, server)
    await other.call("subscribe", topics=["**"])
    async with raw(server) as client:
        await client.send(frame(call("subscribe", topics=["**"])))
        await client.frame()
        closed = asyncio.create_task(client.close_code())
        await client.send(bad)
        # Nothing may follow the close frame, however much is published.
        while not closed.done():
            server.change("a")
            await asyncio.sleep(0.001)
        assert await closed == 1002
    assert await other.seqs(server.log.head) == list(range(1, server.log.head + 1))
    await until(lambda: server.hub.clients == 1)


async def test_the_close_frame_reaches_a_client_that_is_still_sending(start: Start) -> None:
    server = await start(close_s=3.0)
    async with raw(server) as client:
        client.writer.write(struct.pack("!BBQ4x", 0x81, 0xFF, 50_000_000))
        client.writer.write(bytes(50_000_000))
        assert (await client.frame())[1][:2] == (1009).to_bytes(2, "big")
        async with asyncio.timeout(SECONDS):
            await client.writer.drain()
    await until(lambda: server.hub.clients == 0)


async def test_a_message_in_fragments_with_a_ping_between_them(start: Start) -> None:
    server = await start()
    async with raw(server) as client:
        text = call("ping")
        await client.send(frame(text[:10], 0x01))
        await client.send(frame(b"are you there", 0x89))
        assert await client.frame() == (0x8A, b"are you there")
        await client.send(frame(text[10:20], 0x00) + frame(text[20:], 0x80))
        assert json.loads((await client.frame())[1])["result"] == {}


async def test_a_close_is_answered_with_its_code(start: Start) -> None:
    server = await start()
    for payload in (b"", b"\x03\xe8", b"\x0f\xa1bye"):
        async with raw(server) as client:
            await client.send(frame(payload, 0x88))
            assert await client.frame() == (0x88, payload[:2])
            async with asyncio.timeout(SECONDS):
                assert await client.reader.read() == b""
    await until(lambda: server.hub.clients == 0)


async def test_garbage_instead_of_frames(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    other = await dial(session, server)
    await other.call("subscribe", topics=["**"])
    dice = random.Random(5)
    for _ in range(50):
        async with raw(server) as client:
            client.writer.write(dice.randbytes(dice.randrange(1, 3000)))
    server.change("a")
    assert await other.seqs(1) == [1]
    await until(lambda: server.hub.clients == 1)


# Clients that are slow, gone or mad


async def test_a_client_that_never_reads_is_closed_and_nobody_else_notices(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start(client_queue=100, close_s=0.2)
    other = await dial(session, server)
    await other.call("subscribe", topics=["**"])
    async with raw(server, receive_buffer=4096) as client:
        await client.send(frame(call("subscribe", topics=["**"])))
        await client.frame()
        received = 0
        for _ in range(100):
            for number in range(100):
                server.log.publish(Changed(name="a", value=number, padding="x" * 1000))
            seqs = await other.seqs(100)
            assert seqs == list(range(received + 1, received + 101))
            received += 100
        await until(lambda: server.hub.clients == 1)


async def test_a_slow_client_gets_4008_after_a_prefix_and_resumes_from_there(start: Start) -> None:
    server = await start(client_queue=50, close_s=SECONDS)
    async with raw(server, receive_buffer=4096) as client:
        await client.send(frame(call("subscribe", topics=["**"])))
        await client.frame()
        # So much at a time that what the kernel buffers does not hide it.
        while server.hub.clients and server.log.head < 20_000:
            for number in range(20):
                server.log.publish(Changed(name="a", value=number, padding="x" * 20_000))
            await asyncio.sleep(0)
            if _closing(server):
                break
        seqs = []
        while True:
            first, payload = await client.frame()
            if first == 0x88:
                break
            seqs.append(int(json.loads(payload)["seq"]))
        assert int.from_bytes(payload[:2], "big") == 4008
        assert payload[2:] == b"slow consumer; reconnect"
        assert seqs == list(range(1, len(seqs) + 1))
    async with raw(server) as client:
        await client.send(frame(call("subscribe", topics=["**"], since=_since(server.log.epoch, len(seqs)))))
        _, payload = await client.frame()
        result = json.loads(payload)["result"]
        # 32 MiB hold about 1,600 of these.
        if result["recovered"]:
            for expected in range(len(seqs) + 1, server.log.head + 1):
                _, payload = await client.frame()
                assert int(json.loads(payload)["seq"]) == expected


def _closing(server: Server) -> bool:
    return all(client.closing for client in server.hub._clients)


async def test_a_long_replay_does_not_count_as_slow(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start(client_queue=20)
    for number in range(5000):
        server.log.publish(Changed(name="a", value=number, padding="x" * 1000))
    client = await dial(session, server)
    result = await client.call("subscribe", topics=["**"], since=_since(server.log.epoch, 0))
    assert result["replayed"] == 5000
    assert await client.seqs(5000) == list(range(1, 5001))
    server.change("b")
    assert await client.seqs(1) == [5001]


async def test_progress_is_conflated_for_a_slow_client_and_all_else_is_kept(start: Start) -> None:
    server = await start(client_queue=200, close_s=SECONDS)
    async with raw(server, receive_buffer=4096) as client:
        await client.send(frame(call("subscribe", topics=["**"])))
        await client.frame()
        filler = 0
        while all(entry.live for entry in server.hub._clients):
            server.log.publish(Changed(name="filler", value=filler, padding="x" * 100_000))
            filler += 1
            await asyncio.sleep(0)
        for value in range(1000):
            server.log.publish(Progress(name="tasks/1", value=value))
            if value % 100 == 0:
                server.change("tasks/1")
            await asyncio.sleep(0)
        server.change("end")
        progress, others = [], []
        while True:
            _, payload = await client.frame()
            event = json.loads(payload)
            if event["type"] == "plugbay.task.progress":
                progress.append(event["data"]["value"])
            else:
                others.append(int(event["seq"]))
                if event["subject"] == "end":
                    break
        assert others == list(range(1, filler + 12))
        assert progress[-1] == 999
        assert progress == sorted(progress)
        assert len(progress) < 100


async def test_half_open_connections_are_found_by_ping(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start(heartbeat_s=0.2, close_s=0.1)
    alive = await dial(session, server)
    await alive.call("subscribe", topics=["**"])

    async def listen() -> int:
        beats = 0
        while (event := await alive.receive())["type"] == "plugbay.heartbeat":
            beats += 1
        assert event["subject"] == "end"
        return beats

    listening = asyncio.create_task(listen())
    async with raw(server) as client:
        await client.send(frame(call("subscribe", topics=["**"])))
        while (received := await client.frame())[0] != 0x88:
            pass
        assert int.from_bytes(received[1][:2], "big") == 4009
        assert b"reconnect" in received[1]
        async with asyncio.timeout(SECONDS):
            assert await client.reader.read() == b""
    await until(lambda: server.hub.clients == 1)
    head = server.log.head
    await asyncio.sleep(0.5)
    assert server.log.head == head
    server.change("end")
    # The one that reads, and so answers pings, is still served.
    assert await listening >= 3


async def test_a_client_that_cuts_its_connection_is_forgotten(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start()
    for _ in range(20):
        async with raw(server) as client:
            await client.send(frame(call("subscribe", topics=["**"])))
            server.change("a")
    await until(lambda: server.hub.clients == 0)
    assert server.hub._feeder._groups == {}


async def test_a_connection_that_ends_leaves_no_heap_of_garbage(start: Start) -> None:
    server = await start()

    async def come_and_go() -> None:
        async with raw(server) as client:
            await client.send(frame(call("subscribe", topics=["**"])))
            await client.frame()
        await until(lambda: server.hub.clients == 0)
        await asyncio.sleep(0.05)

    await come_and_go()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await come_and_go()
        # asyncio's transports are small cycles by themselves.
        assert gc.collect() < 10 * 30
    finally:
        gc.enable()


async def test_half_closed_connections_end(start: Start) -> None:
    server = await start(close_s=0.2)
    async with raw(server, receive_buffer=4096) as client:
        await client.send(frame(call("subscribe", topics=["**"])))
        await client.frame()
        for _ in range(100):
            server.log.publish(Changed(name="a", value=1, padding="x" * 100_000))
        await asyncio.sleep(0)
        client.writer.write_eof()
        for _ in range(10):
            await asyncio.sleep(0.01)
            server.change("a")
        await until(lambda: server.hub.clients == 0)


async def test_a_client_that_floods_and_does_not_read_is_not_heard_for_ever(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start(heartbeat_s=1.0, close_s=0.1)
    other = await dial(session, server)
    await other.call("subscribe", topics=["**"])
    async with raw(server, receive_buffer=4096) as client:
        flood = frame(b"nonsense") * 1000
        flooding = True

        async def pour() -> None:
            while flooding:
                client.writer.write(flood)
                try:
                    await client.writer.drain()
                except ConnectionError:
                    return

        pouring = asyncio.create_task(pour())
        try:
            loop = asyncio.get_running_loop()
            for number in range(1, 51):
                began = loop.time()
                server.change("a")
                while (event := await other.receive())["type"] == "plugbay.heartbeat":
                    pass
                assert int(event["seq"]) == number
                assert loop.time() - began < 1.0
            await until(lambda: server.hub.clients == 1)
        finally:
            flooding = False
            client.writer.transport.abort()
            await pouring


# Heartbeats, limits, the end


async def test_heartbeats_carry_the_head_and_use_up_no_seq(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start(heartbeat_s=0.3)
    client = await dial(session, server)
    stranger = await dial(session, server)
    stranger_reads = asyncio.create_task(stranger.receive())
    server.change("a")
    await client.call("subscribe", topics=["nothing"])
    seen = set()
    for _ in range(3):
        beat = await client.receive()
        assert (beat["type"], beat["subject"], beat["data"]) == ("plugbay.heartbeat", "heartbeat", {})
        assert (beat["epoch"], beat["seq"]) == (server.log.epoch, str(server.log.head))
        seen.add(beat["id"])
        # Not for this client's topics; its position moves on all the same.
        server.change("a")
    assert len(seen) == 3
    assert server.log.head == 4
    # Who has subscribed to nothing is only pinged.
    await stranger.socket.send_str(call("ping", "first").decode())
    assert (await stranger_reads)["id"] == "first"


async def test_an_address_off_loopback_has_so_many_connections(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start(clients_per_address=2, remote="203.0.113.7")
    first, second = [await dial(session, server) for _ in range(2)]
    async with session.get(server.url, headers=_HANDSHAKE) as response:
        assert response.status == 429
        assert response.content_type == "application/problem+json"
        assert (await response.json())["code"] == "too_many_clients"
    await first.socket.close()
    await until(lambda: server.hub.clients == 1)
    third = await dial(session, server)
    await second.silent()
    await third.silent()


_HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


async def test_loopback_is_not_counted(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start(clients_per_address=1)
    clients = [await dial(session, server) for _ in range(5)]
    for client in clients:
        await client.silent()


async def test_a_plain_request_is_told_to_upgrade(start: Start, session: aiohttp.ClientSession) -> None:
    server = await start()
    async with session.get(server.url) as response:
        assert response.status == 426
        assert (await response.json())["code"] == "upgrade_required"


@pytest.mark.parametrize("header", ["Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key"])
async def test_a_handshake_of_other_bytes_than_ascii_is_none(start: Start, header: str) -> None:
    server = await start()
    headers = {
        "Host": f"127.0.0.1:{server.port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
    }
    headers[header] = f"\xe5{headers[header]}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(f"GET /api/ws HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        async with asyncio.timeout(SECONDS):
            answer = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()
    assert answer.startswith(b"HTTP/1.1 426 "), answer


async def test_shutdown_sends_what_is_pending_and_says_to_reconnect(
    start: Start, session: aiohttp.ClientSession
) -> None:
    server = await start(close_s=SECONDS)
    client = await dial(session, server)
    await client.call("subscribe", topics=["**"])
    loop = asyncio.get_running_loop()
    async with websockets_connect(server.url.replace("http", "ws")) as foreign:
        await foreign.send(call("subscribe", topics=["**"]).decode())
        await foreign.recv()
        for _ in range(100):
            server.change("a")
        began = loop.time()
        stopping = asyncio.create_task(server.stop())
        assert await client.seqs(100) == list(range(1, 101))
        async with asyncio.timeout(SECONDS):
            message = await client.socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert "reconnect" in (message.extra or "")
        for expected in range(1, 101):
            assert json.loads(await foreign.recv())["seq"] == str(expected)
        with pytest.raises(ConnectionClosed) as closed:
            await foreign.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        await stopping
    # Nobody had to be cut.
    assert loop.time() - began < SECONDS / 2


async def test_shutdown_does_not_wait_for_a_client_that_does_not_read(start: Start) -> None:
    server = await start(close_s=0.2)
    async with raw(server, receive_buffer=4096) as client:
        await client.send(frame(call("subscribe", topics=["**"])))
        await client.frame()
        for _ in range(50):
            server.log.publish(Changed(name="a", value=1, padding="x" * 100_000))
        async with asyncio.timeout(4):
            await server.stop()
        assert server.hub.clients == 0


# Resuming after any cut


async def test_a_foreign_client_resumes_after_every_few_events(start: Start) -> None:
    server = await start()
    url = server.url.replace("http", "ws")
    seen: list[int] = []
    position = _since(server.log.epoch, 0)
    stop = False

    async def storm() -> None:
        while not stop:
            server.change("plugins/search/demo")
            await asyncio.sleep(0.001)

    storming = asyncio.create_task(storm())
    try:
        for round_ in range(30):
            # With a bounded queue this library stops reading, and then does not see that its close is answered.
            async with websockets_connect(url, max_queue=None) as client:
                await client.send(call("subscribe", topics=["plugins/**"], since=position).decode())
                assert json.loads(await client.recv())["result"]["recovered"]
                for _ in range(round_):
                    event = json.loads(await client.recv())
                    seen.append(int(event["seq"]))
                    position = {"epoch": event["epoch"], "seq": event["seq"]}
                if round_ % 2:
                    client.transport.abort()
    finally:
        stop = True
        await storming
    assert seen == list(range(1, sum(range(30)) + 1))


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_cut_every_client_ends_with_the_state_of_the_server(
    start: Start, seed: int
) -> None:
    """Positions become too old, too."""
    server = await start(max_events=300, client_queue=100, heartbeat_s=0.3, close_s=0.3)
    async with aiohttp.ClientSession() as session:
        cuts = await ride_out(
            server,
            lambda topic, dice, finished: SocketFollower(server, session, topic, dice, finished),
            ["**", "plugins/**", "plugins/search/*", "tasks/*", "**", "plugins/*/1"],
            seed=seed,
            gusts=400,
            calm=(0, 0, 0, 0.001, 0.004),
            pauses=(0, 0.001, 0.02, 0.1),
        )
    assert cuts > 20
    await until(lambda: server.hub.clients == 0)


class SocketFollower(Follower):
    """As the interface asks for: resume, and where that cannot be done fetch a snapshot and go on from it."""

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
        self._epoch = ""

    async def _connected(self) -> bool:
        dice, server = self._dice, self._server
        async with self._session.ws_connect(
            server.url, timeout=aiohttp.ClientWSTimeout(ws_close=1)
        ) as socket:
            if self._seq is None:
                await self._fetch_snapshot()
            await self._subscribe(socket)
            left = dice.randrange(60) if not self._finished.is_set() else 10**6
            while left > 0:
                if self._done():
                    return True
                try:
                    message = await socket.receive(timeout=0.05)
                except TimeoutError:
                    continue
                if message.type is not aiohttp.WSMsgType.TEXT:
                    # The server's own close: a slow consumer, a ping that came too late to a stalled client.
                    return False
                frame = json.loads(message.data)
                if "result" in frame:
                    if not frame["result"]["recovered"]:
                        await self._fetch_snapshot()
                        await self._subscribe(socket)
                    continue
                self._apply(frame)
                left -= 1
                if dice.random() < 0.01:
                    await asyncio.sleep(0.05)
            if dice.random() < 0.7:
                # Cut in the middle of whatever is on its way.
                connection = socket._response.connection
                if connection is not None and connection.transport is not None:
                    connection.transport.abort()
            return False

    async def _fetch_snapshot(self) -> None:
        snapshot = self._server.snapshot()
        # As over the network: it is of then, not of now.
        await asyncio.sleep(self._dice.choice((0, 0.002)))
        self._take_snapshot(snapshot)
        self._epoch = snapshot["epoch"]

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        since = {"epoch": self._epoch, "seq": str(self._seq)}
        await socket.send_str(call("subscribe", topics=[self._topic], since=since).decode())

    def _apply(self, event: dict[str, Any]) -> None:
        if "seq" not in event:
            return
        assert self._seq is not None
        seq = int(event["seq"])
        if event["type"] == "plugbay.heartbeat":
            assert seq >= self._seq
            self._seq = seq
        else:
            assert seq > self._seq, "nothing comes twice, or out of order"
            self._take(event)
        self._epoch = event["epoch"]
