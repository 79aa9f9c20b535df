"""Watching: turns what the file system says into looks at files.

Events coalesce and come in any order, so each is only a hint to look again. Where some were lost, everything is looked
at, at once; what no watcher sees (a network file system) a slow scan finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
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
from watchdog.observers.api import ObservedWatch
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from service.host.files.eyes import Eyes
from service.host.files.links import LinkWatch
from service.host.files.observer import Observer
from service.host.files.sources import is_hidden, is_interesting
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
# What links lead to may hold further links.
_LINK_PASSES = 5
_STOP_SECONDS = 5.0


class Watcher:
    """Watches the plugin folder and the configuration file.

    Args:
        eyes: reads plugin files and reports them.
        config_path: the configuration file.
        on_config: called on the loop when the configuration file may have changed.
        scan_s: seconds between two scans.

    Attributes:
        overflows: how often events were lost, since more came than the kernel keeps.
        problem: why not all is watched, `None` where it is; then everything is scanned every two seconds.
    """

    def __init__(
        self, eyes: Eyes, config_path: Path, on_config: Callable[[], None], *, scan_s: float
    ) -> None:
        self._eyes = eyes
        self._root = eyes.root
        self._config_path = config_path
        self._on_config = on_config
        self._scan_s = scan_s
        self._observer: Observer | None = None
        self._links: LinkWatch | None = None
        self._root_watch: ObservedWatch | None = None
        self._root_identity: tuple[int, int] | None = None
        self._root_renewed = False
        self._refused: OSError | None = None
        self._loop = asyncio.get_running_loop()
        self._scanner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._lost = False
        self.overflows = 0
        self.problem: Text | None = None
        eyes.on_linked = self._look_soon
        eyes.on_unseen = self._look_soon

    async def start(self) -> None:
        """Watch from now on, then look at everything once.

        Watching comes first, so that nothing is missed in between.
        """
        await asyncio.to_thread(self._look_again, first=True)
        self._scanner = asyncio.create_task(self._scan(), name="plugin folder scan")

    async def close(self) -> None:
        """Stop watching; calling it twice is safe."""
        if self._scanner is not None:
            self._scanner.cancel()
            await asyncio.gather(self._scanner, return_exceptions=True)
            self._scanner = None
        observer, self._observer = self._observer, None
        if observer is not None:
            await asyncio.to_thread(_end, observer)

    # -- watching ------------------------------------------------------------------------------------------------

    def _watch(self, *, anew: bool) -> None:
        """Have all watched that can be.

        Args:
            anew: watch the plugin folder again, also where it seems to be watched.
        """
        self._refused = None
        try:
            if self._observer is None:
                self._observe()
            if anew or self._root_is_another():
                self._watch_root()
        except (OSError, RuntimeError) as error:  # the latter where no thread can be started
            self._refused = error if isinstance(error, OSError) else OSError(errno.EAGAIN, str(error))

    def _observe(self) -> None:
        InotifyMoveEventGrouper.delay = _MOVE_PAIRING_SECONDS
        observer = Observer(on_overflow=self._overflowed, on_refused=self._refuse)
        try:
            config_folder = self._config_path.parent
            config_folder.mkdir(parents=True, exist_ok=True)
            observer.schedule(_Handler(self._config_event), str(config_folder), event_filter=_WANTED)
            if self._root.parent != config_folder:
                observer.schedule(_Handler(self._parent_event), str(self._root.parent), event_filter=_WANTED)
            observer.start()
        except BaseException:
            _end(observer)
            raise
        self._observer = observer
        self._links = LinkWatch(observer.inotify, self._look_soon)

    def _watch_root(self) -> None:
        observer = self._observer
        assert observer is not None
        if self._root_watch is not None:
            with contextlib.suppress(KeyError, OSError):
                observer.unschedule(self._root_watch)
            self._root_watch = None
        if not self._root.is_dir():
            return
        identity, real_root = _identity(self._root), os.path.realpath(self._root)
        self._real_root = Path(real_root)
        self._root_watch = observer.schedule(
            _Handler(self._plugin_event), real_root, recursive=True, event_filter=_WANTED
        )
        self._root_identity = identity

    def _refuse(self, error: OSError) -> None:
        """A folder cannot be watched, at whatever time it came to be."""
        self._refused = error
        if self.problem is None:
            self._look_soon()

    def _judge(self) -> None:
        error = self._refused or self._eyes.unseen
        if error is None:
            if self.problem is not None:
                log.info("watch.available")
            self.problem = None
            return
        if self.problem is None:
            log.warning("watch.unavailable", reason=str(error))
        self.problem = _not_watched(error) if self._refused is not None else _not_seen(error)

    # -- looking at everything -----------------------------------------------------------------------------------

    async def _scan(self) -> None:
        while True:
            regular = False
            try:
                async with asyncio.timeout(_SCAN_WITHOUT_EVENTS_SECONDS if self.problem else self._scan_s):
                    await self._wake.wait()
            except TimeoutError:
                regular = True
            self._wake.clear()
            lost, self._lost = self._lost, False
            began = self._loop.time()
            try:
                await asyncio.to_thread(self._look_again)
            except OSError as error:
                log.warning("watch.scan_failed", reason=str(error))
            except Exception:  # which would end all scanning
                log.exception("watch.scan_failed")
            if regular or lost:
                self._on_config()
            # Somebody may write on and on to where a link leads.
            await asyncio.sleep(min(self._loop.time() - began, _SCAN_WITHOUT_EVENTS_SECONDS))

    def _look_again(self, *, first: bool = False) -> None:
        try:
            renewed, self._root_renewed = self._root_renewed, False
            if first or renewed or self._refused is not None or self._root_is_another():
                self._watch(anew=renewed or self._refused is not None)
            self._eyes.look_everywhere(first=first)
            for _ in range(_LINK_PASSES):
                if self._links is None or not self._links.watch(self._eyes.linked):
                    break
                self._eyes.look_everywhere()
        finally:
            self._judge()

    def _root_is_another(self) -> bool:
        """A watch stays with the old folder where that was made anew, or a link to it leads elsewhere."""
        return self._root_watch is None or self._root_identity != _identity(self._root)

    def _look_soon(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def watches(self) -> int:
        """How many folders are watched."""
        return self._observer.inotify.watches if self._observer is not None else 0

    def _overflowed(self) -> None:
        self.overflows += 1
        log.warning("watch.events_lost")
        self._lost = True
        self._look_soon()

    # -- events, on watchdog's thread ----------------------------------------------------------------------------

    def _parent_event(self, event: FileSystemEvent) -> None:
        if str(self._root) in (os.fsdecode(event.src_path), os.fsdecode(event.dest_path)):
            # A new folder may have the old one's number. It is not watched from here, as that takes a lock that this
            # thread holds while it hands events on.
            self._root_renewed = True
            self._look_soon()

    def _config_event(self, event: FileSystemEvent) -> None:
        if str(self._config_path) in (os.fsdecode(event.src_path), os.fsdecode(event.dest_path)):
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


def _not_watched(error: OSError) -> Text:
    reason = os.strerror(error.errno or 0)
    return Text(
        zh=f"无法监视插件目录（{reason}），改为每 {_SCAN_WITHOUT_EVENTS_SECONDS:g} 秒扫描一次；"
        "可调大 fs.inotify.max_user_watches 与 max_user_instances",
        en=f"The plugin folder cannot be watched ({reason}); it is scanned every "
        f"{_SCAN_WITHOUT_EVENTS_SECONDS:g} s instead. Raise fs.inotify.max_user_watches and max_user_instances",
    )


def _not_seen(error: OSError) -> Text:
    reason = os.strerror(error.errno or 0)
    return Text(
        zh=f"插件目录暂时无法完整读取（{reason}），插件保持不变，每 {_SCAN_WITHOUT_EVENTS_SECONDS:g} 秒重试一次；"
        "请检查其权限与打开文件数上限（ulimit -n）",
        en=f"Not all of the plugin folder can be read ({reason}); plugins stay as they are, it is tried again every "
        f"{_SCAN_WITHOUT_EVENTS_SECONDS:g} s. Check its permissions, and raise the limit of open files (ulimit -n)",
    )


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _end(observer: Observer) -> None:
    observer.stop()
    if observer.is_alive():
        observer.join(_STOP_SECONDS)


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
