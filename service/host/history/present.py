"""What is there now: what a change finds before it, and whether what an earlier one left is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from service.host.configuration.config_store import ConfigStore
from service.host.history.blobs import BlobLost, Blobs
from service.host.history.changes import TRASH, Changes, ChangeView
from service.host.history.changeset import (
    Changeset,
    EntryChange,
    FileChange,
    FileState,
    Link,
    Move,
    OriginChange,
    Wanted,
    entry_of,
    entry_text,
    in_order,
    same_entry,
    same_file,
)
from service.host.history.errors import ChangeSuperseded, changed, not_saved
from service.host.history.moves import FolderMove
from service.host.history.steps import state_of
from service.host.store import Store


@dataclass(frozen=True, slots=True)
class Undo:
    """What undoing a change takes: give `wanted` and the change's id as `undoes` to `performed`."""

    change: ChangeView
    changeset: Changeset
    wanted: Wanted


class Present:
    """See the module.

    Args:
        home: the server's home folder.
        blobs: keeps the contents of what is found.
        config: the configuration.
        store: knows origins.
        changes: knows what was done.
        later: the changes whose folders have not moved yet.
    """

    def __init__(
        self,
        home: Path,
        blobs: Blobs,
        config: ConfigStore,
        store: Store,
        changes: Changes,
        later: Container[str],
    ) -> None:
        self._home = home
        self._plugins = home / "plugins"
        self._blobs = blobs
        self._config = config
        self._store = store
        self._changes = changes
        self._later = later

    async def undo_of(self, id: str) -> Undo:
        """What undoing a change takes.

        Raises:
            ChangeNotFound, StoreFailed
            ChangeSuperseded: what it left is not there any more, or it was undone already.
        """
        change = await self._changes.get(id)
        changeset = await self._changes.changeset(id)
        if change.undone_by is not None:
            raise ChangeSuperseded(id, zh="已被撤销", en="was undone already")
        if not change.undoable:
            raise ChangeSuperseded(id, zh="包含无法恢复的文件", en="took files that cannot be brought back")
        await self._config.refresh()
        await self._require_left(changeset, id)
        inverse = changeset.inverse()
        try:
            files = await asyncio.to_thread(self._contents_of, inverse)
        except (BlobLost, OSError) as error:
            raise ChangeSuperseded(id, zh="的内容已不再保留", en="has contents that are not kept") from error
        return Undo(
            change,
            inverse,
            Wanted(
                files=files,
                config={key: entry_of(one.after) for key, one in inverse.config.items()},
                origins={file: one.after for file, one in inverse.origins.items()},
                folders={move.source: move.target for move in inverse.folders},
                modes={
                    path: one.after.mode
                    for path, one in inverse.files.items()
                    if one.after is not None and one.after.link is None
                },
            ),
        )

    async def observed(self, id: str, wanted: Wanted, undoes: str | None) -> Changeset:
        """What is there now and what is to be there; all contents of either are kept."""
        await self._config.refresh()
        if undoes is not None:
            await self._require_left(await self._changes.changeset(undoes), undoes)
        known = await self._store.origins() if wanted.origins else {}
        config = {}
        for key, asked in wanted.config.items():
            now = self._config.find(key)
            after = asked(now) if callable(asked) else asked
            one = EntryChange(entry_text(now), entry_text(after))
            if not same_entry(one.before, one.after):
                config[key] = one
        origins = {
            file: OriginChange(known.get(file), origin)
            for file, origin in wanted.origins.items()
            if known.get(file) != origin
        }
        try:
            files = await asyncio.to_thread(self._observe_files, wanted)
            folders = await asyncio.to_thread(self._observe_folders, id, wanted, undoes)
        except OSError as error:
            raise not_saved(error) from error
        return Changeset(files, config, origins, folders)

    def _observe_files(self, wanted: Wanted) -> dict[str, FileChange]:
        files = {}
        for path, asked in wanted.files.items():
            before = state_of(self._plugins / path, self._blobs)
            if path in wanted.expected and wanted.expected[path] != (before.sha256 if before else None):
                raise changed(f"plugins/{path}")
            after = None
            if isinstance(asked, Link):
                after = FileState(link=asked.target)
            elif asked is not None:
                is_file = before is not None and before.link is None and not before.other
                mode = wanted.modes.get(path, before.mode if before is not None and is_file else 0o644)
                after = FileState(self._blobs.put_now(asked), mode)
            if not same_file(before, after):
                files[path] = FileChange(before, after)
        return in_order(files)

    def _observe_folders(self, id: str, wanted: Wanted, undoes: str | None) -> list[Move]:
        moves = []
        for number, (source, asked) in enumerate(wanted.folders.items()):
            target = asked or f"{TRASH}/{id}/{number}-{source.rpartition('/')[2]}"
            move = Move(source, target)
            if not (self._home / source).exists() and not (self._home / source).is_symlink():
                if undoes is not None and undoes not in self._later:
                    raise changed(source)
                continue
            if not FolderMove(self._home, id, move).is_free():
                raise changed(target)
            moves.append(move)
        return moves

    async def _require_left(self, changeset: Changeset, id: str) -> None:
        """A change can be undone while all is as it left it."""

        def look() -> str | None:
            for path, one in changeset.files.items():
                if not same_file(state_of(self._plugins / path), one.after):
                    return f"plugins/{path}"
            if id not in self._later:
                for move in changeset.folders:
                    target, source = self._home / move.target, self._home / move.source
                    if not target.exists() and not target.is_symlink():
                        return move.target
                    if not FolderMove(self._home, id, Move(move.target, move.source)).is_free():
                        return str(source.relative_to(self._home))
            return None

        try:
            what = await asyncio.to_thread(look)
        except OSError as error:
            raise not_saved(error) from error
        if what is not None:
            raise changed(what)
        for key, one in changeset.config.items():
            if not same_entry(entry_text(self._config.find(key)), one.after):
                raise changed(f"config/plugins.json “{key}”")
        known = await self._store.origins() if changeset.origins else {}
        for file, origin in changeset.origins.items():
            if known.get(file) != origin.after:
                raise changed(file)

    def _contents_of(self, changeset: Changeset) -> dict[str, bytes | Link | None]:
        def content(state: FileState | None) -> bytes | Link | None:
            if state is None:
                return None
            return Link(state.link) if state.link is not None else self._blobs.get_now(state.sha256)

        return {path: content(one.after) for path, one in changeset.files.items()}
