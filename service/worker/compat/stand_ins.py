"""Serves the original's modules to imports: `base_plugin`, `models`, `logger`, `database`, alone or below `plugins`.

A module of the user's own below `plugins` always comes first: it is in the snapshot. So does an installed one of the
same name, except for a plugin of the original, whose code means these.
"""

from __future__ import annotations

import abc
import logging
import sys
import typing
from collections.abc import Iterable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from service.worker.compat import bases, database, logs, models
from service.worker.compat.signs import imports_base_plugin

_MODELS: dict[str, Any] = {
    "ConfigField": models.ConfigField,
    "DownloadStatus": models.TaskStatus,
    "DownloadTask": models.DownloadTask,
    "SearchResult": models.SearchResult,
    "TaskStatus": models.TaskStatus,
    "VideoInfo": models.VideoInfo,
}
# `from base_plugin import *` gave the names, too, that the module had imported for itself.
_TYPING = {name: getattr(typing, name) for name in ("Any", "Dict", "List", "Optional")}
_CONTENTS: dict[str, dict[str, Any]] = {
    "base_plugin": {
        "ABC": abc.ABC,
        "BasePlugin": bases.BasePlugin,
        "DownloadPlugin": bases.DownloadPlugin,
        "ParserPlugin": bases.ParserPlugin,
        "Plugin": bases.BasePlugin,
        "SearchPlugin": bases.SearchPlugin,
        "abstractmethod": abc.abstractmethod,
        **_MODELS,
        **_TYPING,
    },
    "models": {**_MODELS, **_TYPING},
    "logger": {"get_logger": logs.get_logger, "logging": logging},
    "database": {"Database": database.Database, "get_database": database.get_database},
}
# Where the original's plugins look below `plugins`: beside the folders of types, or in their own.
_PLACES = ("plugins.", "plugins.search.", "plugins.download.", "plugins.parser.")
_BELOW_PLUGINS = {place + name: name for place in _PLACES for name in _CONTENTS}
_DOCUMENTATION = "Of the original application; Plugbay's own classes under its names."


class _StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> None:
        """Have the default module made."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill it."""
        name = module.__name__.rpartition(".")[2]
        if name == "base_plugin":
            _come_first()
        module.__doc__ = _DOCUMENTATION
        module.__dict__.update(_CONTENTS[name])


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The stand-in of that name."""
        return _spec(fullname) if fullname in _CONTENTS else None


_loader = _StandInLoader()
_finder = _Finder()


def _spec(fullname: str) -> ModuleSpec:
    return ModuleSpec(fullname, _loader, origin="plugbay")


def below_plugins(fullname: str) -> ModuleSpec | None:
    """The stand-in for a name below `plugins` under which no module of the user's own is."""
    return _spec(fullname) if fullname in _BELOW_PLUGINS else None


def install(sources: Iterable[bytes]) -> bool:
    """Serve imports from now on.

    Args:
        sources: the plugin's own modules. Where one imports `base_plugin`, the stand-ins come before what is installed;
            else after it, until `base_plugin` is imported all the same, by a helper.

    Returns:
        whether one of them imports it.
    """
    uninstall()
    sys.meta_path.append(_finder)
    is_original = any(imports_base_plugin(source) for source in sources)
    if is_original:
        _come_first()
    return is_original


def uninstall() -> None:
    """Serve imports no more, in a process that goes on. May be called twice."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for name in _CONTENTS:
        if getattr(getattr(sys.modules.get(name), "__spec__", None), "loader", None) is _loader:
            del sys.modules[name]


def _come_first() -> None:
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
        sys.meta_path.insert(0, _finder)
