"""A home on a disk of its own, which can be filled, made read-only and frozen while a server runs on it.

Root ignores the modes of files, and no test may fill the disk of the machine: so the disk is a real mount in a mount
namespace that nobody else sees. A process that sleeps holds the namespace; it is looked into through `/proc/PID/root`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.integration.live import Live, connected, ready
from tests.integration.server_process import ServerProcess, environment, running_server

_BLOCK = 1 << 16
_MIB = 1 << 20


class Place:
    """A folder on a disk of its own.

    Args:
        folder: where the disk is, once it is mounted there.
        keeper: the process that holds the namespace.
        enter: the command that runs another one in it.

    Attributes:
        home: a home on the disk, as the server sees it.
        outside: the same, as this process does.
        python: an interpreter that runs in the namespace.
        freezes: whether the disk can be frozen and broken.
    """

    def __init__(self, folder: Path, keeper: int, enter: list[str]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self._root = Path(f"/proc/{keeper}/root")
        self.outside = self.seen(self.home)
        self.enter = enter
        self._image: Path | None = None
        self.freezes = False
        self.python = str(folder.with_name("python"))
        Path(self.python).write_text(
            f'#!/bin/sh\nexec {shlex.join(enter)} {shlex.quote(sys.executable)} "$@"\n'
        )
        os.chmod(self.python, 0o755)

    def seen(self, path: Path) -> Path:
        """What the server sees at a path, as this process can reach it."""
        return self._root / path.relative_to("/")

    def run(self, *command: str) -> None:
        """Run a command in the namespace. Raises `CalledProcessError` with what it said."""
        subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True)

    def mount(self, *options: str) -> None:
        """Mount the disk, as `mount` takes it."""
        self.run("mount", *options, str(self.folder))
        self.outside.mkdir(exist_ok=True)

    def mount_image(self, image: Path | None) -> None:
        """Mount the file system in a file, which becomes read-only where it has an error."""
        self._image = image
        self.mount("-o", "loop,errors=remount-ro", str(image))

    def fill(self, leave: int = 0) -> None:
        """Leave no room but so many bytes."""
        full = self.seen(self.folder) / "filler"
        descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for block in (_BLOCK, 512):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(descriptor, bytes(block))
        finally:
            os.close(descriptor)
        if leave:
            os.truncate(full, max(0, full.stat().st_size - leave))

    def make_room(self) -> None:
        """Have all of the disk again."""
        (self.seen(self.folder) / "filler").unlink(missing_ok=True)

    def remount(self, options: str) -> None:
        """Mount the disk anew with other options. Raises `CalledProcessError` where that cannot be."""
        self.run("mount", "-o", f"remount,{options}", str(self.folder))

    @contextmanager
    def covered(self) -> Iterator[None]:
        """While it lasts, nothing of the home can be opened for writing; what is open already can be written to."""
        self.run("mount", "--bind", str(self.home), str(self.home))
        self.run("mount", "-o", "remount,bind,ro", str(self.home))
        try:
            yield
        finally:
            self.run("umount", "--lazy", str(self.home))

    def break_down(self) -> None:
        """Have the kernel meet an error in the file system, upon which it makes it read-only, whoever writes to it."""
        found = subprocess.run(
            [*self.enter, "findmnt", "-no", "SOURCE", str(self.folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        device = os.path.basename(found.stdout.strip())
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a test")

    def mount_again(self) -> None:
        """Take a disk that broke down out and in again, as nobody uses it any more."""
        self.run("umount", str(self.folder))
        # It finds the error that the kernel noted down, and says so.
        subprocess.run(["e2fsck", "-p", str(self._image)], check=False, capture_output=True)
        self.mount_image(self._image)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While it lasts, whoever writes to the disk waits; what is there can be read."""
        self.run("fsfreeze", "--freeze", str(self.folder))
        try:
            yield
        finally:
            self.run("fsfreeze", "--unfreeze", str(self.folder))


def _enter(keeper: int) -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", *user, "--mount", "--target", str(keeper), "--"]


@contextmanager
def _namespace() -> Iterator[tuple[int, list[str]]]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    try:
        keeper = subprocess.Popen(
            ["unshare", *user, "--mount", "sh", "-c", "echo there; exec sleep 3600"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare(1) to mount a disk with")
    with keeper:
        try:
            assert keeper.stdout is not None and keeper.stderr is not None
            if not keeper.stdout.readline():
                reason = keeper.stderr.read().decode().strip()
                pytest.skip(f"no mount namespace is to be had here: {reason}")
            yield keeper.pid, _enter(keeper.pid)
        finally:
            keeper.kill()


@contextmanager
def disk_that_freezes(folder: Path, mib: int = 64) -> Iterator[Place]:
    """A disk that `Place.frozen` can freeze and `Place.break_down` can break: ext4 in a file.

    Args:
        folder: any that is there.
        mib: its size.
    """
    with _namespace() as (keeper, enter):
        where = folder / "disk"
        where.mkdir()
        place = Place(where, keeper, enter)
        if (reason := _mount_ext4(place, folder / "image", mib)) is not None:
            pytest.skip(reason)
        yield place


@contextmanager
def disk_of_its_own(folder: Path, mib: int) -> Iterator[Place]:
    """One that freezes, where that can be had, else one in memory."""
    with _namespace() as (keeper, enter):
        where = folder / "disk"
        where.mkdir()
        place = Place(where, keeper, enter)
        if _mount_ext4(place, folder / "image", mib) is not None:
            try:
                place.mount("-t", "tmpfs", "-o", f"size={mib}m", "tmpfs")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no file system can be mounted here: {error.stderr.strip()}")
        yield place


def _mount_ext4(place: Place, image: Path, mib: int) -> str | None:
    """Have a place's disk be one in a file; why that cannot be, if so."""
    with image.open("wb") as file:
        file.truncate(mib * _MIB)
    try:
        # Nothing is held back for root, so that a full disk is full.
        subprocess.run(
            ["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True, capture_output=True, text=True
        )
        place.mount_image(image)
        with place.frozen():
            pass
    except FileNotFoundError as error:
        return f"there is no {error.filename} to make a disk with"
    except subprocess.CalledProcessError as error:
        return f"no disk can be mounted from a file here: {error.stderr.strip()}"
    place.freezes = True
    return None


@asynccontextmanager
async def server_in(place: Place, *topics: str, **environ: str) -> AsyncIterator[Live]:
    """A server on a place's home, ready, and a client of it that sees the files as this process does."""
    async with served_in(place, **environ) as server, connected(server, *topics) as live:
        live.home, live.plugins = place.outside, place.outside / "plugins"
        await ready(live)
        yield live


@asynccontextmanager
async def served_in(place: Place, **environ: str) -> AsyncIterator[ServerProcess]:
    """A server on a place's home."""
    async with running_server(place.home, environ=environment(**environ), python=place.python) as server:
        yield server
