"""From what is named on a command line to plugins: which files, of which type, in which plugin folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.host.files.sources import (
    PLUGIN_SUFFIX,
    REQUIREMENTS_SUFFIX,
    ROOT_PACKAGE,
    Unit,
    is_plugin_file_name,
    unit_of,
)
from service.model.identity import PluginType, is_valid_name
from service.model.text import Text

TYPES = tuple(one.value for one in PluginType)
_BASE = re.compile(r"^class\s+\w+\s*\([^)]*\b(Search|Download|Parser)Plugin\b", re.MULTILINE)
_SKIPPED = {"__pycache__", "node_modules", "site-packages"}
_TEST_PREFIX = "test_"
_DEPTH_MAX = 8
_READ_MAX_BYTES = 5 * 1024 * 1024


class Unusable(Exception):
    """What was named is no plugin and holds none. `text` says why and what to name instead."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


@dataclass(frozen=True, slots=True)
class Target:
    """One plugin to be looked at.

    Attributes:
        unit: what it is, relative to `root`.
        root: the plugin folder that it lies in, or None where it lies outside of any and is put into one of its own.
        path: its file or folder, as it was named or found.
        is_misnamed: a server does not load a file of this name.
    """

    unit: Unit
    root: Path | None
    path: Path
    is_misnamed: bool = False

    @property
    def file(self) -> Path:
        """The plugin's main file."""
        return self.path / "__init__.py" if self.unit.is_package else self.path

    def shown(self, path: str) -> Path:
        """The file that a path relative to the plugin folder stands for."""
        if self.root is not None and not self.is_misnamed:
            return self.root / path
        if self.unit.holds(path):
            inner = path[len(self.unit.path) :].lstrip("/")
            return self.path / inner if inner else self.path
        if path.endswith(REQUIREMENTS_SUFFIX):
            return self.path.parent / path.rpartition("/")[2]
        return self.root / path if self.root is not None else self.path.parent / path


def targets_of(named: Path, type: str | None = None, passed_over: list[Path] | None = None) -> list[Target]:
    """The plugins that a path stands for: the one that it is, or all below it.

    Args:
        named: a file or a folder.
        type: the type of a plugin outside of any plugin folder, where neither its text nor its folder tells.
        passed_over: takes what lies in a folder and is only called like a plugin; tests are.

    Raises:
        Unusable
    """
    named = named.expanduser()
    if not os.path.lexists(named):
        raise Unusable(Text(zh=f"{named} 不存在", en=f"{named} is not there"))
    if named.is_dir() and not _is_package(named) and not named.name.endswith(f"{PLUGIN_SUFFIX}.py"):
        found = sorted(
            _below(named, passed_over if passed_over is not None else []), key=lambda one: str(one.path)
        )
        if not found:
            raise Unusable(
                Text(
                    zh=f"{named} 中没有插件；插件是 *_plugin.py 或内含 __init__.py 的 *_plugin/",
                    en=f"There is no plugin in {named}; a plugin is a *_plugin.py, or a *_plugin/ with __init__.py",
                )
            )
        return found
    return [_target(named, type)]


def _target(named: Path, type: str | None) -> Target:
    root = _root_of(named)
    if root is not None:
        relative = _absolute(named).relative_to(_absolute(root)).as_posix()
        unit = unit_of(f"{relative}/__init__.py" if _is_package(named) else relative)
        if unit is not None:
            return Target(unit, root, root / unit.path)
    if not named.is_dir() and named.suffix != ".py" and os.path.exists(named):
        raise Unusable(
            Text(
                zh=f"{named} 不是 Python 文件；请指定 *_plugin.py 或目录",
                en=f"{named} is no Python file; name a *_plugin.py or a folder",
            )
        )
    kind = PluginType(type or type_of(named))
    if _is_package(named):
        return Target(Unit(kind, named.name, f"{kind.value}/{named.name}", is_package=True), None, named)
    stem = named.stem if is_plugin_file_name(named.name) else _plugin_stem(named.stem)
    unit = Unit(kind, stem, f"{kind.value}/{stem}.py", is_package=False)
    return Target(unit, root, named, is_misnamed=root is not None)


def _plugin_stem(stem: str) -> str:
    """The stem that an install would give it."""
    stem = stem.removeprefix("plugin_") if stem.startswith("plugin_template") else stem
    if not is_valid_name(stem):
        raise Unusable(
            Text(
                zh=f"文件名 {stem} 不可用：只能有字母、数字、_ 和 -",
                en=f"The file name {stem} cannot be used: letters, digits, `_` and `-` only",
            )
        )
    return f"{stem.removesuffix(PLUGIN_SUFFIX)}{PLUGIN_SUFFIX}"


def _below(folder: Path, passed_over: list[Path]) -> Iterator[Target]:
    if (folder / ROOT_PACKAGE).is_dir() and folder.name != ROOT_PACKAGE:
        folder = folder / ROOT_PACKAGE
    pending = [(folder, 0)]
    while pending:
        here, depth = pending.pop()
        try:
            entries = sorted(here.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _SKIPPED:
                continue
            if entry.is_dir() and not entry.name.endswith(f"{PLUGIN_SUFFIX}.py"):
                if _is_package(entry):
                    yield from _if_plugin(entry, passed_over)
                elif depth < _DEPTH_MAX and not (entry / "pyvenv.cfg").exists():
                    pending.append((entry, depth + 1))
            elif is_plugin_file_name(entry.name):
                yield from _if_plugin(entry, passed_over)


def _if_plugin(path: Path, passed_over: list[Path]) -> Iterator[Target]:
    """What lies in a folder and is only called like a plugin is passed over, such as a `test_demo_plugin.py`."""
    try:
        yield _target(path, None)
    except Unusable:
        if not path.name.startswith(_TEST_PREFIX):
            passed_over.append(path)


def _root_of(path: Path) -> Path | None:
    """The plugin folder that a path lies in: `plugins`, with the folder of a type between."""
    full = _absolute(path)
    inner: Path = full
    for parent in full.parents:
        if parent.name == ROOT_PACKAGE and inner.name in TYPES and inner != full:
            return Path(os.path.relpath(parent)) if not path.is_absolute() else parent
        inner = parent
    return None


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _is_package(path: Path) -> bool:
    return path.is_dir() and path.name.endswith(PLUGIN_SUFFIX) and os.path.lexists(path / "__init__.py")


def type_of(path: Path) -> str:
    """The type of a plugin by the classes that it derives from, else by the folder that it lies in.

    Raises:
        Unusable: neither tells.
    """
    file = path / "__init__.py" if _is_package(path) else path
    try:
        with file.open("rb") as opened:
            text = opened.read(_READ_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        text = ""
    types = {match.group(1).lower() for match in _BASE.finditer(text)}
    if len(types) == 1:
        return types.pop()
    folder = _absolute(path).parent.name
    if folder in TYPES:
        return folder
    raise Unusable(
        Text(
            zh=f"从 {path} 看不出插件类型；请给出 --type，或放进 plugins/{{search,download,parser}}/",
            en=f"{path} does not tell what type of plugin it is; give --type, or put it into "
            "plugins/{search,download,parser}/",
        )
    )
