"""Writes web/src/api/generated.ts from the server's own event classes and structs.

    python -m tests.events_typescript          writes it

tests/unit/api/test_events_typescript.py fails where it is out of date, or where it is not what comes over the wire.

A member may be absent (`?`) only where the server leaves it out: a field that can be UNSET, and of an event's `data`
what has a default. All else is always there, if need be as `null`.
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import inspect as shapes

from service.api.events_document import EVENTS, HEARTBEAT, DataField, data_fields, event_types
from service.api.messages import PluginList, Problem
from service.api.server_messages import ActivityList, Server, Session, Stats
from service.api.task_messages import TaskList
from service.live.hub import Subscribed
from service.model.events import Event
from service.model.plugin import PluginView, Stage
from service.model.task import Task
from service.model.text import Text

ROOT = Path(__file__).parents[1]
FILE = ROOT / "web" / "src" / "api" / "generated.ts"

# What the page is given beside what events hold.
_STRUCTS: tuple[type[msgspec.Struct], ...] = (
    PluginView,
    PluginList,
    Task,
    TaskList,
    Subscribed,
    Stats,
    ActivityList,
    Server,
    Session,
    Problem,
)
# Where the page has a better name for it.
_NAMES: dict[type, str] = {PluginView: "Plugin", Stage: "LoadStage", Text: "LocalizedText"}
# What is passed on as it was encoded before.
_MEMBER_TYPES: dict[tuple[type, str], str] = {(ActivityList, "events"): "PlugbayEvent[]"}
# Structs whose members are not all known.
_MORE_MEMBERS: dict[type, str] = {Problem: "[member: string]: unknown;"}

_HEAD = """\
/**
 * What the server sends: its events as one union, and the structs in them.
 *
 * Made by `python -m tests.events_typescript` from the server's own types; not edited here.
 */
"""

_ENVELOPES = """\
/** CloudEvents 1.0 in JSON. An event of the log has a place in it, `seq`, a decimal number as text. */
export interface LoggedEvent<Type extends string, Data> {
  specversion: '1.0';
  id: string;
  source: string;
  type: Type;
  subject: string;
  time: string;
  datacontenttype: 'application/json';
  epoch: string;
  seq: string;
  data: Data;
}

/** A passing event has no place in the log and is never replayed. */
export interface PassingEvent<Type extends string, Data> extends Omit<LoggedEvent<Type, Data>, 'seq'> {
  seq?: never;
}
"""


def document() -> str:
    """The whole text."""
    writer = _Writer()
    data = [writer.data(event) for event in EVENTS]
    for struct in _STRUCTS:
        writer.written(shapes.type_info(struct))
    heartbeat = (
        "/** Says how far the client has been served: `seq` is the head, or its own place. */\n"
        f"export type HeartbeatEvent = LoggedEvent<'{HEARTBEAT}', Record<string, never>>;\n"
    )
    types = [type for event in EVENTS for type, _ in event_types(event)]
    parts = [
        _HEAD,
        *writer.declarations.values(),
        *data,
        _ENVELOPES,
        *map(_event, EVENTS),
        heartbeat,
        "/** Every event that comes over the WebSocket; `type` tells them apart. */\n"
        + _union("PlugbayEvent", [*(f"{event.__name__}Event" for event in EVENTS), "HeartbeatEvent"]),
        "/** The type of every event, in the order of their kinds. */\n"
        + _constants("EVENT_TYPES", [*types, HEARTBEAT])
        + "export type EventType = (typeof EVENT_TYPES)[number];\n",
        "/** The event of a type, or the union of those of several. */\n"
        "export type EventOf<Type extends EventType> = Extract<PlugbayEvent, { type: Type }>;\n",
    ]
    return "\n".join(parts)


class _Writer:
    """Turns types into TypeScript, and collects the declarations that they need, each after what it is made of."""

    def __init__(self) -> None:
        self.declarations: dict[str, str] = {}
        self._named: dict[str, type] = {}

    def written(self, shape: shapes.Type, *, nullable: bool = True) -> str:
        """How a type is written; without `null` where that is not `nullable`."""
        match shape:
            case shapes.StrType() | shapes.DateTimeType():
                return "string"
            case shapes.IntType() | shapes.FloatType():
                return "number"
            case shapes.BoolType():
                return "boolean"
            case shapes.NoneType():
                return "null"
            case shapes.AnyType() | shapes.RawType():
                return "unknown"
            case shapes.LiteralType(values):
                return " | ".join(map(_literal, values))
            case shapes.UnionType(types):
                kinds = (
                    self.written(kind) for kind in types if nullable or not isinstance(kind, shapes.NoneType)
                )
                return " | ".join(dict.fromkeys(kinds))
            case shapes.ListType(item) | shapes.VarTupleType(item):
                of = self.written(item)
                return f"({of})[]" if " | " in of else f"{of}[]"
            case shapes.TupleType(items):
                return f"[{', '.join(map(self.written, items))}]"
            case shapes.DictType(key, value):
                return f"Record<{self.written(key)}, {self.written(value)}>"
            case shapes.EnumType(cls):
                return self._enum(cls)
            case shapes.StructType(cls):
                return self._struct(cls)
            case shapes.Metadata(inner):
                return self.written(inner, nullable=nullable)
            case other:
                raise NotImplementedError(f"no TypeScript for {other}")

    def data(self, event: type[Event]) -> str:
        """The interface of an event's `data`."""
        doc = inspect.getdoc(event) or ""
        members = (self._data_member(field) for field in data_fields(event))
        return _interface(f"{event.__name__}Data", doc, members)

    def _data_member(self, field: DataField) -> str:
        [shape] = [one.type for one in _fields(field.struct) if one.encode_name == field.name]
        mark = "?" if field.optional else ""
        return f"{field.name}{mark}: {self.written(shape, nullable=not field.optional)};"

    def _struct(self, cls: type[msgspec.Struct]) -> str:
        name = self._name(cls)
        if name not in self.declarations:
            if cls.__struct_config__.tag is not None or cls.__struct_config__.omit_defaults:
                raise NotImplementedError(f"{cls} is not encoded field by field")
            # A struct may hold itself: its name is known before its members are.
            self.declarations[name] = ""
            may_be_unset = {
                one.encode_name
                for one in msgspec.structs.fields(cls)
                if msgspec.UnsetType in _kinds(one.type)
            }
            members = []
            for field in _fields(cls):
                member = field.encode_name
                of = _MEMBER_TYPES.get((cls, member)) or self.written(field.type)
                members.append(f"{member}{'?' if member in may_be_unset else ''}: {of};")
            if cls in _MORE_MEMBERS:
                members.append(_MORE_MEMBERS[cls])
            # Now, so that it stands behind what it is made of.
            del self.declarations[name]
            self.declarations[name] = _interface(name, inspect.getdoc(cls) or "", members)
        return name

    def _enum(self, cls: type[enum.Enum]) -> str:
        name = self._name(cls)
        if name not in self.declarations:
            constant = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()
            plural = f"{constant}ES" if constant.endswith("S") else f"{constant}S"
            self.declarations[name] = (
                f"{_comment(inspect.getdoc(cls) or '')}"
                f"{_constants(plural, [member.value for member in cls])}"
                f"export type {name} = (typeof {plural})[number];\n"
            )
        return name

    def _name(self, cls: type) -> str:
        name = _NAMES.get(cls, cls.__name__)
        if self._named.setdefault(name, cls) is not cls:
            raise NotImplementedError(
                f"{cls} and {self._named[name]} have one name; give one another in _NAMES"
            )
        return name


def _event(event: type[Event]) -> str:
    """The event's own type: a union where it has several `type`s, so that each of them tells it apart."""
    kind = "PassingEvent" if event.passing else "LoggedEvent"
    data = f"{event.__name__}Data"
    subject = next(subject for _, subject in event_types(event))
    members = [f"{kind}<'{type}', {data}>" for type, _ in event_types(event)]
    return f"/** `subject` is `{subject}`. */\n" + _union(f"{event.__name__}Event", members)


def _fields(cls: type[msgspec.Struct]) -> Iterator[shapes.Field]:
    shape = shapes.type_info(cls)
    assert isinstance(shape, shapes.StructType)
    return iter(shape.fields)


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) or (hint,)


def _literal(value: str | int | None) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _union(name: str, members: list[str]) -> str:
    if len(members) == 1:
        return f"export type {name} = {members[0]};\n"
    return f"export type {name} =" + "".join(f"\n  | {member}" for member in members) + ";\n"


def _constants(name: str, values: list[str]) -> str:
    return f"export const {name} = [\n" + "".join(f"  '{value}',\n" for value in values) + "] as const;\n"


def _interface(name: str, doc: str, members: Iterable[str]) -> str:
    lines = "".join(f"  {member}\n" for member in members)
    return f"{_comment(doc)}export interface {name} {{\n{lines}}}\n"


def _comment(doc: str) -> str:
    lines = doc.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        return f"/** {lines[0]} */\n"
    return "/**\n" + "".join(f" * {line}".rstrip() + "\n" for line in lines) + " */\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(document(), encoding="utf-8")
