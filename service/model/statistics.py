"""How plugins are called and how long their loads take, in the shapes that clients are given."""

from __future__ import annotations

import msgspec

from service.model.events import Cause


class PluginStats(msgspec.Struct, frozen=True, kw_only=True):
    """How one plugin is called.

    `calls`, `errors` and `mean_ms` count since the server's start; `running` and `draining` are calls under way now.
    `series` has the steps of the last two minutes, the newest that is over last: calls, errors, and their mean time in
    milliseconds.
    """

    calls: int
    errors: int
    mean_ms: float
    running: int
    draining: int
    series: list[tuple[int, int, float]]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One load of a plugin that has ended.

    `ms` is the time from its cause, such as a save, until it served, `load_ms` that of the load alone; both are null
    where it does not load.
    """

    at: str
    id: str
    generation: int
    cause: Cause
    ok: bool
    ms: float | None
    load_ms: float | None
