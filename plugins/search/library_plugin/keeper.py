"""Keeping the index as the folders are: one thread that does all the looking and all the writing.

Hints of the watcher come first, then what searches wait for, then the scan of everything, which goes on in the
background, then the reading of texts. A folder's own time tells when a file has appeared, gone or been renamed in it,
so before a search the folders' times are compared: that takes some milliseconds and needs no watcher.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from plugins.search.library_plugin.content import body_of
from plugins.search.library_plugin.store import Place, Replaced, Store, is_damage
from plugins.search.library_plugin.tree import Root, Tree
from plugins.search.library_plugin.watch import Watch

# Times on a disk advance in steps; a folder that changed less than this before it was read may change unseen.
_TIME_STEP_NS = 50_000_000
_EVENTS_ON_THEIR_WAY_S = 0.004
_LOOK_BUDGET_S = 0.025
_SLICE_S = 0.1
_IDLE_S = 2.0
_SCAN_EVERY_S = 60.0
_SCAN_UNWATCHED_S = 5.0
# A scan takes at most this part of the time.
_SCAN_SHARE = 1 / 20
_TEXTS_AT_ONCE = 20
_TEXTS_WAITED_FOR = 200
_HINTS_MAX = 20_000
_RETRY_S = 0.3
_RETRY_MAX_S = 60.0


class Keeper:
    """Keeps the index.

    Args:
        place: where it lies.
        tree: the chosen folders.
        text_max_bytes: how much of a text is read.
        log: of the plugin.
    """

    def __init__(self, place: Place, tree: Tree, *, text_max_bytes: int, log: logging.Logger) -> None:
        self._place = place
        self._tree = tree
        self._text_max_bytes = text_max_bytes
        self._log = log
        self._changed = threading.Condition()
        self._hints: dict[bytes, bool] = {}
        self._asked: list[Future[None]] = []
        self._stopping = False
        # A daemon, so that it is not taken for the thread of a call and waited for.
        self._thread = threading.Thread(target=self._run, name="library keeper", daemon=True)
        # What follows belongs to the thread.
        self._watch = Watch(self.hint, log)
        self._waiting: list[Future[None]] = []
        self._scan: Iterator[None] | None = None
        self._pruning: Iterator[None] | None = None
        self._scanned_at = 0.0
        self._scan_took = 0.0
        self._is_watched = False
        self._has_unread = False
        self._texts_not_before = 0.0
        self._times: dict[bytes, int] = {}
        self._inside: dict[bytes, set[bytes]] = {}
        self._complained: set[bytes] = set()
        self._reported = ""
        self._retry_s = 0.0

    def start(self) -> None:
        """Begin; what there is to do goes on in the background."""
        self._thread.start()

    def stop(self, timeout_s: float = 0.0) -> None:
        """Stop between two steps, and wait so long for it; calling it twice is safe."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if timeout_s and self._thread.is_alive():
            self._thread.join(timeout_s)

    def hint(self, path: bytes, is_folder: bool) -> None:
        """Have a path looked at; for any thread."""
        with self._changed:
            if len(self._hints) < _HINTS_MAX:
                self._hints[path] = is_folder or self._hints.get(path, False)
            self._changed.notify_all()

    def ask(self) -> Future[None]:
        """Done once what has changed until now is in the index; for any thread."""
        asked: Future[None] = Future()
        with self._changed:
            if self._stopping:
                asked.set_result(None)
            else:
                self._asked.append(asked)
                self._changed.notify_all()
        return asked

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._keep()
        finally:
            self._watch.close()
            with self._changed:
                self._stopping = True
                self._waiting += self._asked
            self._answer()

    def _keep(self) -> None:
        """Keep one index file as long as it is good."""
        store = None
        try:
            store = Store(self._place)
            if store.was_damaged:
                self._log.warning("the index is made anew: %s", store.was_damaged)
            self._times.clear()
            self._inside.clear()
            self._pruning = None
            self._scan = self._scan_all(store)
            while not self._stopping:
                self._round(store)
        except Replaced:
            pass
        except sqlite3.Error as error:
            if store is not None and is_damage(error):
                self._log.warning("the index is made anew: %s", error)
                with self._place.locked():
                    self._place.throw_away()
            else:
                self._report(f"the index cannot be written: {error}")
            self._pause()
        except Exception as error:
            self._report(f"the index is not up to date: {error!r}", exc_info=True)
            self._pause()
        finally:
            if store is not None:
                store.close()

    def _pause(self) -> None:
        with self._changed:
            self._waiting += self._asked
            self._asked = []
        self._answer()
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, _RETRY_S)
            # Whoever searches is reason enough to try again sooner.
            self._changed.wait_for(lambda: self._stopping or self._asked, self._retry_s)
        self._retry_s = min(2 * self._retry_s + _RETRY_S, _RETRY_MAX_S)

    def _report(self, problem: str, *, exc_info: bool = False) -> None:
        if problem != self._reported:
            self._reported = problem
            self._log.error("%s", problem, exc_info=exc_info)

    def _round(self, store: Store) -> None:
        hints = self._next(store)
        if self._stopping:
            return
        store.check_current()
        looked: set[bytes] = set()
        for path, is_folder in hints.items():
            self._look_at(store, path, looked, deep=is_folder)
        if self._scan is None and self._scan_is_due():
            self._scan = self._scan_all(store)
        if self._scan is not None:
            if self._is_done(self._scan):
                self._scan = None
            elif self._waiting:
                self._read_texts(store)
            return
        unread = store.count_unread(_TEXTS_WAITED_FOR + 1)
        self._has_unread = unread > 0
        if self._waiting and unread > _TEXTS_WAITED_FOR:
            self._answer()
        if unread and (self._waiting or time.monotonic() >= self._texts_not_before):
            self._read_texts(store)
        elif not unread:
            self._answer()
            if self._pruning is not None and self._is_done(self._pruning):
                self._pruning = None

    def _is_done(self, steps: Iterator[None]) -> bool:
        """Do as many steps as fit into a slice of time, and say whether there are no more."""
        until = time.monotonic() + _SLICE_S
        while time.monotonic() < until and not self._stopping:
            if next(steps, self) is self:
                return True
        return False

    def _next(self, store: Store) -> dict[bytes, bool]:
        """Wait for something to do, and give the paths to look at."""
        with self._changed:
            if not self._waiting:
                left = _IDLE_S
                if self._scan is not None or (self._pruning is not None and not self._has_unread):
                    left = 0.0
                elif self._has_unread:
                    left = max(0.0, self._texts_not_before - time.monotonic())
                self._changed.wait_for(lambda: self._stopping or self._hints or self._asked, left)
            if self._asked and self._is_watched:
                self._changed.wait_for(lambda: self._stopping, _EVENTS_ON_THEIR_WAY_S)
            asked, self._asked = self._asked, []
            hints, self._hints = self._hints, {}
        self._waiting += asked
        self._tree.refresh_roots()
        fresh = self._watch.follow(self._tree.roots)
        if len(hints) >= _HINTS_MAX or (fresh and self._scan is not None):
            hints = {}
            self._scan = self._scan_all(store)
        elif fresh:
            self._scan = self._scan_below(store, fresh, set())
        return hints | self._look_around() if asked else hints

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            if asked.set_running_or_notify_cancel():
                asked.set_result(None)

    # -- looking -------------------------------------------------------------------------------------------------

    def _scan_is_due(self) -> bool:
        ago = time.monotonic() - self._scanned_at
        pause = _SCAN_EVERY_S if self._is_watched else _SCAN_UNWATCHED_S
        if self._waiting and not self._is_watched:
            pause /= 2
        return ago > max(pause, self._scan_took / _SCAN_SHARE)

    def _look_around(self) -> dict[bytes, bool]:
        """The folders whose time is not as it was."""
        until = time.monotonic() + _LOOK_BUDGET_S
        changed: dict[bytes, bool] = {}
        for number, (folder, seen) in enumerate(self._times.items()):
            try:
                if os.stat(folder).st_mtime_ns != seen:
                    changed[folder] = False
            except OSError:
                changed[folder] = False
            if self._is_watched and number % 100 == 99 and time.monotonic() > until:
                break  # the watcher tells of the others
        for root in self._tree.roots:
            if root.path not in self._times and os.path.isdir(root.path):
                changed[root.path] = True
        return changed

    def _look_at(self, store: Store, path: bytes, looked: set[bytes], *, deep: bool) -> None:
        """Bring one path up to date.

        Args:
            store: the index.
            path: of a file or a folder, there or gone.
            looked: the folders that need no second look, and those looked into now.
            deep: look into all folders in it too, and not only into those not known yet.
        """
        if path.endswith(b".aria2"):
            self._look_at(store, path.removesuffix(b".aria2"), looked, deep=False)
        root = self._tree.root_of(path)
        if root is None:
            return
        if os.path.isdir(path) and (path == root.path or not os.path.islink(path)):
            if self._tree.enters(path):
                pending = [path]
                while pending and not self._stopping:
                    folder = pending.pop()
                    if folder in looked:
                        continue
                    looked.add(folder)
                    inside = [os.path.join(folder, name) for name in self._look_into(store, folder, root)]
                    pending += inside if deep else [one for one in inside if one not in self._times]
            return
        if path in self._times:
            self._forget(store, path)
        folder, name = os.path.split(path)
        stamp = self._tree.look(path)
        known = store.known(folder, root, only=name)
        if stamp is None:
            store.remove(folder, known, is_there=self._tree.has_file)
        elif known.get(name) != stamp:
            store.put(folder, root, {name: stamp})

    def _look_into(self, store: Store, folder: bytes, root: Root) -> list[bytes]:
        """Bring the files of one folder up to date.

        Returns:
            the names of the folders in it.
        """
        began_ns, time_ns = time.time_ns(), 0
        try:
            time_ns = os.stat(folder).st_mtime_ns
            listing = self._tree.list(folder)
        except FileNotFoundError:
            self._forget(store, folder)
            return []
        except OSError as error:
            if folder not in self._complained:
                self._complained.add(folder)
                self._log.warning("%s cannot be read: %s", os.fsdecode(folder), error.strerror)
            self._forget(store, folder)
            self._times[folder] = time_ns
            return []
        self._complained.discard(folder)
        known = store.known(folder, root)
        changed = {name: stamp for name, stamp in listing.files.items() if known.get(name) != stamp}
        if changed:
            store.put(folder, root, changed)
        if gone := known.keys() - listing.files.keys():
            store.remove(folder, gone, is_there=self._tree.has_file)
        for name in self._inside.get(folder, set()) - set(listing.folders):
            self._forget(store, os.path.join(folder, name))
        self._inside[folder] = set(listing.folders)
        self._times[folder] = time_ns if began_ns - time_ns > _TIME_STEP_NS else 0
        return listing.folders

    def _forget(self, store: Store, folder: bytes) -> None:
        store.remove_below(folder, is_there=self._tree.has_folder)
        pending = [folder]
        while pending:
            gone = pending.pop()
            self._times.pop(gone, None)
            pending += [os.path.join(gone, name) for name in self._inside.pop(gone, set())]

    def _scan_all(self, store: Store) -> Iterator[None]:
        """Look into every folder, one a step."""
        began = time.monotonic()
        self._tree.refresh_roots()
        looked: set[bytes] = set()
        yield from self._scan_below(store, self._tree.roots, looked)
        for folder in [folder for folder in self._times if folder not in looked]:
            if not os.path.isdir(folder):
                self._forget(store, folder)
        self._pruning = self._prune(store)
        self._is_watched = self._watch.is_whole(len(self._times))
        self._scan_took = time.monotonic() - began
        self._scanned_at = time.monotonic()
        self._retry_s, self._reported = 0.0, ""

    def _prune(self, store: Store) -> Iterator[None]:
        """Forget the folders that do not belong to the library any more; no search lists them meanwhile."""
        for folder in store.folders():
            if folder not in self._times:
                store.remove_folder(folder, is_there=self._tree.has_folder)
                yield

    def _scan_below(self, store: Store, roots: Sequence[Root], looked: set[bytes]) -> Iterator[None]:
        for root in roots:
            pending = [root.path]
            while pending:
                folder = pending.pop()
                if os.path.isdir(folder):
                    looked.add(folder)
                    names = self._look_into(store, folder, root)
                    pending += [os.path.join(folder, name) for name in reversed(names)]
                yield

    def _read_texts(self, store: Store) -> None:
        began = time.monotonic()
        files = store.unread(_TEXTS_AT_ONCE)
        texts = []
        for file in files:
            texts.append((file, body_of(file.path, self._text_max_bytes)))
            if self._stopping or self._asked or time.monotonic() - began > _SLICE_S:
                break
        store.put_texts(texts)
        # As long again for everybody else.
        self._texts_not_before = 2 * time.monotonic() - began
