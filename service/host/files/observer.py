"""watchdog's observer, made to tell what it keeps to itself: that events were lost, that a folder is not watched."""

from __future__ import annotations

import errno
from collections.abc import Callable

import structlog
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

log = structlog.get_logger(__name__)

# What a limit of the kernel says; any other error is that of a folder that has gone meanwhile.
_LIMITS = {errno.ENOSPC, errno.ENOMEM, errno.EMFILE}


class Inotify(InotifyFD):
    """One inotify instance and the thread that reads it.

    Args:
        on_overflow: called on that thread when events were lost.
        on_refused: called, on whatever thread asked, when a folder cannot be watched because of a limit.
    """

    def __init__(self, on_overflow: Callable[[], None], on_refused: Callable[[OSError], None]) -> None:
        super().__init__()
        self._on_overflow = on_overflow
        self._on_refused = on_refused

    @property
    def watches(self) -> int:
        """How many folders are watched."""
        return len(self._watch_for_wd)

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        # Below a watched folder, watchdog swallows the error.
        try:
            return super().add_callback(path, mask, callback, id_)
        except OSError as error:
            if error.errno in _LIMITS:
                self._on_refused(error)
            raise

    def handle_event(self, event: InotifyEvent) -> None:
        try:
            super().handle_event(event)
            if event.is_queue_overflow:
                # By now the folders are watched that are there, so that a look misses nothing.
                self._on_overflow()
        except Exception:  # which would end the thread, and with it all watching
            log.exception("watch.event_failed")


class Observer(BaseObserver):
    """watchdog's observer on such an instance.

    Args:
        on_overflow: see `Inotify`.
        on_refused: see `Inotify`.

    Raises:
        OSError: no inotify instance is to be had.
    """

    def __init__(self, on_overflow: Callable[[], None], on_refused: Callable[[OSError], None]) -> None:
        self.inotify = Inotify(on_overflow, on_refused)
        self.inotify.start()
        super().__init__(InotifyEmitter, inotify_fd=self.inotify)

    def on_thread_stop(self) -> None:
        super().on_thread_stop()
        self.inotify.stop()
        self.inotify.join()
