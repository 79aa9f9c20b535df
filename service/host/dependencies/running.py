"""Running a program under its keeper: what it says is read as it comes, and it never outlives whoever waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.worker.confinement.policy import Ground, Policy

_KEEPER = str(Path(__file__).with_name("keeper.py"))
_END_SECONDS = 6.0
_KEPT_CHARS = 64 * 1024
_CHUNK_BYTES = 16 * 1024
_LINE_CHARS = 8 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its status, 0 for well, and what it wrote to its standard error, the last 64 KiB."""

    status: int
    output: str


class Programs:
    """Those that run at the moment; all end with `close`, and with this process however it ends.

    Args:
        ground: what they are confined to, besides what each may do; nothing where it is not given.
    """

    def __init__(self, ground: Ground | None = None) -> None:
        # The server's user, whose the sets are.
        self._ground = (ground or Ground())._replace(user=os.geteuid())
        self._ends: set[asyncio.Task[None]] = set()

    async def run(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        policy: Policy,
        on_line: Callable[[str], None] | None = None,
        nice: int = 10,
    ) -> Ended:
        """Run a program to its end. Cancelled, it and all that it started are killed first.

        Args:
            arguments: the path of the program and its arguments.
            folder: where it runs.
            environment: all of its environment.
            policy: what it may do; the folder that it runs in is always its own.
            on_line: called with each line of its standard error; standard output goes nowhere.
            nice: how much lower its priority is than this process's.

        Raises:
            OSError: it could not be started.
        """
        policy = policy._replace(own=(*policy.own, str(folder)))
        confinement = json.dumps({"ground": self._ground.to_json(), "policy": policy.to_json()})
        spawning = asyncio.ensure_future(
            asyncio.to_thread(_spawn, [str(nice), confinement, *arguments], folder, dict(environment))
        )
        try:
            process = await asyncio.shield(spawning)
        except asyncio.CancelledError:
            # The thread goes on; what it starts has to be ended.
            await asyncio.shield(self._ending(_end_late(spawning)))
            raise
        try:
            output = await _read(process, on_line)
        finally:
            await asyncio.shield(self._ending(_end(process)))
        return Ended(process.returncode, output)

    async def close(self) -> None:
        """Wait for those whose end has begun; whoever runs one has been cancelled before."""
        while self._ends:
            await asyncio.gather(*self._ends, return_exceptions=True)

    def _ending(self, end: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(end, name="end of a program")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task


def _spawn(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    # The keeper in the server's session, so that it is told from what plugins leave; in a group of its own, so that
    # Ctrl-C at a terminal is the server's to handle.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", _KEEPER, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
        bufsize=0,
    )


async def _read(process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None) -> str:
    assert process.stderr is not None
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stderr)
    kept = ""
    begun = ""
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            text = chunk.decode("utf-8", "replace")
            kept = (kept + text)[-_KEPT_CHARS:]
            *lines, begun = (begun + text).split("\n")
            begun = begun[-_LINE_CHARS:]
            if on_line is not None:
                for line in lines:
                    on_line(line)
    finally:
        transport.close()
    return kept


async def _end_late(spawning: asyncio.Future[subprocess.Popen[bytes]]) -> None:
    try:
        process = await spawning
    except OSError:
        return
    assert process.stderr is not None
    process.stderr.close()
    await _end(process)


async def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.to_thread(process.wait, _END_SECONDS)
    except subprocess.TimeoutExpired:
        # The keeper hangs, or what it keeps cannot be killed: at least its own group goes.
        os.killpg(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)
