from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from service.client import (
    Client,
    Connected,
    Disconnected,
    Happened,
    Position,
    ServerRefused,
    ServerUnreachable,
)
from tests.unit.cli.conftest import FakeServer


async def next_of(feed: Any, kind: type) -> Any:
    """The next item of that kind; what comes before is passed over."""
    async with asyncio.timeout(20):
        async for item in feed:
            if isinstance(item, kind):
                return item
    raise AssertionError("the feed ended")


async def test_a_feed_goes_on_where_it_was_cut(server: FakeServer) -> None:
    async with Client(server.url, None) as client, aclosing(client.follow(["plugins/**"])) as feed:
        assert await next_of(feed, Connected) == Connected(recovered=True)
        await server.publish("reloaded", "plugins/search/demo", {})
        assert (await next_of(feed, Happened)).event["seq"] == "1"
        await server.cut()
        server.sockets.clear()
        await server.publish("reloaded", "plugins/search/demo", {})  # while nobody is connected
        assert isinstance(await next_of(feed, Disconnected), Disconnected)
        assert await next_of(feed, Connected) == Connected(recovered=True)
        assert (await next_of(feed, Happened)).event["seq"] == "2"
    first, second = server.subscriptions.get_nowait(), server.subscriptions.get_nowait()
    assert "since" not in first
    assert second["since"] == {"epoch": "k1", "seq": "1"}


async def test_a_server_that_started_anew_is_told_apart(server: FakeServer) -> None:
    async with Client(server.url, None) as client:
        async with aclosing(client.follow(["**"], since=Position("k0", "99"))) as feed:
            assert await next_of(feed, Connected) == Connected(recovered=False)
            await server.cut()
            assert await next_of(feed, Connected) == Connected(recovered=True)
    server.subscriptions.get_nowait()
    assert server.subscriptions.get_nowait()["since"] == {"epoch": "k1", "seq": "0"}


async def test_the_first_connection_is_not_tried_again(unused_tcp_port: int) -> None:
    async with Client(f"http://127.0.0.1:{unused_tcp_port}", None) as client:
        async with aclosing(client.follow(["**"])) as feed:
            with pytest.raises(ServerUnreachable):
                await anext(feed)


async def test_events_go_on_after_a_cut_without_a_word_of_it(server: FakeServer) -> None:
    async with Client(server.url) as client, aclosing(client.events(["plugins/**"], since="k1:0")) as events:
        await server.publish("loaded", "plugins/search/demo", {})
        async with asyncio.timeout(20):
            first = await anext(events)
            await server.cut()
            server.sockets.clear()
            await server.publish("reloaded", "plugins/search/demo", {})  # while nobody is connected
            second = await anext(events)
    assert [one["type"] for one in (first, second)] == ["plugbay.plugin.loaded", "plugbay.plugin.reloaded"]
    assert Position.of(second) == ("k1", "2")


async def test_events_that_cannot_be_told_any_more_are_a_reset(server: FakeServer) -> None:
    async with Client(server.url) as client, aclosing(client.events(since=Position("k1", "0"))) as events:
        async with asyncio.timeout(20):
            await server.publish("loaded", "plugins/search/demo", {})
            await anext(events)
            server.epoch, server.seq, server.log = "k2", 7, []  # it has started anew
            await server.cut()
            server.sockets.clear()
            reset = await anext(events)
            assert (reset["type"], reset["subject"]) == ("plugbay.stream.reset", "stream")
            assert Position.of(reset) == Position.of(await client.plugins()) == ("k2", "7")
            following = asyncio.create_task(anext(events))
            while server.subscriptions.qsize() < 3:  # the first, the refused one, and the one from there
                await asyncio.sleep(0)
            await server.publish("reloaded", "plugins/search/demo", {})
            assert Position.of(await following) == ("k2", "8")


async def test_heartbeats_are_no_events_but_move_the_position(server: FakeServer) -> None:
    async with Client(server.url) as client, aclosing(client.events(["tasks/*"])) as events:
        waiting = asyncio.create_task(anext(events))
        async with asyncio.timeout(20):
            await server.subscriptions.get()
            beat = {
                "type": "plugbay.heartbeat",
                "subject": "heartbeat",
                "epoch": "k1",
                "seq": "41",
                "data": {},
            }
            for socket in server.sockets:
                await socket.send_json(beat)
            await server.cut()
            assert (await server.subscriptions.get())["since"] == {"epoch": "k1", "seq": "41"}
            server.seq = 41
            await server.publish("loaded", "plugins/search/demo", {})
            assert (await waiting)["seq"] == "42"


async def test_a_server_that_does_not_want_it_back_is_left_alone(server: FakeServer) -> None:
    async with Client(server.url) as client, aclosing(client.events(["**"])) as events:
        waiting = asyncio.create_task(anext(events))
        await server.subscriptions.get()
        for socket in list(server.sockets):
            await socket.close(code=4001, message=b"bad client; do not reconnect")
        with pytest.raises(ServerRefused, match="bad client"):
            async with asyncio.timeout(20):
                await waiting


def test_a_position_is_written_as_server_sent_events_do() -> None:
    assert str(Position("k3", "58")) == "k3:58"
    assert Position.parse("k3:58\n") == Position("k3", "58")
    assert Position.of({"type": "plugbay.task.progress", "epoch": "k3"}) is None
    for wrong in ("", "58", "k3:", ":58", "k3:x"):
        with pytest.raises(ValueError, match="no position"):
            Position.parse(wrong)


async def test_what_is_no_position_is_said_at_once(server: FakeServer) -> None:
    async with Client(server.url) as client:
        with pytest.raises(ValueError, match="no position"):
            await anext(client.events(since="yesterday"))
