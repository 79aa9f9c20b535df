"""The bodies of the requests and responses about the server itself: its figures, its events, who is signed in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.api.messages import PartView, Request
from service.host.server_process import Memory
from service.model.statistics import Load, PluginStats


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """How plugins are called, and how their last loads went.

    `step` is the newest step of `step_s` seconds that is over, and `at` when it ended. An event `plugbay.stats` with a
    higher `step` goes on from here. Plugins that were never called are left out.
    """

    at: str
    step: int
    step_s: float
    plugins: dict[str, PluginStats]
    reloads: list[Load]


class ActivityList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest events of the log, the oldest first, each as it went over the WebSocket.

    `epoch` and `seq` are the position that this is as of: whoever subscribes from there misses nothing.
    """

    epoch: str
    seq: str
    events: list[dict[str, Any]]


class SignIn(Request, frozen=True, kw_only=True):
    """Sign in with the server's token."""

    token: Annotated[str, Meta(min_length=1, max_length=1024)]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this connection needs the token, and by what it was let in; `by` is null where it is not."""

    required: bool
    by: Literal["loopback", "cookie", "bearer"] | None


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """The token that counts from now on."""

    status: Literal["success"] = "success"
    message: str
    token: str


class PluginStates(msgspec.Struct, frozen=True, kw_only=True):
    """How many plugins are in each state."""

    loading: int = 0
    active: int = 0
    degraded: int = 0
    failed: int = 0
    disabled: int = 0


class EventLogView(msgspec.Struct, frozen=True, kw_only=True):
    """The log of events in memory: its head, how much it keeps, and how much it may."""

    epoch: str
    seq: str
    events: int
    bytes: int
    max_events: int
    max_bytes: int


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """The processes that plugins run in: those that serve, those that finish their calls, and all, spares too."""

    serving: int
    draining: int
    total: int


class EnvironmentSizes(msgspec.Struct, frozen=True, kw_only=True):
    """How many sets of packages there are, and their size on the disk in bytes."""

    count: int
    size: int


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The server itself.

    `home` is the name of its home folder. `memory` is null where the kernel does not tell it. `loop_lag_ms` is how late
    the event loop is. `parts` are those of `/readyz`.
    """

    version: str
    started_at: str
    uptime_s: float
    python: str
    platform: str
    home: str
    ready: bool
    parts: dict[str, PartView]
    plugins: PluginStates
    workers: Workers
    clients: int
    events: EventLogView
    environments: EnvironmentSizes
    memory: Memory | None
    loop_lag_ms: float
