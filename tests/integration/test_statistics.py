"""What a running server tells of its calls, its events and itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.integration.live import Live, live_server, save, search_plugin, write

# Answers when the file is there that its keyword names.
WAITS = 'await there(keyword) or "done"'
THERE = """\
import asyncio, os

async def there(path):
    while path.startswith("/") and not os.path.exists(path):
        await asyncio.sleep(0.02)
"""


def told(live: Live) -> list[dict[str, Any]]:
    """What the events have told of `search/demo`."""
    return [
        one.data["plugins"]["search/demo"]
        for one in live.events
        if one.type == "plugbay.stats" and "search/demo" in one.data["plugins"]
    ]


async def test_calls_loads_and_events_are_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    file = write(
        home / "plugins" / "search" / "demo_plugin.py",
        search_plugin(imports=THERE, expression=WAITS),
    )
    async with live_server(home) as live:
        await live.event("loaded", "search/demo")
        await live.subscribe("stats")
        flag = home / "data" / "plugins" / "flag"
        stats = (await live.get("/api/stats")).body
        assert stats["plugins"] == {}
        [load] = stats["reloads"]
        assert (load["id"], load["cause"], load["ok"]) == ("search/demo", "startup", True)
        assert load["load_ms"] > 0

        waiting = asyncio.create_task(live.search("demo", str(flag)))
        await live.until(lambda _: any(one["running"] == 1 for one in told(live)))
        assert (await live.get("/api/stats")).body["plugins"]["search/demo"]["running"] == 1

        save(file, search_plugin(says="2"))
        await live.event("reloaded", "search/demo")
        await live.until(lambda _: any((one["running"], one["draining"]) == (0, 1) for one in told(live)))
        flag.parent.mkdir(parents=True, exist_ok=True)
        flag.touch()
        assert (await waiting).status == 200
        assert await live.answer("demo") == "2"
        last = await live.until(
            lambda _: told(live) and told(live)[-1]["total_calls"] == 2 and told(live)[-1]
        )
        assert (last["running"], last["draining"], last["total_errors"]) == (0, 0, 0)
        assert sum(one["calls"] for one in told(live)) == 2

        stats = (await live.get("/api/stats")).body
        demo = stats["plugins"]["search/demo"]
        assert (demo["calls"], demo["errors"], demo["running"], demo["draining"]) == (2, 0, 0, 0)
        assert sum(calls for calls, _, _ in demo["series"]) == 2
        assert demo["mean_ms"] > 10
        assert [one["generation"] for one in stats["reloads"]] == [1, 2]

        await live.event("drained", "search/demo")
        activity = (await live.get("/api/activity", params={"topics": "plugins/**", "limit": "3"})).body
        assert [event["type"] for event in activity["events"]] == [
            "plugbay.plugin.loading",
            "plugbay.plugin.reloaded",
            "plugbay.generation.drained",
        ]
        server = (await live.get("/api/server")).body
        assert (server["home"], server["plugins"]["active"]) == ("home", 1)
        assert server["workers"]["serving"] == 1
        assert server["workers"]["total"] >= 1
        assert server["memory"] is None or server["memory"]["plugins"] > 1_000_000
