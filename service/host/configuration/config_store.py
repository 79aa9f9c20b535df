"""The stored configuration of all plugins: what `config/plugins.json` says, as long as it can be understood.

    by hand ──► file ──► reread() ──► entries ──► plugins        a bad file: `problem`, entries stay
    API     ──► restore_all() ──► file, then entries             a failed write: entries stay

The newest content that was good is also kept in `plugins.json.good`, so that a file that got corrupt while the
server was down costs nobody's settings: a disabled plugin does not come back to life for want of a brace.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from service.errors import PlugbayError
from service.host import atomic
from service.host.configuration import config_file
from service.host.configuration.config_file import Entries, Reading
from service.host.configuration.entries import is_on, plain
from service.host.threads import writing
from service.model.text import Text

log = structlog.get_logger(__name__)


class ConfigNotSaved(PlugbayError):
    """The file could not be written; nothing was changed."""

    code = "config_not_saved"


class ConfigStore:
    """All entries, in memory and on disk.

    Args:
        path: the file; it and its folder need not exist.
        settle_s: how long a file that is missing or bad may stay so before that counts, in seconds. Editors
            rename, truncate and write in two chunks; each of these is over long before.

    Attributes:
        problem: why the file is not in force, `None` where it is.
        is_unread: whether it could not be read at all: then nothing tells when it can be again.
    """

    def __init__(self, path: Path, *, settle_s: float = 0.25) -> None:
        self._path = path
        self._good_path = path.with_name(f"{path.name}.good")
        self._settle_s = settle_s
        self._entries: Entries = {}
        self._seen: bytes | None = None
        self._unreported: set[str] = set()
        self._lock = asyncio.Lock()
        self._writes: set[asyncio.Task[Any]] = set()
        self.problem: Text | None = None
        self.is_unread = False

    async def load(self) -> None:
        """Read the file at start. Never raises for what is in it: see `problem`."""
        async with self._lock:
            reading = await writing(self._look_first)
            if reading.entries is not None:
                self._adopt(reading)
                await writing(self._keep_good, reading.data)
                return
            self._report(reading, await writing(self._set_aside, reading))
            good = await asyncio.to_thread(config_file.look, self._good_path)
            self._entries = good.entries or {}

    def entry(self, key: str) -> dict[str, Any]:
        """What is stored under `key` (`search:demo`), a copy; empty where nothing is."""
        return copy.deepcopy(self._entries.get(key, {}))

    def enabled(self, key: str) -> bool:
        """Whether the plugin is switched on, which is so where nothing is stored."""
        return is_on(self._entries.get(key, {}))

    def values(self, key: str) -> dict[str, Any]:
        """The plugin's own values, a copy, without the server's (those that begin with `_`)."""
        return copy.deepcopy(plain(self._entries.get(key, {})))

    def granted(self, key: str) -> dict[str, Any] | None:
        """What the plugin was granted at its install, a copy; None where nothing is stored."""
        return copy.deepcopy(self._entries.get(key, {}).get("_granted"))

    def export(self) -> dict[str, Any]:
        """Everything, a copy, passwords included."""
        return copy.deepcopy(self._entries)

    async def restore_all(self, entries: Mapping[str, Mapping[str, Any] | None]) -> set[str]:
        """Put whole entries in their place, many in one write; None removes one.

        Returns:
            The keys whose entry is now another.

        Raises:
            ConfigNotSaved: the file could not be written; nothing was changed.
        """

        def change(stored: Entries) -> None:
            for key, entry in entries.items():
                if entry is None:
                    stored.pop(key, None)
                else:
                    stored[key] = copy.deepcopy(dict(entry))

        return await self._change(change)

    async def refresh(self) -> None:
        """Take in an edit by hand that nobody has told of yet; `reread` still tells of it.

        Raises:
            ConfigNotSaved: what is there cannot be understood, nor kept aside.
        """
        async with self._lock:
            await self._take_in_edits()

    def find(self, key: str) -> dict[str, Any] | None:
        """What is stored under `key`; `None` where nothing is."""
        return self.entry(key) if self.has(key) else None

    def has(self, key: str) -> bool:
        """Whether anything is stored under `key`."""
        return key in self._entries

    async def reread(self) -> set[str]:
        """Look at the file again after it changed.

        Returns:
            The keys whose entry is another since the last call, own writes not counted: none where the file
            is bad, which `problem` then says.
        """
        async with self._lock:
            reading = await self._settled()
            changed, self._unreported = self._unreported, set()
            self.is_unread = False
            if reading.entries is None:
                self._report(reading, await writing(self._set_aside, reading))
                return changed
            self.problem = None
            if reading.data != self._seen or reading.absent:
                changed |= self._adopt(reading)
                await writing(self._keep_good, reading.data)
            return changed

    async def close(self) -> None:
        """Wait for writes under way, 5 s at most. Calling it twice is safe."""
        if self._writes:
            await asyncio.wait(set(self._writes), timeout=5)

    async def _change(self, change: Callable[[Entries], None]) -> set[str]:
        # A caller that is cancelled must not leave the file changed and the memory not, so the write runs on.
        task = asyncio.create_task(self._commit(change))
        self._writes.add(task)
        task.add_done_callback(self._write_ended)
        return await asyncio.shield(task)

    def _write_ended(self, task: asyncio.Task[Any]) -> None:
        self._writes.discard(task)
        # The caller may have been cancelled meanwhile; then nobody else asks how it went.
        if not task.cancelled() and task.exception() is not None:
            log.warning("config_write_failed", reason=str(task.exception()))

    async def _commit(self, change: Callable[[Entries], None]) -> set[str]:
        async with self._lock:
            await self._take_in_edits()
            entries = copy.deepcopy(self._entries)
            change(entries)
            changed = _differing(self._entries, entries)
            if not changed:
                return changed
            try:
                data = await writing(self._write, entries)
            except (OSError, ValueError, TypeError) as error:
                raise self._not_saved(error) from error
            self._entries, self._seen, self.problem = entries, data, None
            await writing(self._keep_good, data)
            return changed

    async def _take_in_edits(self) -> None:
        """Before a write: an edit by hand that the watcher has not told of yet must not be lost."""
        reading = await asyncio.to_thread(config_file.look, self._path)
        if reading.problem is not None:
            aside = await writing(self._set_aside, reading)
            self._report(reading, aside)
            if aside is None and reading.data != b"":
                # Whatever is there cannot be kept, so it must not be written over.
                raise ConfigNotSaved(reading.problem)
        elif reading.data != self._seen and not reading.absent:
            self._unreported |= self._adopt(reading)

    async def _settled(self) -> Reading:
        deadline = asyncio.get_running_loop().time() + self._settle_s
        while True:
            reading = await asyncio.to_thread(config_file.look, self._path)
            settled = reading.entries is not None and (not reading.absent or self._seen is None)
            left = deadline - asyncio.get_running_loop().time()
            if settled or left <= 0:
                return reading
            await asyncio.sleep(min(0.05, left))

    def _adopt(self, reading: Reading) -> set[str]:
        entries = reading.entries or {}
        changed = _differing(self._entries, entries)
        self._entries, self._seen, self.problem = entries, reading.data, None
        return changed

    def _report(self, reading: Reading, aside: Path | None) -> None:
        problem = reading.problem
        if problem is not None and aside is not None:
            problem = Text(
                zh=f"{problem.zh}（其内容已另存为 {config_file.shown(aside)}）",
                en=f"{problem.en} (its content is kept as {config_file.shown(aside)})",
            )
        if problem is not None and problem != self.problem:
            log.error("config_not_in_force", problem=problem.en)
        self.problem = problem
        self.is_unread = problem is not None and reading.data is None

    def _not_saved(self, error: Exception) -> ConfigNotSaved:
        name = config_file.shown(self._path)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return ConfigNotSaved(
            Text(
                zh=f"无法写入 {name}（{reason}），配置没有改变；请检查磁盘空间和权限后重试",
                en=f"{name} could not be written ({reason}); nothing was changed. "
                "Check the disk's space and the permissions, then try again",
            )
        )

    def _look_first(self) -> Reading:
        atomic.remove_leftovers(self._target())
        atomic.remove_leftovers(self._good_path)
        return config_file.look(self._path)

    def _write(self, entries: Entries) -> bytes:
        target = self._target()
        target.parent.mkdir(parents=True, exist_ok=True)
        data = config_file.encode(entries)
        atomic.write_now(target, data, mode=config_file.mode_of(target))
        return data

    def _target(self) -> Path:
        # People keep such files as links into a folder of their own; the link stays.
        return Path(os.path.realpath(self._path))

    def _set_aside(self, reading: Reading) -> Path | None:
        return config_file.keep_aside(self._path, reading.data) if reading.data else None

    def _keep_good(self, data: bytes | None) -> None:
        try:
            if data is None:
                self._good_path.unlink(missing_ok=True)
            else:
                atomic.write_now(self._good_path, data, mode=config_file.PRIVATE_MODE)
        except OSError as error:
            log.warning("config_copy_not_kept", path=config_file.shown(self._good_path), reason=str(error))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {key for key in old.keys() | new.keys() if not _same(old.get(key), new.get(key))}


def _same(one: object, other: object) -> bool:
    # Python holds 1, 1.0 and True for equal; a plugin does not.
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other
