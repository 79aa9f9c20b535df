"""Revisions, changes and the journal together: one that makes them, starts them, and clears away what none needs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Set
from pathlib import Path

import structlog

from service.errors import PlugbayError
from service.host.configuration.config_store import ConfigStore
from service.host.database import Database
from service.host.history.blobs import Blobs
from service.host.history.changes import TRASH, Changes
from service.host.history.journal import Journal, Recovered
from service.host.history.provisional import Provisional
from service.host.history.revisions import Revisions
from service.host.store import Store
from service.host.threads import writing

log = structlog.get_logger(__name__)

_SWEEP_EVERY_S = 3600.0
_BLOBS = "data/revisions"


class History:
    """See the module.

    Args:
        home: the server's home folder.
        database: open before `start`.
        config: loaded before `start`.
        store: remembers origins.
        revisions: how many are kept of each plugin.
        changes: how many changes can be gone back to.
    """

    def __init__(
        self,
        home: Path,
        database: Database,
        config: ConfigStore,
        store: Store,
        *,
        revisions: int = 50,
        changes: int = 500,
    ) -> None:
        self._home = home
        self._database = database
        self.blobs = Blobs(home / _BLOBS)
        self.revisions = Revisions(database, self.blobs, kept=revisions)
        self.changes = Changes(database, self.blobs, kept=changes)
        self.journal = Journal(home, self.blobs, config, store, self.changes, self.revisions)
        self.provisional = Provisional(home)
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> list[Recovered]:
        """Finish or undo what a killed process left, before any file is read; see `Journal.recover`."""
        await self.blobs.start()
        recovered = await self.journal.recover()
        await self.provisional.recover()
        self._sweeping = asyncio.create_task(self._sweep_for_ever(), name="sweep history")
        return recovered

    async def close(self) -> None:
        """Write what waits, 5 s at most; before the database is closed. Calling it twice is safe."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        await self.journal.close()
        await self.revisions.close()

    async def sweep(self) -> None:
        """Remove contents and trash that neither a revision nor a change needs.

        Raises:
            StoreFailed: nothing was removed.
        """
        if self._database.problem is not None:
            # The list was lost. Somebody may still mend it, and what it refers to is of use then.
            return
        wanted = await self.revisions.needs() | await self.changes.needs("blob") | self.journal.contents()
        await self.blobs.sweep(wanted)
        trash = await self.changes.needs("trash")
        await writing(self._sweep_trash, trash | self.journal.trash())

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except (PlugbayError, OSError) as error:
                log.warning("history.not_swept", reason=str(error))
            await asyncio.sleep(_SWEEP_EVERY_S)

    def _sweep_trash(self, wanted: Set[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._home / TRASH):
                if name not in wanted:
                    shutil.rmtree(self._home / TRASH / name, ignore_errors=True)
