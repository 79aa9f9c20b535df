"""What is behind the routes of source, revisions, updates, changes and dependencies, without files or processes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from service.errors import PlugbayError, RequestRefused
from service.host.installing.placing import Installed
from service.host.installing.plugin_files import FileView
from service.model.actor import Actor
from service.model.plugin import Origin, PluginView
from service.model.text import Text

OLD, NEW = "a" * 64, "ab" * 32


def refusal(code: str, **fields: Any) -> RequestRefused:
    return RequestRefused(Text(zh="不行", en="No"), code=code, **fields)


@dataclass
class Source:
    path: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Revision:
    revision: str
    version: str
    at: str
    origin: Origin | None
    current: bool


@dataclass
class FileText:
    path: str
    text: str


class FakeEditing:
    """One file for each path, the same for every plugin."""

    def __init__(self) -> None:
        self.contents: dict[str | None, bytes] = {None: b"x = 1\n", "part.py": "y = '你好'\n".encode()}
        self.asked: list[tuple[Any, ...]] = []
        self.raises: PlugbayError | None = None

    async def source(self, plugin: Any, path: str | None) -> Source:
        if path not in self.contents:
            raise refusal("source_not_found")
        return Source(path or "demo_plugin.py", self.contents[path])

    async def files(self, plugin: Any) -> list[FileView]:
        return [
            FileView(
                path=path, kind=kind, size=2, sha256="0" * 64, used_by=["search/demo", "search/other"][:users]
            )
            for path, kind, users in (
                ("plugins/search/demo_plugin.py", "main", 1),
                ("plugins/search/words.py", "helper", 2),
            )
        ]

    async def put_source(
        self, plugin: Any, content: bytes, *, path: str | None, expected: str | None
    ) -> Installed:
        self.asked.append(("put", path, expected))
        now = hashlib.sha256(self.contents[path]).hexdigest()
        if expected not in (None, now):
            raise refusal("source_changed", sha256=now)
        if self.raises is not None:
            raise self.raises
        self.contents[path] = content
        return Installed(plugin.view(), True, "c1")


class FakeRevising:
    """The same two revisions of every plugin."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.raises: PlugbayError | None = None

    async def revisions(self, plugin: Any) -> list[Revision]:
        origin = Origin(kind="url", sha256="0" * 64, url="https://example.org/demo_plugin.py")
        return [
            Revision(NEW, "1.1", "2026-11-22T12:00:00Z", origin, current=True),
            Revision(OLD, "1.0", "2026-11-21T12:00:00Z", None, current=False),
        ]

    async def files(self, plugin: Any, revision: str) -> tuple[str, list[FileText]]:
        if not NEW.startswith(revision.lower()):
            raise refusal("revision_not_found")
        return NEW, [FileText("search/demo_plugin.py", "x = 1\n")]

    async def diff(self, plugin: Any, old: str, new: str | None) -> str:
        self.asked.append(("diff", old, new))
        return "-x = 1\n+x = 2\n"

    async def rollback(self, plugin: Any, revision: str) -> Installed:
        self.asked.append(("rollback", revision))
        if self.raises is not None:
            raise self.raises
        return Installed(plugin.view(), True, "c1")


@dataclass
class Outdated:
    id: str
    version: str
    latest_version: str | None
    url: str | None
    state: str
    sha256: str | None
    problem: Text | None


@dataclass
class Updated:
    plugin: PluginView
    changed: bool
    change: str | None = "c1"


class FakeUpdates:
    def __init__(self) -> None:
        self.asked: list[tuple[bool, bool, bool]] = []
        self.changed = True
        self.raises: PlugbayError | None = None

    async def outdated(self) -> list[Outdated]:
        url = "https://example.org/demo_plugin.py"
        gone = Text(zh="连不上", en="Cannot be reached")
        return [
            Outdated("search/demo", "1.0", "1.1", url, "outdated", NEW, None),
            Outdated("search/lost", "1.0", None, url, "unreachable", None, gone),
        ]

    async def update(
        self, plugin: Any, *, dry_run: bool, replace: bool, accept_origin: bool
    ) -> Updated | dict[str, Any]:
        self.asked.append((dry_run, replace, accept_origin))
        if self.raises is not None:
            raise self.raises
        if dry_run:
            return {"plugin": None, "conflicts": [], "error": None}
        return Updated(plugin.view(), self.changed)


@dataclass
class Change:
    id: str
    undone_by: str | None = None
    by: Actor | None = None
    at: str = "2026-11-22T12:00:00Z"
    kind: str = "delete"
    plugin: str | None = "search/demo"
    summary: Text = field(default_factory=lambda: Text(zh="删除", en="deleted"))
    undoable: bool = True


@dataclass
class Undone:
    change: Change
    plugin: PluginView | None


class FakeUndoing:
    def __init__(self) -> None:
        self.asked: list[tuple[str | None, int]] = []

    async def changes(self, *, plugin: str | None, limit: int) -> list[Change]:
        self.asked.append((plugin, limit))
        return [Change("c2"), Change("c1", undone_by="c2")]

    async def undo(self, id: str) -> Undone:
        match id:
            case "c2":
                return Undone(Change("c3", kind="undo"), None)
            case "c1":
                raise refusal("change_superseded", by="c2")
        raise refusal("change_not_found")


@dataclass
class Package:
    name: str
    version: str
    size: int | None


@dataclass
class Environment:
    id: str
    size: int
    used_by: list[str]
    packages: tuple[Package, ...] = (Package("six", "1.17.0", 11050),)
    created_at: str = "2026-11-22T12:00:00Z"


class FakeEnvironments:
    def __init__(self) -> None:
        self.all = [Environment("e1", 100, ["search/demo"]), Environment("e2", 40, [])]

    async def list(self) -> list[Environment]:
        return self.all

    async def prune(self) -> list[Environment]:
        gone = [one for one in self.all if not one.used_by]
        self.all = [one for one in self.all if one.used_by]
        return gone
