"""What is to be noted of revisions, and what is held back until a change is certain."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from service.host.files.sources import Snapshot
from service.model import moment
from service.model.identity import Identity
from service.model.plugin import Origin


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
