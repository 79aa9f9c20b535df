"""One generation of a plugin: its worker, its manifest, its state and the calls that hold it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog

from service.host.files.sources import Snapshot
from service.host.workers.worker_process import WorkerProcess
from service.model.plugin import Manifest, Stage
from service.model.states import GENERATION_TRANSITIONS, GenerationState
from service.model.text import Text
from service.wire import messages

log = structlog.get_logger(__name__)

# For a process that was killed to be gone; longer only where the machine does not get to it.
END_SECONDS = 5.0


class Generation:
    """One loaded worker. Calls hold it by leases; it is stopped when the last lease is given back.

    Args:
        number: counts from 1 for each plugin.
        snapshot: its code.
        manifest: what the worker said of the plugin.
        worker: the process.
        load_ms: how long the load took.

    Attributes:
        stage_ms: how long each stage took; contract and configuration count with the import.
        config: the stored values that it was given.
    """

    def __init__(
        self, number: int, snapshot: Snapshot, manifest: Manifest, worker: WorkerProcess, load_ms: float
    ) -> None:
        self.number = number
        self.snapshot = snapshot
        self.manifest = manifest
        self.worker = worker
        self.load_ms = load_ms
        self.stage_ms: Mapping[Stage, float] = {}
        self.config: Mapping[str, Any] = {}
        self.imports: frozenset[str] = frozenset()
        self.asked: dict[str, Any] | None = None
        self.leases = 0
        self._stuck = asyncio.Event()
        self.on_imports: Callable[[frozenset[str]], None] | None = None
        self._state = GenerationState.READY
        self._idle = asyncio.Event()
        self._idle.set()
        worker.channel.on_imports = self._take_imports

    @property
    def state(self) -> GenerationState:
        """Where it is in its life."""
        return self._state

    @property
    def has_told_imports(self) -> bool:
        """Whether its worker has said which plugin-side modules its code imports, which `imports` has then."""
        return self.worker.channel.imports is not None

    def set_state(self, state: GenerationState) -> None:
        """Go on to another state.

        Raises:
            ValueError: that state cannot follow this one.
        """
        if state not in GENERATION_TRANSITIONS[self._state]:
            raise ValueError(f"generation {self.number}: {self._state} cannot become {state}")
        log.debug(
            "generation.state",
            plugin=f"{self.manifest.type.value}/{self.manifest.name}",
            generation=self.number,
            old=self._state,
            new=state,
        )
        self._state = state

    @contextlib.contextmanager
    def lease(self) -> Iterator[Generation]:
        """Hold it: while any lease is held its worker is not stopped."""
        self.leases += 1
        self._idle.clear()
        try:
            yield self
        finally:
            self.leases -= 1
            if self.leases == 0:
                self._idle.set()

    async def stop(self, *, patience_s: float) -> bool:
        """Let the calls finish, then stop the worker; a draining generation only.

        Args:
            patience_s: seconds that the worker has to stop once its last call is over.

        Returns:
            whether it had to be forced.
        """
        channel = self.worker.channel
        channel.send({"t": messages.DRAIN})
        idle = asyncio.ensure_future(self._idle.wait())
        stuck = asyncio.ensure_future(self._stuck.wait())
        try:
            # A call that was given up and goes on all the same holds no lease any more, and nothing will end it.
            await asyncio.wait((idle, self.worker.exited), return_when=asyncio.FIRST_COMPLETED)
            if not self.worker.exited.done():
                channel.send({"t": messages.STOP})
                await asyncio.wait(
                    (self.worker.exited, stuck), timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            idle.cancel()
            stuck.cancel()
            forced = not self.worker.exited.done()
            self.worker.kill()
        await asyncio.wait((self.worker.exited,), timeout=END_SECONDS)
        return forced or not self.worker.exited.done() or self.worker.exited.result() != 0

    def note_stuck(self) -> None:
        """A call goes on though it was cancelled: nothing but the end of the process will end it."""
        self._stuck.set()

    async def end(self) -> None:
        """End it now, and wait until what it held, a port or a lock, is free for whoever comes next."""
        self.worker.kill()
        await asyncio.wait((self.worker.exited,), timeout=END_SECONDS)

    def _take_imports(self, modules: list[str]) -> None:
        self.imports = frozenset(modules)
        if self.on_imports is not None:
            self.on_imports(self.imports)


def describe_exit(status: int | None, ended_for: Text | None = None) -> Text:
    """How a process ended, from its wait status, or why the server ended it."""
    if ended_for is not None:
        return ended_for
    if status is None:
        return Text(zh="宿主进程结束", en="its parent process ended")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = str(number)
        return Text(zh=f"收到信号 {name}", en=f"killed by {name}")
    return Text(zh=f"以状态 {os.WEXITSTATUS(status)} 退出", en=f"exited with status {os.WEXITSTATUS(status)}")
