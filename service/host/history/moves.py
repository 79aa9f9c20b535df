"""Folders that move: a purged data folder into the trash and back. Everything here blocks.

Within one file system that is one `rename`. Between two the folder is copied whole under a temporary name first, then
the old one and the copy change names; the old one is removed once the change is recorded.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from service.host import atomic
from service.host.history.changeset import Move


class FolderMove:
    """One move of one change.

    Args:
        home: what the paths are relative to.
        id: the change's.
        move: which.
    """

    def __init__(self, home: Path, id: str, move: Move) -> None:
        self._source = home / move.source
        self._target = home / move.target
        suffix = atomic.TEMPORARY_SUFFIX
        self._old = self._source.with_name(f".{self._source.name}.{id}.old{suffix}")
        self._copy = self._target.with_name(f".{self._target.name}.{id}.new{suffix}")

    def is_free(self) -> bool:
        """Whether nothing is at the target, or an empty folder only."""
        return not os.path.lexists(self._target) or _is_empty(self._target)

    def perform(self) -> None:
        """Move it; does nothing where that is done.

        Raises:
            OSError
        """
        if os.path.lexists(self._source):
            _make_folders(self._target.parent)
            try:
                os.rename(self._source, self._target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                shutil.rmtree(self._copy, ignore_errors=True)
                shutil.copytree(self._source, self._copy, symlinks=True)
                _sync_tree(self._copy)
                os.rename(self._source, self._old)
        if os.path.lexists(self._old) and os.path.lexists(self._copy):
            os.rename(self._copy, self._target)
        for parent in (self._target.parent, self._source.parent):
            if parent.is_dir():
                atomic.sync_folder(parent)

    def back(self) -> bool:
        """Undo whatever was done of it.

        Returns:
            False where somebody has put a folder in the old place since; what was moved stays where it is.

        Raises:
            OSError: it may be tried again.
        """
        whole = True
        if os.path.lexists(self._old):
            # The copy changes its name before it goes: half of it must never be taken for the folder.
            if os.path.lexists(self._target):
                shutil.rmtree(self._copy, ignore_errors=True)
                os.rename(self._target, self._copy)
            os.rename(self._old, self._source)
        elif os.path.lexists(self._target) and not (
            os.path.lexists(self._source) and _is_empty(self._target)
        ):
            if not os.path.lexists(self._source) or _is_empty(self._source):
                self._source.parent.mkdir(parents=True, exist_ok=True)
                os.rename(self._target, self._source)
            else:
                whole = False
        shutil.rmtree(self._copy, ignore_errors=True)
        for parent in (self._source.parent, self._target.parent):
            if parent.is_dir():
                atomic.sync_folder(parent)
        self._drop_empty_trash(self._target.parent)
        return whole

    def clean(self) -> None:
        """The change is recorded: what is left of the old folder goes."""
        for left in (self._old, self._copy):
            shutil.rmtree(left, ignore_errors=True)
        self._drop_empty_trash(self._source.parent)

    @staticmethod
    def _drop_empty_trash(folder: Path) -> None:
        if folder.parent.name == "trash":
            with contextlib.suppress(OSError):
                folder.rmdir()


def _make_folders(folder: Path) -> None:
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        atomic.sync_folder(folder.parent)


def _sync_tree(folder: Path) -> None:
    for inner, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(inner, name)
            if os.path.isfile(path) and not os.path.islink(path):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        atomic.sync_folder(Path(inner))


def _is_empty(folder: Path) -> bool:
    try:
        return not folder.is_symlink() and not os.listdir(folder)
    except OSError:
        return False
