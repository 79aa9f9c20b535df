"""Watching: turns what the file system says into looks at files.

Events coalesce and come in any order, so each is only a hint to look again. What no watcher sees (a link's target, an
overflowing queue) a slow scan finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import structlog
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
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from service.host.eyes import Eyes
from service.host.sources import is_hidden, is_interesting
from service.model.text import Text

log = structlog.get_logger(__name__)

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
_SCAN_WITHOUT_EVENTS_SECONDS = 2.0


class Watcher:
    """Watches the plugin folder and the configuration file.

    Args:
        eyes: reads plugin files and reports them.
        config_path: the configuration file.
        on_config: called on the loop when the configuration file may have changed.
        scan_s: seconds between two scans.
    """

    def __init__(
        self, eyes: Eyes, config_path: Path, on_config: Callable[[], None], *, scan_s: float
    ) -> None:
        self._eyes = eyes
        self._root = eyes.root
        self._config_path = config_path
        self._on_config = on_config
        self._scan_s = scan_s
        self._observer: BaseObserver | None = None
        self._root_watch: ObservedWatch | None = None
        self._root_identity: tuple[int, int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scanner: asyncio.Task[None] | None = None
        self.problem: Text | None = None

    async def start(self) -> None:
        """Watch from now on, then look at everything once.

        Watching comes first, so that nothing is missed in between.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._observe)
        await asyncio.to_thread(self._eyes.look_everywhere, first=True)
        self._scanner = asyncio.create_task(self._scan(), name="plugin folder scan")

    async def close(self) -> None:
        """Stop watching; calling it twice is safe."""
        if self._scanner is not None:
            self._scanner.cancel()
            await asyncio.gather(self._scanner, return_exceptions=True)
            self._scanner = None
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            await asyncio.to_thread(observer.join, 5)

    def _observe(self) -> None:
        InotifyMoveEventGrouper.delay = _MOVE_PAIRING_SECONDS
        observer = Observer()
        try:
            config_folder = self._config_path.parent
            config_folder.mkdir(parents=True, exist_ok=True)
            observer.schedule(_Handler(self._config_event), str(config_folder), event_filter=_WANTED)
            if self._root.parent != config_folder:
                observer.schedule(_Handler(self._parent_event), str(self._root.parent), event_filter=_WANTED)
            observer.start()
        except OSError as error:
            self._cannot_watch(error)
            return
        self._observer = observer
        self._watch_root()

    def _watch_root(self) -> None:
        """Watch the plugin folder, again if it was made anew: a watch stays with the old one."""
        observer = self._observer
        if observer is None:
            return
        if self._root_watch is not None:
            with contextlib.suppress(KeyError, OSError):
                observer.unschedule(self._root_watch)
            self._root_watch = None
        if not self._root.is_dir():
            return
        try:
            real_root = os.path.realpath(self._root)
            self._root_watch = observer.schedule(
                _Handler(self._plugin_event), real_root, recursive=True, event_filter=_WANTED
            )
            self._real_root = Path(real_root)
            self._root_identity = _identity(self._root)
            self.problem = None
        except OSError as error:
            self._cannot_watch(error)

    def _cannot_watch(self, error: OSError) -> None:
        reason = os.strerror(error.errno or 0)
        self.problem = Text(
            zh=f"无法监视插件目录（{reason}），改为每 {_SCAN_WITHOUT_EVENTS_SECONDS:g} 秒扫描一次；"
            "可调大 fs.inotify.max_user_watches 与 max_user_instances",
            en=f"The plugin folder cannot be watched ({reason}); it is scanned every "
            f"{_SCAN_WITHOUT_EVENTS_SECONDS:g} s instead. Raise fs.inotify.max_user_watches and max_user_instances",
        )
        log.warning("watch.unavailable", reason=reason)

    async def _scan(self) -> None:
        while True:
            await asyncio.sleep(_SCAN_WITHOUT_EVENTS_SECONDS if self.problem else self._scan_s)
            try:
                await asyncio.to_thread(self._look_again)
            except OSError as error:
                log.warning("watch.scan_failed", reason=str(error))
            self._on_config()

    def _look_again(self) -> None:
        # Where the folder is a link, what it leads to may have been made anew unseen.
        if self._root_watch is None or self._root_identity != _identity(self._root):
            self._watch_root()
        self._eyes.look_everywhere()

    def _parent_event(self, event: FileSystemEvent) -> None:
        if str(self._root) in (os.fsdecode(event.src_path), os.fsdecode(event.dest_path)):
            self._watch_root()
            self._eyes.look_everywhere()

    def _config_event(self, event: FileSystemEvent) -> None:
        if str(self._config_path) in (os.fsdecode(event.src_path), os.fsdecode(event.dest_path)):
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._on_config)

    def _plugin_event(self, event: FileSystemEvent) -> None:
        paths = [
            path
            for raw in (event.src_path, event.dest_path)
            if raw and (path := self._relative(os.fsdecode(raw))) is not None and not is_hidden(path)
        ]
        if event.is_directory:
            if paths:
                self._eyes.look_everywhere()
            return
        created = isinstance(event, FileCreatedEvent)
        for path in paths:
            if is_interesting(path):
                # A created file may have been renamed or linked into place, and then no close follows.
                self._eyes.look_at(path, may_be_open=created)
            elif (self._real_root / path).is_dir() or self._eyes.know_below(path):
                # What it calls a file is, or was, a link to a folder.
                self._eyes.look_everywhere()

    def _relative(self, full: str) -> str | None:
        prefix = str(self._real_root) + os.sep
        return full.removeprefix(prefix) if full.startswith(prefix) else None


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class _Handler(FileSystemEventHandler):
    """Hands events on. An exception here would end the observer's thread for good, so none leaves."""

    def __init__(self, handle: Callable[[FileSystemEvent], None]) -> None:
        self._handle = handle

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take one event."""
        try:
            self._handle(event)
        except Exception:
            log.exception("watch.event_failed", path=os.fsdecode(event.src_path))
