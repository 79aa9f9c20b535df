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
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from service.wire import messages
from service.wire.frames import FrameDecoder, encode
from service.worker import contract
from service.worker.calling import Calls, OwnedTasks, to_json
from service.worker.faults import ContractBroken, Describer, main_thread_frame
from service.worker.modules import SnapshotImporter, SourceModule, named_imports
from service.worker.output import log_to_output
from service.worker.process import CHANNEL_LOST
from service.worker.warmup import warm_up

LOAD_FAILED = 71

# The worker's own limit comes first: it knows the line at which the plugin stands, the server does not.
_HEAD_START_SECONDS = 0.5


class StageFailed(Exception):
    """The load failed at a stage; `__cause__` says why."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


def serve(channel: socket.socket, limits: dict[str, Any], *, idle_scheduling: bool) -> int:
    """Be a worker on this channel until told to stop.

    Args:
        channel: a stream socket to the server.
        limits: `frame_bytes`, `threads`, `load_s`, `start_s`, `self_check_s`, `stop_s`, `settle_s`.
        idle_scheduling: load at the lowest priority, so that requests elsewhere do not wait for it.

    Returns:
        the exit status.
    """
    if idle_scheduling:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # Made while there is time; no task of a plugin's can be on it before its module is imported.
    loop = asyncio.new_event_loop()
    log_to_output()
    warm_up(loop)
    decoder = FrameDecoder(limits["frame_bytes"])
    frames: list[tuple[bytes, bytes]] = []
    while not frames:
        data = channel.recv(256 * 1024)
        if not data:
            return 0
        frames = decoder.feed(data)
    header = json.loads(frames[0][0])
    worker = Worker(channel, decoder, limits, header, frames[0][1])
    status = worker.load(loop)
    if idle_scheduling:
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
        self._plugin: Any = None
        self._calls: Calls | None = None
        self._stopping = asyncio.Event()

    # -- loading -------------------------------------------------------------------------------------------------

    def load(self, loop: asyncio.AbstractEventLoop) -> int:
        """Import, check, configure, start and check the plugin, then say hello or what failed.

        Returns:
            0, or the exit status of a worker whose plugin did not load.
        """
        began = time.perf_counter()
        loop.set_task_factory(self._owned.factory)  # type: ignore[arg-type]  # typeshed asks for a generic callable
        try:
            manifest = self._prepare()
            loop.run_until_complete(self._begin())
        except StageFailed as failure:
            return self._report(self._describer.fault(failure.stage, failure.__cause__ or failure))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        load_ms = (time.perf_counter() - began) * 1000
        loaded = self._importer.imported()
        self._write(
            {"t": messages.HELLO, "protocol": messages.PROTOCOL, "load_ms": load_ms, "modules": loaded},
            to_json(manifest),
        )
        return 0

    def _prepare(self) -> dict[str, Any]:
        self._limit_stage("import", self._limits["load_s"])
        log = logging.getLogger(self._module_name)
        log.setLevel(logging.DEBUG)
        sys.meta_path.insert(0, self._importer)
        sys.dont_write_bytecode = True
        modules = sys.modules
        try:
            with self._no_silent_exit():
                module = import_module(self._module_name)
        except BaseException as error:  # sys.exit at import is a fault of the plugin like any other
            replaced = sys.modules is not modules or __name__ not in modules
            raise StageFailed("import") from (_modules_replaced() if replaced else error)
        finally:
            sys.modules = modules
        try:
            cls = contract.find_class(module, self._type)
            methods = contract.check_methods(cls, self._type)
            plugin = cls.__new__(cls)
            plugin.log = log
            plugin.data_dir = self._data_dir()
            plugin.config = {}
            plugin.__init__()  # type: ignore[misc]  # config, log and data_dir are there before it runs
            self._plugin = plugin
            manifest = contract.describe(plugin, self._type, methods)
            fields, json_schema = contract.schema_of(plugin)
        except BaseException as error:
            raise StageFailed("contract") from error
        try:
            config, missing = contract.effective_config(fields, json_schema, self._header["config"])
            plugin.set_config(config)
        except BaseException as error:
            raise StageFailed("config") from error
        return {
            **manifest,
            "config_schema": fields,
            "config_json_schema": json_schema,
            "config_missing": missing,
        }

    @contextlib.contextmanager
    def _no_silent_exit(self) -> Iterator[None]:
        """Have `os._exit` say where it was called, in this process and while the plugin is imported."""
        real_exit, pid = os._exit, os.getpid()

        def exit_with_report(status: int) -> NoReturn:
            if os.getpid() == pid:
                error = self._describer.stuck(
                    "import",
                    "exit_called",
                    f"插件在导入时调用了 os._exit({status})，请删除这一调用",
                    f"The plugin called os._exit({status}) while it was imported; remove that call",
                    sys._getframe(1),
                )
                self._report(error)
            real_exit(status)

        os._exit = exit_with_report
        try:
            yield
        finally:
            os._exit = real_exit

    def _data_dir(self) -> Path:
        folder = Path(self._header["data_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _begin(self) -> None:
        self._calls = Calls(
            self._plugin,
            self._write,
            self._describer.raised,
            self._owned,
            threads=self._limits["threads"],
            max_result=self._limits["frame_bytes"] - 64 * 1024,
        )
        for stage in ("start", "self_check"):
            if stage not in self._own_lifecycle():
                continue
            self._write({"t": messages.STAGE, "stage": stage}, b"")
            seconds = self._limits[f"{stage}_s"]
            self._limit_stage(stage, seconds)
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._calls.invoke(getattr(self._plugin, stage), {})
            except TimeoutError as error:
                raise StageFailed(stage) from ContractBroken(
                    f"{stage}_timeout",
                    f"{stage}() 在 {seconds:g} 秒内没有完成",
                    f"{stage}() did not finish within {seconds:g} s ({error or 'it was cancelled'})",
                )
            except BaseException as error:
                raise StageFailed(stage) from error
            if stage == "self_check" and answer is False:
                raise StageFailed(stage) from ContractBroken(
                    "self_check_failed", "self_check() 返回了 False", "self_check() returned False"
                )

    def _own_lifecycle(self) -> set[str]:
        base = contract.BASES[self._type]
        return {
            name
            for name in ("start", "self_check", "stop")
            if getattr(type(self._plugin), name, None) is not getattr(base, name)
        }

    def _limit_stage(self, stage: str, seconds: float) -> None:
        def on_alarm(_number: int, frame: FrameType | None) -> None:
            error = self._describer.stuck(
                stage,
                f"{stage}_timeout",
                f"{stage} 阶段在 {seconds:g} 秒内没有结束，请检查此处的循环或等待",
                f"The {stage} stage did not end within {seconds:g} s; look for a loop or a wait here",
                frame or main_thread_frame(),
            )
            # The plugin may be in a loop that swallows exceptions, so this does not raise one.
            os._exit(self._report(error))

        signal.signal(signal.SIGALRM, on_alarm)
        # An asynchronous stage that only waits is ended by its own timeout, which comes before this.
        signal.setitimer(signal.ITIMER_REAL, seconds + (0 if stage == "import" else _HEAD_START_SECONDS))

    def _report(self, error: dict[str, Any]) -> int:
        imports = named_imports(self._importer, self._module_name)
        self._write({"t": messages.FAILED, "imports": imports}, to_json(error))
        return LOAD_FAILED

    # -- serving -------------------------------------------------------------------------------------------------

    async def run(self, frames: list[tuple[bytes, bytes]]) -> int:
        """Serve calls until told to stop.

        Args:
            frames: what was read with the `load` message.

        Returns:
            the exit status.
        """
        assert self._calls is not None
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
        await self._stopping.wait()
        await self._calls.settle(self._limits["settle_s"])
        if "stop" in self._own_lifecycle():
            try:
                async with asyncio.timeout(self._limits["stop_s"]):
                    await self._calls.invoke(self._plugin.stop, {})
            except BaseException as error:
                self._plugin.log.error("stop() failed: %s", self._describer.traceback_of(error))
        self._write({"t": messages.STOPPED}, b"")
        return 0

    def receive(self, data: bytes) -> None:
        """Take what came from the server."""
        for header, body in self._decoder.feed(data):
            self.take(header, body)

    def take(self, raw: bytes, body: bytes) -> None:
        """Act on one message."""
        header = json.loads(raw)
        kind = header["t"]
        assert self._calls is not None
        if kind == messages.CALL:
            self._calls.begin(header["id"], header["method"], json.loads(body), header.get("credit", 0))
        elif kind == messages.CANCEL:
            self._calls.cancel(header["id"])
        elif kind == messages.CREDIT:
            self._calls.add_credit(header["id"], header["n"])
        elif kind == messages.DRAIN:
            for task in list(self._owned.begun_by_start):
                task.cancel()
        elif kind == messages.STOP:
            self._stopping.set()

    def lost(self) -> None:
        """The server is gone, or the plugin closed the channel."""
        os._exit(CHANNEL_LOST)

    def _write(self, header: dict[str, Any], body: bytes) -> None:
        frame = encode(json.dumps(header).encode(), body)
        if self._transport is not None:
            self._transport.write(frame)
            return
        try:
            self._channel.sendall(frame)
        except OSError:
            os._exit(CHANNEL_LOST)


def _modules_replaced() -> ContractBroken:
    return ContractBroken(
        "modules_replaced",
        "插件替换或清空了 sys.modules，之后的导入都无法进行；请删除这一操作",
        "The plugin replaced or emptied sys.modules, so that nothing can be imported any more; remove that",
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
