"""Logs take in anything, never grow past their size, and can be read back, after a restart too."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiofiles
import msgspec
import pytest

from service.host import plugin_logs
from service.host.plugin_logs import LogKey, LogRecord, PluginLogs, clean

KEY = ("search", "demo_plugin")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[PluginLogs]:
    logs = PluginLogs(folder, **options)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(logs.run())
        try:
            yield logs
        finally:
            await logs.close()


def messages(records: list[LogRecord]) -> list[str]:
    return [record.message for record in records]


async def test_lines_are_kept_in_order_and_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as logs:
        record = logs.append(KEY, 3, "WARNING", "first")
        assert record is not None
        assert (record.level, record.generation, record.message) == ("warning", 3, "first")
        assert record.at.endswith("Z")
        logs.append(KEY, 3, "shout", "第二行\nand more")
        assert messages(await logs.tail(KEY, 10)) == ["first", "第二行\nand more"]
        assert messages(await logs.tail(KEY, 1)) == ["第二行\nand more"]
        assert await logs.tail(KEY, 0) == []
        assert await logs.tail(("search", "other_plugin"), 5) == []
    await logs.close()
    lines = (tmp_path / "search" / "demo_plugin.log").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["level"] for line in lines] == ["warning", "info"]
    async with running(tmp_path) as again:
        assert messages(await again.tail(KEY, 10)) == ["first", "第二行\nand more"]
        again.append(KEY, 4, "info", "third")
        assert messages(await again.tail(KEY, 2)) == ["第二行\nand more", "third"]


async def test_lines_reach_the_disk_without_anybody_asking(tmp_path: Path) -> None:
    file = tmp_path / "search" / "demo_plugin.log"
    async with running(tmp_path) as logs:
        logs.append(KEY, 1, "info", "x")
        async with asyncio.timeout(5):
            while not await asyncio.to_thread(lambda: file.exists() and file.stat().st_size):
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"caf\xe9 \xff", "caf� �"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("bell\x07 null\x00 del\x7f csi\x9b", "bell\\x07 null\\x00 del\\x7f csi\\x9b"),
        ("a\tb\nc", "a\tb\nc"),
        ("10%\r20%\r\n", "10%\n20%"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("lone \ud800 half", "lone � half"),
        ("", ""),
        ("中文 🎬", "中文 🎬"),
    ],
)
def test_control_characters_are_spelled_out(given: str | bytes, kept: str) -> None:
    assert clean(given, 8192) == kept


@pytest.mark.parametrize("given", ["x" * 10_000_000, "电" * 5000, b"\xff" * 9000, "\x1b" * 8192, "🎬" * 2049])
def test_long_lines_are_cut_and_say_so(given: str | bytes) -> None:
    text = clean(given, 8192)
    assert 8000 < len(text.encode()) <= 8192
    assert text.endswith("cut]")


def test_a_line_of_just_the_size_is_whole() -> None:
    assert clean("x" * 8192, 8192) == "x" * 8192


async def test_a_flood_is_dropped_and_counted(tmp_path: Path) -> None:
    clock = Clock()
    told: list[tuple[LogKey, LogRecord]] = []
    logs = PluginLogs(tmp_path, clock=clock, on_record=lambda key, record: told.append((key, record)))
    kept = [logs.append(KEY, 1, "info", f"{number}") for number in range(5000)]
    assert sum(record is not None for record in kept) == 1000
    assert logs.append(("parser", "p_plugin"), 1, "info", "others are not affected") is not None
    clock.now += 0.1
    after = logs.append(KEY, 2, "info", "after")
    assert after is not None
    newest = await logs.tail(KEY, 2)
    assert newest[1] == after
    assert newest[0].level == "warning"
    assert "4000 lines dropped" in newest[0].message
    assert "4000 行" in newest[0].message
    assert [record for key, record in told if key == KEY][-2:] == newest
    await logs.close()


async def test_a_flood_that_ends_is_told_of_without_another_line(tmp_path: Path) -> None:
    clock = Clock()
    noted = asyncio.Event()

    def on_record(_: LogKey, record: LogRecord) -> None:
        if "lines dropped" in record.message:
            noted.set()

    async with running(tmp_path, clock=clock, on_record=on_record) as logs:
        for _ in range(1500):
            logs.append(KEY, 1, "info", "x")
        clock.now += 1
        await asyncio.wait_for(noted.wait(), 5)


async def test_the_newest_stay_when_the_log_is_full(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock=clock, max_bytes=64 * 1024, line_bytes=1024) as logs:
        for number in range(3000):
            clock.now += 1
            logs.append(KEY, 1, "info", f"{number:05d}" + "x" * 200)
            if number % 500 == 0:
                await logs.tail(KEY, 100_000)
        found = await logs.tail(KEY, 100_000)
    numbers = [int(message[:5]) for message in messages(found)]
    assert numbers == list(range(numbers[0], 3000))
    files = sorted((tmp_path / "search").iterdir())
    assert [file.name for file in files] == ["demo_plugin.log", "demo_plugin.log.1"]
    assert sum(file.stat().st_size for file in files) <= 64 * 1024
    assert sum(file.stat().st_size for file in files) >= 32 * 1024


async def test_files_that_were_cut_or_edited_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    file = tmp_path / "search" / "demo_plugin.log"
    file.parent.mkdir()
    good = msgspec.json.encode(LogRecord("2026-01-01T00:00:00Z", "info", 1, "good"))
    file.write_bytes(b"\xff\xfe\n\0\0\nnot json\n" + good + b'\n{"at": 1}\n' + good[:20])
    async with running(tmp_path) as logs:
        logs.append(KEY, 1, "info", "new")
        assert messages(await logs.tail(KEY, 10)) == ["good", "new"]


async def test_a_disk_that_takes_nothing_costs_only_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with running(tmp_path) as logs:
        monkeypatch.setattr(aiofiles, "open", full)
        for number in range(50):
            assert logs.append(KEY, 1, "info", f"{number}") is not None
        assert messages(await logs.tail(KEY, 1000)) == [f"{number}" for number in range(50)]
        monkeypatch.undo()
        logs.append(KEY, 1, "info", "again")
        assert messages(await logs.tail(KEY, 1000))[-1] == "again"


async def test_a_file_in_the_folders_place_costs_only_the_log(tmp_path: Path) -> None:
    (tmp_path / "search").write_text("")
    async with running(tmp_path) as logs:
        logs.append(KEY, 1, "info", "x")
        assert messages(await logs.tail(KEY, 10)) == ["x"]
        await logs.forget(KEY)


async def test_forget_removes_all_of_it(tmp_path: Path) -> None:
    async with running(tmp_path) as logs:
        logs.append(KEY, 1, "info", "x")
        await logs.tail(KEY, 10)
        await logs.forget(KEY)
        assert await logs.tail(KEY, 10) == []
        await logs.forget(KEY)
    assert list((tmp_path / "search").iterdir()) == []


@pytest.mark.parametrize(
    "stem", ["插" * 80, "a" * 250, "dots.in_name_plugin", os.fsdecode(b"raw\xff_plugin")]
)
async def test_odd_stems_have_logs_too(tmp_path: Path, stem: str) -> None:
    async with running(tmp_path) as logs:
        logs.append(("search", stem), 1, "info", "x")
        assert messages(await logs.tail(("search", stem), 10)) == ["x"]
    assert len(list((tmp_path / "search").iterdir())) == 1


@pytest.mark.parametrize("stem", ["..", ".", "", "a/b", "../../etc/passwd", "a\0b"])
async def test_stems_that_are_paths_are_refused(tmp_path: Path, stem: str) -> None:
    with pytest.raises(ValueError, match="stem"):
        PluginLogs(tmp_path).append(("search", stem), 1, "info", "x")


async def test_what_was_taken_in_before_the_close_is_on_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as logs:
        for number in range(500):
            logs.append(KEY, 1, "info", f"{number}")
    assert len((tmp_path / "search" / "demo_plugin.log").read_bytes().splitlines()) == 500
    unstarted = PluginLogs(tmp_path)
    unstarted.append(KEY, 1, "info", "x")
    await unstarted.close()
    assert len((tmp_path / "search" / "demo_plugin.log").read_bytes().splitlines()) == 501


async def test_memory_is_bounded_when_nothing_is_written(tmp_path: Path) -> None:
    clock = Clock()
    logs = PluginLogs(tmp_path, clock=clock)
    taken = 0
    for _ in range(2000):
        clock.now += 1
        taken += logs.append(KEY, 1, "info", "x" * 8000) is not None
    assert taken <= 1024 * 1024 // 8000 + 1
    await logs.close()


def test_limits_are_what_is_promised() -> None:
    assert plugin_logs.LINES_PER_SECOND == 200
    assert plugin_logs.BURST_LINES == 1000
