"""Links below the plugin folder: what they lead to lies elsewhere and is watched there.

    plugins/search/shared ─► /srv/shared/current ─► /srv/shared/v2      watched: /srv/shared for `current` and `v2`,
                                                                        /srv/shared/v2 and the folders in it

Whatever happens there is only a hint to look at everything again.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from service.host.files.sources import is_hidden, is_interesting

log = structlog.get_logger(__name__)

# As many as the kernel follows in one path.
_MAX_HOPS = 40
# The very mask that watchdog uses for its own watches here: a folder that both watch has but one.
_MASK = Mask(
    InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_MOVE
)


@dataclass(slots=True)
class Linked:
    """What a look at the plugin folder found beyond links.

    Attributes:
        folders: real folders that were reached through a link, with the paths that they have below the plugin folder.
        places: folders, and the names in them at which a link, or what one leads to, may change.
        visits: how often a folder was entered; two links to each other make many ways to each.
    """

    folders: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    visits: int = field(default=0, compare=False)

    def add_link(self, path: str) -> None:
        """Take note of a link, by its full path."""
        for folder, name in places_on_the_way(path):
            self.places[folder].add(name)

    def knows_link(self, path: str) -> bool:
        """Whether a link leads where it did, by its full path."""
        return all(name in self.places.get(folder, ()) for folder, name in places_on_the_way(path))


def places_on_the_way(path: str) -> list[tuple[str, str]]:
    """The folder and the name of every link on the way to a path, and of what is there in the end, or is missing.

    Args:
        path: absolute.
    """
    found: list[tuple[str, str]] = []
    folder, hops = "/", 0
    ahead = path.split("/")[::-1]
    while ahead:
        name = ahead.pop()
        if name in ("", "."):
            continue
        if name == "..":
            folder = os.path.dirname(folder)
            continue
        full = os.path.join(folder, name)
        try:
            target = os.readlink(full)
        except OSError:  # no link, or not there
            if not ahead or not os.path.isdir(full):
                found.append((folder, name))
                break
            folder = full
            continue
        found.append((folder, name))
        hops += 1
        if hops > _MAX_HOPS:
            break
        if target.startswith("/"):
            folder = "/"
        ahead.extend(target.split("/")[::-1])
    return found


@dataclass(slots=True)
class _Watch:
    wd: WatchDescriptor
    id: CallbackId
    paths: list[str]
    names: set[str]


class LinkWatch:
    """Watches what links lead to, by an inotify instance that others use too.

    Args:
        inotify: the instance.
        on_change: called on its thread when something may have changed; must be quick.
    """

    def __init__(self, inotify: InotifyFD, on_change: Callable[[], None]) -> None:
        self._inotify = inotify
        self._on_change = on_change
        self._lock = threading.Lock()
        self._watches: dict[str, _Watch] = {}
        self._folders: dict[WatchDescriptor, list[str]] = {}
        self._ids = itertools.count(1)

    def watch(self, linked: Linked) -> bool:
        """Watch just these.

        Returns:
            whether there is a folder among them that was not watched before, so that changes may have been missed.
        """
        wanted = {*linked.folders, *linked.places}
        with self._lock:
            self._forget(set(self._watches) - wanted)
            before = len(self._watches)
            for folder in sorted(wanted):
                paths, names = linked.folders.get(folder, []), set(linked.places.get(folder, ()))
                known = self._watches.get(folder)
                if known is not None:
                    known.paths, known.names = paths, names
                else:
                    self._begin(folder, paths, names)
            return len(self._watches) > before

    def _begin(self, folder: str, paths: list[str], names: set[str]) -> None:
        # watchdog uses the addresses of its objects, which are even.
        id_ = CallbackId(2 * next(self._ids) + 1)
        try:
            wd = self._inotify.add_callback(os.fsencode(folder), _MASK, self, id_)
        except OSError:  # it has gone, or a limit is reached, of which the instance tells
            return
        self._watches[folder] = _Watch(wd, id_, paths, names)
        self._folders.setdefault(wd, []).append(folder)

    def _forget(self, folders: Iterable[str]) -> None:
        gone = [(folder, self._watches.pop(folder)) for folder in folders]
        for folder, watch in gone:
            self._folders[watch.wd].remove(folder)
            if not self._folders[watch.wd]:
                del self._folders[watch.wd]
        self._inotify.remove_callbacks([(watch.wd, watch.id) for _, watch in gone])

    # -- watchdog's WatchCallback, on the thread that reads the instance -----------------------------------------

    def on_event(self, event: InotifyEvent) -> None:
        """Something happened in a folder."""
        name = os.fsdecode(event.name)
        with self._lock:
            watches = [self._watches[folder] for folder in self._folders.get(event.wd, ())]
        if any(name in watch.names or _matters(watch, name, event) for watch in watches):
            self._on_change()

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """A folder is gone."""
        with self._lock:
            for folder in self._folders.pop(wd, []):
                self._watches.pop(folder, None)
        self._on_change()

    def on_queue_overflow(self) -> None:
        """Events were lost; of that the instance tells."""


def _matters(watch: _Watch, name: str, event: InotifyEvent) -> bool:
    # What is made, moved or gone may be a folder or a link to one, whatever it is called.
    return not is_hidden(name) and any(
        not event.is_close_write or is_interesting(f"{path}/{name}") for path in watch.paths
    )
