"""The plugin folder as it was last read: which plugins there are, and a snapshot of each one's code.

Nothing here does I/O; `service.host.eyes` reads, this decides what the files mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

from service.model.identity import PluginType, is_valid_name

ROOT_PACKAGE = "plugins"
_PLUGIN_SUFFIX = "_plugin"
_TEMPLATE_PREFIX = "plugin_template"
_REQUIREMENTS_SUFFIX = "_requirements.txt"
_TYPES = {one.value for one in PluginType}

# Helpers are sent along whole while they are few; of many, only those that the code can name.
_ALL_HELPERS_MAX_BYTES = 256 * 1024


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
        return self.stem.removesuffix(_PLUGIN_SUFFIX)

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
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or parts[0] not in _TYPES or parts[1].startswith((_TEMPLATE_PREFIX, ".")):
        return None
    type_ = PluginType(parts[0])
    name = parts[1]
    if name in (_PLUGIN_SUFFIX, f"{_PLUGIN_SUFFIX}.py") or not is_text(path):
        return None
    if len(parts) == 2 and name.endswith(f"{_PLUGIN_SUFFIX}.py"):
        return Unit(type_, name.removesuffix(".py"), path, is_package=False)
    if len(parts) > 2 and name.endswith(_PLUGIN_SUFFIX):
        return Unit(type_, name, f"{parts[0]}/{name}", is_package=True)
    return None


def is_plugin_file_name(name: str) -> bool:
    """Whether a file of this name in a plugin folder is a plugin, and one whose name is fit to be typed."""
    stem = name.removesuffix(".py")
    return (
        name.endswith(f"{_PLUGIN_SUFFIX}.py")
        and len(stem) > len(_PLUGIN_SUFFIX)
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
    return any(part.startswith(".") or part == "__pycache__" for part in PurePosixPath(path).parts)


def is_interesting(path: str) -> bool:
    """Whether a file of this name can matter to any plugin."""
    if is_hidden(path) or not is_text(path):
        return False
    if path.endswith((".py", _REQUIREMENTS_SUFFIX)):
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


class SourceTree:
    """All files below the plugin folder that matter, as last read."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFile] = {}

    def apply(self, path: str, file: SourceFile | None) -> bool:
        """Take what was read at a path, `None` where nothing is.

        Returns:
            whether that differs from what was known.
        """
        known = self._files.get(path)
        if file is None:
            return self._files.pop(path, None) is not None
        self._files[path] = file
        return known is None or (known.content, known.flaw) != (file.content, file.flaw)

    def apply_all(self, files: Mapping[str, SourceFile]) -> None:
        """Take several files."""
        self._files.update(files)

    def with_files(self, files: Mapping[str, SourceFile]) -> SourceTree:
        """The tree as it would be with these files."""
        other = SourceTree()
        other._files = {**self._files, **files}
        return other

    def units(self) -> list[Unit]:
        """Every plugin that is there, in the order of paths."""
        found = {}
        for path in sorted(self._files):
            unit = unit_of(path)
            if unit is not None and self.has(unit):
                found[unit.path] = unit
        return list(found.values())

    def has(self, unit: Unit) -> bool:
        """Whether the plugin's main file is there."""
        return unit.main_file in self._files

    def files_of(self, unit: Unit, names: Iterable[str] = ()) -> list[str]:
        """The plugin's own files and its requirements file, which may be named by one of `names` too."""
        own = [path for path in self._files if unit.holds(path)]
        requirements = self._requirements_path(unit, names)
        return sorted(own + ([requirements] if requirements else []))

    def sha256_of(self, unit: Unit) -> str | None:
        """The SHA-256 of the plugin's main file, where it could be read."""
        main = self._files.get(unit.main_file)
        return main.sha256 if main is not None and main.flaw is None else None

    def snapshot(self, unit: Unit, names: Iterable[str] = ()) -> Snapshot:
        """The plugin's code and every helper that it can reach.

        Args:
            unit: which plugin.
            names: names besides its file's that its requirements file may have.

        Raises:
            SourceFlawed: its main file cannot be read as text.
        """
        main = self._files.get(unit.main_file)
        if main is None:
            raise SourceFlawed(unit, Flaw.UNREADABLE, "")
        if main.flaw is not None:
            raise SourceFlawed(unit, main.flaw, main.detail)
        own = {path: file for path, file in self._files.items() if unit.holds(path) and file.flaw is None}
        helpers = self._reachable(unit, own)
        requirements_path = self._requirements_path(unit, names)
        requirements = self._files[requirements_path] if requirements_path else None
        modules = tuple(
            SnapshotModule(name, path, path.endswith("/__init__.py"), file.content)
            for path, file in sorted((own | helpers).items())
            if (name := module_name(path)) is not None
        )
        return Snapshot(
            unit,
            modules,
            requirements.content if requirements else None,
            requirements_path,
            _digest(own, requirements),
            main.sha256,
            max(file.saved_ns for file in own.values()),
        )

    def _requirements_path(self, unit: Unit, names: Iterable[str]) -> str | None:
        for name in (unit.short_name, unit.stem, *names):
            path = f"{unit.type.value}/{name}{_REQUIREMENTS_SUFFIX}"
            if path in self._files:
                return path
        return None

    def _reachable(self, unit: Unit, own: Mapping[str, SourceFile]) -> dict[str, SourceFile]:
        """The helpers, and other plugins' modules where the code names them.

        Found by name in the text and not by parsing: text from strangers is parsed in workers only. That takes in a
        few too many, which only costs their transport.
        """
        others = {
            path: file
            for path, file in self._files.items()
            if path not in own and path.endswith(".py") and file.flaw is None
        }
        found: dict[str, SourceFile] = {}
        helpers = {path: file for path, file in others.items() if unit_of(path) is None}
        if sum(len(file.content) for file in helpers.values()) <= _ALL_HELPERS_MAX_BYTES:
            found.update(helpers)
        candidates = {path: file for path, file in others.items() if path not in found}
        pending = [*own.items(), *found.items()]
        while pending and candidates:
            user, file = pending.pop()
            # Whoever imports a module runs the packages around it.
            for path in [
                path for path in candidates if _named_in(path, file.content) or _is_around(path, user)
            ]:
                found[path] = candidates.pop(path)
                pending.append((path, found[path]))
        return found


def _named_in(path: str, text: bytes) -> bool:
    name = module_name(path)
    return name is not None and name.rpartition(".")[2].encode() in text


def _is_around(path: str, inner: str) -> bool:
    folder, _, name = path.rpartition("/")
    return name == "__init__.py" and (not folder or inner.startswith(folder + "/"))


def _digest(files: Mapping[str, SourceFile], requirements: SourceFile | None) -> str:
    lines = [f"{path}\0{file.sha256}" for path, file in sorted(files.items())]
    if requirements is not None:
        lines.append(f"requirements\0{requirements.sha256}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
