"""The figures of the server, over the API."""

from __future__ import annotations

import json
import platform

import pytest

from service import __version__, errors
from service.api.keys import EVENT_LOG
from service.model.events import ConfigImported, GenerationDrained, LogLine, RegistryReloaded
from tests.unit.api.fakes import Api

ENGLISH = {"Accept-Language": "en"}


async def test_stats_tell_of_calls_at_once(api: Api) -> None:
    assert (await (await api.client.get("/api/stats")).json())["plugins"] == {}
    api.caller.answers["demo", "search"] = b"[]"
    await api.client.get("/api/search/demo?keyword=x")
    api.caller.answers["demo", "search"] = errors.PluginTimeout("search/demo", "search", 30)
    await api.client.get("/api/search/demo?keyword=x")
    api.registry.plugins[0].running = 3
    stats = await (await api.client.get("/api/stats")).json()
    demo = stats["plugins"]["search/demo"]
    assert len(demo.pop("series")) == 60
    assert demo == {"calls": 2, "errors": 1, "mean_ms": 250.0, "running": 3, "draining": 0}
    assert stats["step_s"] == 2.0
    assert stats["reloads"] == []
    metrics = await (await api.client.get("/metrics")).text()
    assert 'plugbay_plugin_call_seconds_count{plugin="search/demo"} 2.0' in metrics
    assert 'plugbay_plugin_call_seconds_sum{plugin="search/demo"} 0.5' in metrics


async def test_activity_is_the_newest_of_what_matches(api: Api) -> None:
    log = api.app[EVENT_LOG]
    for number in range(6):
        log.publish(RegistryReloaded(success_count=number, fail_count=0, by=None))
        log.publish(GenerationDrained(id="search/demo", generation=number, drain_ms=1.0, forced=False))
        log.publish(LogLine(id="search/demo", at="", level="info", generation=1, message="passing"))
    log.publish(ConfigImported(reloaded_count=1, by=None))

    told = await (await api.client.get("/api/activity")).json()
    assert (told["epoch"], told["seq"]) == (log.epoch, "13")
    assert [event["seq"] for event in told["events"]] == [str(seq) for seq in range(4, 14)], "10 are kept"
    newest = log.read(12, 1)
    assert newest is not None
    assert told["events"][-1] == json.loads(newest[0].payload)

    asked = {"limit": "2", "topics": "plugins/search/*,config"}
    told = await (await api.client.get("/api/activity", params=asked)).json()
    assert [event["subject"] for event in told["events"]] == ["plugins/search/demo", "config"]
    assert (await (await api.client.get("/api/activity?topics=none")).json())["events"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("topics=a//b", "topics")],
)
async def test_what_is_no_question_is_refused(api: Api, query: str, field: str) -> None:
    response = await api.client.get(f"/api/activity?{query}")
    assert (response.status, (await response.json())["field"]) == (400, field)


async def test_the_server_says_what_it_is(api: Api) -> None:
    told = await (await api.client.get("/api/server", headers=ENGLISH)).json()
    assert (told["version"], told["python"]) == (__version__, platform.python_version())
    assert told["ready"]
    assert told["parts"] == {"plugins": {"ok": True, "message": "scanned"}}
    assert told["plugins"] == {"loading": 0, "active": 5, "degraded": 0, "failed": 0, "disabled": 1}
    assert told["workers"] == {"serving": 0, "draining": 0, "total": 7}
    assert "/" not in told["home"], "the name of the folder, not where it is"
    assert told["events"]["max_events"] == 10
    assert 0 <= told["uptime_s"] < 60
    memory = told["memory"]
    assert memory is None or memory["server"] > 1_000_000


async def test_the_server_says_so_while_it_is_not_ready(api: Api) -> None:
    api.registry.ready.clear()
    assert not (await (await api.client.get("/api/server")).json())["ready"]
