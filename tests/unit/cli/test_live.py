from __future__ import annotations

from typing import Any

from service.cli.events import event_line
from service.cli.watch import View
from tests.unit.cli.conftest import LOAD_ERROR, plugin


def changed(verb: str, **more: Any) -> dict[str, Any]:
    return {
        "type": f"plugbay.plugin.{verb}",
        "subject": "plugins/search/demo",
        "time": "2026-11-22T12:00:00Z",
        "data": {"plugin": plugin("search", "demo", **more), "cause": "file", "timings": {"total_ms": 4.94}},
    }


def test_a_view_follows_the_events() -> None:
    view = View({"search": [plugin("search", "demo")], "epoch": "k1", "seq": "3"})
    assert view.apply(changed("reloaded", generation=2))
    assert view.plugins["search/demo"]["generation"] == 2
    assert view.apply(changed("unloaded"))
    assert view.plugins == {}
    assert view.apply(changed("loaded"))
    assert not view.apply({"type": "plugbay.heartbeat", "data": {}})
    assert not view.apply({"type": "plugbay.plugin.installing", "data": {"stage": "fetch"}})
    assert [one["id"] for one in view.ordered()] == ["search/demo"]


def test_an_event_reads_in_one_line() -> None:
    line = event_line(changed("reloaded", generation=3)).plain
    assert line.endswith("search/demo reloaded, generation 3, 4.9 ms (file)")
    failed = event_line(changed("failed", error=LOAD_ERROR)).plain
    assert "plugins/search/broken_plugin.py:7 name 'sudo' is not defined" in failed
    drained = {"type": "plugbay.generation.drained", "subject": "plugins/search/demo"}
    line = event_line(drained | {"data": {"generation": 2, "drain_ms": 12.3, "forced": False}}).plain
    assert "search/demo drained, generation 2 finished, 12 ms" in line
    degraded = event_line(changed("failed", state="degraded", generation=2, error=LOAD_ERROR)).plain
    assert "failed, generation 2 serves on, 4.9 ms (file): plugins/search/broken_plugin.py:7" in degraded
    installing = {"type": "plugbay.plugin.installing", "subject": "plugins/search/demo"}
    line = event_line(installing | {"data": {"stage": "fetch", "url": "http://x/demo_plugin.py"}}).plain
    assert line.endswith("search/demo installing: fetch http://x/demo_plugin.py")
    refused = {"stage": "failed", "url": None, "error": {"message": "no answer"}}
    assert event_line(installing | {"data": refused}).plain.endswith(
        "search/demo installing failed: no answer"
    )
    log = {
        "type": "plugbay.log",
        "subject": "logs/search/demo",
        "data": {"level": "info", "message": "[x] hi"},
    }
    assert event_line(log).plain.endswith("search/demo info: [x] hi")
    calls = {"search/demo": {"calls": 3, "errors": 1, "running": 2}, "parser/page": {"calls": 1}}
    stats = {"type": "plugbay.stats", "subject": "stats", "data": {"plugins": calls}}
    assert event_line(stats).plain.endswith(
        " search/demo 3 calls, 1 failed, 2 running; parser/page 1 calls, 0 failed, 0 running"
    )
