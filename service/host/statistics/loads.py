"""The loads of all plugins that ended last, as the event log tells of them."""

from __future__ import annotations

from collections import deque

import msgspec

from service.live.event_log import Entry
from service.model.events import Cause, Timings
from service.model.statistics import Load

LOADS = 200

_KINDS = frozenset(
    f"plugbay.plugin.{change}" for change in ("loaded", "reloaded", "enabled", "configured", "failed")
)
_FAILED = "plugbay.plugin.failed"


class _Error(msgspec.Struct):
    """As much as is read of why it failed."""

    generation: int | None = None


class _Plugin(msgspec.Struct):
    """As much as is read of the plugin."""

    id: str
    generation: int
    error: _Error | None = None


class _Data(msgspec.Struct):
    """As much as is read of an event's data."""

    plugin: _Plugin
    cause: Cause
    timings: Timings | None = None


class _Envelope(msgspec.Struct):
    """As much as is read of an event."""

    time: str
    data: _Data


_decoder = msgspec.json.Decoder(_Envelope)


class Loads:
    """Keeps the newest; `take` is for `EventLog.listen`."""

    def __init__(self) -> None:
        self._loads: deque[Load] = deque(maxlen=LOADS)

    def take(self, entry: Entry) -> Load | None:
        """Note the load that an event tells of, if it does, and give it."""
        if entry.type not in _KINDS:
            return None
        event = _decoder.decode(entry.payload)
        data, timings, ok = event.data, event.data.timings, entry.type != _FAILED
        if ok and timings is None:
            return None  # it serves as before: nothing was loaded
        error = data.plugin.error
        number = error.generation if not ok and error is not None else None
        load = Load(
            at=event.time,
            id=data.plugin.id,
            generation=data.plugin.generation if number is None else number,
            cause=data.cause,
            ok=ok,
            ms=None if timings is None else timings.total_ms,
            load_ms=None if timings is None else timings.load_ms,
        )
        self._loads.append(load)
        return load

    def newest(self) -> list[Load]:
        """All that are kept, the oldest first."""
        return list(self._loads)
