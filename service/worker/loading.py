"""Loading a plugin inside its worker: import, contract, configuration, start and self-check, each with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from service.wire import messages
from service.worker import contract, site_folder
from service.worker.calling import Calls, OwnedTasks, Send, to_json
from service.worker.compat import stand_ins
from service.worker.faults import ContractBroken, Describer, main_thread_frame
from service.worker.modules import SnapshotImporter, quote

# Taken now: what a plugin imports may put others in their place.
_set_handler, _set_timer = signal.signal, signal.setitimer
# A stage that only waits is ended by its own timeout; the alarm is for one that does not let go of the thread.
_HEAD_START_SECONDS = 0.5


class StageFailed(Exception):
    """The load failed at a stage; `__cause__` says why."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


class Loading:
    """One load.

    Args:
        header: of the `load` message.
        limits: as for `service.worker.runtime.serve`.
        importer: the plugin's code.
        describer: describes what goes wrong.
        owned: who began which task.
        send: puts a message on the wire.
        report: tells the server that the load failed, and gives the exit status for that.

    Attributes:
        stage: where it is.
        plugin: the instance, once there is one.
        calls: its calls, once it has started.
    """

    def __init__(
        self,
        header: dict[str, Any],
        limits: dict[str, Any],
        importer: SnapshotImporter,
        describer: Describer,
        owned: OwnedTasks,
        *,
        send: Send,
        report: Callable[[dict[str, Any]], int],
    ) -> None:
        self._header = header
        self._limits = limits
        self._type: str = header["type"]
        self._module_name: str = header["module"]
        self._importer = importer
        self._describer = describer
        self._owned = owned
        self._send = send
        self._report = report
        self._config: dict[str, Any] = {}
        self._methods: list[str] = []
        self.stage = "import"
        self.plugin: Any = None
        self.calls: Calls | None = None

    def run(self, loop: asyncio.AbstractEventLoop) -> bytes:
        """Go through all stages.

        Returns:
            the plugin's manifest, as JSON.

        Raises:
            StageFailed
        """
        try:
            if stand_ins.install(self._importer.sources_of(self._module_name)):
                # The original imported and made its plugins while its loop ran: some begin tasks there.
                manifest = loop.run_until_complete(self._prepare_on_the_loop())
            else:
                manifest = self._prepare()
            loop.run_until_complete(self._begin())
        finally:
            _set_timer(signal.ITIMER_REAL, 0)
        return manifest

    def overrides(self, name: str) -> bool:
        """Whether the plugin has a method of its own where the base class has one that does nothing."""
        return name in self._methods

    async def _prepare_on_the_loop(self) -> bytes:
        return self._prepare()

    def _prepare(self) -> bytes:
        self._limit_stage("import", self._limits["load_s"])
        log = logging.getLogger(self._module_name)
        log.setLevel(logging.DEBUG)
        sys.meta_path.insert(0, self._importer)
        quote(self._importer)
        modules = sys.modules
        try:
            with self._no_silent_exit():
                if (site := self._header.get("site")) is not None:
                    site_folder.activate(site)
                module = import_module(self._module_name)
        except BaseException as error:  # sys.exit at import is a fault of the plugin like any other
            replaced = sys.modules is not modules or __name__ not in modules
            raise StageFailed("import") from (_modules_replaced() if replaced else error)
        finally:
            sys.modules = modules
        try:
            cls = contract.find_class(module, self._type)
            methods = self._methods = contract.check_methods(cls, self._type)
            plugin = cls.__new__(cls)
            given = {
                "log": log,
                "data_dir": self._data_dir(),
                "downloads_dir": Path(self._header["downloads_dir"]),
                "config": {},
            }
            for name, value in given.items():
                if not hasattr(cls, name):  # a class that has its own means its own
                    setattr(plugin, name, value)
            plugin.__init__()  # type: ignore[misc]  # what it is given is there before it runs
            self.plugin = plugin
            manifest = contract.describe(plugin, self._type, methods)
            fields, json_schema = contract.schema_of(plugin)
        except BaseException as error:
            raise StageFailed("contract") from error
        try:
            config, missing = contract.effective_config(fields, json_schema, self._header["config"])
            self._config = config
        except BaseException as error:
            raise StageFailed("config") from error
        schema = {"config_schema": fields, "config_json_schema": json_schema, "config_missing": missing}
        try:
            return _encoded({**manifest, **schema}, contract.line_of_schema(plugin))
        except BaseException as error:
            raise StageFailed("contract") from error

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
        # To ask for one that is there already may wait for a slow disk, or be refused by a read-only one.
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _begin(self) -> None:
        self.calls = Calls(
            self.plugin,
            self._send,
            self._describer.raised,
            self._owned,
            threads=self._limits["threads"],
            max_result=self._limits["frame_bytes"] - 64 * 1024,
        )
        try:
            taken = self.plugin.set_config(self._config)
            if inspect.isawaitable(taken):
                await taken
        except BaseException as error:
            raise StageFailed("config") from error
        for stage in ("start", "self_check"):
            if not self.overrides(stage):
                continue
            self._send({"t": messages.STAGE, "stage": stage}, b"")
            seconds = self._limits[f"{stage}_s"]
            self._limit_stage(stage, seconds)
            try:
                async with asyncio.timeout(seconds):
                    answer = await self.calls.invoke(getattr(self.plugin, stage), {})
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
        self.calls.begin_counting_threads()

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

        self.stage = stage
        _set_handler(signal.SIGALRM, on_alarm)
        # An asynchronous stage that only waits is ended by its own timeout, which comes before this.
        _set_timer(signal.ITIMER_REAL, seconds + (0 if stage == "import" else _HEAD_START_SECONDS))


def _encoded(manifest: dict[str, Any], line: int | None) -> bytes:
    """The manifest as JSON; `line` is that of its schema.

    Raises:
        ContractBroken: it is none, as a schema may hold anything, or is too large.
    """
    try:
        encoded = to_json(manifest)
    except Exception as error:
        raise ContractBroken(
            "schema_invalid",
            f"配置 schema 无法写成 JSON：{error}；请只用文本、有限的数字、列表和以文本为键的字典",
            f"The configuration schema cannot be written as JSON: {error}; use texts, finite numbers, lists, and "
            "dictionaries whose keys are texts",
            line,
        ) from None
    if len(encoded) > messages.MANIFEST_MAX_BYTES:
        limit = messages.MANIFEST_MAX_BYTES // 1024
        raise ContractBroken(
            "manifest_invalid",
            f"插件对自身的描述有 {len(encoded)} 字节，超过 {limit} KiB；请缩短 version、description 或配置 schema",
            f"What the plugin says of itself has {len(encoded)} bytes, more than {limit} KiB; shorten its version, "
            "description or configuration schema",
        )
    return encoded


def _modules_replaced() -> ContractBroken:
    return ContractBroken(
        "modules_replaced",
        "插件替换或清空了 sys.modules，之后的导入都无法进行；请删除这一操作",
        "The plugin replaced or emptied sys.modules, so that nothing can be imported any more; remove that",
    )
