"""What the server remembers of plugins beside their files: manifests by content, origins by file.

Manifests can be made again by running the plugin, so they are written when there is time; an origin is durable when
`set_origin` returns.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TypeVar

import msgspec

from service.host.database import Database
from service.model.plugin import Manifest, Origin

KEPT_MANIFESTS = 5000

_PRUNE_EVERY = 500

T = TypeVar("T")


class Store:
    """See the module.

    Args:
        database: where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._since_prune = 0

    async def manifests(self) -> dict[str, Manifest]:
        """All that is remembered, by hash of the content."""
        return await self._all("SELECT hash, manifest FROM manifests", Manifest)

    def remember_manifest(self, content_hash: str, manifest: Manifest) -> None:
        """Keep what a content said of itself; the least recently remembered ones make room."""
        data = msgspec.json.encode(manifest)
        self._since_prune += 1
        prune = self._since_prune >= _PRUNE_EVERY
        if prune:
            self._since_prune = 0

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO manifests SELECT ?1, ?2, coalesce(max(seen), 0) + 1 FROM manifests WHERE true "
                "ON CONFLICT (hash) DO UPDATE SET manifest = excluded.manifest, seen = excluded.seen",
                (content_hash, data),
            )
            if prune:
                connection.execute(
                    "DELETE FROM manifests WHERE seen <= (SELECT max(seen) FROM manifests) - ?",
                    (KEPT_MANIFESTS,),
                )

        self.database.write_soon(write, about=("manifest", content_hash))

    async def origins(self) -> dict[str, Origin]:
        """Where files came from, by their path relative to home."""
        return await self._all("SELECT file, origin FROM origins", Origin)

    async def set_origin(self, file: str, origin: Origin | None) -> None:
        """Remember where `file` came from, or forget it; durable when this returns.

        Raises:
            StoreFailed: nothing was changed.
        """

        def write(connection: sqlite3.Connection) -> None:
            if origin is None:
                connection.execute("DELETE FROM origins WHERE file = ?", (file,))
            else:
                connection.execute(
                    "INSERT INTO origins VALUES (?1, ?2) ON CONFLICT (file) DO UPDATE SET origin = excluded.origin",
                    (file, msgspec.json.encode(origin)),
                )

        await self.database.write(write)

    async def _all(self, query: str, kind: type[T]) -> dict[str, T]:
        none: list[tuple[str, bytes]] = []
        rows = await self.database.read(lambda connection: connection.execute(query).fetchall(), none)
        found = {}
        for key, data in rows:
            # A row of another version, or edited by hand, is as good as absent.
            with contextlib.suppress(msgspec.MsgspecError, TypeError, UnicodeDecodeError):
                found[str(key)] = msgspec.json.decode(data, type=kind)
        return found
