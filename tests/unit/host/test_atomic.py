"""Writes are whole or absent: on errors, on a kill, and for whoever reads meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.host import atomic

_WRITER = """
import sys
from pathlib import Path
from service.host import atomic
path = Path(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    atomic.write_now(path, f"{number}:".encode() + b"x" * 200_000 + b":end")
"""


async def test_writes_and_replaces_with_the_mode_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    await atomic.write(path, b"one", mode=0o600)
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await atomic.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_an_error_leaves_the_old_content_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        atomic.write_now(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))
    atomic.write_now(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_name_of_full_length_fits(tmp_path: Path) -> None:
    path = tmp_path / ("插" * 85)
    atomic.write_now(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_folder_in_the_way_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match=r"directory"):
        atomic.write_now(tmp_path / "a", b"x")
    assert os.listdir(tmp_path) == ["a"]


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    contents = {bytes([letter]) * 100_000 for letter in b"abcdef"}
    atomic.write_now(path, next(iter(contents)))
    stop = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for content in sorted(contents) * 5:
        atomic.write_now(path, content)
    stop.set()
    reader.join()
    assert seen
    assert set(seen) <= contents


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_leaves_old_or_new_whole(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "a"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(atomic.__file__).parents[2])},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        while not path.exists():
            os.sched_yield()
        # The kill is to fall anywhere within a write, so the moment is drawn, not waited for.
        threading.Event().wait(random.Random(seed).uniform(0.001, 0.05))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    content = path.read_bytes()
    number, filling, end = content.split(b":")
    assert int(number) >= 1
    assert filling == b"x" * 200_000
    assert end == b"end"
    atomic.remove_leftovers(path)
    assert os.listdir(tmp_path) == ["a"]


async def test_cancelling_the_caller_does_not_cut_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on, done = threading.Event(), threading.Event(), threading.Event()
    real = atomic.sync_folder

    def gated(folder: Path) -> None:
        entered.set()
        go_on.wait(5)
        real(folder)
        done.set()

    monkeypatch.setattr(atomic, "sync_folder", gated)
    task = asyncio.create_task(atomic.write(tmp_path / "a", b"new"))
    assert await asyncio.to_thread(entered.wait, 5)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(done.wait, 5)
    assert (tmp_path / "a").read_bytes() == b"new"
