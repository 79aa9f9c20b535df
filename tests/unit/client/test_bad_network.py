"""What comes to the client over a bad network costs a connection, and neither an event nor the feed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from service.client import Client, Connected, Disconnected, Happened, ServerUnreachable, feed, transport
from tests.faults.chaos_proxy import ChaosProxy, Fault, chaos
from tests.unit.cli.conftest import FakeServer
from tests.unit.client.test_feed import next_of


@pytest.fixture
async def proxy(server: FakeServer) -> AsyncIterator[ChaosProxy]:
    port = int(server.url.rpartition(":")[2])
    async with chaos(port, random.Random(1), lambda _: Fault("none")) as proxy:
        yield proxy


async def test_a_handshake_that_is_not_answered_is_given_up(
    server: FakeServer, proxy: ChaosProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "HANDSHAKE_S", 0.2)
    async with Client(proxy.url) as client, aclosing(client.follow(["**"])) as events:
        assert await next_of(events, Connected) == Connected(recovered=True)
        proxy.draw = lambda _: Fault("swallow", "server", 0)
        proxy.cut_all()
        assert isinstance(await next_of(events, Disconnected), Disconnected)
        coming = asyncio.ensure_future(next_of(events, Connected))
        async with asyncio.timeout(20):
            while not proxy.done["swallow"]:
                await asyncio.sleep(0.01)
            proxy.calm()
            assert await coming == Connected(recovered=True)


@pytest.mark.parametrize(
    "frame",
    [
        '{"type": "plugbay',
        "[]",
        '{"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "no JSON"}}',
        '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no such method"}}',
    ],
    ids=["no JSON", "no object", "told that ours was none", "told that ours was another"],
)
async def test_a_frame_that_is_spoilt_is_asked_for_again(server: FakeServer, frame: str) -> None:
    async with Client(server.url) as client, aclosing(client.follow(["plugins/**"])) as events:
        assert await next_of(events, Connected) == Connected(recovered=True)
        sockets, server.sockets = server.sockets, set()
        await server.publish("reloaded", "plugins/search/demo", {})  # what they get of it is the following
        for socket in sockets:
            await socket.send_str(frame)
        disconnected = await next_of(events, Disconnected)
        assert "damaged" in disconnected.reason
        assert await next_of(events, Connected) == Connected(recovered=True)
        assert (await next_of(events, Happened)).event["seq"] == "1"


async def test_an_answer_that_is_spoilt_is_none_of_a_plugbay(proxy: ChaosProxy) -> None:
    proxy.draw = lambda _: Fault("spoil", "client", 250)
    async with Client(proxy.url) as client:
        with pytest.raises(ServerUnreachable):
            await client.plugins()


async def test_a_list_that_does_not_come_is_not_waited_for(
    proxy: ChaosProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LOOK_UP_TIMEOUT_S", 0.2)
    proxy.draw = lambda _: Fault("swallow", "client", 40)
    async with Client(proxy.url) as client, asyncio.timeout(20):
        with pytest.raises(ServerUnreachable, match="in time"):
            await client.plugins()
