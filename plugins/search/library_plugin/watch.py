"""Watching the chosen folders: what the file system tells is a hint to look at a path, no more."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyFD
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from plugins.search.library_plugin.tree import Root

_WANTED: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
]
# How long watchdog holds back a rename whose other end it has not seen. All later events wait behind it.
_MOVE_PAIRING_SECONDS = 0.005
_JOIN_SECONDS = 2.0

Hint = Callable[[bytes, bool], None]


class Watch:
    """Watches folders as far as the system lets it.

    Args:
        hint: told each path that may have changed and whether it is a folder; called on other threads.
        log: of the plugin.
    """

    def __init__(self, hint: Hint, log: logging.Logger) -> None:
        self._hint = hint
        self._log = log
        self._observer: BaseObserver | None = None
        self._inotify: InotifyFD | None = None
        self._watches: dict[Root, tuple[tuple[int, int], ObservedWatch | None]] = {}
        self._warned = False

    def follow(self, roots: Iterable[Root]) -> list[Root]:
        """Watch these folders and no others.

        A folder that was made anew is watched anew, as a watch stays with the old one.

        Returns:
            those that are watched anew.
        """
        if self._observer is not None and not self._is_alive():
            self._log.warning("watching the folders ended by itself, and begins again")
            self.close()
        present = {root: identity for root in roots if (identity := _identity(root)) is not None}
        for root in list(self._watches):
            if self._watches[root][0] != present.get(root):
                self._forget(root)
        fresh = [root for root in present if root not in self._watches]
        for root in fresh:
            self._watches[root] = present[root], self._watch(root)
        return fresh

    def is_whole(self, folders: int) -> bool:
        """Whether all folders are watched; where the limit is reached, some silently are not.

        Args:
            folders: how many there are.
        """
        if any(watch is None for _, watch in self._watches.values()):
            return False
        watched = _count_watched()
        if watched is None or watched >= folders:
            return True
        self._warn(f"only {watched} of {folders} folders")
        return False

    def close(self) -> None:
        """Stop watching; calling it twice is safe."""
        self._watches.clear()
        self._end()

    def _end(self) -> None:
        threads = self._observer, self._inotify
        self._observer = self._inotify = None
        for thread in threads:
            if thread is not None:
                thread.stop()
                if thread.is_alive():
                    thread.join(_JOIN_SECONDS)

    def _is_alive(self) -> bool:
        return all(thread is not None and thread.is_alive() for thread in (self._observer, self._inotify))

    def _watch(self, root: Root) -> ObservedWatch | None:
        try:
            if self._observer is None:
                self._begin()
            assert self._observer is not None
            return self._observer.schedule(
                _Handler(root, self._hint, self._log),
                os.fsdecode(root.real),
                recursive=True,
                event_filter=_WANTED,
            )
        except (OSError, RuntimeError) as error:  # a limit of watches, of descriptors or of threads
            self._warn(str(error))
            if not self._is_alive():
                self._end()
            return None

    def _begin(self) -> None:
        InotifyMoveEventGrouper.delay = _MOVE_PAIRING_SECONDS
        # A folder that is moved away and comes back is still watched, which watchdog finds worth a warning.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        # An observer with one of its own would not let anybody notice that its thread has ended.
        self._inotify = InotifyFD()
        self._inotify.start()
        self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._inotify)
        self._observer.start()

    def _forget(self, root: Root) -> None:
        _, watch = self._watches.pop(root)
        if watch is not None and self._observer is not None:
            try:
                self._observer.unschedule(watch)
            except (KeyError, OSError):  # it ended by itself, with its folder
                pass

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            self._log.warning(
                "the folders cannot all be watched (%s); they are scanned now and then instead."
                " Raise fs.inotify.max_user_watches and max_user_instances",
                reason,
            )


def _identity(root: Root) -> tuple[int, int] | None:
    try:
        status = os.stat(root.real)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _count_watched() -> int | None:
    """How many folders this process watches, as the kernel says; None where it does not say."""
    count = 0
    try:
        for fd in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:inotify":
                    lines = Path(f"/proc/self/fdinfo/{fd}").read_bytes().splitlines()
                    count += sum(line.startswith(b"inotify ") for line in lines)
            except OSError:  # closed since it was listed
                continue
    except OSError:
        return None
    return count


class _Handler(FileSystemEventHandler):
    """Hands events on, under the names that the user chose."""

    def __init__(self, root: Root, hint: Hint, log: logging.Logger) -> None:
        self._root = root
        self._hint = hint
        self._log = log

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take one event. An exception would end the observer's thread for good, so none leaves."""
        try:
            for raw in (event.src_path, event.dest_path):
                if raw and (path := os.fsencode(raw)).startswith(self._root.real):
                    self._hint(self._root.path + path[len(self._root.real) :], event.is_directory)
        except Exception:
            self._log.exception("an event of the file system was lost")
