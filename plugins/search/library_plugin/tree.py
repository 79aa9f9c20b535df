"""Which files belong to the library: the chosen folders, what is listed in them and what is passed over."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# What programs call a file while they still write it; aria2 keeps a `NAME.aria2` beside it instead.
_UNFINISHED = (
    ".part .partial .crdownload .opdownload .download .!qb .!ut .!bt .bc! .ytdl .aria2 .aria2__temp".split()
)
_BESIDE_UNFINISHED = b".aria2"


class Stamp(NamedTuple):
    """What tells that a file is not as it was."""

    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Root:
    """One chosen folder.

    Args:
        path: as it was chosen, absolute.
        real: the same with its links followed.
    """

    path: bytes
    real: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder.

    Args:
        files: the listed ones, by name.
        folders: the names of those to look into.
    """

    files: dict[bytes, Stamp]
    folders: list[bytes]


class Tree:
    """The chosen folders.

    Folders that lie in another chosen one are looked at once. Links to folders are not followed; what lies in the
    same tree is found there, and the rest was not chosen. A link to a file counts where that file is in the tree.

    Args:
        folders: the chosen ones; they need not exist.
        hidden: whether names that begin with a dot count.
        passed_over: a folder that is no part of it, where the index itself lies.
    """

    def __init__(self, folders: Iterable[Path], *, hidden: bool, passed_over: Path) -> None:
        self.hidden = hidden
        self._passed_over = os.fsencode(os.path.realpath(passed_over))
        self._chosen = [os.fsencode(os.path.abspath(folder)) for folder in folders]
        self.roots: Sequence[Root] = ()
        self.refresh_roots()

    def refresh_roots(self) -> None:
        """Look again where the chosen folders really are."""
        roots: list[Root] = []
        for path in self._chosen:
            root = Root(path, os.path.realpath(path))
            if not any(is_below(root.real, other.real) for other in roots):
                roots = [other for other in roots if not is_below(other.real, root.real)]
                roots.append(root)
        self.roots = tuple(roots)

    def root_of(self, path: bytes) -> Root | None:
        """The chosen folder that a path, spelt as the library spells it, is in or is."""
        return next((root for root in self.roots if is_below(path, root.path)), None)

    def owns(self, path: bytes) -> bool:
        """Whether a file, wherever its links lead, is in one of the chosen folders."""
        real = os.path.realpath(path)
        return any(is_below(real, root.real) for root in self.roots)

    def enters(self, folder: bytes) -> bool:
        """Whether the files of a folder are listed, going by the names on the way to it."""
        root = self.root_of(folder)
        if root is None:
            return False
        names = folder[len(root.path) :].split(b"/")
        return all(self._counts(name) for name in names if name) and not self._is_passed_over(folder, root)

    def list(self, folder: bytes) -> Listing:
        """What is in a folder.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        files: dict[bytes, Stamp] = {}
        folders: list[bytes] = []
        root = self.root_of(folder)
        with os.scandir(folder) as entries:
            found = list(entries)
        unfinished = {
            entry.name[: -len(_BESIDE_UNFINISHED)]
            for entry in found
            if entry.name.endswith(_BESIDE_UNFINISHED)
        }
        for entry in found:
            if not self._counts(entry.name) or entry.name in unfinished:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if root is not None and not self._is_passed_over(entry.path, root):
                        folders.append(entry.name)
                elif (stamp := self._stamp(entry.path, entry.is_symlink())) is not None:
                    files[entry.name] = stamp
            except OSError:  # it went away while we looked, or is a link to itself
                continue
        return Listing(files, folders)

    def look(self, path: bytes) -> Stamp | None:
        """A file's size and time; None where there is none that is listed. Its folder must be one that is entered."""
        folder, name = os.path.split(path)
        if not self._counts(name) or not self.enters(folder) or os.path.lexists(path + _BESIDE_UNFINISHED):
            return None
        try:
            return self._stamp(path, os.path.islink(path))
        except OSError:
            return None

    def has_file(self, path: bytes) -> bool:
        """Whether a file is there and listed, going by how things are now."""
        return self.look(path) is not None

    def has_folder(self, folder: bytes) -> bool:
        """Whether a folder is there, can be read and is looked into, going by how things are now."""
        root = self.root_of(folder)
        if root is None or not self.enters(folder):
            return False
        way = folder
        while len(way) > len(root.path):
            if os.path.islink(way):
                return False
            way = os.path.dirname(way)
        try:
            with os.scandir(folder):
                return True
        except OSError:
            return False

    def _stamp(self, path: bytes, is_link: bool) -> Stamp | None:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or (is_link and not self.owns(path)):
            return None
        return Stamp(status.st_size, status.st_mtime_ns)

    def _counts(self, name: bytes) -> bool:
        if name.startswith(b".") and not self.hidden:
            return False
        return not os.fsdecode(name).lower().endswith(tuple(_UNFINISHED))

    def _is_passed_over(self, folder: bytes, root: Root) -> bool:
        return is_below(root.real + folder[len(root.path) :], self._passed_over)


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether a path is a folder or in it, going by their spelling."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def readable(name: bytes) -> str:
    """A file name for people. One that is no UTF-8 most likely comes from an archive made on Chinese Windows."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return name.decode(encoding)
        except UnicodeDecodeError:
            continue
    return name.decode("utf-8", "replace")
