"""The files that make up a plugin, with the helpers that it imports, and the plugins that a file is used by."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from service.host.files.imports import ImportReader, paths_of_modules
from service.host.files.sources import REQUIREMENTS_SUFFIX, SourceFile, Unit
from service.host.kernel import Kernel
from service.host.plugin import Plugin

Kind = Literal["main", "package", "requirements", "helper"]


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a plugin.

    Attributes:
        path: relative to home.
        kind: what it is to the plugin.
        size: in bytes.
        sha256: of its content.
        used_by: the ids of all plugins that it is a file of, or that import it.
    """

    path: str
    kind: Kind
    size: int
    sha256: str
    used_by: list[str]


class PluginFiles:
    """See the module.

    Args:
        kernel: knows the files and what runs.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._reader = ImportReader()

    async def of(self, plugin: Plugin) -> list[FileView]:
        """The files of a plugin that can be read: its main file first, then the others by kind and path."""
        tree, unit = self._kernel.tree, plugin.unit
        helpers = await self.helpers_of(plugin)
        kinds: dict[str, Kind] = dict.fromkeys(helpers, "helper")
        for path in tree.files_of(unit, [plugin.identity.name]):
            kinds[path] = _kind_of(path, unit)
        users = await self._users_of({path for path, kind in kinds.items() if path.endswith(".py")})
        order: list[Kind] = ["main", "package", "requirements", "helper"]
        views = []
        for path, kind in sorted(kinds.items(), key=lambda one: (order.index(one[1]), one[0])):
            if (file := tree.get(path)) is None or file.flaw is not None:
                continue
            ids = {str(one.identity) for one in users.get(path, [])}
            if kind != "helper":
                ids.add(str(plugin.identity))
            views.append(
                FileView(
                    path=f"plugins/{path}",
                    kind=kind,
                    size=len(file.content),
                    sha256=file.sha256,
                    used_by=sorted(ids),
                )
            )
        return views

    async def helpers_of(self, plugin: Plugin) -> set[str]:
        """The modules outside a plugin that it imports, and those that these import; below the plugin folder."""
        return (await self._helpers([plugin]))[0]

    async def users_of(self, path: str) -> list[Plugin]:
        """The plugins that a module is a file of, or that import it, sorted by type and name."""
        return (await self._users_of({path})).get(path, [])

    async def _users_of(self, paths: set[str]) -> dict[str, list[Plugin]]:
        plugins = self._kernel.registry.all()
        users: dict[str, list[Plugin]] = {}
        for plugin, helpers in zip(plugins, await self._helpers(plugins), strict=True):
            for path in paths:
                if path in helpers or plugin.unit.holds(path):
                    users.setdefault(path, []).append(plugin)
        return users

    async def _helpers(self, plugins: list[Plugin]) -> list[set[str]]:
        tree = self._kernel.tree
        files = tree.files()
        told = [(one.unit, tree.files_of(one.unit), _imports_told(one), _is_settled(one)) for one in plugins]
        # Texts are looked through beside the loop: there may be many, and they may be large.
        return await asyncio.to_thread(lambda: [self._reached(*one, files) for one in told])

    def _reached(
        self,
        unit: Unit,
        own: list[str],
        told: frozenset[str] | None,
        settled: bool,
        files: dict[str, SourceFile],
    ) -> set[str]:
        found = paths_of_modules(told, files) if told is not None else set()
        if told is None or not settled:
            found |= self._reader.reached(own, files)
        return {path for path in found if not unit.holds(path)}


async def held_by_files(kernel: Kernel, plugin: Plugin, *more: str) -> dict[str, str | None]:
    """The SHA-256 of each of the plugin's files, and of `more`, as they are on the disk at this moment.

    Of one that cannot be read as text nothing is known, so nothing is said of it; one that is not there has `None`.
    """
    held: dict[str, str | None] = {}
    for path in {*kernel.tree.files_of(plugin.unit, [plugin.identity.name]), *more}:
        file = await read_now(kernel, path)
        if file is None or file.flaw is None:
            held[path] = file.sha256 if file is not None else None
    return held


async def read_now(kernel: Kernel, path: str) -> SourceFile | None:
    """A file below the plugin folder as it is on the disk at this moment."""
    await asyncio.to_thread(kernel.eyes.look_at, path, may_be_open=False)
    return kernel.tree.get(path)


def _imports_told(plugin: Plugin) -> frozenset[str] | None:
    """What the worker that serves said that its code imports; `None` where none serves, or it has not said so yet."""
    serving = plugin.serving
    return serving.imports if serving is not None and serving.has_told_imports else None


def _is_settled(plugin: Plugin) -> bool:
    """Whether what serves is what the files hold."""
    return plugin.error is None


def _kind_of(path: str, unit: Unit) -> Kind:
    if path == unit.main_file:
        return "main"
    if not unit.holds(path) and path.endswith(REQUIREMENTS_SUFFIX):
        return "requirements"
    return "package"
