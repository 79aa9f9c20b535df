"""Processes of the benchmarks: servers on free ports of loopback, and children that obey lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_START_TIMEOUT_S = 60.0
_STEP_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0
_POLL_SECONDS = 0.002
_TYPES = ("search", "download", "parser")


class Server:
    """A server that was started.

    Attributes:
        process: its process.
        port: where it listens, on 127.0.0.1.
        started: `time.perf_counter()` just before it was started.
        answered: the same when it first answered a request.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int, started: float) -> None:
        self.process = process
        self.port = port
        self.started = started
        self.answered = 0.0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def get(self, path: str) -> tuple[int, bytes]:
        """One request on a connection of its own: the status and the body.

        Raises:
            OSError: nobody listens.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode()
            )
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if not head:
            raise ConnectionResetError("no answer")
        return int(head.split(None, 2)[1]), body

    async def until(self, path: str) -> float:
        """Ask until it answers 200.

        Returns:
            `time.perf_counter()` when it did.
        """
        async with asyncio.timeout(_START_TIMEOUT_S):
            while True:
                if self.process.returncode is not None:
                    raise RuntimeError(f"the server ended with status {self.process.returncode}")
                with contextlib.suppress(OSError):
                    if (await self.get(path))[0] == 200:
                        return time.perf_counter()
                await asyncio.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def new_home() -> Iterator[Path]:
    """A home without plugins, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="plugbay-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        for type in _TYPES:
            (home / "plugins" / type).mkdir(parents=True)
        yield home


@contextlib.asynccontextmanager
async def plugbay(
    home: Path, *, environ: Mapping[str, str] | None = None, **settings: object
) -> AsyncIterator[Server]:
    """`plugbay serve`; settings as `WORKERS__SPARES=0`, and `environ` with other variables besides this process's."""
    port = free_port()
    command = ("-m", "service", "serve", "--home", str(home), "--port", str(port))
    overrides = {f"PLUGBAY_{name}": str(value) for name, value in settings.items()}
    async with running(
        *command, port=port, alive="/livez", environ={**(environ or {}), **overrides}
    ) as server:
        yield server


@contextlib.asynccontextmanager
async def running(
    *arguments: str,
    port: int,
    alive: str | None,
    environ: Mapping[str, str] | None = None,
    program: str = sys.executable,
) -> AsyncIterator[Server]:
    """A server in a process of its own.

    Args:
        arguments: of the program.
        port: where it will listen.
        alive: a path that it answers with 200; None where it does not speak HTTP and is not waited for.
        environ: variables besides this process's.
        program: this Python by default.
    """
    with tempfile.TemporaryFile(prefix="plugbay-bench-") as log:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT,
            env=_environment(environ or {}),
        )  # fmt: skip
        server = Server(process, port, started)
        try:
            try:
                if alive is not None:
                    server.answered = await server.until(alive)
            except (RuntimeError, TimeoutError) as error:
                log.seek(0)
                raise RuntimeError(f"{arguments}: {error}\n{log.read()[-4000:].decode()}") from error
            yield server
        finally:
            await _stop(process)


def _environment(overrides: Mapping[str, str]) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PLUGBAY_")}
    # A server is started with what was compiled before, as everywhere but in a container that forbids it.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**environ, **overrides}


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Child:
    """A process of a benchmark that answers one line of JSON with another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Have something done and wait for its answer."""
        await self.tell(command, **arguments)
        return await self.answer()

    async def tell(self, command: str, **arguments: Any) -> None:
        """Have something done whose answer is fetched later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()

    async def answer(self) -> dict[str, Any]:
        """The next answer."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_STEP_TIMEOUT_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncIterator[Child]:
    """A module of the benchmarks as a process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=_environment({}),
        limit=64 * 1024 * 1024,
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            # It ends with its input; one with workers of its own must not leave them to chance.
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
