"""What is kept of one revision, and how it is read back from its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from service.host.files.sources import Snapshot, SnapshotModule, Unit, module_name, unit_of
from service.model.plugin import Origin

Row = tuple[Any, ...]
OWN, HELPER, REQUIREMENTS = "own", "helper", "requirements"


@dataclass(frozen=True, slots=True)
class Kept:
    """One revision, as lists show it. `unit` is the plugin's file or folder, relative to the plugin folder."""

    revision: str
    version: str
    at: str
    origin: Origin
    unit: str


@dataclass(frozen=True, slots=True)
class Content:
    """A revision to be put in place again.

    Attributes:
        unit: the plugin's file or folder.
        files: the plugin's own files and its requirements file, by path relative to the plugin folder.
        origin: where its file came from.
        kept: the revision.
    """

    unit: Unit
    files: Mapping[str, bytes]
    origin: Origin
    kept: Kept


def kept_of(row: Row) -> Kept:
    """A row of `revisions` as lists show it."""
    _, _, unit, revision, version, at, origin, _ = row
    try:
        found = msgspec.json.decode(origin, type=Origin)
    except msgspec.MsgspecError:
        # A row of another version is worth more without its origin than not at all.
        found = Origin(kind="file", sha256="")
    return Kept(revision, version, at, found, unit)


def unit_at(path: str) -> Unit | None:
    """The plugin of a file or folder."""
    return unit_of(path) or unit_of(f"{path}/__init__.py")


def snapshot_of(unit: Unit, row: Row, files: Mapping[str, tuple[str, bytes]]) -> Snapshot:
    """A revision's code, of its row and its files with what part each is."""
    modules = tuple(
        SnapshotModule(name, path, path.rpartition("/")[2] == "__init__.py", content)
        for path, (part, content) in files.items()
        if part != REQUIREMENTS and (name := module_name(path)) is not None
    )
    beside = [(path, content) for path, (part, content) in files.items() if part == REQUIREMENTS]
    path, requirements = beside[0] if beside else (None, None)
    main = next(one.content for one in modules if one.path == unit.main_file)
    return Snapshot(unit, modules, requirements, path, row[3], _sha256(main), row[7])


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
