"""The document of the live events: AsyncAPI 3.0, made from the event classes, their docstrings and their structs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, get_args

import msgspec

from service.api import events_prose as prose
from service.live import event_stream, jsonrpc
from service.live.hub import Subscribed
from service.live.session import SubscribeParams, UnsubscribeParams
from service.model.events import (
    ConfigImported,
    Event,
    GenerationDrained,
    LogLine,
    PluginChange,
    PluginChanged,
    PluginInstalling,
    RegistryReloaded,
    StatsTold,
    TokenRotated,
)
from service.model.task import Task
from service.model.task_events import TaskChange, TaskChanged, TaskProgress, TaskResults

EVENTS: tuple[type[Event], ...] = (
    PluginChanged,
    PluginInstalling,
    GenerationDrained,
    RegistryReloaded,
    ConfigImported,
    TokenRotated,
    TaskChanged,
    TaskProgress,
    TaskResults,
    LogLine,
    StatsTold,
)
HEARTBEAT = "plugbay.heartbeat"

_CHANGES: dict[type[Event], tuple[str, ...]] = {
    PluginChanged: get_args(PluginChange),
    TaskChanged: get_args(TaskChange),
}
# Fields of the classes that are in `type` and `subject`, not in `data`; and what `data` says a second time.
_NOT_DATA = frozenset({"id", "change"})
_REPEATED = {TaskProgress: (Task, ("speed", "eta"))}

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_WEB_SOCKET, _STREAM = "webSocket", "serverSentEvents"
_EMPTY = {"type": "object", "additionalProperties": False}


class Closed(msgspec.Struct, frozen=True):
    """Why a stream ends; `reason` says whether to come back."""

    code: int
    reason: str


def build_asyncapi(*, version: str) -> dict[str, Any]:
    """Make the document.

    Args:
        version: the server's version.
    """
    structs: list[Any] = [*EVENTS, Task, Subscribed, SubscribeParams, UnsubscribeParams, Closed]
    _, schemas = msgspec.json.schema_components(structs, ref_template=_REF)
    messages: dict[str, Any] = {}
    for event in EVENTS:
        data = _data_schema(event, schemas)
        schemas[event.__name__] = data
        for type, subject in event_types(event):
            messages[type] = _event_message(type, subject, event, event.__name__)
    messages[HEARTBEAT] = _note_message(HEARTBEAT, "heartbeat", prose.HEARTBEAT, _EMPTY)
    both = list(messages)
    messages[event_stream.RESET] = _note_message(
        event_stream.RESET, "stream", prose.RESET, {"$ref": _REF.format(name="Subscribed")}
    )
    messages[event_stream.CLOSED] = _note_message(
        event_stream.CLOSED,
        "stream",
        prose.CLOSED,
        {"$ref": _REF.format(name="Closed")},
        has_seq=False,
    )
    controls = _control_messages()
    messages |= controls
    schemas["CloudEvent"] = _envelope()
    return {
        "asyncapi": "3.0.0",
        "id": "urn:plugbay:events",
        "info": {"title": "Plugbay live events", "version": version, "description": prose.DOCUMENT},
        "defaultContentType": _JSON,
        "servers": {"webSocket": _server("ws"), "http": _server("http")},
        "channels": {
            _WEB_SOCKET: {
                "address": "/api/ws",
                "title": "WebSocket",
                "description": prose.WEB_SOCKET,
                "servers": [{"$ref": "#/servers/webSocket"}],
                "messages": _message_refs([*both, *controls]),
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            },
            _STREAM: {
                "address": "/api/events",
                "title": "Server-sent events",
                "description": prose.STREAM,
                "servers": [{"$ref": "#/servers/http"}],
                "messages": _message_refs([*both, event_stream.RESET, event_stream.CLOSED]),
            },
        },
        "operations": {
            "sendWebSocketEvents": _operation(
                "send", _WEB_SOCKET, both, "Events to the client, once subscribed."
            ),
            "sendServerSentEvents": _operation(
                "send",
                _STREAM,
                [*both, event_stream.RESET, event_stream.CLOSED],
                "Events to the client, from its position on.",
            )
            | {"bindings": {"http": _query_binding()}},
            **{
                method: _operation("receive", _WEB_SOCKET, [method], summary)
                | {
                    "reply": {
                        "channel": {"$ref": f"#/channels/{_WEB_SOCKET}"},
                        "messages": _channel_refs(_WEB_SOCKET, [f"{method}Result", "error"]),
                    }
                }
                for method, summary in prose.METHODS.items()
            },
        },
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": prose.TOKEN},
            },
        },
    }


class DataField(NamedTuple):
    """A member of an event's `data`: the struct that has it as a field, and whether it may be left out."""

    struct: type[msgspec.Struct]
    name: str
    optional: bool


def event_types(event: type[Event]) -> Iterator[tuple[str, str]]:
    """Every `type` that a class of events stands for, each with the form of its subjects."""
    plugin, task = "{type}/{name}", "{id}"
    for change in _CHANGES.get(event, ("",)):
        stand_in = SimpleNamespace(
            id=plugin, change=change, plugin=SimpleNamespace(id=plugin), task=SimpleNamespace(id=task)
        )
        yield _property(event, "type", stand_in), _property(event, "subject", stand_in)


def _property(event: type[Event], name: str, stand_in: SimpleNamespace) -> str:
    """What a property gives for any event that has the fields of `stand_in`."""
    getter = inspect.getattr_static(event, name).fget
    return str(getter(stand_in))


def data_fields(event: type[Event]) -> list[DataField]:
    """The members of an event's `data`: its fields, as far as they are not told beside it.

    What is not there is left out, never null; that is for those with a default.
    """
    fields = [
        DataField(event, field.name, not field.required)
        for field in msgspec.structs.fields(event)
        if field.name not in _NOT_DATA
    ]
    if event in _REPEATED:
        struct, names = _REPEATED[event]
        fields += [DataField(struct, name, False) for name in names]
    return fields


def _data_schema(event: type[Event], schemas: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for struct, name, optional in data_fields(event):
        schema = schemas[struct.__name__]["properties"][name]
        if optional:
            kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
            schema = kinds[0] if kinds else schema
        properties[name] = schema
    return {
        "title": event.__name__,
        "description": inspect.getdoc(event) or "",
        "type": "object",
        "properties": properties,
        "required": [field.name for field in data_fields(event) if not field.optional],
    }


def _event_message(type: str, subject: str, event: type[Event], data: str) -> dict[str, Any]:
    summary, _, rest = (inspect.getdoc(event) or "").partition("\n")
    where = "It is passing: it has no `seq` and is never replayed." if event.passing else ""
    description = "\n\n".join(part for part in (rest.strip(), f"`subject` is `{subject}`.", where) if part)
    return _message(type, summary, description, {"$ref": _REF.format(name=data)}, has_seq=not event.passing)


def _note_message(
    type: str, subject: str, text: str, data: dict[str, Any], *, has_seq: bool = True
) -> dict[str, Any]:
    """What is said to one client about its stream."""
    summary, _, rest = text.partition("\n")
    description = f"{rest.strip()}\n\n`subject` is `{subject}`.".strip()
    return _message(type, summary, description, data, has_seq=has_seq)


def _message(
    type: str, summary: str, description: str, data: dict[str, Any], *, has_seq: bool
) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "allOf": [
            {"$ref": _REF.format(name="CloudEvent")},
            {
                "type": "object",
                "properties": {"type": {"const": type}, "data": data},
                "required": ["type", "data", *(["seq"] if has_seq else [])],
            },
        ]
    }
    if not has_seq:
        payload["allOf"][1]["not"] = {"required": ["seq"]}
    return {
        "name": type,
        "title": type,
        "summary": summary,
        "description": description,
        "contentType": _JSON,
        "payload": payload,
    }


def _envelope() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    properties = {
        "specversion": {"const": "1.0"},
        "id": text,
        "source": text | {"format": "uri-reference", "description": "`/plugbay/` and the server's name."},
        "type": text,
        "subject": text | {"description": "What topics are matched against."},
        "time": text | {"format": "date-time"},
        "datacontenttype": {"const": _JSON},
        "epoch": text | {"description": "The run of the server; a `seq` counts within one."},
        "seq": {"type": "string", "pattern": "^(0|[1-9][0-9]{0,17})$", "description": prose.SEQ},
        "data": {},
    }
    return {
        "title": "CloudEvent",
        "description": "CloudEvents 1.0 in JSON, with the position in the log beside it.",
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in ("seq", "data")],
    }


def _control_messages() -> dict[str, Any]:
    """The JSON-RPC frames of the WebSocket."""
    params = {
        "subscribe": {"$ref": _REF.format(name="SubscribeParams")},
        "unsubscribe": {"$ref": _REF.format(name="UnsubscribeParams")},
        "ping": _EMPTY,
    }
    topics = {"type": "array", "items": {"type": "string"}, "description": "Those that are left."}
    results: dict[str, Any] = {
        "subscribe": {"$ref": _REF.format(name="Subscribed")},
        "unsubscribe": {"type": "object", "properties": {"topics": topics}, "required": ["topics"]},
        "ping": _EMPTY,
    }
    messages: dict[str, Any] = {}
    for method, summary in prose.METHODS.items():
        needs = [] if method == "ping" else ["params"]
        request = {"method": {"const": method}, "params": params[method]}
        messages[method] = _frame(method, summary, request, ["method", *needs])
        answer = {"result": results[method]}
        messages[f"{method}Result"] = _frame(
            f"{method}Result", f"The answer to `{method}`.", answer, ["id", "result"]
        )
    codes = [
        jsonrpc.PARSE_ERROR,
        jsonrpc.INVALID_REQUEST,
        jsonrpc.METHOD_NOT_FOUND,
        jsonrpc.INVALID_PARAMS,
        jsonrpc.INTERNAL_ERROR,
    ]
    error = {
        "type": "object",
        "properties": {"code": {"enum": codes}, "message": {"type": "string"}, "data": {"type": "object"}},
        "required": ["code", "message"],
    }
    messages["error"] = _frame(
        "error", "A frame that was not carried out; the connection lives.", {"error": error}, ["id", "error"]
    )
    return messages


def _frame(name: str, summary: str, members: dict[str, Any], required: list[str]) -> dict[str, Any]:
    head = {"jsonrpc": {"const": "2.0"}, "id": {"type": ["string", "number", "null"]}}
    return {
        "name": name,
        "title": name,
        "summary": summary,
        "contentType": _JSON,
        "correlationId": {"location": "$message.payload#/id"},
        "payload": {"type": "object", "properties": head | members, "required": ["jsonrpc", *required]},
    }


def _server(protocol: str) -> dict[str, Any]:
    return {
        "host": "{authority}",
        "protocol": protocol,
        "description": prose.SERVER,
        "variables": {"authority": {"default": "127.0.0.1:8000", "description": "Where the server listens."}},
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
    }


def _operation(action: str, channel: str, messages: Iterable[str], summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": _channel_refs(channel, messages),
    }


def _query_binding() -> dict[str, Any]:
    properties = {
        name: {"type": "string", "description": text} for name, text in prose.STREAM_PARAMETERS.items()
    }
    return {
        "method": "GET",
        "query": {"type": "object", "properties": properties},
        "bindingVersion": "0.3.0",
    }


def _message_refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _channel_refs(channel: str, names: Iterable[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
