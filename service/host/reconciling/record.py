"""What the reconciler asks of the record of revisions, and tells it."""

from __future__ import annotations

from typing import Protocol

from service.host.files.sources import Snapshot
from service.host.generation import Generation
from service.host.plugin import Plugin


class Record(Protocol):
    """Keeps what served, so that it can serve again."""

    def served(self, plugin: Plugin, generation: Generation) -> None:
        """A generation of the newest code serves from now on."""

    async def gone(self, path: str) -> None:
        """A file or folder below the plugin folder is gone: what served from it shall not come back by itself."""

    async def last_good(self, path: str) -> Snapshot | None:
        """The code that served last from this file or folder, relative to the plugin folder."""
