"""Frames of clients and of workers, whatever is in them: each is answered, or ends its own connection and no other."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import structlog

from service.host.workers.channel import Channel, ChannelClosed, MethodRaised
from tests.conformance.json_rpc import check_answers
from tests.fuzz.findings import Findings
from tests.fuzz.frame_texts import frames, masked, text, wire_stream
from tests.integration.hub_server import Server, servers
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1200)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

SECONDS = 20.0
# RFC 6455, 7.4: those that may stand in a close frame, and 1005 for one without any.
CLOSE_CODES = {*range(1000, 1004), 1005, *range(1007, 1015), *range(3000, 5000)}
PING = '{"jsonrpc":"2.0","method":"ping","id":"the last of all"}'


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[Server]:
    # A line for every frame is more than anybody reads.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        async with servers() as start:
            yield await start()
    finally:
        structlog.reset_defaults()


async def test_json_rpc(server: Server) -> None:
    findings = Findings("JSON-RPC frames")
    async with aiohttp.ClientSession() as session:
        for first in range(0, sized(160, 3200), 40):
            async with session.ws_connect(server.url) as ws:
                for number in range(first, first + 40):
                    frame = text(Random(f"{SEED} frame {number}"))
                    with findings.watching(repr(frame[:900])):
                        check_answers(shortened(frame), await answers(ws, frame))
                    findings.count("frames")
    findings.close()


def shortened(frame: str) -> str:
    """What a frame over the limit counts as: it is not read, so that the answer is as to one that is no request."""
    return "{}" if len(frame.encode()) > 64 * 1024 else frame


async def answers(ws: aiohttp.ClientWebSocketResponse, frame: str) -> list[str]:
    """What comes for a frame, without events."""
    await ws.send_str(frame)
    await ws.send_str(PING)
    found: list[str] = []
    while True:
        message = await ws.receive(SECONDS)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        value = json.loads(message.data)
        if isinstance(value, dict) and value.get("id") == "the last of all":
            return found
        if not (isinstance(value, dict) and "specversion" in value):
            found.append(message.data)


async def test_web_socket_frames(server: Server) -> None:
    findings = Findings("sequences of WebSocket frames")
    async with aiohttp.ClientSession() as session, session.ws_connect(server.url) as bystander:
        for number in range(sized(60, 1500)):
            sent = frames(Random(f"{SEED} frames {number}"))
            with findings.watching(repr(sent[:600])):
                findings.count(await outcome(server, sent))
                if number % 10 == 0:
                    await answers(bystander, '{"jsonrpc":"2.0","method":"ping"}')
        async with asyncio.timeout(SECONDS):
            while server.hub.clients > 1:
                await asyncio.sleep(0.01)
    findings.close()


async def outcome(server: Server, sent: bytes) -> str:
    """What becomes of a connection on which that is sent: it lives, waits for more, or is closed by the rules."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(
            f"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert head.startswith(b"HTTP/1.1 101 "), head
        writer.write(sent + masked(0x89, b"the last") + masked(0x88, b"\x0f\xa0"))
        # What is still being sent when the server has had enough is nobody's concern.
        writer.write_eof()
        code = None
        try:
            while True:
                first, payload = await asyncio.wait_for(server_frame(reader), SECONDS)
                assert code is None, "something follows the close frame"
                assert first in (0x81, 0x88, 0x89, 0x8A), f"frame {first:#x}"
                if first == 0x81:
                    json.loads(payload)
                if first == 0x88:
                    code = int.from_bytes(payload[:2], "big") if payload else 1005
                    payload[2:].decode()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        if code is None:
            return "ended without a close frame"
        assert code in CLOSE_CODES, code
        return f"closed {code}"
    finally:
        writer.transport.abort()


async def server_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    assert size < 128, "a server masks nothing"
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    elif size == 127:
        size = int.from_bytes(await reader.readexactly(8), "big")
    return first, await reader.readexactly(size)


async def test_frames_of_workers() -> None:
    findings = Findings("streams of worker frames")
    loop = asyncio.get_running_loop()
    escaped: list[str] = []
    loop.set_exception_handler(lambda _, context: escaped.append(str(context)))
    try:
        for number in range(sized(150, 3000)):
            stream = wire_stream(Random(f"{SEED} stream {number}"))
            with findings.watching(repr(stream[:700])):
                findings.count(await spoken(stream, Random(number)))
                assert not escaped, escaped
            escaped.clear()
    finally:
        loop.set_exception_handler(None)
    findings.close()


async def spoken(stream: bytes, chance: Random) -> str:
    """Have a worker say that, with a call, a stream and a download in flight; all of them end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    channel = await Channel.open(ours, 2 * 1024 * 1024)
    lost = asyncio.Event()
    channel.on_lost = lost.set
    notes: list[Any] = []
    items: list[bytes] = []

    def take(item: bytes, done: Any) -> None:
        items.append(item)
        done(1)

    call = asyncio.ensure_future(channel.call("search", b"{}", 30))
    await asyncio.sleep(0)
    streamed = asyncio.ensure_future(channel.stream("search", b"{}", 30, take))
    await asyncio.sleep(0)
    running = channel.start("download", b"{}", lambda *note: notes.append(note))
    loop = asyncio.get_running_loop()
    try:
        at = 0
        while at < len(stream):
            piece = stream[at : at + chance.choice((1, 7, 100, 65_536, 1_000_000)) * (1 + len(stream) // 500)]
            try:
                await asyncio.wait_for(loop.sock_sendall(theirs, piece), SECONDS)
            except (BrokenPipeError, ConnectionResetError):
                break
            at += len(piece)
            await asyncio.sleep(0)
    finally:
        theirs.close()
    async with asyncio.timeout(SECONDS):
        await lost.wait()
    channel.close(0)
    results = await asyncio.wait_for(
        asyncio.gather(call, streamed, running.answer, return_exceptions=True), SECONDS
    )
    for result in results:
        if isinstance(result, bytes):
            json.loads(result)
        else:
            assert isinstance(result, ChannelClosed | MethodRaised), repr(result)
    for item in items:
        json.loads(item)
    return "streams ended by an answer" if any(isinstance(one, bytes) for one in results) else "streams ended"
