"""The bodies of what is about versions: source, revisions, updates, changes, and sets of dependencies."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.messages import Plan, Request
from service.model.actor import Actor
from service.model.plugin import Origin, PluginView

# Files


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a plugin, or a helper that it imports; `path` is relative to home, `size` in bytes.

    `used_by` has the ids of all plugins that it is a file of, or that import it: whom a change of it concerns.
    """

    path: str
    kind: Literal["main", "package", "requirements", "helper"]
    size: int
    sha256: str
    used_by: list[str]


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a plugin: its main file first, then the others of its package, its requirements, and helpers."""

    files: list[File]


# Revisions


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A revision of a plugin that has served, and where it came from; `current` is the one that its files hold."""

    revision: str
    version: str
    at: str
    origin: Origin | None
    current: bool


class RevisionList(msgspec.Struct, frozen=True, kw_only=True):
    """The revisions of a plugin that are kept, newest first."""

    revisions: list[Revision]


class RevisionFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a revision; `path` as it stood below `plugins/`."""

    path: str
    text: str


class RevisionFiles(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of a plugin held in a revision."""

    revision: str
    files: list[RevisionFile]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What differs, in the form of `diff -u`; empty where nothing does."""

    diff: str


class RollBack(Request, frozen=True, kw_only=True):
    """Put the files of a revision in place again. As much of its beginning as is unique, 6 digits at least, will do."""

    revision: Annotated[str, Meta(min_length=1, max_length=64)]


# Checks and updates


class Checked(Plan, frozen=True, kw_only=True):
    """What an install would do, and how the plugin loaded in a worker that was thrown away; nothing was changed."""

    status: Literal["checked"] = "checked"  # type: ignore[assignment]  # a plan that has been tried
    loads: bool
    load_ms: float | None


class Outdated(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin beside what its origin has now.

    `state` is `outdated`, `current`, `modified` (edited here since it was installed) or `unreachable` (`problem` says
    why). `sha256` is of the file that the origin has, where that is another; `problem` may also say what speaks against
    an update.
    """

    id: str
    version: str
    latest_version: str | None
    url: str | None
    state: str
    sha256: str | None
    problem: str | None


class OutdatedList(msgspec.Struct, frozen=True, kw_only=True):
    """The plugins that came from an address, beside what that has now."""

    plugins: list[Outdated]


class UpdateOne(Request, frozen=True, kw_only=True):
    """Update a plugin from its origin.

    `replace` also where it was edited here, `accept_origin` also where it would come from elsewhere than before;
    `dry_run` only tells.
    """

    dry_run: bool = False
    replace: bool = False
    accept_origin: bool = False


class Updated(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin is updated, or was already as its origin has it (`current`); `change` is what can be undone."""

    status: Literal["success", "current"]
    message: str
    plugin: PluginView
    change: str | None


# Changes


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done; `undone_by` is the change that undid it, `by` the client that asked for it, if known."""

    id: str
    at: str
    kind: str
    plugin: str | None
    summary: str
    undoable: bool
    undone_by: str | None
    by: Actor | None


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, newest first."""

    changes: list[Change]


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """A change is undone; `change` is the one that undid it, `plugin` what is there now, if anything is."""

    status: Literal["success"] = "success"
    message: str
    change: Change
    plugin: PluginView | None


# Sets of dependencies


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package of a set; `size` is that of its wheel in bytes, where it is known."""

    name: str
    version: str
    size: int | None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """A set of dependencies on disk, and the plugins that use it; `size` in bytes."""

    id: str
    packages: list[Package]
    size: int
    used_by: list[str]
    created_at: str | UnsetType | None = UNSET


class EnvironmentList(msgspec.Struct, frozen=True, kw_only=True):
    """All sets, and the bytes that they take together."""

    environments: list[Environment]
    size: int


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """The sets that nobody used are gone; `freed` bytes."""

    status: Literal["success"] = "success"
    message: str
    removed: list[Environment]
    freed: int
