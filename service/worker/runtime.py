"""A worker's life: wait for a plugin, load it, say hello, serve calls, stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from typing import Any

from service.wire import messages
from service.wire.frames import FrameDecoder, encode
from service.worker import linux, site_folder
from service.worker.calling import Calls, OwnedTasks, to_json
from service.worker.compat import stand_ins
from service.worker.confinement import limits as kernel_limits
from service.worker.confinement.confining import Confinement, NotConfined
from service.worker.confinement.policy import Policy
from service.worker.faults import ContractBroken, Describer
from service.worker.loading import Loading, StageFailed
from service.worker.modules import SnapshotImporter, SourceModule, named_imports, quote
from service.worker.outline import outline
from service.worker.stalls import StallWatch

_STOP_GRACE_SECONDS = 0.5
# In the plugin's own folder.
TEMPORARY_FOLDER = ".temporary"
# Taken now: what a plugin imports may put others in their place.
_dumps, _loads = json.dumps, json.loads


def serve(
    channel: socket.socket, limits: dict[str, Any], confinement: Confinement, *, idle_scheduling: bool
) -> int:
    """Be a worker on this channel until told to stop.

    Args:
        channel: a stream socket to the server.
        limits: `memory_bytes`, `open_files`, `frame_bytes`, `threads`, `load_s`, `start_s`, `self_check_s`, `stop_s`,
            `settle_s`. A plugin may have others, which come with it.
        confinement: what this process will be confined to once it is told the plugin.
        idle_scheduling: load at the lowest priority, so that requests elsewhere do not wait for it.

    Returns:
        the exit status.
    """
    # Made while there is time; no task of a plugin's can be on it before its module is imported.
    loop = asyncio.new_event_loop()
    decoder = FrameDecoder(limits["frame_bytes"])
    frames: list[tuple[bytes, bytes]] = []
    while not frames:
        data = channel.recv(256 * 1024)
        if not data:
            return 0
        frames = decoder.feed(data)
    header = _loads(frames[0][0])
    limits = {**limits, **header["limits"]}
    worker = Worker(channel, decoder, limits, header, frames[0][1])
    status = worker.confine(confinement) or worker.load(loop)
    if idle_scheduling:
        # A user who is not root may not be allowed to; the server does it, too.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return status if status else loop.run_until_complete(worker.run(frames[1:]))


class Worker:
    """One generation of one plugin, in this process.

    Args:
        channel: the socket to the server.
        decoder: holds what was read already.
        limits: as for `serve`.
        header: of the `load` message.
        body: of the `load` message, the sources end to end.
    """

    def __init__(
        self,
        channel: socket.socket,
        decoder: FrameDecoder,
        limits: dict[str, Any],
        header: dict[str, Any],
        body: bytes,
    ) -> None:
        self._channel = channel
        self._decoder = decoder
        self._limits = limits
        self._header = header
        self._type: str = header["type"]
        self._module_name: str = header["module"]
        self._importer = SnapshotImporter(_unpack(header["modules"], body), header["root"])
        self._describer = Describer(header["home"], header["file"])
        self._owned = OwnedTasks()
        self._transport: asyncio.Transport | None = None
        self._loading = Loading(
            header,
            limits,
            self._importer,
            self._describer,
            self._owned,
            send=self._write,
            report=self._report,
        )
        self._stopping = asyncio.Event()
        self._closing = False

    # -- loading -------------------------------------------------------------------------------------------------

    def confine(self, confinement: Confinement) -> int:
        """Confine this process to what the plugin may do; no byte of the plugin has run before.

        Returns:
            0, or the exit status of a worker that could not be confined.
        """
        kernel_limits.apply(self._limits["memory_bytes"], self._limits["open_files"])
        try:
            confinement.apply(Policy.from_json(self._header["policy"]))
        except NotConfined as error:
            return self._report(
                self._describer.fault(
                    "import",
                    ContractBroken(
                        "not_confined",
                        f"无法限制插件进程的权限（{error}），因此没有运行插件；请查看 /readyz 与服务器日志",
                        f"The plugin's process could not be confined ({error}), so the plugin was not run; see "
                        "/readyz and the server's log",
                    ),
                )
            )
        _settle_in(self._header["data_dir"], confinement.missing)
        return 0

    def load(self, loop: asyncio.AbstractEventLoop) -> int:
        """Import, check, configure, start and check the plugin, then say hello or what failed.

        Returns:
            0, or the exit status of a worker whose plugin did not load.
        """
        if self._header.get("outline"):
            return self._tell_outline()
        began = time.perf_counter()
        newest_before = site_folder.newest_module()
        loop.set_task_factory(self._owned.factory)  # type: ignore[arg-type]  # typeshed asks for a generic callable
        if (stall_s := self._header.get("stall_s")) is not None:
            StallWatch(loop, self._header["root"], stall_s).start()
        try:
            manifest = self._loading.run(loop)
            load_ms = (time.perf_counter() - began) * 1000
            hello = {
                "t": messages.HELLO,
                "protocol": messages.PROTOCOL,
                "load_ms": load_ms,
                "modules": self._importer.imported(),
                "third_party": site_folder.third_party(newest_before),
            }
        except StageFailed as failure:
            return self._report(self._fault(failure.stage, failure.__cause__ or failure))
        except BaseException as error:  # such as a loop that the plugin has stopped
            return self._report(self._describer.disturbed(self._loading.stage, error))
        self._write(hello, manifest)
        return 0

    def _fault(self, stage: str, error: BaseException) -> dict[str, Any]:
        try:
            return self._describer.fault(stage, error)
        except (
            BaseException
        ) as failure:  # an exception of a plugin's own making may have anything for its parts
            return self._describer.disturbed(stage, failure)

    def _tell_outline(self) -> int:
        module = self._importer.module(self._module_name)
        assert module is not None
        try:
            manifest = outline(module.source, module.path, self._type)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return self._report(self._describer.fault("import", error))
        hello = {"t": messages.HELLO, "protocol": messages.PROTOCOL, "load_ms": 0.0, "modules": []}
        self._write(hello, to_json(manifest))
        return messages.OUTLINED

    def _report(self, error: dict[str, Any]) -> int:
        imports = named_imports(self._importer, self._module_name)
        self._write({"t": messages.FAILED, "imports": imports}, to_json(error))
        return messages.LOAD_FAILED

    # -- serving -------------------------------------------------------------------------------------------------

    @property
    def _calls(self) -> Calls:
        calls = self._loading.calls
        assert calls is not None, "nothing is served before the plugin is loaded"
        return calls

    async def run(self, frames: list[tuple[bytes, bytes]], *, trim: bool = True) -> int:
        """Serve calls until told to stop.

        Args:
            frames: what was read with the `load` message.
            trim: give back to the kernel what the load took and nobody needs any more.

        Returns:
            the exit status.
        """
        loop = asyncio.get_running_loop()
        me = asyncio.current_task()
        assert me is not None
        self._owned.ours.add(me)
        self._owned.begun_by_start.discard(me)
        transport, _ = await loop.connect_accepted_socket(lambda: _Receiver(self), self._channel)
        self._transport = transport
        self._write({"t": messages.IMPORTS, "modules": named_imports(self._importer, self._module_name)}, b"")
        for header, body in frames:
            self.take(header, body)
        if trim:
            linux.trim_heap()
        await self._stopping.wait()
        await self._calls.settle(self._limits["settle_s"])
        if self._loading.overrides("stop"):
            plugin = self._loading.plugin
            # For a stop() that does not let go of the thread: the kernel ends the process.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, self._limits["stop_s"] + _STOP_GRACE_SECONDS)
            try:
                async with asyncio.timeout(self._limits["stop_s"]):
                    await self._calls.invoke(plugin.stop, {})
            except BaseException as error:
                log = logging.getLogger(self._module_name)
                log.error("stop() failed: %s", self._describer.traceback_of(error))
        self._write({"t": messages.STOPPED}, b"")
        return 0

    async def close(self) -> None:
        """Let go of the channel, in a process that goes on."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
        await asyncio.sleep(0)

    def retract(self) -> None:
        """Take the plugin's code out of the way of imports, in a process that goes on."""
        if self._importer in sys.meta_path:
            sys.meta_path.remove(self._importer)
        quote(None)
        stand_ins.uninstall()

    def receive(self, data: bytes) -> None:
        """Take what came from the server."""
        for header, body in self._decoder.feed(data):
            self.take(header, body)

    def take(self, raw: bytes, body: bytes) -> None:
        """Act on one message."""
        header = _loads(raw)
        kind = header["t"]
        calls = self._calls
        if kind == messages.CALL:
            calls.begin(
                header["id"], header["method"], _loads(body), header.get("credit", 0), header.get("request")
            )
        elif kind == messages.CANCEL:
            calls.cancel(header["id"], header.get("why", "cancel"))
        elif kind == messages.NOTED:
            calls.noted(header["id"], header["n"])
        elif kind == messages.CREDIT:
            calls.add_credit(header["id"], header["n"])
        elif kind == messages.DRAIN:
            for task in list(self._owned.begun_by_start):
                task.cancel()
        elif kind == messages.STOP:
            self._stopping.set()

    def lost(self) -> None:
        """The server is gone, or the plugin closed the channel."""
        if self._closing:
            return
        os._exit(messages.CHANNEL_LOST)

    def _write(self, header: dict[str, Any], body: bytes) -> None:
        frame = encode(_dumps(header).encode(), body)
        if self._transport is not None:
            self._transport.write(frame)
            return
        try:
            self._channel.sendall(frame)
        except OSError:
            os._exit(messages.CHANNEL_LOST)


def _settle_in(data_dir: str, missing: list[str]) -> None:
    """Have a folder for temporary files that the plugin may write to, and say what it cannot use."""
    temporary = os.path.join(data_dir, TEMPORARY_FOLDER)
    if os.path.isdir(temporary):
        os.environ["TMPDIR"] = tempfile.tempdir = temporary
    for path in missing:
        logging.getLogger(__name__).warning(
            "%s 不存在，或途中的链接可能是插件所建，插件无法使用 / %s is not there to be used, or only by a link "
            "that a plugin may have made",
            path,
            path,
        )


class _Receiver(asyncio.Protocol):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def data_received(self, data: bytes) -> None:
        self._worker.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.lost()


def _unpack(entries: list[dict[str, Any]], body: bytes) -> dict[str, SourceModule]:
    modules: dict[str, SourceModule] = {}
    start = 0
    for entry in entries:
        end = start + entry["size"]
        modules[entry["name"]] = SourceModule(entry["path"], entry["package"], body[start:end])
        start = end
    return modules
