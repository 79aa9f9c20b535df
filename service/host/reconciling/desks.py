"""What is to be done about one plugin: changes asked for, merged until they are taken up."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from service.host.files.sources import Snapshot, Unit
from service.model.actor import Actor
from service.model.events import UNASKED, Cause, asked_by
from service.model.identity import Identity
from service.model.plugin import LoadError, PluginView
from service.model.request_id import request_id

# Which event ends the change; the later ones win when changes are merged.
ChangeKind = Literal["loaded", "configured", "enabled"]
_KINDS: tuple[ChangeKind, ...] = ("loaded", "configured", "enabled")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a change ended: the plugin as it is now, `None` when it is gone, and why it did not load."""

    plugin: PluginView | None
    error: LoadError | None
    ms: float


@dataclass(slots=True)
class Change:
    """Something that may ask for a new generation.

    Args:
        cause: who wanted it.
        kind: the event that ends it.
        force: load even where the bytes are as before.
        settles: a failure or a disappearance is only believed if it still stands a moment later.
        snapshot: the code to load instead of what the files hold, for starting a crashed generation again.

    Attributes:
        by: the client whose request this is about, if it is about one.
        request: that request's id.
    """

    cause: Cause
    kind: ChangeKind = "loaded"
    force: bool = False
    settles: bool = False
    snapshot: Snapshot | None = None
    noticed_ns: int = field(default_factory=time.time_ns)
    waiters: list[asyncio.Future[Outcome]] = field(default_factory=list)
    by: Actor | None = field(init=False)
    request: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.by = asked_by(self.cause)
        self.request = None if self.cause in UNASKED else request_id.get()

    def merged_into(self, older: Change | None) -> Change:
        """Both as one: the newer cause, the stronger wishes, everybody who waits."""
        if older is None:
            return self
        merged = Change(
            cause=self.cause,
            kind=max(self.kind, older.kind, key=_KINDS.index),
            force=self.force or older.force,
            settles=self.settles and older.settles,
            # What the files hold is worth more than the code that crashed, should anybody want that.
            snapshot=self.snapshot if older.snapshot is not None else None,
            noticed_ns=self.noticed_ns,
            waiters=older.waiters + self.waiters,
        )
        merged.by, merged.request = self.by, self.request
        return merged


class Desk:
    """One plugin's place in the reconciler: what is wanted, what was tried, and the task that works on it.

    Attributes:
        unit: the plugin's files.
        pending: what is wanted and not yet taken up.
        task: works on it.
        attempted: the revision that was last tried, whatever came of it.
        said: the name that the plugin's class last gave.
        imports: the plugin-side modules that what serves imports, `None` before anything was loaded.
        missed: those that the newest files import, where these do not load.
        conflict: the identity that another plugin has and this one claims.
        loading: whether a load is under way.
        crashes: when its worker ended of its own, on the loop's clock.
        crashed: the code that served when it last did, until something serves again.
        restart: starts that again.
        retry: tries again what failed for want of the package registry, after `retries` times in vain.
        told_to_wait: whether it was said that a load waits for drains.
        at_start: whether its files were there when the server started.
        passed: set when its first round is over.
    """

    def __init__(self, unit: Unit, *, at_start: bool = False) -> None:
        self.unit = unit
        self.at_start = at_start
        self.pending: Change | None = None
        self.task: asyncio.Task[None] | None = None
        self.attempted: str | None = None
        self.said: str | None = None
        self.imports: frozenset[str] | None = None
        self.missed: frozenset[str] = frozenset()
        self.conflict: Identity | None = None
        self.loading = False
        self.crashes: list[float] = []
        self.crashed: Snapshot | None = None
        self.restart: asyncio.TimerHandle | None = None
        self.retry: asyncio.TimerHandle | None = None
        self.retries = 0
        self.told_to_wait = False
        self.passed = asyncio.Event()
        self._arrived = asyncio.Event()

    def put(self, change: Change) -> None:
        """Add a change to what is wanted."""
        self.pending = change.merged_into(self.pending)
        self._arrived.set()

    def take(self) -> Change | None:
        """Take what is wanted."""
        change, self.pending = self.pending, None
        self._arrived.clear()
        return change

    async def arrival(self) -> None:
        """Wait until something more is wanted; what was wanted before the call does not count again."""
        await self._arrived.wait()
        self._arrived.clear()

    async def arrival_within(self, seconds: float) -> bool:
        """Whether something comes to be wanted within so many seconds."""
        if self.pending is not None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            pass  # though it may have come in that very instant
        return self.pending is not None

    async def arrival_before(self, done: asyncio.Future[Any]) -> bool:
        """Wait for something to be wanted or for a future; whether it was the former. The future goes on."""
        arrival = asyncio.ensure_future(self.arrival())
        try:
            await asyncio.wait((done, arrival), return_when=asyncio.FIRST_COMPLETED)
            return not done.done()
        finally:
            arrival.cancel()

    def imports_module(self, name: str) -> bool:
        """Whether the plugin, as it serves or as its files are, imports a module."""
        return name in self.missed or (self.imports is not None and name in self.imports)

    def forget_retry(self) -> None:
        """Try nothing again by itself: the newest files are tried just now, serve, or are not to."""
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None

    def forget_crash(self) -> None:
        """Start nothing again that crashed."""
        self.crashed = None
        if self.restart is not None:
            self.restart.cancel()
            self.restart = None
