"""Worker processes: the template that forks them, the spares that wait, and the end of each with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from service.host.workers.channel import Channel
from service.host.workers.worker_process import WorkerProcess
from service.worker import linux

log = structlog.get_logger(__name__)

_PACKET_BYTES = 64 * 1024
_START_SECONDS = 20.0
_FORK_SECONDS = 10.0
_END_SECONDS = 5.0
_RESTART_PAUSE_SECONDS = 0.1
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class TemplateLost(Exception):
    """The template process ended; a new one is being started."""


class Nursery:
    """Has workers forked and keeps spares ready.

    Args:
        limits: what workers are told of their limits, see `service.worker.runtime.serve`.
        spares: how many forked workers wait.
        frame_bytes: the largest frame on a channel.
    """

    def __init__(self, limits: Mapping[str, Any], *, spares: int, frame_bytes: int) -> None:
        self._limits = dict(limits)
        self._wanted_spares = spares
        self._frame_bytes = frame_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = asyncio.Event()
        self._requests: dict[int, asyncio.Future[tuple[int, int]]] = {}
        self._next_request = 0
        self._workers: dict[int, WorkerProcess] = {}
        self._spares: asyncio.Queue[WorkerProcess] = asyncio.Queue()
        self._refill_wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._lost = asyncio.Event()
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
            if not self._ready.is_set():
                self._lost.set()
            self._refill_wanted.set()

    async def close(self) -> None:
        """End the template and with it every worker; calling it twice is safe."""
        if self._closing:
            return
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._drop_control()
        process = self._process
        if process is not None:
            try:
                await asyncio.to_thread(process.wait, _END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
            await self._sweep_orphans()
        self._all_ended()

    def workers(self) -> list[WorkerProcess]:
        """Every worker that has not ended, spares too; may be called from any thread."""
        return list(self._workers.values())

    async def acquire(self) -> WorkerProcess:
        """A worker that waits for its plugin: a spare, or one forked now.

        Raises:
            TimeoutError: none came to be had in time.
        """
        while not self._spares.empty():
            worker = self._spares.get_nowait()
            if not worker.exited.done():
                self._refill_wanted.set()
                return worker
        self._refill_wanted.set()
        for _ in range(3):
            with contextlib.suppress(TemplateLost):
                return await self._fork()
        raise TimeoutError("the template process ended three times in a row")

    async def _fork(self) -> WorkerProcess:
        async with asyncio.timeout(_FORK_SECONDS):
            await self._ready.wait()
        control = self._control
        if control is None:
            raise TemplateLost
        ours, theirs = socket.socketpair()
        try:
            output_read, output_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            ours.close()
            theirs.close()
            raise
        os.set_blocking(output_write, True)
        channel: Channel | None = None
        request = self._next_request = self._next_request + 1
        answer: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self._requests[request] = answer
        try:
            packet = json.dumps({"fork": request, "limits": self._limits}).encode()
            with theirs:
                await self._send(control, packet, [theirs.fileno(), output_write])
            ours.setblocking(False)
            channel = await Channel.open(ours, self._frame_bytes)
            async with asyncio.timeout(_FORK_SECONDS):
                pid, pidfd = await answer
        except BaseException as error:
            self._requests.pop(request, None)
            if channel is not None:
                channel.abort()
            else:
                ours.close()
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                os.close(answer.result()[1])
            os.close(output_read)
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise TemplateLost from error
            raise
        finally:
            os.close(output_write)
        worker = WorkerProcess(pid, pidfd, channel, output_read)
        self._workers[pid] = worker
        return worker

    async def _send(self, control: socket.socket, packet: bytes, descriptors: list[int]) -> None:
        """Send one packet; a full socket means that the template is busy forking, so wait a little."""
        async with asyncio.timeout(_FORK_SECONDS):
            while True:
                try:
                    socket.send_fds(control, [packet], descriptors)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
                else:
                    return

    async def _refill(self) -> None:
        while True:
            await self._refill_wanted.wait()
            self._refill_wanted.clear()
            while self._spares.qsize() < self._wanted_spares:
                try:
                    self._spares.put_nowait(await self._fork())
                except (TemplateLost, OSError) as error:
                    log.warning("worker.not_forked", reason=str(error))
                    await asyncio.sleep(_RESTART_PAUSE_SECONDS)

    async def _keep_template(self) -> None:
        while True:
            await self._lost.wait()
            self._lost.clear()
            log.warning("template.lost", workers=len(self._workers))
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
                self._lost.set()
            self._refill_wanted.set()

    async def _start_template(self) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        self._control = control
        with theirs:
            spawning = asyncio.ensure_future(asyncio.to_thread(_spawn_template, theirs.fileno()))
            try:
                self._process = await asyncio.shield(spawning)
            except asyncio.CancelledError:
                # The thread goes on: the socket must stay open for it, and what it starts has to be ended by `close`.
                self._process = await spawning
                raise
        asyncio.get_running_loop().add_reader(control.fileno(), self._receive)
        ready, lost = (asyncio.ensure_future(one.wait()) for one in (self._ready, self._lost))
        try:
            await asyncio.wait((ready, lost), timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not self._ready.is_set():
                raise TimeoutError("the template process did not get ready; its own output says why")
        except BaseException:
            self._drop_control()
            self._process.kill()
            raise
        finally:
            ready.cancel()
            lost.cancel()

    def _receive(self) -> None:
        control = self._control
        if control is None:
            return
        try:
            packet, descriptors, _, _ = socket.recv_fds(control, _PACKET_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self._drop_control()
            if not self._closing:
                self._lost.set()
            return
        message = json.loads(packet)
        if "ready" in message:
            self._ready.set()
        elif "forked" in message:
            answer = self._requests.pop(message["forked"], None)
            if answer is None or answer.done():
                # Nobody waits for it any more; without its channel it will end by itself.
                os.close(descriptors[0])
            else:
                answer.set_result((message["pid"], descriptors[0]))
        elif "refused" in message:
            answer = self._requests.pop(message["refused"], None)
            if answer is not None and not answer.done():
                answer.set_exception(TimeoutError(message["reason"]))
        elif "exited" in message:
            worker = self._workers.pop(message["exited"], None)
            if worker is not None:
                worker.ended(message["status"])

    def _drop_control(self) -> None:
        self._ready.clear()
        control, self._control = self._control, None
        if control is not None:
            asyncio.get_running_loop().remove_reader(control.fileno())
            control.close()
        for answer in self._requests.values():
            if not answer.done():
                answer.set_exception(TemplateLost())
        self._requests.clear()

    def _all_ended(self) -> None:
        """The template is gone, and its workers with it: the kernel kills them."""
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.ended(None)
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


def _spawn_template(control_fd: int) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLUGBAY_")}
    environment |= dict.fromkeys(_THREAD_LIMITS, "1")
    # The very code that the server runs, and nothing else that lies beside it.
    package_root = str(Path(__file__).parents[2])
    program = (
        f"import sys; sys.path.insert(0, {package_root!r}); import service; del sys.path[0]; "
        "from service.worker.template import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(control_fd)],
        stdin=subprocess.DEVNULL,
        pass_fds=[control_fd],
        start_new_session=True,
        env=environment,
    )
