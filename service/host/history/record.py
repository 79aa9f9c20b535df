"""What the reconciler is given of the revisions: it tells what serves, and asks what served last."""

from __future__ import annotations

import structlog

from service.errors import PlugbayError
from service.host.files.sources import Snapshot
from service.host.files.tree import SourceTree
from service.host.generation import Generation
from service.host.history.revisions import Revisions
from service.host.plugin import Plugin

log = structlog.get_logger(__name__)


class RevisionRecord:
    """See `service.host.reconciling.record.Record`.

    Args:
        revisions: where they are kept.
        tree: has the files of packages that are no modules.
    """

    def __init__(self, revisions: Revisions, tree: SourceTree) -> None:
        self._revisions = revisions
        self._tree = tree

    def served(self, plugin: Plugin, generation: Generation) -> None:
        """Keep what serves from now on."""
        snapshot = generation.snapshot
        sent = {one.path for one in snapshot.modules}
        others = {}
        for path in self._tree.files_of(snapshot.unit):
            file = self._tree.get(path)
            if path not in sent and snapshot.unit.holds(path) and file is not None and file.flaw is None:
                others[path] = file.content
        self._revisions.remember_soon(
            plugin.identity, snapshot, generation.manifest.version, plugin.origin, others=others
        )

    async def gone(self, path: str) -> None:
        """Fall back to nothing that served from this file or folder until something does again."""
        try:
            await self._revisions.retire(path)
        except PlugbayError as error:
            log.warning("revision.not_retired", path=path, reason=str(error))

    async def last_good(self, path: str) -> Snapshot | None:
        """The code that served last from this file or folder."""
        try:
            found = await self._revisions.last_good(path)
        except PlugbayError as error:
            log.warning("revision.not_read", path=path, reason=str(error))
            return None
        return found[1] if found is not None else None
