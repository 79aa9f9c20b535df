"""What a path below the plugin folder means: which are plugins, which are helpers, and what is known of each.

Nothing here does I/O: `service.host.files.eyes` reads, `service.host.files.tree` keeps what was read.
"""

from __future__ import annotations

import hashlib
import time
from enum import StrEnum
from typing import NamedTuple

from service.model.identity import PluginType, is_valid_name

ROOT_PACKAGE = "plugins"
PLUGIN_SUFFIX = "_plugin"
_TEMPLATE_PREFIX = "plugin_template"
REQUIREMENTS_SUFFIX = "_requirements.txt"
_TYPES = {one.value for one in PluginType}


class Flaw(StrEnum):
    """Why a path holds no text that could be loaded."""

    DIRECTORY = "directory"
    DANGLING_LINK = "dangling_link"
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not_a_file"
    TOO_LARGE = "too_large"


class SourceFile(NamedTuple):
    """What was read at one path."""

    content: bytes
    sha256: str
    flaw: Flaw | None
    detail: str
    saved_ns: int


def source_file(content: bytes) -> SourceFile:
    """A file with this content, as it would be read now."""
    return SourceFile(content, hashlib.sha256(content).hexdigest(), None, "", time.time_ns())


class Unit(NamedTuple):
    """One plugin as it lies on the disk: a file, or a folder with `__init__.py`."""

    type: PluginType
    stem: str
    path: str
    is_package: bool

    @property
    def module(self) -> str:
        """The name that it is imported by."""
        return f"{ROOT_PACKAGE}.{self.type.value}.{self.stem}"

    @property
    def short_name(self) -> str:
        """The stem without `_plugin`: its name until it says another."""
        return self.stem.removesuffix(PLUGIN_SUFFIX)

    @property
    def main_file(self) -> str:
        """The file that holds the plugin's class, relative to the plugin folder."""
        return f"{self.path}/__init__.py" if self.is_package else self.path

    def holds(self, path: str) -> bool:
        """Whether the file belongs to this plugin."""
        return path == self.path or (self.is_package and path.startswith(self.path + "/"))


class SnapshotModule(NamedTuple):
    """One module that a worker is sent."""

    name: str
    path: str
    is_package: bool
    content: bytes


class Snapshot(NamedTuple):
    """The code of one generation: immutable, whatever becomes of the files."""

    unit: Unit
    modules: tuple[SnapshotModule, ...]
    requirements: bytes | None
    requirements_path: str | None
    revision: str
    sha256: str
    saved_ns: int

    @property
    def source(self) -> bytes:
        """The text of the plugin's own file."""
        return next(one.content for one in self.modules if one.name == self.unit.module)


class SourceFlawed(Exception):
    """The plugin's path holds no text that could be loaded."""

    def __init__(self, unit: Unit, flaw: Flaw, detail: str) -> None:
        super().__init__(f"{unit.path}: {flaw}")
        self.unit = unit
        self.flaw = flaw
        self.detail = detail


def unit_of(path: str) -> Unit | None:
    """The plugin that a path belongs to, as far as its name tells; paths are relative to the plugin folder."""
    parts = path.split("/")
    if len(parts) < 2 or parts[0] not in _TYPES or parts[1].startswith((_TEMPLATE_PREFIX, ".")):
        return None
    type_ = PluginType(parts[0])
    name = parts[1]
    if name in (PLUGIN_SUFFIX, f"{PLUGIN_SUFFIX}.py") or not is_text(path):
        return None
    if len(parts) == 2 and name.endswith(f"{PLUGIN_SUFFIX}.py"):
        return Unit(type_, name.removesuffix(".py"), path, is_package=False)
    if len(parts) > 2 and name.endswith(PLUGIN_SUFFIX):
        return Unit(type_, name, f"{parts[0]}/{name}", is_package=True)
    return None


def is_plugin_file_name(name: str) -> bool:
    """Whether a file of this name in a plugin folder is a plugin, and one whose name is fit to be typed."""
    stem = name.removesuffix(".py")
    return (
        name.endswith(f"{PLUGIN_SUFFIX}.py")
        and len(stem) > len(PLUGIN_SUFFIX)
        and not name.startswith(_TEMPLATE_PREFIX)
        and is_valid_name(stem)
    )


def is_text(path: str) -> bool:
    """Whether a path can be told to anybody: a file name may be any bytes, JSON may not."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_hidden(path: str) -> bool:
    """Whether a path is one that nobody means as a plugin's: hidden, or a cache of the interpreter."""
    return any(part.startswith(".") or part == "__pycache__" for part in path.split("/"))


def is_interesting(path: str) -> bool:
    """Whether a file of this name can matter to any plugin."""
    if is_hidden(path) or not is_text(path):
        return False
    if path.endswith((".py", REQUIREMENTS_SUFFIX)):
        return True
    unit = unit_of(path)
    return unit is not None and unit.is_package and not path.endswith((".pyc", "~", ".swp"))


def module_name(path: str) -> str | None:
    """The dotted name that a file is imported by, or `None` where it is no module."""
    if not path.endswith(".py"):
        return None
    parts = path.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join([ROOT_PACKAGE, *parts])
