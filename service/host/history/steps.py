"""The steps of one change in the file system, forwards and back. Everything here blocks and is called in threads.

    x_plugin.py                     what is there
    .x_plugin.py.ID-0.new.tmp       what is to be there, written before anything changes: from then on only names change
    .x_plugin.py.ID-0.old.tmp       what was there, until the change is recorded; going back needs no room on the disk

Each step can be done again, and undone, from whatever state a killed process left.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

from service.host import atomic
from service.host.files.sources import is_text
from service.host.history.blobs import BlobLost, Blobs
from service.host.history.changeset import Changeset, FileChange, FileState, same_file
from service.model.identity import PluginType

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 1 << 16
_CACHE = "__pycache__"
_TYPE_FOLDERS = {one.value for one in PluginType}


class Moved(Exception):
    """A path does not hold what it held when the change began."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def state_of(full: Path, blobs: Blobs | None = None) -> FileState | None:
    """What lies at a path; its content is kept where `blobs` are given.

    Raises:
        OSError: it cannot be kept.
    """
    try:
        status = os.lstat(full)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(full)
        return FileState(link=target) if is_text(target) else FileState(other=True)
    if not stat.S_ISREG(status.st_mode) or not os.access(full, os.R_OK):
        return FileState(other=True)
    sha256 = blobs.put_file(full) if blobs is not None else _sha256(full)
    return FileState(sha256, stat.S_IMODE(status.st_mode))


def missing_folders(plugins: Path, files: Iterable[str]) -> list[str]:
    """The folders that the files need and that are not there, the outer ones first."""
    missing: dict[str, None] = {}
    for path in files:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder not in missing and not (plugins / folder).is_dir():
                missing[folder] = None
    return list(missing)


def files_below(plugins: Path, path: str) -> list[str]:
    """All that is to go where a plugin's file or folder goes, relative to the plugin folder.

    Of a link that is the link itself, never what it leads to.
    """
    full = plugins / path
    if full.is_symlink() or not full.is_dir():
        return [path] if os.path.lexists(full) else []
    found: list[str] = []
    for folder, folders, names in os.walk(full):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if name not in links and name != _CACHE]
        found += [os.path.relpath(os.path.join(folder, name), plugins) for name in (*names, *links)]
    return sorted(filter(is_text, found)) or [path]


class FileSteps:
    """The files of one change.

    Args:
        plugins: the plugin folder.
        blobs: has all contents.
        id: the change's.
        changeset: what is to be done.
        made: the folders below `plugins` that are there for this change only.
    """

    def __init__(self, plugins: Path, blobs: Blobs, id: str, changeset: Changeset, made: list[str]) -> None:
        self._plugins = plugins
        self._blobs = blobs
        self._id = id
        self._files = changeset.files
        self._made = made

    def stage(self) -> None:
        """Write everything that is to appear beside where it is to be.

        Raises:
            OSError, BlobLost
        """
        for folder in self._made:
            (self._plugins / folder).mkdir(exist_ok=True)
            atomic.sync_folder((self._plugins / folder).parent)
        for full, new, _, change in self._each():
            if change.after is not None:
                self._write(new, change.after, owner_of=full)

    def perform(self) -> None:
        """Let them appear and go, in order.

        Raises:
            Moved: somebody changed a file meanwhile.
            OSError
        """
        for path, (full, new, old, change) in zip(self._files, self._each(), strict=True):
            if not same_file(state_of(full), change.before):
                raise Moved(path)
            if change.before is not None:
                if change.after is None or full.is_dir():
                    os.rename(full, old)
                else:
                    # Not every file system has hard links, nor may everybody link to a stranger's file.
                    with contextlib.suppress(OSError):
                        os.link(full, old, follow_symlinks=False)
            if change.after is not None:
                os.replace(new, full)
            atomic.sync_folder(full.parent)

    def returning(self) -> list[str]:
        """The paths that `back` will change; those that somebody else changed since stay as they are."""
        return [
            path
            for path, (full, _, _, change) in zip(self._files, self._each(), strict=True)
            if same_file(state_of(full), change.after)
        ]

    def back(self) -> list[str]:
        """Undo whatever was done of it.

        Returns:
            the paths that somebody else has changed since, which stay as they are.

        Raises:
            OSError: it is not all undone; it may be tried again.
        """
        left, first_error = [], None
        for path, (full, new, old, change) in reversed(list(zip(self._files, self._each(), strict=True))):
            try:
                if not self._back(full, new, old, change):
                    left.append(path)
            except OSError as error:
                first_error = first_error or error
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                (self._plugins / folder).rmdir()
        if first_error is not None:
            raise first_error
        return left

    def clean(self) -> None:
        """The change is recorded: what was there before goes, and folders that are empty now.

        Raises:
            OSError: it may be tried again.
        """
        folders: dict[str, None] = {}
        for path, (full, new, old, change) in zip(self._files, self._each(), strict=True):
            gone = [one for one in (new, old) if _remove(one)]
            if gone and full.parent.is_dir():
                atomic.sync_folder(full.parent)
            parts = path.split("/")
            if change.after is None and len(parts) > 2:
                folders["/".join(parts[:2])] = None
            if change.after is None and parts[0] not in _TYPE_FOLDERS:
                folders[parts[0]] = None
        for folder in folders:
            self._tidy(self._plugins / folder)

    def _each(self) -> Iterator[tuple[Path, Path, Path, FileChange]]:
        for number, (path, change) in enumerate(self._files.items()):
            full = self._plugins / path
            # Names may be 255 bytes long; a long one is cut so that the temporary name still fits.
            kept = os.fsdecode(os.fsencode(full.name)[:190]).encode("utf-8", "ignore").decode()
            stem = f".{kept}.{self._id}-{number}"
            yield (
                full,
                full.with_name(f"{stem}.new{atomic.TEMPORARY_SUFFIX}"),
                full.with_name(f"{stem}.old{atomic.TEMPORARY_SUFFIX}"),
                change,
            )

    def _back(self, full: Path, new: Path, old: Path, change: FileChange) -> bool:
        now = state_of(full)
        untouched = True
        changed = False
        if os.path.lexists(old):
            if same_file(now, change.before) and not same_file(now, change.after):
                _remove(old)
            elif same_file(now, change.after):
                if now is not None and _is_folder(old):
                    os.unlink(full)
                os.replace(old, full)
            else:
                untouched = False
                if change.before is not None and not change.before.other:
                    _remove(old)
            changed = True
        elif same_file(now, change.after) and not same_file(now, change.before):
            if change.before is None:
                os.unlink(full)
                changed = True
            elif not change.before.other:
                try:
                    _remove(new)
                    self._write(new, change.before, owner_of=full)
                    os.replace(new, full)
                except BlobLost:
                    log.error("history.content_lost", path=full.name)
                    untouched = False
                changed = True
        elif not same_file(now, change.before):
            untouched = False
        changed |= _remove(new)
        if changed:
            atomic.sync_folder(full.parent)
        return untouched

    def _write(self, target: Path, state: FileState, *, owner_of: Path) -> None:
        if state.link is not None:
            os.symlink(state.link, target)
            return
        content = self._blobs.get_now(state.sha256)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            atomic.keep_owner(descriptor, owner_of)
            os.fchmod(descriptor, state.mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)

    @staticmethod
    def _tidy(folder: Path) -> None:
        if folder.is_symlink() or not folder.is_dir():
            return
        # Only what is empty but for the interpreter's cache; nothing that somebody puts there meanwhile is taken along.
        for inner, _, _ in os.walk(folder, topdown=False):
            if _CACHE not in inner:
                with contextlib.suppress(OSError):
                    if os.listdir(inner) == [_CACHE]:
                        shutil.rmtree(os.path.join(inner, _CACHE), ignore_errors=True)
                    os.rmdir(inner)
        atomic.sync_folder(folder.parent)


def _remove(path: Path) -> bool:
    try:
        if _is_folder(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
