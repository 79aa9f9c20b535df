"""Reading the plugin folder."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.host.files.eyes import Eyes
from service.host.files.sources import Flaw, SourceFile

FILE = "search/demo_plugin.py"


class Watched:
    """A plugin folder, its eyes and what they reported."""

    def __init__(self, root: Path, max_bytes: int = 1000) -> None:
        self.root = root
        (root / "search").mkdir(parents=True)
        self.path = root / FILE
        self.reports: list[list[tuple[str, SourceFile | None]]] = []
        self.eyes = Eyes(root, max_bytes, self.reports.append)

    def look(self, *, may_be_open: bool = False) -> SourceFile | None:
        self.eyes.look_at(FILE, may_be_open=may_be_open)
        [(path, file)] = self.reports.pop()
        assert path == FILE
        return file

    def scan(self, *, first: bool = False) -> dict[str, SourceFile | None]:
        self.eyes.look_everywhere(first=first)
        return dict(self.reports.pop())


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "plugins")


def test_a_file_and_none(watched: Watched) -> None:
    assert watched.look() is None
    watched.path.write_bytes(b"text")
    seen = watched.look()
    assert seen is not None
    assert (seen.content, seen.flaw) == (b"text", None)
    assert seen.saved_ns == watched.path.stat().st_ctime_ns


def test_a_file_that_somebody_writes_is_left_until_it_is_closed(watched: Watched) -> None:
    with watched.path.open("w") as file:
        file.write("half")
        file.flush()
        watched.eyes.look_at(FILE, may_be_open=True)
        assert watched.reports == []
        assert watched.scan() == {}
        assert set(watched.scan(first=True)) == {FILE}
    assert watched.look(may_be_open=True) is not None


def test_a_reader_is_no_writer(watched: Watched) -> None:
    watched.path.write_text("text")
    with watched.path.open():
        assert watched.look(may_be_open=True) is not None


def test_looking_for_a_writer_leaves_no_descriptor(watched: Watched) -> None:
    watched.path.write_text("text")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        watched.look(may_be_open=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_scan_reads_what_has_changed(watched: Watched) -> None:
    watched.path.write_text("1")
    (watched.root / "search/helper.py").write_text("h")
    assert set(watched.scan()) == {FILE, "search/helper.py"}
    assert watched.scan() == {}
    watched.path.write_text("2")
    assert set(watched.scan()) == {FILE}
    watched.path.unlink()
    assert watched.scan() == {FILE: None}
    assert watched.scan() == {}


def test_a_scan_sees_a_change_of_the_same_size_and_time(watched: Watched) -> None:
    watched.path.write_text("1")
    watched.scan()
    times = watched.path.stat()
    watched.path.write_text("2")
    os.utime(watched.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert set(watched.scan()) == {FILE}


def test_what_nobody_means_is_not_looked_at(watched: Watched) -> None:
    for path in (
        ".git/x.py",
        "search/__pycache__/x.py",
        "search/.x_plugin.py",
        "search/x_plugin.py~",
        "notes.txt",
    ):
        target = watched.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("")
    with open(os.fsencode(watched.root) + b"/search/\xff_plugin.py", "w"):
        pass
    assert watched.scan() == {}


def test_flaws(watched: Watched) -> None:
    def flaw() -> Flaw | None:
        seen = watched.look()
        assert seen is not None
        return seen.flaw

    watched.path.mkdir()
    assert flaw() is Flaw.DIRECTORY
    watched.path.rmdir()
    watched.path.symlink_to("nowhere")
    assert flaw() is Flaw.DANGLING_LINK
    watched.path.unlink()
    watched.path.symlink_to(watched.path)
    assert flaw() is Flaw.DANGLING_LINK
    watched.path.unlink()
    os.mkfifo(watched.path)
    assert flaw() is Flaw.NOT_A_FILE
    watched.path.unlink()
    watched.path.write_bytes(b"#" * 1001)
    assert flaw() is Flaw.TOO_LARGE
    watched.path.write_bytes(b"#" * 1000)
    assert flaw() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(watched: Watched) -> None:
    watched.path.write_text("")
    watched.path.chmod(0)
    seen = watched.look()
    assert seen is not None and seen.flaw is Flaw.UNREADABLE


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "plugins")
    watched.path.write_text("")
    watched.scan()
    os.rename(watched.root, tmp_path / "gone")
    assert watched.scan() == {FILE: None}


def test_links_to_folders_are_followed_but_not_for_ever(watched: Watched) -> None:
    (watched.root / "search/loop").symlink_to(watched.root / "search")
    watched.path.write_text("")
    assert FILE in watched.scan()


def test_what_cannot_be_looked_at_is_as_it_was(watched: Watched) -> None:
    watched.path.write_bytes(b"1")
    assert set(watched.scan()) == {FILE}
    woken: list[bool] = []
    watched.eyes.on_unseen = lambda: woken.append(True)
    watched.path.write_bytes(b"2")
    with no_descriptors():
        assert watched.scan() == {}
        assert watched.eyes.unseen is not None
        assert watched.eyes.unseen.errno == errno.EMFILE
        watched.eyes.look_at(FILE, may_be_open=False)
        assert (watched.reports, woken) == ([], [True])
    seen = watched.scan()[FILE]
    assert seen is not None
    assert seen.content == b"2"
    assert watched.eyes.unseen is None


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No file can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(2)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
