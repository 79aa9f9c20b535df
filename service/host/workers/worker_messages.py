"""What a worker says, as its host decodes it: types and bounds, whatever is sent. See `service.wire.messages`."""

from __future__ import annotations

from typing import Literal

import msgspec

from service.wire import messages


class Stage(msgspec.Struct, tag=messages.STAGE, tag_field="t"):
    """A later step of the load has begun."""

    stage: str


class Hello(msgspec.Struct, tag=messages.HELLO, tag_field="t"):
    """The plugin is ready; the manifest is the frame's body.

    `third_party` names the modules from site folders that the load imported, in that order, without those that the
    worker had from its template.
    """

    protocol: int
    load_ms: float
    modules: list[str]
    third_party: list[str] = []


class Failed(msgspec.Struct, tag=messages.FAILED, tag_field="t"):
    """The plugin did not load; the error is the frame's body."""

    imports: list[str]


class Imports(msgspec.Struct, tag=messages.IMPORTS, tag_field="t"):
    """The plugin-side modules that the plugin imports or names."""

    modules: list[str]


class Item(msgspec.Struct, tag=messages.ITEM, tag_field="t"):
    """One result of a stream."""

    id: int


class Note(msgspec.Struct, tag=messages.NOTE, tag_field="t"):
    """What a download tells: a report, or a checkpoint with its number."""

    id: int
    kind: Literal["report", "checkpoint"]
    n: int = 0


class Result(msgspec.Struct, tag=messages.RESULT, tag_field="t"):
    """A call's result."""

    id: int


class Error(msgspec.Struct, tag=messages.ERROR, tag_field="t"):
    """A call raised."""

    id: int


class Stopped(msgspec.Struct, tag=messages.STOPPED, tag_field="t"):
    """Nothing is left to wait for."""


FromWorker = Stage | Hello | Failed | Imports | Item | Note | Result | Error | Stopped
decoder = msgspec.json.Decoder(FromWorker)
