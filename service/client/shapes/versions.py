"""What was: revisions, changes, and the packages of plugins."""

# Annotations are evaluated here: only so is it known at run time which members are `NotRequired`.
from typing import Literal, NotRequired, TypedDict

from service.client.shapes.plugins import Origin, Plugin


class File(TypedDict):
    """A file of a plugin, or a helper that it imports; `used_by` has the ids of all plugins that a change concerns."""

    path: str
    kind: Literal["main", "package", "requirements", "helper"]
    size: int
    sha256: str
    used_by: list[str]


class Revision(TypedDict):
    """What a plugin's files held while it served."""

    revision: str
    version: str
    at: str
    origin: Origin | None
    current: bool


class RevisionFile(TypedDict):
    """One file of a revision; `path` as it stood below `plugins/`."""

    path: str
    text: str


class RevisionFiles(TypedDict):
    """What the files of a plugin held in a revision."""

    revision: str
    files: list[RevisionFile]


class Difference(TypedDict):
    """What differs, in the form of `diff -u`; empty where nothing does."""

    diff: str


class Outdated(TypedDict):
    """A plugin beside what its origin has: `outdated`, `current`, `modified` (here) or `unreachable`."""

    id: str
    version: str
    latest_version: str | None
    url: str | None
    state: str
    sha256: str | None
    problem: str | None


class OutdatedPlugins(TypedDict):
    """The plugins that came from an address."""

    plugins: list[Outdated]


class By(TypedDict):
    """The client that asked for something; `via` is `bearer`, `cookie` or `loopback`."""

    address: str
    via: str | None


class Change(TypedDict):
    """Something that was done to plugins or their configuration; `undone_by` is the change that undid it."""

    id: str
    at: str
    kind: str
    plugin: str | None
    summary: str
    undoable: bool
    undone_by: str | None
    by: By | None


class Changes(TypedDict):
    """What was done, newest first."""

    changes: list[Change]


class Undone(TypedDict):
    """A change that is undone; `change` is the one that undid it, `plugin` what is there now, if anything is."""

    status: str
    message: str
    change: Change
    plugin: Plugin | None


class Package(TypedDict):
    """A package that is installed."""

    name: str
    version: str
    size: int | None


class Environment(TypedDict):
    """A set of packages on disk, and the plugins that use it."""

    id: str
    packages: list[Package]
    size: int
    used_by: list[str]
    created_at: NotRequired[str | None]


class Environments(TypedDict):
    """All sets of packages, and their size together."""

    environments: list[Environment]
    size: int


class Pruned(TypedDict):
    """The sets of packages that were removed, and how much that freed."""

    status: str
    message: str
    removed: list[Environment]
    freed: int
