"""What clients are told of, one class an event; each docstring is the event's description in the documents."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Literal

import msgspec

from service.model.actor import Actor, acting
from service.model.plugin import LoadError, PluginView

# The subject of what is told of calls.
STATS = "stats"
# The subject of what is told of the server's token.
TOKEN = "token"


class Cause(StrEnum):
    """Why a plugin changed."""

    STARTUP = "startup"
    FILE = "file"
    API = "api"
    CONFIG = "config"
    ROLLBACK = "rollback"
    CRASH = "crash"


# What nobody asks for by a request.
UNASKED = frozenset({Cause.STARTUP, Cause.FILE, Cause.CRASH})


def asked_by(cause: Cause) -> Actor | None:
    """Who asked for a change with this cause, as far as this task is about a request at all."""
    return None if cause in UNASKED else acting.get()


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """How long a change took, in milliseconds: from the save to its notice, of the load, and of all."""

    detect_ms: float
    load_ms: float
    total_ms: float


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The root of all events: `data` as the struct's own fields, `type` and `subject` beside them.

    `passing` events have no place in the log: they are never replayed.
    """

    passing: ClassVar[bool] = False

    @property
    def type(self) -> str:
        """The CloudEvents `type`."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """The CloudEvents `subject`, which topics are matched against."""
        raise NotImplementedError

    @property
    def data(self) -> Any:
        """The CloudEvents `data`, ready to be encoded."""
        raise NotImplementedError

    @property
    def conflate_key(self) -> str | None:
        """Of events that share a key, a slow client needs only the newest."""
        return None


PluginChange = Literal[
    "loading", "loaded", "reloaded", "failed", "unloaded", "enabled", "disabled", "configured", "crashed"
]


class PluginChanged(Event, frozen=True, kw_only=True):
    """A plugin was loaded, reloaded, failed, unloaded, enabled, disabled, configured or crashed.

    `loading` only announces a change; exactly one of the others ends it. `by` is the client that asked for it, null
    where none did: a file was saved, a process ended, the server started.
    """

    change: PluginChange
    plugin: PluginView
    cause: Cause
    by: Actor | None
    timings: Timings | None = None

    @property
    def type(self) -> str:
        return f"plugbay.plugin.{self.change}"

    @property
    def subject(self) -> str:
        return f"plugins/{self.plugin.id}"

    @property
    def data(self) -> Any:
        data: dict[str, Any] = {"plugin": self.plugin, "cause": self.cause, "by": self.by}
        if self.timings is not None:
            data["timings"] = self.timings
        return data


class InstallProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the dependencies of a plugin are: `step` is `resolve`, `download` or `install`."""

    step: str
    packages: list[str] = []
    done: int | None = None
    total: int | None = None


class PluginInstalling(Event, frozen=True, kw_only=True):
    """An install has come to a stage; `subject` names the plugin as far as it is known.

    Stage `failed` ends one that left nothing; `error` says why. In stage `dependencies`, `progress` says how far
    they are. `by` is the client that asked for it, null where a file did.
    """

    id: str
    stage: str
    url: str | None
    by: Actor | None
    error: LoadError | None = None
    progress: InstallProgress | None = None

    @property
    def type(self) -> str:
        return "plugbay.plugin.installing"

    @property
    def subject(self) -> str:
        return f"plugins/{self.id}"

    @property
    def data(self) -> Any:
        told: dict[str, Any] = {"stage": self.stage, "url": self.url, "by": self.by}
        if self.progress is not None:
            told |= {"progress": self.progress}
        return told if self.error is None else told | {"error": self.error}


class GenerationDrained(Event, frozen=True, kw_only=True):
    """The last call of a retired generation has ended and its worker is gone."""

    id: str
    generation: int
    drain_ms: float
    forced: bool

    @property
    def type(self) -> str:
        return "plugbay.generation.drained"

    @property
    def subject(self) -> str:
        return f"plugins/{self.id}"

    @property
    def data(self) -> Any:
        return {"generation": self.generation, "drain_ms": self.drain_ms, "forced": self.forced}


class RegistryReloaded(Event, frozen=True, kw_only=True):
    """All plugins were reloaded by request, that of `by`."""

    success_count: int
    fail_count: int
    by: Actor | None

    @property
    def type(self) -> str:
        return "plugbay.registry.reloaded"

    @property
    def subject(self) -> str:
        return "registry"

    @property
    def data(self) -> Any:
        return {"success_count": self.success_count, "fail_count": self.fail_count, "by": self.by}


class ConfigImported(Event, frozen=True, kw_only=True):
    """The configuration of all plugins was replaced by an import, that of `by`."""

    reloaded_count: int
    by: Actor | None

    @property
    def type(self) -> str:
        return "plugbay.config.imported"

    @property
    def subject(self) -> str:
        return "config"

    @property
    def data(self) -> Any:
        return {"reloaded_count": self.reloaded_count, "by": self.by}


class TokenRotated(Event, frozen=True, kw_only=True):
    """The server's token was replaced, by request of `by`: what knew the old one has to sign in again."""

    by: Actor | None

    @property
    def type(self) -> str:
        return "plugbay.token.rotated"

    @property
    def subject(self) -> str:
        return TOKEN

    @property
    def data(self) -> Any:
        return {"by": self.by}


class LogLine(Event, frozen=True, kw_only=True):
    """A plugin printed or logged a line; `request` is there where a call of that request had it do so."""

    passing: ClassVar[bool] = True

    id: str
    at: str
    level: str
    generation: int
    message: str
    request: str | None = None

    @property
    def type(self) -> str:
        return "plugbay.log"

    @property
    def subject(self) -> str:
        return f"logs/{self.id}"

    @property
    def data(self) -> Any:
        told = {"at": self.at, "level": self.level, "generation": self.generation, "message": self.message}
        return told if self.request is None else told | {"request": self.request}


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one plugin in one step.

    `calls` ended in the step, `errors` of them without a result; `mean_ms` is how long they took. `running` calls are
    under way as of the step's end, `draining` more in generations that no new call begins in. The totals count since
    the server's start.
    """

    calls: int
    errors: int
    mean_ms: float
    running: int
    draining: int
    total_calls: int
    total_errors: int


class StatsTold(Event, frozen=True, kw_only=True):
    """How plugins were called in one step of two seconds; those that nothing became of are left out.

    `step` counts the steps of this run of the server, `at` is when it ended. A client that comes later fetches `GET
    /api/stats`, and drops what comes with a `step` up to that of the answer.
    """

    passing: ClassVar[bool] = True

    at: str
    step: int
    step_s: float
    plugins: dict[str, Activity]

    @property
    def type(self) -> str:
        return "plugbay.stats"

    @property
    def subject(self) -> str:
        return STATS

    @property
    def data(self) -> Any:
        return {"at": self.at, "step": self.step, "step_s": self.step_s, "plugins": self.plugins}
