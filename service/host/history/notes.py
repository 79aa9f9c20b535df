"""What is to be noted of revisions, held back until a change is certain, or late because of a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import structlog

from service.host.database_file import is_passing
from service.host.files.sources import Snapshot
from service.model import moment
from service.model.identity import Identity
from service.model.plugin import Origin

log = structlog.get_logger(__name__)

# Each has the code of a plugin, which a server with a full disk must not fill its memory with.
MOST_LATE = 200
_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Note:
    """A revision that is to be kept; `others` are files of a package that are no modules, `at` is when it served."""

    identity: Identity
    snapshot: Snapshot
    version: str
    origin: Origin
    others: Mapping[str, bytes]
    at: str


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """What was asked for in the middle of a change, which may still come to nothing.

    Attributes:
        keys: the ids and the files or folders of the plugins that it is about.
        notes: revisions to be kept, and files or folders whose revisions are to be retired, in order.
    """

    keys: Set[str]
    notes: list[Note | str]


def note_of(
    identity: Identity,
    snapshot: Snapshot,
    version: str,
    origin: Origin,
    others: Mapping[str, bytes] | None,
) -> Note:
    """A note as of now."""
    at = moment.now()
    return Note(identity, snapshot, version, origin, dict(others or {}), at)


class LateNotes:
    """Those that could not be kept, and that nobody waits for: tried again until they are."""

    def __init__(self) -> None:
        self._notes: list[Note] = []
        self._timer: asyncio.TimerHandle | None = None
        self._said = False

    def __bool__(self) -> bool:
        return bool(self._notes)

    def take(self) -> list[tuple[Note, None]]:
        """All of them, oldest first, to be tried now."""
        notes, self._notes = self._notes, []
        return [(note, None) for note in notes]

    def add(self, note: Note, error: Exception) -> None:
        """One could not be kept; whoever cannot be kept later either is only logged."""
        later = isinstance(error, OSError) or is_passing(error)
        if not self._said or not later:
            log.warning("revision.not_kept", plugin=str(note.identity), reason=str(error), again=later)
        if not later:
            return
        self._said = True
        self._notes.append(note)
        if len(self._notes) > MOST_LATE:
            lost = self._notes.pop(0)
            log.warning("revision.lost", plugin=str(lost.identity), revision=lost.snapshot.revision)

    def kept(self, note: Note) -> None:
        """One is kept: an older one of the same plugin must not come to stand after it."""
        self._notes = [one for one in self._notes if one.identity != note.identity]

    def try_later(self, again: Callable[[], object]) -> None:
        """Have all tried again in a while, if there are any."""
        if self._notes:
            self._timer = asyncio.get_running_loop().call_later(_RETRY_S, again)
        else:
            self._said = False

    def stop(self) -> None:
        """Try none by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
