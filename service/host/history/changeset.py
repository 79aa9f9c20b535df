"""What a change does, as a fact: each file, entry, origin and folder before it and after it.

Its inverse is the change that undoes it. Nothing here does I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.host.files.sources import unit_of
from service.model.plugin import Origin

MakeEntry = Callable[[dict[str, Any] | None], Mapping[str, Any] | None]


class FileState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What lies at a path: a file by its content, or a link by what it leads to.

    Attributes:
        sha256: of a file's content.
        mode: a file's permission bits; what differs in them only is the same file.
        link: where a link leads to, as it says so.
        other: that it is neither, or cannot be read, so that it is not kept and cannot be brought back.
    """

    sha256: str = ""
    mode: int = 0o644
    link: str | None = None
    other: bool = False


class FileChange(msgspec.Struct, frozen=True):
    """A path before and after; None where nothing is."""

    before: FileState | None
    after: FileState | None


class EntryChange(msgspec.Struct, frozen=True):
    """An entry of the configuration before and after, as JSON text; None where there is none."""

    before: str | None
    after: str | None


class OriginChange(msgspec.Struct, frozen=True):
    """Where a file came from, before and after."""

    before: Origin | None
    after: Origin | None


class Move(msgspec.Struct, frozen=True):
    """A folder that moves, both paths relative to home."""

    source: str
    target: str


class Changeset(msgspec.Struct, frozen=True):
    """See the module.

    Attributes:
        files: by path below the plugin folder, in the order in which they are to change.
        config: by key in `config/plugins.json`.
        origins: by file, relative to home.
        folders: in order.
    """

    files: dict[str, FileChange] = {}
    config: dict[str, EntryChange] = {}
    origins: dict[str, OriginChange] = {}
    folders: list[Move] = []

    def inverse(self) -> Changeset:
        """What undoes it."""
        return Changeset(
            {path: FileChange(one.after, one.before) for path, one in reversed(self.files.items())},
            {key: EntryChange(one.after, one.before) for key, one in self.config.items()},
            {file: OriginChange(one.after, one.before) for file, one in self.origins.items()},
            [Move(one.target, one.source) for one in reversed(self.folders)],
        )

    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.files or self.config or self.origins or self.folders)

    def is_undoable(self) -> bool:
        """Whether all that was there before can be brought back."""
        return not any(one.before is not None and one.before.other for one in self.files.values())

    def contents(self) -> set[str]:
        """The hashes of all contents in it."""
        states = [state for one in self.files.values() for state in (one.before, one.after)]
        return {state.sha256 for state in states if state is not None and state.sha256}

    def units(self) -> set[str]:
        """The files and folders of plugins that it touches, relative to the plugin folder."""
        return {unit.path for path in self.files if (unit := unit_of(path)) is not None}

    def units_gone(self) -> set[str]:
        """Those of them that are no plugins any more after it."""
        return {
            unit.path
            for path, one in self.files.items()
            if one.after is None and (unit := unit_of(path)) is not None and unit.main_file == path
        }

    def keys(self) -> set[str]:
        """What it touches, as names that no two changes may have in common at the same time."""
        return _keys(self.files, self.config, self.origins, self.folders)


@dataclass(frozen=True, slots=True)
class Link:
    """A link to be made, and what it is to lead to."""

    target: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to be so; the journal finds out what is there before.

    Attributes:
        files: content by path below the plugin folder, None for those that are to go.
        config: whole entries by key, None for those that are to go; or what makes one of the present one.
        origins: by file relative to home (`plugins/search/demo_plugin.py`), None to forget.
        folders: folders relative to home, and where they are to move to; None: into the trash.
        expected: what a path has to hold before (SHA-256, None: nothing); else `ChangeSuperseded`.
        affects: files or folders of plugins that begin to serve something else with it, besides those that it changes.
        modes: permission bits of new files, where they are not to be as they were (0644 for one that was not there).
    """

    files: Mapping[str, bytes | Link | None] = field(default_factory=dict)
    config: Mapping[str, Mapping[str, Any] | MakeEntry | None] = field(default_factory=dict)
    origins: Mapping[str, Origin | None] = field(default_factory=dict)
    folders: Mapping[str, str | None] = field(default_factory=dict)
    expected: Mapping[str, str | None] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)
    affects: frozenset[str] = frozenset()

    def keys(self) -> set[str]:
        """See `Changeset.keys`."""
        moves = [Move(source, target or source) for source, target in self.folders.items()]
        return _keys(self.files, self.config, self.origins, moves)


def entry_text(entry: Mapping[str, Any] | None) -> str | None:
    """An entry as changesets hold it.

    Raises:
        ValueError, TypeError: a value that JSON does not have.
    """
    return None if entry is None else json.dumps(entry, allow_nan=False)


def entry_of(text: str | None) -> dict[str, Any] | None:
    """The entry again."""
    if text is None:
        return None
    entry: dict[str, Any] = json.loads(text)
    return entry


def same_entry(one: str | None, other: str | None) -> bool:
    """Whether two texts are of the same entry. `1`, `1.0` and `true` are three different values; order is none."""
    if one is None or other is None:
        return one is other
    return json.dumps(entry_of(one), sort_keys=True) == json.dumps(entry_of(other), sort_keys=True)


def same_file(one: FileState | None, other: FileState | None) -> bool:
    """Whether two states are of the same content; of what cannot be read nobody knows."""
    if one is None or other is None:
        return one is other
    return (one.sha256, one.link, one.other) == (other.sha256, other.link, other.other)


def in_order(files: Mapping[str, FileChange]) -> dict[str, FileChange]:
    """The files so that a plugin is never there without what it needs.

    What appears or changes comes first, the main files last of it; then what goes, the main files first of it.
    """

    def rank(item: tuple[str, FileChange]) -> tuple[int, str]:
        path, change = item
        is_main = path.endswith(("/__init__.py", "_plugin.py"))
        if change.after is not None:
            return (1 if is_main else 0), path
        return (2 if is_main else 3), path

    return dict(sorted(files.items(), key=rank))


def _keys(
    files: Mapping[str, object],
    config: Mapping[str, object],
    origins: Mapping[str, object],
    folders: list[Move],
) -> set[str]:
    return {
        *(f"file {path}" for path in files),
        *(f"config {key}" for key in config),
        *(f"origin {file}" for file in origins),
        *(f"folder {path}" for move in folders for path in (move.source, move.target)),
    }
