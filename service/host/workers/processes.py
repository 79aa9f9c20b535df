"""The base template: its process, the spares that wait, and the end of each worker with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from service.host.workers.template_link import Forked, TemplateLink, TemplateLost
from service.host.workers.worker_process import WorkerProcess
from service.worker import linux
from service.worker.confinement.policy import Ground, Policy

log = structlog.get_logger(__name__)

_START_SECONDS = 20.0
_FORK_SECONDS = 10.0
_END_SECONDS = 5.0
_RESTART_PAUSE_SECONDS = 0.1
_RESTART_PAUSE_MAX_SECONDS = 5.0
# Whoever took a spare loads a plugin now; to make the next one meanwhile would take the processors from it.
REFILL_PAUSE_SECONDS = 0.025
# All that plugins get of the server's environment: tokens and passwords stand there under any name. An address of a
# proxy may have a password in it, too, but without it a plugin would not reach anything.
_HANDED_ON = frozenset(
    """
    PATH HOME USER LOGNAME LANG LANGUAGE TZ TZDIR TERM LD_LIBRARY_PATH
    HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy ftp_proxy all_proxy no_proxy
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    MALLOC_ARENA_MAX MALLOC_TRIM_THRESHOLD_
    """.split()
)
# By the end of this argument anybody can tell a template.
TEMPLATE_ENTRY = "from service.worker.template import main; main()"
_HANDED_ON_PREFIXES = ("LC_", "PYTHON")
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Nursery:
    """Keeps the base template running, has it fork workers and keeps spares ready.

    Args:
        limits: what workers are told of their limits, see `service.worker.runtime.serve`.
        spares: how many forked workers wait.
        frame_bytes: the largest frame on a channel.
        ground: what all workers are confined to; nothing where it is not given.
    """

    def __init__(
        self, limits: Mapping[str, Any], *, spares: int, frame_bytes: int, ground: Ground | None = None
    ) -> None:
        self.ground = ground or Ground()
        self._limits = {**limits, "ground": self.ground.to_json()}
        self._wanted_spares = spares
        self._frame_bytes = frame_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._link: TemplateLink | None = None
        self._ready = asyncio.Event()
        # What is to be done when a dependency set's template has ended, by its process id.
        self._templates: dict[int, Callable[[], None]] = {}
        self._spares: asyncio.Queue[WorkerProcess] = asyncio.Queue()
        self._refill_wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Start the template and the first spares.

        Raises:
            TimeoutError: the template did not get ready.
        """
        linux.become_subreaper()
        try:
            await self._start_template()
        finally:
            # One that did not start is tried again like one that was lost.
            self._tasks = [
                asyncio.create_task(self._refill(), name="spare workers"),
                asyncio.create_task(self._keep_template(), name="template"),
            ]
            self._refill_wanted.set()

    async def close(self) -> None:
        """End the template and with it every worker; calling it twice is safe."""
        if self._closing:
            return
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._link is not None:
            self._link.close()
        process = self._process
        if process is not None:
            try:
                await asyncio.to_thread(process.wait, _END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
            await self._sweep_orphans()
        self._all_ended()

    @property
    def starts(self) -> int:
        """How often the base template has been started; one more where it is lost and will be."""
        return self._starts + (self._link is not None and self._link.lost.is_set())

    @property
    def is_ready(self) -> bool:
        """Whether the base template runs and forks."""
        return self._ready.is_set() and self._link is not None and not self._link.lost.is_set()

    @property
    def spares(self) -> int:
        """How many workers wait for a plugin."""
        return self._spares.qsize()

    def workers(self) -> list[WorkerProcess]:
        """Every worker of the base template that has not ended, spares too; may be called from any thread."""
        link = self._link
        return list(link.workers.values()) if link is not None else []

    async def acquire(self) -> WorkerProcess:
        """A worker that waits for its plugin: a spare, or one forked now.

        Raises:
            TimeoutError: none came to be had in time.
        """
        while not self._spares.empty():
            worker = self._spares.get_nowait()
            if not worker.has_ended():
                self._refill_wanted.set()
                return worker
        self._refill_wanted.set()
        for _ in range(3):
            with contextlib.suppress(TemplateLost):
                return await (await self._ready_link()).fork()
        raise TimeoutError("the template process ended three times in a row")

    async def fork_template(
        self, site: Path, policy: Policy, on_end: Callable[[], None]
    ) -> tuple[Forked, TemplateLink]:
        """A template for a dependency set, which is yet to be told what to import.

        Args:
            site: the set's folder.
            policy: what it may do.
            on_end: called when it has ended and all that it started is gone.

        Returns:
            the process, whose descriptor is the caller's to close, and how it is talked to.

        Raises:
            TemplateLost, TimeoutError: none came to be had.
            OSError: there are no descriptors left here.
        """
        link = await self._ready_link()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            forked = await link.fork_template(theirs, site, policy)
        except BaseException:
            ours.close()
            raise
        if link.lost.is_set() and link is not self._link:
            on_end()
        else:
            self._templates[forked.pid] = on_end
        return forked, TemplateLink(ours, self._limits, self._frame_bytes, suspect_pid=forked.pid)

    async def _ready_link(self) -> TemplateLink:
        if self._link is not None and self._link.lost.is_set():
            self._ready.clear()
        async with asyncio.timeout(_FORK_SECONDS):
            await self._ready.wait()
        assert self._link is not None, "what is ready is there"
        return self._link

    async def _refill(self) -> None:
        pause = _RESTART_PAUSE_SECONDS
        while True:
            await self._refill_wanted.wait()
            if self._spares.qsize():
                await asyncio.sleep(REFILL_PAUSE_SECONDS)
            self._refill_wanted.clear()
            while self._spares.qsize() < self._wanted_spares:
                try:
                    self._spares.put_nowait(await (await self._ready_link()).fork(ahead=True))
                    pause = _RESTART_PAUSE_SECONDS
                except (TemplateLost, OSError) as error:
                    log.warning("worker.not_forked", reason=str(error), again_in_s=pause)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _RESTART_PAUSE_MAX_SECONDS)

    async def _keep_template(self) -> None:
        while True:
            if self._link is not None:
                await self._link.lost.wait()
            self._ready.clear()
            log.warning("template.lost", workers=len(self.workers()))
            process = self._process
            if process is not None:
                await asyncio.to_thread(process.wait)
            await self._sweep_orphans()
            self._all_ended()
            try:
                await self._start_template()
            except OSError as error:
                log.error("template.start_failed", reason=str(error))
                await asyncio.sleep(_RESTART_PAUSE_SECONDS)
            self._refill_wanted.set()

    async def _start_template(self) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        link = self._link = TemplateLink(control, self._limits, self._frame_bytes)
        link.on_exit = self._template_ended
        self._starts += 1
        with theirs:
            spawning = asyncio.ensure_future(asyncio.to_thread(_spawn_template, theirs.fileno(), self.ground))
            try:
                self._process = await asyncio.shield(spawning)
            except asyncio.CancelledError:
                # The thread goes on: the socket must stay open for it, and what it starts has to be ended by `close`.
                self._process = await spawning
                raise
            except BaseException:
                link.close()
                raise
        ready, lost = (asyncio.ensure_future(one.wait()) for one in (link.ready, link.lost))
        try:
            await asyncio.wait((ready, lost), timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not link.ready.is_set():
                raise TimeoutError("the template process did not get ready; its own output says why")
        except BaseException:
            link.close()
            self._process.kill()
            raise
        finally:
            ready.cancel()
            lost.cancel()
        self._ready.set()

    def _template_ended(self, pid: int) -> None:
        if (on_end := self._templates.pop(pid, None)) is not None:
            on_end()

    def _all_ended(self) -> None:
        """The template is gone, and with it every worker and every set's template: the kernel kills them."""
        if self._link is not None:
            self._link.all_ended()
        for pid in list(self._templates):
            self._template_ended(pid)
        while not self._spares.empty():
            self._spares.get_nowait()

    async def _sweep_orphans(self) -> None:
        """End what the workers of a lost template had started; it has come to be ours.

        Workers and what they start are in sessions of their own, our other children are in ours.
        """
        session = os.getsid(0)
        deadline = asyncio.get_running_loop().time() + _END_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            found = 0
            for pid in linux.children():
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    if os.getsid(pid) == session:
                        continue
                    found += 1
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  # does not wait
            if not found:
                return
            await asyncio.sleep(0.005)


def _spawn_template(control_fd: int, ground: Ground) -> subprocess.Popen[bytes]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _HANDED_ON or name.startswith(_HANDED_ON_PREFIXES)
    }
    environment |= dict.fromkeys(_THREAD_LIMITS, "1")
    # The very code that the server runs, and nothing else that lies beside it.
    package_root = str(Path(__file__).parents[3])
    program = (
        f"import sys; sys.path.insert(0, {package_root!r}); import service; del sys.path[0]; {TEMPLATE_ENTRY}"
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(control_fd), json.dumps(ground.to_json())],
        stdin=subprocess.DEVNULL,
        pass_fds=[control_fd],
        start_new_session=True,
        env=environment,
    )
