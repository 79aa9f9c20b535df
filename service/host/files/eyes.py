"""Reading the plugin folder: the only place that looks at plugin files.

All reads go through one lock and hand their result over before they let go of it. So what the loop is told of a file
comes in the order in which it was read, and an older content never follows a newer one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from service.host.files.links import Linked
from service.host.files.sources import Flaw, SourceFile, is_interesting, is_text, unit_of

log = structlog.get_logger(__name__)

_MAX_DEPTH = 8
# Folders that links lead to, and those in them: a link may lead to the whole disk.
_MAX_LINKED_FOLDERS = 512
# Near the size of most plugins: a large block that shrinks to what was read leaves holes that the allocator does not
# fill again. With blocks of a mebibyte the server grew by 8 KB with each save.
_CHUNK_BYTES = 16 * 1024

# What says that a file or a folder is not there; anything else says only that nobody knows.
_GONE = {errno.ENOENT, errno.ENOTDIR}
# What the server lacks for the moment, which says nothing of the file.
_LACKING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}

Report = Callable[[list[tuple[str, SourceFile | None]]], None]


class Unseen(Exception):
    """What a path holds could not be found out; it counts as being as it was."""


class Eyes:
    """Reads files below one folder.

    Args:
        root: the plugin folder.
        max_bytes: the largest file that is read.
        report: told what was read, on the reading thread; must be quick and must not raise.

    Attributes:
        root, max_bytes: as given.
        linked: what the last look at everything found beyond links.
        on_linked: called on the reading thread when that is another than before, or will be after another look; must
            be quick and must not raise.
        unseen: why the last look did not see all, `None` where it did.
        on_unseen: called like `on_linked` when a file could not be looked at, so that all should be again.
    """

    def __init__(self, root: Path, max_bytes: int, report: Report) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._report = report
        self._lock = threading.Lock()
        self._stamps: dict[str, tuple[int, int, int, int]] = {}
        self._complained: set[str] = set()
        self._said_too_many = False
        self.linked = Linked()
        self.on_linked: Callable[[], None] | None = None
        self.unseen: OSError | None = None
        self.on_unseen: Callable[[], None] | None = None

    def look_at(self, path: str, *, may_be_open: bool) -> None:
        """Read one file and report it.

        Args:
            path: relative to the root.
            may_be_open: whether somebody may still be writing it; then nothing is read now, as its close will be
                noticed.
        """
        with self._lock:
            if may_be_open and _has_writer(self.root / path):
                return
            try:
                file = self._read(path)
            except Unseen:
                if self.on_unseen is not None:
                    self.on_unseen()
                return
            seen = [(path, file)]
            unit = unit_of(path)
            main_file = unit.main_file if unit is not None else path
            if file is None and path != main_file and not os.path.lexists(self.root / main_file):
                # The whole package goes; that it has gone already is worth more than that it has changed.
                self._stamps.pop(main_file, None)
                seen.append((main_file, None))
            self._report(seen)
            full = os.path.abspath(self.root / path)
            if self.on_linked is not None and os.path.islink(full) and not self.linked.knows_link(full):
                self.on_linked()

    def look_everywhere(self, *, first: bool = False) -> None:
        """Find every file, read those that are not as they were, and report those and the ones that are gone.

        Args:
            first: read files that somebody has open for writing too, since their earlier state is not known.
        """
        with self._lock:
            linked = Linked()
            self.unseen = None
            found = dict.fromkeys(self._walk(linked))
            seen: list[tuple[str, SourceFile | None]] = []
            for path in found:
                stamp = self._stamp(path)
                if stamp is not None and stamp == self._stamps.get(path):
                    continue
                if not first and _has_writer(self.root / path):
                    continue
                with contextlib.suppress(Unseen):
                    seen.append((path, self._read(path)))
            seen.extend((path, None) for path in list(self._stamps) if path not in found)
            for path, file in seen:
                if file is None:
                    self._stamps.pop(path, None)
            self._report(seen)
            self.linked, before = linked, self.linked
            if linked != before and self.on_linked is not None:
                self.on_linked()

    def know_below(self, path: str) -> bool:
        """Whether files are known below a path."""
        with self._lock:
            return any(known.startswith(path + "/") for known in self._stamps)

    def _walk(self, linked: Linked) -> list[str]:
        linked.add_link(os.path.abspath(self.root))
        found: list[str] = []
        # With each folder goes the real one, and those that lead to it: a link may lead back to any of them.
        pending: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(self.root),))]
        while pending:
            folder, way = pending.pop()
            try:
                with os.scandir(self.root / folder) as listing:
                    entries = list(listing)
            except OSError as error:
                if error.errno not in _GONE:
                    found += self._known_below(folder, error)
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not is_text(path):
                    self._complain(path)
                    continue
                is_folder = _is_folder(entry)
                if is_folder and not entry.name.startswith(".") and entry.name != "__pycache__":
                    if len(way) <= _MAX_DEPTH and (real := self._enter(entry, path, way, linked)) is not None:
                        pending.append((path, (*way, real)))
                    if (unit := unit_of(path)) is not None and not unit.is_package:
                        found.append(path)
                elif not is_folder and is_interesting(path):
                    found.append(path)
                    if entry.is_symlink():
                        linked.add_link(os.path.abspath(self.root / path))
        return found

    def _known_below(self, folder: str, error: OSError) -> list[str]:
        """What is known of a folder that cannot be listed: it is not gone for that."""
        prefix = f"{folder}/" if folder else ""
        known = [path for path in self._stamps if path.startswith(prefix)]
        if known or error.errno in _LACKING:
            self.unseen = error
        return known

    def _enter(self, entry: os.DirEntry[str], path: str, way: tuple[str, ...], linked: Linked) -> str | None:
        """The real folder to go on in, `None` where that leads round in circles, or too far."""
        is_link = entry.is_symlink()
        real = os.path.realpath(entry.path) if is_link else os.path.join(way[-1], entry.name)
        if real in way:
            return None
        if is_link:
            linked.add_link(os.path.abspath(entry.path))
        if is_link or way[-1] in linked.folders:
            linked.visits += 1
            if linked.visits > _MAX_LINKED_FOLDERS:
                if not self._said_too_many:
                    self._said_too_many = True
                    log.warning("watch.too_many_linked_folders", path=path, limit=_MAX_LINKED_FOLDERS)
                return None
            linked.folders.setdefault(real, []).append(path)
        return real

    def _complain(self, path: str) -> None:
        if path not in self._complained:
            self._complained.add(path)
            log.warning("watch.name_is_no_text", path=os.fsencode(path).decode("utf-8", "backslashreplace"))

    def _stamp(self, path: str) -> tuple[int, int, int, int] | None:
        try:
            status = os.stat(self.root / path)
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _read(self, path: str) -> SourceFile | None:
        full = self.root / path
        try:
            # A FIFO or a device must not hold up the thread that everybody's saves go through.
            fd = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _LACKING:
                self.unseen = error
                raise Unseen from error
            self._stamps.pop(path, None)
            return self._unopened(full, error)
        self._stamps.pop(path, None)
        with contextlib.closing(_Descriptor(fd)):
            status = os.fstat(fd)
            flaw, detail = None, ""
            content = b""
            if stat.S_ISDIR(status.st_mode):
                unit = unit_of(path)
                if unit is None or unit.is_package:
                    return None
                flaw = Flaw.DIRECTORY
            elif not stat.S_ISREG(status.st_mode):
                flaw = Flaw.NOT_A_FILE
            elif status.st_size > self.max_bytes:
                flaw, detail = Flaw.TOO_LARGE, str(status.st_size)
            else:
                try:
                    content = _read_all(fd, self.max_bytes)
                except OSError as error:
                    flaw, detail = Flaw.UNREADABLE, os.strerror(error.errno or 0)
            self._stamps[path] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            return _source(content, flaw, detail, status.st_ctime_ns)

    def _unopened(self, full: Path, error: OSError) -> SourceFile | None:
        try:
            status = os.lstat(full)
        except OSError:
            return None
        if stat.S_ISLNK(status.st_mode) and error.errno in (errno.ENOENT, errno.ELOOP):
            return _source(b"", Flaw.DANGLING_LINK, os.readlink(full), status.st_ctime_ns)
        return _source(b"", Flaw.UNREADABLE, os.strerror(error.errno or 0), status.st_ctime_ns)


def _source(content: bytes, flaw: Flaw | None, detail: str, saved_ns: int) -> SourceFile:
    return SourceFile(content, hashlib.sha256(content).hexdigest(), flaw, detail, saved_ns)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, or to where nobody may look; reading it says so
        return False


class _Descriptor:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        os.close(self._fd)


def _read_all(fd: int, max_bytes: int) -> bytes:
    chunks = []
    left = max_bytes
    while left > 0 and (chunk := os.read(fd, min(left, _CHUNK_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _has_writer(path: Path) -> bool:
    """Whether some process has the file open for writing.

    A read lease (fcntl(2), "Leases") is only granted on a file that nobody has open for writing. Where leases are not
    to be had (another owner's file, some network file systems) the answer is no.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Whoever opens the file in this instant makes the kernel signal us: SIGURG is ignored by default, SIGIO kills.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(fd)
    return False
