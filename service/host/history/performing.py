"""The steps of one change over all that it touches, forwards and back: files, folders, configuration, origins."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import structlog

from service.errors import PlugbayError
from service.host.configuration.config_store import ConfigStore
from service.host.history.blobs import BlobLost, Blobs
from service.host.history.changeset import Changeset, entry_of, entry_text, same_entry
from service.host.history.entries import Entries, Entry
from service.host.history.errors import changed, not_saved
from service.host.history.moves import FolderMove
from service.host.history.steps import FileSteps, Moved
from service.host.store import Store
from service.host.threads import writing

log = structlog.get_logger(__name__)

# Files that are larger are no plugin's text: whoever wants to know of them reads them.
_TOLD_BYTES = 16 * 1024 * 1024

OnFiles = Callable[[Mapping[str, bytes | None]], object]


class Performing:
    """See the module.

    Args:
        home: the server's home folder.
        blobs: has all contents.
        config: the configuration.
        store: remembers origins.
        entries: the journal's files.
    """

    def __init__(self, home: Path, blobs: Blobs, config: ConfigStore, store: Store, entries: Entries) -> None:
        self._home = home
        self._plugins = home / "plugins"
        self._blobs = blobs
        self._config = config
        self._store = store
        self._entries = entries

    async def begin(self, entry: Entry, on_files: OnFiles | None) -> None:
        """Take every step, the entry first.

        Raises:
            ChangeSuperseded: somebody changed a file meanwhile.
            ChangeNotSaved, ConfigNotSaved, StoreFailed: it is for the caller to call `back`.
        """
        steps, changeset = self._steps(entry), entry.changeset
        try:
            await self.put_changeset(changeset)
            await writing(self._entries.write, entry)
            await writing(steps.stage)
            if on_files is not None and changeset.files:
                on_files(await asyncio.to_thread(self._told, changeset, list(changeset.files)))
            await writing(steps.perform)
            if not entry.later:
                await writing(self._move, entry)
        except Moved as moved:
            raise changed(f"plugins/{moved.path}") from None
        except (OSError, BlobLost) as error:
            raise not_saved(error) from error
        if changeset.config:
            await self._config.restore_all(
                {key: entry_of(one.after) for key, one in changeset.config.items()}
            )
        for file, one in changeset.origins.items():
            await self._store.set_origin(file, one.after)

    async def back(self, entry: Entry, on_files: OnFiles | None = None) -> list[str]:
        """Undo every step, the last one first; then the entry goes.

        Returns:
            paths, keys and folders that somebody else has changed since, which stay as they are.

        Raises:
            OSError, ConfigNotSaved, StoreFailed: not all is undone; it may be tried again.
        """
        changeset, steps = entry.changeset, self._steps(entry)
        failures: list[Exception] = []
        left: list[str] = []
        for back in (self._origins_back, self._config_back, self._folders_back):
            try:
                left += await back(entry)
            except (OSError, PlugbayError) as error:
                failures.append(error)
        try:
            if on_files is not None and changeset.files:
                paths = await asyncio.to_thread(steps.returning)
                told = await asyncio.to_thread(self._told, changeset.inverse(), paths)
                try:
                    on_files(told)
                except Exception:
                    # Whoever listens must not keep the files from going back.
                    log.exception("history.listener_failed", change=entry.id)
            left += [f"plugins/{path}" for path in await writing(steps.back)]
        except OSError as error:
            failures.append(error)
        if failures:
            raise failures[0]
        await writing(self._entries.remove, entry.id)
        for what in left:
            log.warning("history.left_alone", change=entry.id, what=what)
        return left

    async def _origins_back(self, entry: Entry) -> list[str]:
        left: list[str] = []
        known = await self._store.origins() if entry.changeset.origins else {}
        for file, one in entry.changeset.origins.items():
            if known.get(file) == one.after:
                await self._store.set_origin(file, one.before)
            elif known.get(file) != one.before:
                left.append(file)
        return left

    async def _config_back(self, entry: Entry) -> list[str]:
        left, back = [], {}
        if entry.changeset.config:
            await self._config.refresh()
        for key, one in entry.changeset.config.items():
            now = entry_text(self._config.find(key))
            if same_entry(now, one.after):
                back[key] = entry_of(one.before)
            elif not same_entry(now, one.before):
                left.append(key)
        if back:
            await self._config.restore_all(back)
        return left

    async def _folders_back(self, entry: Entry) -> list[str]:
        if entry.later:
            return []

        def back() -> list[str]:
            moves = reversed(list(zip(self._moves(entry), entry.changeset.folders, strict=True)))
            return [folder.source for move, folder in moves if not move.back()]

        return await writing(back)

    async def clean(self, entry: Entry) -> None:
        """It is recorded: what was there before goes. Raises OSError; may be tried again."""
        await writing(self._steps(entry).clean)

    async def move(self, entry: Entry) -> None:
        """Move its folders where they have not moved yet. Raises OSError; may be tried again."""
        await writing(self._move, entry)

    async def close(self, entry: Entry) -> None:
        """All is done: the entry goes. Raises OSError; may be tried again."""

        def close() -> None:
            for move in self._moves(entry):
                move.clean()
            self._entries.remove(entry.id)

        await writing(close)

    async def put_changeset(self, changeset: Changeset) -> str:
        """Keep what a change does; gives its hash. Raises OSError."""
        return await self._blobs.put(msgspec.json.encode(changeset))

    def _steps(self, entry: Entry) -> FileSteps:
        return FileSteps(self._plugins, self._blobs, entry.id, entry.changeset, entry.made)

    def _moves(self, entry: Entry) -> list[FolderMove]:
        return [FolderMove(self._home, entry.id, move) for move in entry.changeset.folders]

    def _move(self, entry: Entry) -> None:
        for move in self._moves(entry):
            move.perform()

    def _told(self, changeset: Changeset, paths: list[str]) -> dict[str, bytes | None]:
        told: dict[str, bytes | None] = {}
        for path in paths:
            state = changeset.files[path].after
            if state is None:
                told[path] = None
            elif state.sha256:
                with contextlib.suppress(BlobLost, OSError):
                    if self._blobs.path(state.sha256).stat().st_size <= _TOLD_BYTES:
                        told[path] = self._blobs.get_now(state.sha256)
        return told
