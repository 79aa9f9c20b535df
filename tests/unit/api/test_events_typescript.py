from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hatch_build import find_node
from service.live.event_log import Entry, EventLog
from service.model.events import Cause, Event, PluginChanged
from service.model.plugin import ConfigField, Draining, PluginView
from tests import events_typescript
from tests.unit.api.fakes import LOAD_ERROR
from tests.unit.api.test_events_document import HAPPENED, PLUGIN

TSC = events_typescript.ROOT / "web" / "node_modules" / "typescript" / "bin" / "tsc"
STRICT = (
    "--noEmit --strict --exactOptionalPropertyTypes --skipLibCheck --target es2022 --module esnext "
    "--moduleResolution bundler --types --pretty false"
).split()
WHOLE: PluginView = msgspec.structs.replace(
    PLUGIN,
    error=LOAD_ERROR,
    draining=[Draining(1, 2)],
    config_schema=[ConfigField(name="sites", type="list", fields=[ConfigField(name="url")])],
    config_json_schema={"type": "object"},
    supported_protocols=["http"],
)


def test_it_is_up_to_date() -> None:
    written = events_typescript.FILE.read_text(encoding="utf-8")
    assert written == events_typescript.document(), "run: python -m tests.events_typescript"


def on_the_wire(events: list[Event]) -> list[dict[str, Any]]:
    entries: list[Entry] = []
    log = EventLog(max_events=100, max_bytes=2**20, node="test")
    log.listen(entries.append)
    for event in events:
        log.publish(event)
    return [*(json.loads(entry.payload) for entry in entries), json.loads(log.heartbeat(3))]


@pytest.mark.skipif(not TSC.exists(), reason="the front end's own tools are not installed")
def test_it_is_what_comes_over_the_wire(tmp_path: Path) -> None:
    """Every member that is sent is known, every one that is promised is sent, and `null` is where it is allowed."""
    told = on_the_wire([*HAPPENED, PluginChanged(change="failed", plugin=WHOLE, cause=Cause.CRASH, by=None)])
    lines = ["import type { PlugbayEvent } from './generated';"]
    for number, event in enumerate(told):
        lines.append(f"export const event{number}: PlugbayEvent = {json.dumps(event)};")
        for member in event["data"]:
            lacking = {**event, "data": {key: value for key, value in event["data"].items() if key != member}}
            lines += ["// @ts-expect-error"] * (member not in ("timings", "error", "progress"))
            lines.append(f"export const event{number}_{member}: PlugbayEvent = {json.dumps(lacking)};")
        unknown = {**event, "data": {**event["data"], "another": 1}}
        lines += ["// @ts-expect-error", f"export const more{number}: PlugbayEvent = {json.dumps(unknown)};"]
    (tmp_path / "generated.ts").write_text(events_typescript.document(), encoding="utf-8")
    (tmp_path / "samples.ts").write_text("\n".join(lines), encoding="utf-8")
    found = find_node()
    assert found is not None
    command = [str(found[0]), str(TSC), *STRICT, "samples.ts"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout
