"""The text of a plugin's files, and of the helpers that it imports: read and written."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.errors import LoadFailed, PlugbayError, RequestRefused
from service.host.files.sources import REQUIREMENTS_SUFFIX, Unit, is_interesting
from service.host.history.errors import ChangeSuperseded
from service.host.installing.candidates import Candidate
from service.host.installing.placing import Installed, Placing, Wishes
from service.host.installing.plugin_files import FileView, PluginFiles, held_by_files, read_now
from service.host.installing.sharing import HelperEdit, Sharing
from service.host.installing.text_check import ensure_text
from service.host.kernel import Kernel
from service.host.plugin import Plugin
from service.model.text import Text

# How often a file is loaded anew because another of the plugin's changed meanwhile.
_EDIT_TRIES = 4
# Of a new file's name; what is staged beside it has a longer one.
_NAME_MAX_BYTES = 190


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a plugin as it is now, its path relative to home."""

    path: str
    content: bytes
    sha256: str


class SourceNotFound(PlugbayError):
    """The plugin has no such file."""

    code = "source_not_found"


class SourceChanged(PlugbayError):
    """The file is not what the writer thinks it is; nothing was changed."""

    code = "source_changed"


class Editing:
    """See the module.

    Args:
        kernel: knows the files.
        files: knows which are whose.
        placing: puts a plugin's own in place.
        sharing: puts helpers in place.
        max_bytes: the largest file.
    """

    def __init__(
        self, kernel: Kernel, files: PluginFiles, placing: Placing, sharing: Sharing, max_bytes: int
    ) -> None:
        self._kernel = kernel
        self._files = files
        self._placing = placing
        self._sharing = sharing
        self._max_bytes = max_bytes

    async def files(self, plugin: Plugin) -> list[FileView]:
        """The files of a plugin, the helpers that it imports included."""
        return await self._files.of(plugin)

    async def source(self, plugin: Plugin, path: str | None) -> Source:
        """A file of the plugin, or a helper that it imports, as it is on the disk.

        Args:
            plugin: whose.
            path: which, relative to home or, of a package, to its folder; its main file where it is `None`.

        Raises:
            SourceNotFound
        """
        inner, _ = await self._place_of(plugin, path)
        file = await read_now(self._kernel, inner)
        if file is None or file.flaw is not None:
            raise _no_source(plugin, inner)
        return Source(f"plugins/{inner}", file.content, file.sha256)

    async def put_source(
        self, plugin: Plugin, content: bytes, *, path: str | None, expected: str | None
    ) -> Installed:
        """Replace a file, or add one to a package, where the plugin loads with it.

        A helper that it imports has to load with every other plugin that uses it and serves, too.

        Args:
            plugin: whose.
            content: the new text.
            path: as for `source`.
            expected: the SHA-256 that the file has to have now; nothing is asked where it is `None`.

        Raises:
            SourceNotFound: a file of that name cannot be one of the plugin's.
            SourceChanged: nothing was changed.
            LoadFailed: with `plugin`, the id of the one that does not load; nothing was changed.
        """
        if len(content) > self._max_bytes:
            raise RequestRefused(
                Text(
                    zh=f"内容有 {len(content)} 字节，超过上限 {self._max_bytes}（limits.plugin_file_kib）",
                    en=f"The content has {len(content)} bytes, over the limit of {self._max_bytes} "
                    "(limits.plugin_file_kib)",
                ),
                code="too_large",
            )
        inner, is_helper = await self._place_of(plugin, path)
        if not is_helper and not await asyncio.to_thread(_fits, self._kernel.eyes.root, plugin.unit, inner):
            raise _no_source(plugin, inner)
        for _ in range(_EDIT_TRIES):
            held = await held_by_files(self._kernel, plugin, inner)
            if expected is not None and expected != held.get(inner):
                raise _source_changed(inner, held.get(inner))
            try:
                if inner.endswith((".py", REQUIREMENTS_SUFFIX)):
                    await asyncio.to_thread(ensure_text, content, file=f"plugins/{inner}")
                if held.get(inner) == hashlib.sha256(content).hexdigest() and plugin.error is None:
                    return Installed(plugin.view(), plugin.serving is not None, None)
                if is_helper:
                    return await self._edit_helper(plugin, inner, content, held.get(inner))
                return await self._edit(plugin, inner, content, held)
            except LoadFailed as failure:
                failure.fields.setdefault("plugin", str(plugin.identity))
                raise
            except ChangeSuperseded:
                # Somebody else has saved one of its files while this was loaded.
                continue
        raise _source_changed(inner, (await held_by_files(self._kernel, plugin, inner)).get(inner))

    async def _edit(
        self, plugin: Plugin, inner: str, content: bytes, held: Mapping[str, str | None]
    ) -> Installed:
        wishes = Wishes(kind="edit", name=plugin.said_name, of=plugin.unit, expected=held)
        return await self._placing.put(Candidate(plugin.unit, {inner: content}, None), wishes)

    async def _edit_helper(
        self, plugin: Plugin, inner: str, content: bytes, expected: str | None
    ) -> Installed:
        edit = HelperEdit(inner, content, about=str(plugin.identity), expected=expected)
        change = await self._sharing.put(edit)
        plugin = self._kernel.registry.at(plugin.unit.path) or plugin
        return Installed(plugin.view(), plugin.serving is not None, change)

    async def _place_of(self, plugin: Plugin, path: str | None) -> tuple[str, bool]:
        """The path below the plugin folder of a file, and whether that is a helper's.

        Raises:
            SourceNotFound: it neither is nor can be the plugin's own, and the plugin imports no such helper.
        """
        try:
            return self._own(plugin, path), False
        except SourceNotFound:
            inner = (path or "").removeprefix("plugins/")
            if inner not in await self._files.helpers_of(plugin):
                raise
            return inner, True

    def _own(self, plugin: Plugin, path: str | None) -> str:
        """The path below the plugin folder of a file that is, or can be, the plugin's own."""
        unit, tree = plugin.unit, self._kernel.tree
        if path is None:
            return unit.main_file
        whole = path.removeprefix("plugins/")
        folder = unit.path if unit.is_package else unit.type.value
        named = [whole] if whole != path else [f"{folder}/{path}", f"{unit.type.value}/{path}"]
        own = tree.files_of(unit, [plugin.identity.name])
        names = {unit.short_name, unit.stem, plugin.identity.name}
        beside = {f"{unit.type.value}/{name}{REQUIREMENTS_SUFFIX}" for name in names}
        for inner in named:
            # One that is there, or the requirements file that it could have.
            if inner in own or (inner in beside and tree.get(inner) is None):
                return inner
        inner = named[0]
        parts = inner.split("/")
        if (
            not unit.is_package
            or not unit.holds(inner)
            or any(part in ("", ".", "..") or len(part.encode()) > _NAME_MAX_BYTES for part in parts)
            or "\0" in inner
            or not is_interesting(inner)
        ):
            raise _no_source(plugin, whole)
        return inner


def _fits(root: Path, unit: Unit, inner: str) -> bool:
    """Whether a file can be written there: within the plugin, not beyond a link in it, and not over a folder."""
    full = root / inner
    if full.is_dir():
        return False
    between = [
        one for one in full.parents if one.is_relative_to(root / unit.path) and one != root / unit.path
    ]
    return not any(one.is_symlink() or (one.exists() and not one.is_dir()) for one in between)


def _source_changed(inner: str, sha256: str | None) -> SourceChanged:
    return SourceChanged(
        Text(
            zh=f"plugins/{inner} 已被修改；请取得最新内容，合并后再保存",
            en=f"plugins/{inner} has changed meanwhile; get it anew, merge, and save again",
        ),
        sha256=sha256,
    )


def _no_source(plugin: Plugin, path: str) -> SourceNotFound:
    return SourceNotFound(
        Text(
            zh=f"插件 {plugin.identity} 没有文件 {path[:200]}；它的主文件是 plugins/{plugin.unit.main_file}",
            en=f"Plugin {plugin.identity} has no file {path[:200]}; its main file is plugins/{plugin.unit.main_file}",
        )
    )
