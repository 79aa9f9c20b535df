"""The last step of an install: files appear and a plugin serves, or all is as it was."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import structlog

from service.errors import PlugbayError
from service.host import atomic
from service.host.files.sources import SourceFile, Unit
from service.host.installing.candidates import Candidate
from service.host.kernel import Kernel
from service.host.store import Store
from service.model.text import Text

log = structlog.get_logger(__name__)

_HELD_OUTPUT_BYTES = 256 * 1024


class NotSaved(PlugbayError):
    """The plugin loads, but its file could not be written; nothing was changed."""

    code = "plugin_not_saved"


class Placing:
    """Puts files in place.

    Args:
        kernel: knows the files.
        store: remembers origins.
    """

    def __init__(self, kernel: Kernel, store: Store) -> None:
        self._kernel = kernel
        self._store = store

    @contextlib.asynccontextmanager
    async def placed(self, candidate: Candidate) -> AsyncIterator[None]:
        """Put a candidate's files in place; should the block raise, they are as they were.

        Raises:
            NotSaved: they could not be written.
        """
        tree, file = self._kernel.tree, f"plugins/{candidate.unit.path}"
        files = candidate.files()
        before = {path: tree.get(path) for path in files}
        known = (await self._store.origins()).get(file)
        # The tree knows first: that the files appear on the disk is then no news to the watcher.
        for path, content in files.items():
            tree.apply(path, content)
        try:
            await self._write(candidate.unit, files)
            await self._store.set_origin(file, candidate.origin)
            yield
        except BaseException:
            await self._undo(before)
            with contextlib.suppress(PlugbayError):
                await self._store.set_origin(file, known)
            raise

    async def _write(self, unit: Unit, files: Mapping[str, SourceFile]) -> None:
        root = self._kernel.loader.plugins_dir
        try:
            for path, file in files.items():
                await asyncio.to_thread((root / path).parent.mkdir, parents=True, exist_ok=True)
                await atomic.write(root / path, file.content)
        except OSError as error:
            raise NotSaved(
                Text(
                    zh=f"无法写入 plugins/{unit.path}：{error.strerror}，请检查磁盘空间与权限",
                    en=f"plugins/{unit.path} cannot be written: {error.strerror}; check disk space and permissions",
                )
            ) from error

    async def _undo(self, before: Mapping[str, SourceFile | None]) -> None:
        root = self._kernel.loader.plugins_dir
        for path, file in before.items():
            self._kernel.tree.apply(path, file)
            try:
                if file is None:
                    await asyncio.to_thread((root / path).unlink, missing_ok=True)
                elif file.flaw is None:
                    await atomic.write(root / path, file.content)
            except OSError as error:
                log.error("install.not_undone", path=path, reason=error.strerror)


class NewFolders:
    """The data folders that loading made, to be removed where nothing comes of it.

    Args:
        data_dir: gives a plugin's folder by type and short name.
    """

    def __init__(self, data_dir: Callable[[str, str], Path]) -> None:
        self._data_dir = data_dir
        self._made: list[Path] = []

    async def note(self, unit: Unit) -> None:
        """A plugin of this file is about to be loaded."""
        folder = self._data_dir(unit.type.value, unit.short_name)
        if folder not in self._made and not await asyncio.to_thread(folder.exists):
            self._made.append(folder)

    async def remove(self, *, but: Unit | None = None) -> None:
        """Remove them, except that of one that has come to be."""
        kept = self._data_dir(but.type.value, but.short_name) if but is not None else None
        for folder in self._made:
            if folder != kept:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._made.clear()


class HeldOutput:
    """What a plugin prints while it is not certain that it will be one: kept, then handed on or dropped."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._sink: Callable[[bytes], None] | None = None

    def feed(self, data: bytes) -> None:
        """Take some output."""
        if self._sink is not None:
            self._sink(data)
        elif self._size < _HELD_OUTPUT_BYTES:
            self._held.append(data)
            self._size += len(data)

    def release(self, sink: Callable[[bytes], None]) -> None:
        """Hand on what was kept, and all that comes."""
        self._sink = sink
        for data in self._held:
            sink(data)
        self._held.clear()
