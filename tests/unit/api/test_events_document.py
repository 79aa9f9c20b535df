from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from jsonschema import Draft7Validator, ValidationError

from service.api.events_document import EVENTS, HEARTBEAT, build_asyncapi
from service.api.routes import ROUTES
from service.live.event_log import Entry, EventLog
from service.live.event_stream import CLOSED, RESET, EventStream
from service.live.hub import Subscribed
from service.model.actor import Actor
from service.model.events import (
    Activity,
    Cause,
    ConfigImported,
    Event,
    GenerationDrained,
    InstallProgress,
    LogLine,
    PluginChange,
    PluginChanged,
    PluginInstalling,
    RegistryReloaded,
    StatsTold,
    Timings,
    TokenRotated,
)
from service.model.identity import PluginType
from service.model.plugin import Origin, Permissions, PluginView
from service.model.states import PluginState
from service.model.task import Task, TaskKind, TaskStatus
from service.model.task_events import TaskChange, TaskChanged, TaskProgress, TaskResults
from tests.unit.api.fakes import LOAD_ERROR, Api

SCHEMA = Path(__file__).parent / "asyncapi" / "3.0.0.json"
AT = "2026-11-22T12:00:00.000000Z"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    built: dict[str, Any] = json.loads(msgspec.json.encode(build_asyncapi(version="1.2.3")))
    return built


def validator(document: dict[str, Any], message: str) -> Draft7Validator:
    """Of the payload of one message."""
    payload = document["components"]["messages"][message]["payload"]
    return Draft7Validator({**payload, "components": document["components"]})


def test_it_is_asyncapi_3(document: dict[str, Any]) -> None:
    asyncapi = Draft7Validator(json.loads(SCHEMA.read_text()))
    assert [error.message for error in asyncapi.iter_errors(document)] == []
    broken = {**document, "operations": {"x": {"action": "shout"}}}
    assert list(asyncapi.iter_errors(broken)), "it does look"


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(references(document)):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def leaves(event: type[Event]) -> Iterator[type[Event]]:
    for one in event.__subclasses__():
        if one.__subclasses__():
            yield from leaves(one)
        elif one.__module__.startswith("service."):
            yield one


def test_every_class_of_events_is_in_it() -> None:
    assert set(leaves(Event)) == set(EVENTS)


def test_both_transports_are_in_it_and_are_routes(document: dict[str, Any]) -> None:
    channels = document["channels"]
    paths = {route.path for route in ROUTES}
    assert {channel["address"] for channel in channels.values()} == {"/api/ws", "/api/events"} <= paths
    events = {name for name in channels["webSocket"]["messages"] if name.startswith("plugbay.")}
    assert set(channels["serverSentEvents"]["messages"]) == events | {RESET, CLOSED}
    used = {
        reference.rpartition("/")[2]
        for operation in document["operations"].values()
        for reference in references(operation)
        if "/messages/" in reference
    }
    assert used == set(document["components"]["messages"]), "every message belongs to an operation"


PLUGIN = PluginView(
    id="search/demo",
    type=PluginType.SEARCH,
    name="demo",
    version="1",
    description="",
    config_schema=[],
    enabled=True,
    state=PluginState.ACTIVE,
    generation=1,
    revision="a" * 64,
    file="plugins/search/demo_plugin.py",
    loaded_at=AT,
    load_ms=1.0,
    error=None,
    running_calls=0,
    draining=[],
    origin=Origin(kind="file", sha256="a" * 64),
    permissions=Permissions({}, {}, {}),
    config_missing=[],
)
TASK = Task(id="t1", kind=TaskKind.SEARCH, status=TaskStatus.RUNNING, created_at=AT)
ACTOR = Actor("127.0.0.1", "loopback")
TIMINGS = Timings(detect_ms=1.0, load_ms=2.0, total_ms=3.0)
ACTIVITY = Activity(calls=2, errors=1, mean_ms=3.5, running=1, draining=0, total_calls=9, total_errors=1)
HAPPENED: list[Event] = [
    *(
        PluginChanged(change=change, plugin=PLUGIN, cause=Cause.FILE, by=None)
        for change in get_args(PluginChange)
    ),
    PluginChanged(change="reloaded", plugin=PLUGIN, cause=Cause.API, by=ACTOR, timings=TIMINGS),
    PluginInstalling(id="search/demo", stage="fetch", url="http://a/b_plugin.py", by=ACTOR),
    PluginInstalling(
        id="search/demo", stage="dependencies", url=None, by=None, progress=InstallProgress(step="download")
    ),
    PluginInstalling(id="search/demo", stage="failed", url=None, by=None, error=LOAD_ERROR),
    GenerationDrained(id="search/demo", generation=1, drain_ms=2.5, forced=False),
    RegistryReloaded(success_count=5, fail_count=0, by=ACTOR),
    ConfigImported(reloaded_count=2, by=None),
    TokenRotated(by=ACTOR),
    *(TaskChanged(change=change, task=TASK) for change in get_args(TaskChange)),
    TaskProgress(task=TASK),
    TaskResults(task=TASK, results=[{"title": "a"}]),
    StatsTold(at=AT, step=7, step_s=2.0, plugins={"search/demo": ACTIVITY}),
    LogLine(id="search/demo", at=AT, level="info", generation=1, message="a\nb"),
]


@pytest.mark.parametrize("event", HAPPENED, ids=lambda event: event.type)
def test_events_are_as_it_says(document: dict[str, Any], event: Event) -> None:
    entries: list[Entry] = []
    log = EventLog(max_events=10, max_bytes=2**20, node="test")
    log.listen(entries.append)
    log.publish(event)
    told = json.loads(entries[0].payload)

    described = document["components"]["messages"][event.type]
    validator(document, event.type).validate(told)
    subject = described["description"].partition("`subject` is `")[2].partition("`")[0]
    fitting = {"type": "search", "name": "demo", "id": "t1"}
    assert subject.format(**fitting) == told["subject"]
    assert set(told["data"]) <= set(document["components"]["schemas"][type(event).__name__]["properties"])
    for wrong in (
        {**told, "type": "plugbay.other"},
        {**told, "data": 1},
        {name: value for name, value in told.items() if name != "subject"},
    ):
        with pytest.raises(ValidationError):
            validator(document, event.type).validate(wrong)
    if event.data:
        with pytest.raises(ValidationError):
            validator(document, event.type).validate({**told, "data": {}})


def test_what_is_said_of_a_stream_is_as_it_says(document: dict[str, Any]) -> None:
    log = EventLog(max_events=10, max_bytes=2**20, node="test")
    stream = EventStream(log, chunked=False)
    validator(document, HEARTBEAT).validate(json.loads(log.heartbeat(3)))
    opening = stream.opening(Subscribed(log.epoch, "3", False, 0), 1)
    validator(document, RESET).validate(json.loads(opening.partition(b"data: ")[2]))
    goodbye = stream.goodbye(4008, "slow consumer; reconnect")
    validator(document, CLOSED).validate(json.loads(goodbye.removeprefix(b"data: ")))


async def test_it_is_served(api: Api) -> None:
    response = await api.client.get("/api/asyncapi.json")
    assert response.content_type == "application/json"
    assert (await response.json())["asyncapi"] == "3.0.0"
