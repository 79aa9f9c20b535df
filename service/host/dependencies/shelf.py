"""The sets of packages as they lie on the disk, and what is remembered about them.

    data/envs/{id}/            a set: a folder for `sys.path`, whole from the instant that it is there
    data/envs/.kept/{id}.json  what is known of it
    data/envs/.locks/{key}     what requirements resolved to
    data/envs/.tmp/            everything half-made or on its way out; emptied at start

Nothing here knows the event loop: callers that do call it in a thread.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import tempfile
from pathlib import Path

import msgspec

from service.host import atomic
from service.host.dependencies.lock import Lock, Package, read_lock
from service.model import moment

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_LOCKS = 1000
_MAX_MODULES = 5000


class Kept(msgspec.Struct, kw_only=True):
    """What is known of a set. `modules` are those that the newest generation on it had imported, in order."""

    packages: list[Package]
    created_at: str
    compiled: bool = False
    modules: list[str] = []


class Shelf:
    """The folder of all sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._temporary = folder / ".tmp"
        self._kept = folder / ".kept"
        self._locks = folder / ".locks"

    def open(self) -> dict[str, Kept]:
        """Make the folders, clear what was half-made, and find the sets that are whole.

        Raises:
            OSError: the folders cannot be made.
        """
        self._make_folders()
        self.empty_temporary()
        found: dict[str, Kept] = {}
        for entry in list(os.scandir(self.folder)):
            if entry.name.startswith("."):
                continue
            kept = self._read_kept(entry.name) if _ID.fullmatch(entry.name) else None
            if kept is not None and entry.is_dir(follow_symlinks=False):
                found[entry.name] = kept
            elif _ID.fullmatch(entry.name):
                self.discard(Path(entry.path))
        for file in list(self._kept.iterdir()):
            if file.stem not in found or file.suffix != ".json":
                file.unlink(missing_ok=True)
        return found

    def _make_folders(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
        for folder in (self._kept, self._locks, self._temporary):
            folder.mkdir(exist_ok=True)
        # Workers that run as another user read the sets.
        self.folder.chmod(0o755)

    def empty_temporary(self) -> None:
        """Delete all that is half-made; only while nothing is being made."""
        for entry in list(os.scandir(self._temporary)):
            self.remove(Path(entry.path))

    def path(self, id: str) -> Path:
        """Where a set lies."""
        return self.folder / id

    def workshop(self) -> Path:
        """A new folder for something half-made, on the same file system."""
        self._make_folders()
        made = Path(tempfile.mkdtemp(dir=self._temporary))
        made.chmod(0o755)
        return made

    def put(self, id: str, made: Path, packages: tuple[Package, ...]) -> Kept:
        """Put a set in its place in one step, with what is known of it; one that is there already stays.

        Raises:
            OSError: it is not there then.
        """
        now = moment.now()
        kept = Kept(packages=list(packages), created_at=now)
        place = self.path(id)
        there = self._read_kept(id) if place.exists() else None
        if there is not None:
            return there
        self.discard(place)
        (made / ".lock").unlink(missing_ok=True)  # uv's own
        made.chmod(0o755)
        try:
            self.write_kept(id, kept)
            os.rename(made, place)
        except OSError:
            self.forget_kept(id)
            raise
        return kept

    def write_kept(self, id: str, kept: Kept) -> None:
        """Remember what is known of a set."""
        del kept.modules[_MAX_MODULES:]
        atomic.write_now(self._kept / f"{id}.json", msgspec.json.encode(kept))

    def take_away(self, id: str) -> None:
        """Delete a set; at no instant is it there in part."""
        self.discard(self.path(id))
        self.forget_kept(id)

    def forget_kept(self, id: str) -> None:
        """Forget what is known of a set that is gone."""
        (self._kept / f"{id}.json").unlink(missing_ok=True)

    def remove(self, path: Path) -> None:
        """Delete whatever is there, as far as that is possible."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()

    def discard(self, path: Path) -> None:
        """Delete a folder, out of sight first."""
        if not path.exists():
            return
        grave = self.workshop()
        try:
            os.rename(path, grave / path.name)
        finally:
            self.remove(grave)

    def size(self, id: str) -> int:
        """The bytes that a set takes on the disk."""
        total = 0
        for folder, _, files in os.walk(self.path(id)):
            for name in files:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
        return total

    def has(self, id: str) -> bool:
        """Whether there is a folder of that set at all."""
        return self.path(id).is_dir()

    def whole(self, id: str) -> bool:
        """Whether every file that its packages list is there with its size, as after a power cut it may not be."""
        root = self.path(id)
        records = list(root.glob("*.dist-info/RECORD"))
        try:
            for record in records:
                with record.open(newline="", encoding="utf-8") as lines:
                    for row in csv.reader(lines):
                        if len(row) == 3 and row[2] and os.lstat(root / row[0]).st_size != int(row[2]):
                            return False
        except (OSError, ValueError, csv.Error):
            return False
        return bool(records)

    def lock(self, key: str) -> Lock | None:
        """What requirements resolved to before; None where that is not known."""
        try:
            return read_lock((self._locks / key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def remember_lock(self, key: str, lock: Lock) -> bool:
        """Remember what requirements resolved to; the oldest go where there are too many.

        Returns:
            whether nothing was remembered of them before.
        """
        file = self._locks / key
        is_new = True
        with contextlib.suppress(OSError):
            if file.read_text(encoding="utf-8") == lock.text:
                return False
            is_new = False
        atomic.write_now(file, lock.text.encode())
        files = list(self._locks.iterdir())
        if len(files) > _MAX_LOCKS:
            for old in sorted(files, key=_age)[: len(files) - _MAX_LOCKS]:
                old.unlink(missing_ok=True)
        return is_new

    def forget_lock(self, key: str) -> None:
        """Resolve anew the next time."""
        (self._locks / key).unlink(missing_ok=True)

    def forget_locks_except(self, ids: set[str]) -> None:
        """Forget what led to no set of these."""
        for file in list(self._locks.iterdir()):
            lock = self.lock(file.name)
            if lock is None or lock.id not in ids:
                file.unlink(missing_ok=True)

    def _read_kept(self, id: str) -> Kept | None:
        try:
            return msgspec.json.decode((self._kept / f"{id}.json").read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
