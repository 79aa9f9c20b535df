"""A server as a process of its own, started by the command as anybody would."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.integration.forging import Process, start

ROOT = Path(__file__).parents[2]
START_S = 30.0
STOP_S = 20.0


class Finished(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


class ServerProcess:
    """A running server: where it is, what it has printed, and the client commands against it."""

    def __init__(self, process: Process, home: Path, environ: Mapping[str, str]) -> None:
        self.process = process
        self.home = home
        self.url = ""
        self.printed = ""
        self._environ = environ

    async def plugbay(self, *arguments: str, stdin: str | None = None, **environ: str) -> Finished:
        """Runs a client command to its end."""
        command = await self.start_plugbay(*arguments, **environ)
        out, err = await asyncio.wait_for(
            command.communicate(stdin.encode() if stdin is not None else None), 30
        )
        return Finished(command.returncode or 0, out.decode(), err.decode())

    async def start_plugbay(self, *arguments: str, **environ: str) -> Process:
        """Starts a client command that goes on until it is told to stop."""
        return await start(
            *arguments,
            folder=self.home,
            environ={**self._environ, "PLUGBAY_URL": self.url, "PYTHONUNBUFFERED": "1", **environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def stop(self) -> int:
        """Ends it as Ctrl-C does; its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(self.process.wait(), STOP_S)

    async def kill(self) -> None:
        """Ends it at once, as `kill -9` does."""
        self.process.kill()
        await asyncio.wait_for(self.process.wait(), STOP_S)

    async def read_until(self, pattern: str) -> re.Match[str]:
        """The first match in what it prints from here on."""
        assert self.process.stderr is not None
        async with asyncio.timeout(START_S):
            while True:
                line = (await self.process.stderr.readline()).decode()
                if not line:
                    raise AssertionError(f"the server ended, having printed:\n{self.printed}")
                self.printed += line
                if match := re.search(pattern, line):
                    return match


def environment(**more: str) -> dict[str, str]:
    """That of the tests, without settings and with the checkout to import from.

    No package registry is asked but one of the test's own: give `UV_NO_INDEX="0"` with `UV_DEFAULT_INDEX` then.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLUGBAY_")}
    return kept | {"PYTHONPATH": str(ROOT), "PLUGBAY_LANG": "en", "UV_NO_INDEX": "1"} | more


@asynccontextmanager
async def running_server(
    home: Path, *arguments: str, environ: Mapping[str, str] | None = None, python: str = sys.executable
) -> AsyncIterator[ServerProcess]:
    """Runs a server on a free port with `home`, until left; whatever happens, none of it stays."""
    environ = environment() if environ is None else environ
    process = await start(
        *("serve", "--home", str(home), "--port", "0", *arguments),
        folder=home.parent,
        environ={**environ, "PLUGBAY_LOGS__FORMAT": "json"},
        stderr=asyncio.subprocess.PIPE,
        session=True,
        python=python,
    )
    server = ServerProcess(process, home, environ)
    drain: asyncio.Task[None] | None = None
    try:
        await server.read_until(r'"event": "server\.listening"')
        listening = json.loads(server.printed.splitlines()[-1])
        server.url = f"http://127.0.0.1:{listening['port']}"
        drain = asyncio.create_task(_drain(server))
        yield server
    finally:
        if process.returncode is None:
            try:
                await server.stop()
            except TimeoutError:
                process.kill()
                await process.wait()
        if drain is not None:
            await drain


async def _drain(server: ServerProcess) -> None:
    """Reads on, so that a full pipe does not hold the server up."""
    assert server.process.stderr is not None
    while line := await server.process.stderr.readline():
        server.printed += line.decode()
