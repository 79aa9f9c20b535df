"""What is to be done about one plugin: changes asked for, merged until they are taken up."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Literal

from service.host.sources import Snapshot, Unit
from service.model.events import Cause
from service.model.identity import Identity
from service.model.plugin import LoadError, PluginView

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
    """

    cause: Cause
    kind: ChangeKind = "loaded"
    force: bool = False
    settles: bool = False
    snapshot: Snapshot | None = None
    noticed_ns: int = field(default_factory=time.time_ns)
    waiters: list[asyncio.Future[Outcome]] = field(default_factory=list)

    def merged_into(self, older: Change | None) -> Change:
        """Both as one: the newer cause, the stronger wishes, everybody who waits."""
        if older is None:
            return self
        return Change(
            cause=self.cause,
            kind=max(self.kind, older.kind, key=_KINDS.index),
            force=self.force or older.force,
            settles=self.settles and older.settles,
            # A file that has changed meanwhile is worth more than the code that crashed.
            snapshot=self.snapshot if older.snapshot is not None or older.cause is Cause.CRASH else None,
            noticed_ns=self.noticed_ns,
            waiters=older.waiters + self.waiters,
        )


class Desk:
    """One plugin's place in the reconciler: what is wanted, what was tried, and the task that works on it."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.pending: Change | None = None
        self.task: asyncio.Task[None] | None = None
        self.attempted: str | None = None
        self.imports: frozenset[str] | None = None
        self.conflict: Identity | None = None
        self.loading = False
        self.crashes: list[float] = []
        self.restart: asyncio.TimerHandle | None = None
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
            return False
        return True
