"""Starts servers and commands as copies of a process that has them imported; see `tests.integration.forge`."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What has an effect before the first line of the program, or while it imports.
AT_ONCE = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "SSL_", "OPENSSL_", "AIOHTTP_", "MULTIDICT_")


class Forged:
    """A process like one of `asyncio.create_subprocess_exec`.

    Attributes:
        pid: its id.
        stdout: what it prints, if that is wanted.
        stderr: likewise.
    """

    def __init__(self, pid: int, status: int, stdin: int | None) -> None:
        self.pid = pid
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        # By its number a signal could reach another process that has it by then.
        try:
            self._process: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._process = None
        self._status: int | None = status
        self._stdin = stdin
        self._returncode: int | None = None
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(status, self._look)

    @property
    def returncode(self) -> int | None:
        """The exit status once it has ended: negative for a signal."""
        self._look()
        return self._returncode

    def _look(self) -> None:
        if self._status is None:
            return
        try:
            told = os.read(self._status, 16)
        except BlockingIOError:
            return
        self._loop.remove_reader(self._status)
        os.close(self._status)
        self._status = None
        if self._process is not None:
            os.close(self._process)
            self._process = None
        # Nothing is told if the forge itself was killed.
        self._returncode = int(told or -signal.SIGKILL)
        self._ended.set()
        self._close_stdin()

    def _close_stdin(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    async def wait(self) -> int:
        """Waits for its end; its exit status."""
        await self._ended.wait()
        assert self._returncode is not None
        return self._returncode

    async def communicate(self, input: bytes | None = None) -> tuple[bytes, bytes]:
        """Gives it all that it is to read, reads all that it prints, and waits for its end."""
        if input and self._stdin is not None:
            os.write(self._stdin, input)
        self._close_stdin()
        out, err = await asyncio.gather(
            *(
                stream.read() if stream is not None else asyncio.sleep(0, b"")
                for stream in (self.stdout, self.stderr)
            )
        )
        await self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.returncode is None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


Process = asyncio.subprocess.Process | Forged


class Forge:
    """The process that is copied, and the link to it."""

    def __init__(self) -> None:
        # One message is one request, and nobody else's servers inherit the link.
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.environ = _at_once({**os.environ, "PYTHONPATH": str(ROOT)})
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.forge", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def copy(self, request: Mapping[str, object], descriptors: Sequence[int]) -> int:
        """Asks for a copy; its process id."""
        socket.send_fds(self._link, [json.dumps(request).encode()], descriptors)
        if not (answer := self._link.recv(32)):
            raise RuntimeError("what servers are copied from has ended")
        return int(answer)

    def close(self) -> None:
        """Ends it. The copies go on."""
        self._link.close()
        self._process.wait()


_forge: Forge | None = None


def _at_once(environ: Mapping[str, str]) -> dict[str, str]:
    chosen = {name: value for name, value in environ.items() if name.startswith(AT_ONCE)}
    # A copy writes at once what it writes.
    return {**chosen, "PYTHONUNBUFFERED": "1"}


async def start(
    *arguments: str,
    environ: Mapping[str, str],
    folder: Path,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    session: bool = False,
    python: str = sys.executable,
) -> Process:
    """Starts `python -m service` with arguments.

    Args:
        arguments: as typed after `plugbay`.
        environ: all of its environment. Where that changes how Python starts, the process is no copy.
        folder: its working directory.
        stdin: `PIPE` or `DEVNULL`.
        stdout: `PIPE`, a descriptor, or nothing for that of the tests.
        stderr: likewise.
        session: whether it leads a session of its own.
        python: what runs it; another than that of the tests runs no copy.
    """
    global _forge
    if _forge is None:
        _forge = Forge()
        atexit.register(_forge.close)
    if python != sys.executable or _at_once(environ) != _forge.environ:
        return await asyncio.create_subprocess_exec(
            *(python, "-m", "service", *arguments),
            env=environ,
            cwd=folder,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=session,
        )
    request = {
        "arguments": arguments,
        "environ": dict(environ),
        "folder": str(folder),
        "session": session,
    }
    pipe = asyncio.subprocess.PIPE
    theirs: list[int] = []
    given: list[int] = []
    ours: dict[int, int] = {}
    try:
        for number, wanted in enumerate((stdin, stdout, stderr)):
            if wanted == pipe:
                ends = os.pipe()
                ours[number], end = ends[::-1] if number == 0 else ends
            elif wanted == asyncio.subprocess.DEVNULL:
                end = os.open(os.devnull, os.O_RDWR)
            else:
                given.append(number if wanted is None else wanted)
                theirs.append(given[-1])
                continue
            theirs.append(end)
        status, end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(status, False)
        theirs.append(end)
        pid = _forge.copy(request, theirs)
    finally:
        for end in theirs:
            if end not in given:
                os.close(end)
    process = Forged(pid, status, ours.get(0))
    if 1 in ours:
        process.stdout = await _reader(ours[1])
    if 2 in ours:
        process.stderr = await _reader(ours[2])
    return process


def run_plugbay(
    *arguments: str, environ: Mapping[str, str], folder: Path, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end where no event loop runs; see `start`."""

    async def run() -> subprocess.CompletedProcess[str]:
        pipe = asyncio.subprocess.PIPE
        process = await start(*arguments, environ=environ, folder=folder, stdout=pipe, stderr=pipe)
        try:
            out, err = await asyncio.wait_for(process.communicate(), timeout_s)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return subprocess.CompletedProcess(arguments, process.returncode or 0, out.decode(), err.decode())

    return asyncio.run(run())


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader
