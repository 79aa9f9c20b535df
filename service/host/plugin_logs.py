"""What plugins print and log: taken in without waiting, written by one task, read back newest first.

    worker ──► append() ──► memory ──► run(): batches ──► data/logs/{type}/{stem}.log   (then .log.1)
                  │
                  └──► who shows it live

A plugin's output is a stranger's: it may be endless, binary, or meant to confuse a terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import aiofiles
import aiofiles.os
import msgspec
import structlog

from service.model import moment

log = structlog.get_logger(__name__)

LogKey = tuple[str, str]

LINES_PER_SECOND = 200.0
BURST_LINES = 1000.0

_RING_BYTES = 64 * 1024
_PENDING_BYTES = 1024 * 1024
_BATCH_S = 0.05
_CLOSE_S = 3.0
_COMPLAIN_S = 60.0
_READ_BYTES = 64 * 1024

_LEVELS = {"debug", "info", "warning", "error", "critical"}
# What would move a cursor, recolour a terminal or turn text around; a tab and a line break are harmless.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class LogRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line, or one message of several lines such as a traceback. `at` is UTC.

    `request` is the id of the request that the line was written for, where it says so.
    """

    at: str
    level: str
    generation: int
    message: str
    request: str | None = None


class PluginLogs:
    """The logs of all plugins, each known by its type and its file's stem.

    Args:
        folder: where they are kept; made when first needed.
        max_bytes: of one plugin's log on disk; the oldest half goes first.
        line_bytes: of one message; longer ones are cut and say so.
        bounds: gives both for one plugin, where not all have the same.
        on_record: told of every line that is taken in, notes of dropped lines included, on the event loop.
        clock: seconds, for the limit of lines.

    Attributes:
        dropped: how many lines of all plugins were dropped since the start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 4 * 1024 * 1024,
        line_bytes: int = 8 * 1024,
        bounds: Callable[[LogKey], tuple[int, int]] | None = None,
        on_record: Callable[[LogKey, LogRecord], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._bounds = bounds or (lambda _: (max_bytes, line_bytes))
        self._on_record = on_record
        self._clock = clock
        self._logs: dict[LogKey, _Log] = {}
        self._wake = asyncio.Event()
        self._files = asyncio.Lock()
        self._closing = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._complained_at = -_COMPLAIN_S
        self.dropped = 0

    def append(
        self, key: LogKey, generation: int, level: str, message: str | bytes, request: str | None = None
    ) -> LogRecord | None:
        """Take in one line; never waits and never raises for what is in it.

        Returns:
            The line as it is kept, or None where the plugin writes too fast and it was dropped. Dropped lines
            are counted, and the next line that is kept is preceded by one that says how many there were.
        """
        kept = self._logs.get(key)
        if kept is None:
            kept = self._logs[key] = _Log(self._path(key), self._clock())
        if not kept.admits(self._clock()):
            kept.dropped += 1
            self.dropped += 1
            kept.generation = generation
            self._wake.set()
            return None
        max_bytes, line_bytes = self._bounds(key)
        kept.half_bytes = max(max_bytes // 2, 2 * line_bytes)
        self._note_dropped(key, kept)
        return self._keep(key, kept, generation, level, clean(message, line_bytes), request)

    async def tail(self, key: LogKey, lines: int) -> list[LogRecord]:
        """The newest `lines` lines, oldest first."""
        if lines <= 0:
            return []
        kept = self._logs.get(key)
        if kept is not None and len(kept.ring) >= lines:
            return list(kept.ring)[-lines:]
        path = self._path(key)
        async with self._files:
            if kept is not None:
                await self._write(kept)
            found: list[LogRecord] = []
            with contextlib.suppress(OSError):
                found = await _read_tail(path, lines)
            if len(found) < lines:
                with contextlib.suppress(OSError):
                    found = await _read_tail(_older(path), lines - len(found)) + found
        if kept is not None and (kept.unwritten or len(found) < len(kept.ring)):
            # The disk did not take them; what memory has is the best there is.
            return list(kept.ring)[-lines:]
        return found

    async def forget(self, key: LogKey) -> None:
        """Remove the plugin's log, from memory and from disk."""
        async with self._files:
            self._logs.pop(key, None)
            path = self._path(key)
            for file in (path, _older(path)):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    await aiofiles.os.remove(file)

    async def run(self) -> None:
        """Write what comes in, until `close`."""
        self._stopped.clear()
        try:
            while not self._closing.is_set():
                await self._wake.wait()
                # A moment for more lines to come: one write for all of them.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_BATCH_S):
                        await self._closing.wait()
                self._wake.clear()
                await self._flush()
                if any(kept.dropped for kept in self._logs.values()):
                    self._wake.set()
        finally:
            self._stopped.set()

    async def close(self) -> None:
        """Write what is left, 3 s at most, and end `run`. Calling it twice is safe."""
        self._closing.set()
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._stopped.wait()
                for key, kept in list(self._logs.items()):
                    self._note_dropped(key, kept)
                await self._flush()

    def _keep(
        self,
        key: LogKey,
        kept: _Log,
        generation: int,
        level: str,
        message: str,
        request: str | None = None,
    ) -> LogRecord:
        at = moment.now("microseconds")
        level = level.lower() if level.lower() in _LEVELS else "info"
        record = LogRecord(at, level, generation, message, request)
        kept.keep(record)
        self._wake.set()
        if self._on_record is not None:
            self._on_record(key, record)
        return record

    def _note_dropped(self, key: LogKey, kept: _Log) -> None:
        if kept.dropped:
            count, kept.dropped = kept.dropped, 0
            note = f"输出过快，已丢弃 {count} 行 / {count} lines dropped, the plugin writes too fast"
            self._keep(key, kept, kept.generation, "warning", note)

    async def _flush(self) -> None:
        for key, kept in list(self._logs.items()):
            # Where a flood has ended, no next line comes to tell of what was dropped.
            if kept.dropped and kept.would_admit(self._clock()):
                self._note_dropped(key, kept)
            if kept.pending:
                async with self._files:
                    await self._write(kept)

    async def _write(self, kept: _Log) -> None:
        """Append what is pending; the caller holds the lock of files."""
        if not kept.pending:
            return
        data = b"".join(kept.take_pending())
        try:
            await aiofiles.os.makedirs(kept.path.parent, exist_ok=True)
            if kept.size is None:
                kept.size = await _size(kept.path)
            # One batch may be more than a file shall hold, so the cut falls between its lines.
            while data:
                room = kept.half_bytes - kept.size
                end = len(data) if len(data) <= room else data.rfind(b"\n", 0, max(room, 0)) + 1
                if end == 0:
                    await aiofiles.os.replace(kept.path, _older(kept.path))
                    kept.size = 0
                    continue
                async with aiofiles.open(kept.path, "ab") as file:
                    await file.write(data[:end])
                kept.size += end
                data = data[end:]
            kept.unwritten = False
        except OSError as error:
            kept.size = None
            kept.unwritten = True
            self._complain(kept.path, error)

    def _complain(self, path: Path, error: OSError) -> None:
        now = self._clock()
        if now - self._complained_at >= _COMPLAIN_S:
            self._complained_at = now
            log.warning("plugin_log_not_written", file=f"{path.parent.name}/{path.name}", reason=str(error))

    def _path(self, key: LogKey) -> Path:
        return self._folder / _file_name(key[0]) / f"{_file_name(key[1])}.log"


class _Log:
    """One plugin's log in memory."""

    def __init__(self, path: Path, now: float) -> None:
        self.path = path
        self.ring: deque[LogRecord] = deque()
        self.pending: list[bytes] = []
        self.size: int | None = None
        self.unwritten = False
        # Of its file, the older of which is as large; known by the time that there is anything to write.
        self.half_bytes = 0
        self.dropped = 0
        self.generation = 0
        self._ring_bytes = 0
        self._pending_bytes = 0
        self._tokens = BURST_LINES
        self._filled_at = now

    def admits(self, now: float) -> bool:
        """Whether one more line fits the plugin's share; takes it."""
        if not self.would_admit(now):
            return False
        self._tokens -= 1
        return True

    def would_admit(self, now: float) -> bool:
        self._tokens = min(BURST_LINES, self._tokens + (now - self._filled_at) * LINES_PER_SECOND)
        self._filled_at = now
        return self._tokens >= 1 and self._pending_bytes < _PENDING_BYTES

    def keep(self, record: LogRecord) -> None:
        self.ring.append(record)
        self._ring_bytes += len(record.message)
        while self._ring_bytes > _RING_BYTES and len(self.ring) > 1:
            self._ring_bytes -= len(self.ring.popleft().message)
        line = msgspec.json.encode(record) + b"\n"
        self.pending.append(line)
        self._pending_bytes += len(line)

    def take_pending(self) -> list[bytes]:
        taken, self.pending = self.pending, []
        self._pending_bytes = 0
        return taken


def clean(message: str | bytes, max_bytes: int) -> str:
    """The message as text that is safe to show: control characters spelled out, at most `max_bytes` of UTF-8."""
    cut = len(message) > max_bytes
    # Cut first: work on a line without end must not grow with it.
    message = message[:max_bytes]
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    text = text.replace("\r\n", "\n").rstrip("\r\n").replace("\r", "\n")
    text = _UNSAFE.sub(_spelled, text)
    encoded = text.encode("utf-8")
    if not cut and len(encoded) <= max_bytes:
        return text
    note = " … [已截断 / cut]"
    return encoded[: max_bytes - len(note.encode())].decode("utf-8", "ignore") + note


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else "\ufffd" if 0xD800 <= code < 0xE000 else f"\\u{code:04x}"


def _file_name(stem: str) -> str:
    if stem in ("", ".", "..") or "/" in stem or "\0" in stem:
        raise ValueError(f"not the stem of a file: {stem!r}")
    raw = os.fsencode(stem)
    if len(raw) <= 200:
        return stem
    # The suffixes have to fit into a name too.
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{raw[:160].decode('utf-8', 'ignore')}-{digest}"


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


async def _size(path: Path) -> int:
    """The file's size, after a line that a kill cut short has been ended."""
    try:
        size = (await aiofiles.os.stat(path)).st_size
    except FileNotFoundError:
        return 0
    if size:
        async with aiofiles.open(path, "rb+") as file:
            await file.seek(-1, os.SEEK_END)
            if await file.read(1) != b"\n":
                await file.write(b"\n")
                size += 1
    return size


async def _read_tail(path: Path, lines: int) -> list[LogRecord]:
    """The last `lines` records of a file; what is no record is passed over."""
    found: list[LogRecord] = []
    rest = b""
    async with aiofiles.open(path, "rb") as file:
        position = await file.seek(0, os.SEEK_END)
        while position and len(found) < lines:
            step = min(_READ_BYTES, position)
            position -= step
            await file.seek(position)
            block = await file.read(step) + rest
            first, *whole = block.split(b"\n")
            rest = first
            for line in reversed(whole):
                _take_record(line, found)
        if not position:
            _take_record(rest, found)
    return found[:lines][::-1]


def _take_record(line: bytes, found: list[LogRecord]) -> None:
    if line:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found.append(msgspec.json.decode(line, type=LogRecord))
