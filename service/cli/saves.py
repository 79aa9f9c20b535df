"""Waiting for the next save of what is checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

# A file that is being written is saved once it is closed.
_NO_SAVE = {"opened", "closed_no_write", "modified"}
_SETTLE_SECONDS = 0.05
_SUFFIXES = (".py", ".txt", ".json", ".toml", ".html")


class _Handler(FileSystemEventHandler):
    def __init__(self, loop: asyncio.AbstractEventLoop, saved: asyncio.Event) -> None:
        self._loop = loop
        self._saved = saved

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _NO_SAVE:
            return
        paths = (str(event.src_path), str(event.dest_path or ""))
        if any(path.endswith(_SUFFIXES) and "__pycache__" not in path for path in paths):
            self._loop.call_soon_threadsafe(self._saved.set)


async def saves(folders: Iterable[Path]) -> AsyncGenerator[None, None]:
    """Yields once it watches, and then after every save below these folders; several at once count as one."""
    saved = asyncio.Event()
    observer = Observer()
    handler = _Handler(asyncio.get_running_loop(), saved)
    for folder in {folder.resolve() for folder in folders}:
        observer.schedule(handler, str(folder), recursive=True)
    await asyncio.to_thread(observer.start)
    try:
        while True:
            yield
            await saved.wait()
            # An editor that writes aside and renames makes several events of one save.
            await asyncio.sleep(_SETTLE_SECONDS)
            saved.clear()
    finally:
        observer.stop()
        await asyncio.to_thread(observer.join)
