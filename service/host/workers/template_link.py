"""The server's end of a template's socket: requests for forks, their answers, and the workers that came of them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from service.host.workers.census import process_of
from service.host.workers.channel import Channel
from service.host.workers.worker_process import WorkerProcess
from service.worker.confinement.policy import Policy

_PACKET_BYTES = 64 * 1024
_FORK_SECONDS = 10.0
# A fork that was given up may still be answered; who says more than that which nobody asked for is not ours any more.
_UNASKED = 64


class TemplateLost(Exception):
    """The template process ended."""


class FromTemplate(msgspec.Struct):
    """What a template says, whatever it sends; see `service.worker.template`."""

    ready: bool = False
    unfit: str | None = None
    forked: int | None = None
    pid: int = 0
    refused: int | None = None
    reason: str = ""
    exited: int | None = None
    status: int = 0


class Forked:
    """A process that a template has forked, and a pidfd that has to be closed by whoever gets this."""

    __slots__ = ("pid", "pidfd")

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd


class TemplateLink:
    """One template as the server talks to it.

    Args:
        control: this end of its socket, non-blocking.
        limits: what workers are told of their limits, see `service.worker.runtime.serve`.
        frame_bytes: the largest frame on a channel.
        suspect_pid: of a template that strangers' code runs in: what it says of its forks is looked up.

    Attributes:
        ready: set once it can fork.
        lost: set when its end is gone, or it said what cannot be.
        unfit: why it cannot fork, where it said so.
        workers: those that have not ended, by process id.
        on_exit: called with the process id of each fork whose end is reported and that is no worker.
    """

    def __init__(
        self,
        control: socket.socket,
        limits: Mapping[str, Any],
        frame_bytes: int,
        *,
        suspect_pid: int | None = None,
    ) -> None:
        self._control: socket.socket | None = control
        self._limits = dict(limits)
        self._frame_bytes = frame_bytes
        self._suspect_pid = suspect_pid
        self._requests: dict[int, asyncio.Future[Forked]] = {}
        self._next_request = 0
        # Forks that nobody has taken yet, and those of them that have ended already, with their wait status.
        self._untaken: set[int] = set()
        self._ended_early: dict[int, int] = {}
        self._unasked = 0
        self._decoder = msgspec.json.Decoder(FromTemplate)
        self.ready = asyncio.Event()
        self.lost = asyncio.Event()
        self.unfit: str | None = None
        self.workers: dict[int, WorkerProcess] = {}
        self.on_exit: Callable[[int], None] | None = None
        asyncio.get_running_loop().add_reader(control.fileno(), self._receive)

    async def fork(self, *, ahead: bool = False) -> WorkerProcess:
        """A new worker.

        Args:
            ahead: nobody waits for it yet, so that it may take its time to make itself ready.

        Raises:
            TemplateLost: the template is gone.
            TimeoutError: it refused, or did not answer in time.
            OSError: there are no descriptors left here.
        """
        ours, theirs = socket.socketpair()
        try:
            output_read, output_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            ours.close()
            theirs.close()
            raise
        os.set_blocking(output_write, True)
        channel: Channel | None = None
        try:
            with theirs:
                answer = await self._ask({"ahead": ahead}, [theirs.fileno(), output_write])
            ours.setblocking(False)
            channel = await Channel.open(ours, self._frame_bytes)
            forked = await self._forked(answer)
        except BaseException:
            if channel is not None:
                channel.abort()
            else:
                ours.close()
            os.close(output_read)
            raise
        finally:
            os.close(output_write)
        worker = WorkerProcess(forked.pid, forked.pidfd, channel, output_read)
        self.workers[forked.pid] = worker
        if (status := self._take_early_end(forked.pid)) is not None:
            self._exited(forked.pid, status)
        elif self.lost.is_set() and self._suspect_pid is not None:
            worker.kill()
        return worker

    async def fork_template(self, control: socket.socket, site: Path, policy: Policy) -> Forked:
        """A template for a dependency set; to be asked of the base template only.

        Args:
            control: the new template's end of its socket; closed here.
            site: the set's folder.
            policy: what it may do.

        Raises:
            TemplateLost, TimeoutError: as `fork`.
        """
        limits = {**self._limits, "policy": policy.to_json()}
        with control:
            answer = await self._ask({"site": str(site), "limits": limits}, [control.fileno()])
        forked = await self._forked(answer)
        if self._take_early_end(forked.pid) is not None:
            os.close(forked.pidfd)
            raise TemplateLost
        return forked

    async def have_imported(self, modules: Iterable[str]) -> None:
        """Tell a set's template what to import, and to begin.

        Raises:
            TemplateLost, TimeoutError: as `fork`.
        """
        part: list[str] = []
        size = 0
        for name in modules:
            size += len(name) + 8
            if size > _PACKET_BYTES // 2:
                await self._send({"import": part}, [])
                part, size = [], 0
            part.append(name)
        await self._send({"import": part}, [])
        await self._send({"begin": True}, [])

    def close(self) -> None:
        """Talk to it no more, upon which it ends; calling it twice is safe."""
        self.ready.clear()
        self.lost.set()
        control, self._control = self._control, None
        if control is not None:
            asyncio.get_running_loop().remove_reader(control.fileno())
            control.close()
        for answer in list(self._requests.values()):
            if not answer.done():
                answer.set_exception(TemplateLost())
                answer.exception()  # marked as seen: whoever asked may have gone

    def all_ended(self) -> None:
        """The template is gone, and its workers with it: the kernel has killed them."""
        self.close()
        workers, self.workers = self.workers, {}
        for worker in workers.values():
            worker.ended(None)

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _ask(self, what: dict[str, Any], descriptors: list[int]) -> asyncio.Future[Forked]:
        request = self._next_request = self._next_request + 1
        answer = self._requests[request] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda _: self._requests.pop(request, None))
        try:
            await self._send({"fork": request, "limits": self._limits, **what}, descriptors)
        except BaseException:
            answer.cancel()
            raise
        return answer

    async def _forked(self, answer: asyncio.Future[Forked]) -> Forked:
        try:
            async with asyncio.timeout(_FORK_SECONDS):
                forked = await answer
            if self._suspect_pid is not None:
                await self._look_up(forked, self._suspect_pid)
        except BaseException:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                self._take_early_end(answer.result().pid)
                os.close(answer.result().pidfd)
            raise
        return forked

    def _take_early_end(self, pid: int) -> int | None:
        self._untaken.discard(pid)
        return self._ended_early.pop(pid, None)

    async def _look_up(self, forked: Forked, parent: int) -> None:
        try:
            is_so = await asyncio.to_thread(_is_child, forked, parent)
        except OSError:  # it has ended meanwhile
            is_so = False
        if not is_so:
            self.close()
            raise TemplateLost

    async def _send(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Send one packet; a full socket means that the template is busy forking, so wait a little."""
        packet = json.dumps(message).encode()
        async with asyncio.timeout(_FORK_SECONDS):
            while True:
                if self._control is None:
                    raise TemplateLost
                try:
                    socket.send_fds(self._control, [packet], descriptors)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
                except OSError as error:
                    if isinstance(error, ConnectionError):
                        # Its end is gone, though nobody has read that yet: whoever asks again shall ask the next one.
                        self.close()
                    raise TemplateLost from error
                else:
                    return

    # -- what it says ------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        if self._control is None:
            return
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        try:
            if packet:
                self._take(self._decoder.decode(packet), descriptors)
            else:
                self.close()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.close()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _take(self, message: FromTemplate, descriptors: list[int]) -> None:
        """Act on a message; descriptors that are used are taken out of the list."""
        if message.ready and not self.ready.is_set():
            self.ready.set()
        elif message.unfit is not None:
            self.unfit = message.unfit
            self.close()
        elif message.forked is not None:
            answer = self._requests.get(message.forked)
            # Where nobody waits for it any more it ends by itself, without its channel.
            if answer is not None and not answer.done() and descriptors:
                self._untaken.add(message.pid)
                answer.set_result(Forked(message.pid, descriptors.pop()))
            else:
                self._count_unasked()
        elif message.refused is not None:
            answer = self._requests.get(message.refused)
            if answer is not None and not answer.done():
                answer.set_exception(TimeoutError(message.reason))
                answer.exception()  # as above
        elif message.exited is not None:
            self._exited(message.exited, message.status)
        else:
            self._count_unasked()

    def _count_unasked(self) -> None:
        self._unasked += 1
        if self._suspect_pid is not None and self._unasked > _UNASKED:
            self.close()

    def _exited(self, pid: int, status: int) -> None:
        worker = self.workers.get(pid)
        if pid in self._untaken:
            self._ended_early[pid] = status
        elif worker is None:
            self._count_unasked()
            if self.on_exit is not None:
                self.on_exit(pid)
        elif self._suspect_pid is not None and not worker.has_ended():
            self.close()
        else:
            del self.workers[pid]
            worker.ended(status)


def _is_child(forked: Forked, parent: int) -> bool:
    """Whether the descriptor is that process's, and the process a child of that parent."""
    described = Path(f"/proc/self/fdinfo/{forked.pidfd}").read_text()
    pids = [line.split()[1] for line in described.splitlines() if line.startswith("Pid:")]
    process = process_of(forked.pid)
    return pids == [str(forked.pid)] and process is not None and process.parent == parent
