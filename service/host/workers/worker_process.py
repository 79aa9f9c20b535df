"""One worker process as the server holds it: its channel, its output, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Callable

from service.host.plugin_limits import PluginLimits
from service.host.workers.channel import Channel
from service.model.text import Text
from service.worker import linux

# Small, so that a flood of short lines holds the loop for a few milliseconds at a time.
_OUTPUT_CHUNK_BYTES = 4 * 1024
_EXIT_AFTER_CUT_SECONDS = 0.05
# What a pipe holds.
_LAST_OUTPUT_CHUNKS = 17


class WorkerProcess:
    """One forked worker, spare or in use.

    Attributes:
        pid: its process id.
        channel: how it is talked to.
        exited: done when the process and all that it started are gone; the wait status, or `None` where the
            template ended first and nobody could tell.
        closed_its_channel: whether it had to be ended because it could not be talked to any more.
        ended_for: why it had to be ended, where the server did so for what the plugin did.
        limits: of its plugin, once it was told that.
        is_preloaded: whether the template that it was forked from had imported what plugins of its set import.
    """

    def __init__(self, pid: int, pidfd: int, channel: Channel, output_fd: int) -> None:
        self.pid = pid
        self.channel = channel
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._pidfd = pidfd
        self._output_fd = output_fd
        self._on_output: Callable[[bytes], None] | None = None
        self.closed_its_channel = False
        self.ended_for: Text | None = None
        self.limits: PluginLimits | None = None
        self.is_preloaded = False
        self._cut: asyncio.TimerHandle | None = None
        self._poll = select.poll()
        self._poll.register(pidfd, select.POLLIN)
        channel.on_lost = self._cut_off
        asyncio.get_running_loop().add_reader(output_fd, self._read_output)

    def send_output_to(self, on_output: Callable[[bytes], None]) -> None:
        """Hand on what the worker prints from now on; what nobody asks for is dropped."""
        self._on_output = on_output

    def has_ended(self) -> bool:
        """Whether the process is dead already, though its end may not have been reported yet."""
        return self._pidfd < 0 or bool(self._poll.poll(0))

    def set_normal_priority(self) -> None:
        """End the low priority that a load begins with; a worker that is gone or never had it is left alone."""
        linux.leave_idle_priority(self.pid)

    def kill(self) -> None:
        """End the process now; calling it twice is safe."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def end_for(self, reason: Text) -> None:
        """End the process now for what the plugin did, and say so in its log; calling it twice is safe."""
        if self.ended_for is None and self._pidfd >= 0:
            self.ended_for = self.channel.ended_for = reason
            if self._on_output is not None:
                # What it has not finished printing is a line of its own.
                self._on_output(b"")
                self._on_output(f"<3>{reason.zh} / {reason.en}\n".encode())
        self.kill()

    def _cut_off(self) -> None:
        """The channel is at its end: so is the process, or it is of no use any more."""
        if not self.exited.done():
            self._cut = asyncio.get_running_loop().call_later(_EXIT_AFTER_CUT_SECONDS, self._end_cut_off)

    def _end_cut_off(self) -> None:
        self.closed_its_channel = not self.has_ended()
        self.kill()

    def ended(self, status: int | None) -> None:
        """Take note that the process is gone and let go of what it held here."""
        if self._pidfd < 0:
            return
        if self._cut is not None:
            self._cut.cancel()
        for _ in range(_LAST_OUTPUT_CHUNKS):
            self._read_output()
        if self._on_output is not None:
            self._on_output(b"")
        asyncio.get_running_loop().remove_reader(self._output_fd)
        os.close(self._output_fd)
        os.close(self._pidfd)
        self._pidfd = -1
        if not self.exited.done():
            self.exited.set_result(status)
        self.channel.close(status)

    def _read_output(self) -> None:
        try:
            data = os.read(self._output_fd, _OUTPUT_CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._output_fd)
        if self._on_output is not None:
            self._on_output(data)
