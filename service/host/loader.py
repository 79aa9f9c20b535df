"""Loading: a snapshot and its configuration in, a ready generation out. Knows nothing of what else runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from service.errors import LoadFailed
from service.host.configuration.config_schema import fields_from_json_schema
from service.host.dependencies import declaration
from service.host.files.flaws import describe_flaw
from service.host.files.sources import Snapshot, SourceFlawed
from service.host.generation import END_SECONDS, Generation, describe_exit
from service.host.workers.channel import ChannelClosed
from service.host.workers.processes import Nursery
from service.host.workers.worker_messages import Failed, Hello
from service.host.workers.worker_messages import Stage as StageBegun
from service.host.workers.worker_process import WorkerProcess
from service.model.identity import is_valid_name
from service.model.plugin import LoadError, Manifest, Stage
from service.model.text import Text
from service.wire import messages

# The worker keeps the limits itself and can say where the plugin stands; this is for one that cannot.
_GRACE_SECONDS = 1.5
# A load is of low priority only while it is short: a long one would starve beside busy plugins.
_LOW_PRIORITY_SECONDS = 0.015
_LONG_LOAD_SECONDS = 1.0
_PARALLEL_LOADS = 8


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Seconds that the stages of a load may take."""

    load_s: float
    start_s: float
    self_check_s: float


class Loader:
    """Loads plugins into workers.

    Args:
        nursery: gives the workers.
        home: the server's home folder.
        limits: the deadlines.
        downloads_dir: where plugins download to.
    """

    def __init__(self, nursery: Nursery, home: Path, limits: LoadLimits, downloads_dir: Path) -> None:
        self._nursery = nursery
        self._home = home
        self._downloads_dir = downloads_dir
        self._limits = limits
        self._places = asyncio.Semaphore(_PARALLEL_LOADS)

    @property
    def plugins_dir(self) -> Path:
        """The plugin folder."""
        return self._home / "plugins"

    def data_dir(self, plugin_type: str, short_name: str) -> Path:
        """The folder that is a plugin's own."""
        return self._home / "data" / "plugins" / plugin_type / short_name

    async def load(
        self,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        number: int,
        on_output: Callable[[bytes], None],
    ) -> Generation:
        """Load one generation; on any failure nothing of it is left.

        Args:
            snapshot: the code.
            config: the stored configuration.
            number: the generation's number.
            on_output: takes what it prints.

        Raises:
            LoadFailed: at which stage, where and why.
        """
        asked = await self._check_dependencies(snapshot, number)
        async with _Place(self._places):
            try:
                worker = await self._nursery.acquire()
            except OSError as error:  # no descriptors, no processes, or nothing in time
                raise self._failed(
                    snapshot,
                    number,
                    Stage.IMPORT,
                    "worker_unavailable",
                    Text(
                        zh=f"无法启动插件进程（{error}），请检查内存与进程数上限",
                        en=f"No worker process could be started ({error}); check memory and process limits",
                    ),
                ) from error
            worker.send_output_to(on_output)
            try:
                generation = await self._load_in(worker, snapshot, config, number)
                generation.asked = asked
                return generation
            except LoadFailed:
                worker.kill()
                # What it held, a port or a lock, shall be free for whoever comes next.
                await asyncio.wait((worker.exited,), timeout=END_SECONDS)
                raise
            except BaseException:
                worker.kill()
                raise

    async def _check_dependencies(self, snapshot: Snapshot, number: int) -> dict[str, Any] | None:
        """Whether all that the plugin declares is there; and what it asks for."""
        if b"# /// script" not in snapshot.source and snapshot.requirements is None:
            return None
        file = f"plugins/{snapshot.unit.main_file}"
        declared = await asyncio.to_thread(
            declaration.declared,
            snapshot.source,
            snapshot.requirements,
            file=file,
            requirements_file=f"plugins/{snapshot.requirements_path}",
            generation=number,
        )
        await asyncio.to_thread(declaration.require_satisfied, declared, file=file, generation=number)
        return declared.plugbay

    async def _load_in(
        self, worker: WorkerProcess, snapshot: Snapshot, config: Mapping[str, Any], number: int
    ) -> Generation:
        began = time.perf_counter()
        worker.channel.send(*self._load_message(snapshot, config, number))
        loop = asyncio.get_running_loop()
        boost = loop.call_later(_LOW_PRIORITY_SECONDS, worker.set_normal_priority)
        stage = Stage.IMPORT
        try:
            while True:
                seconds = getattr(self._limits, _LIMIT_OF[stage])
                async with asyncio.timeout(seconds + _GRACE_SECONDS):
                    message, body = await worker.channel.loading()
                if isinstance(message, StageBegun):
                    if message.stage not in _LIMIT_OF or message.stage == stage:
                        raise ValueError(f"stage {message.stage}")
                    stage = Stage(message.stage)
                elif isinstance(message, Failed):
                    raise LoadFailed(self._reported(body, number)) from _Imports(message.imports)
                else:
                    manifest = self._manifest(snapshot, message, body)
                    load_ms = (time.perf_counter() - began) * 1000
                    generation = Generation(number, snapshot, manifest, worker, load_ms)
                    generation.imports = frozenset(worker.channel.imports or message.modules)
                    return generation
        except TimeoutError:
            raise self._failed(
                snapshot,
                number,
                stage,
                f"{stage}_timeout",
                Text(
                    zh=f"{stage} 阶段在 {seconds:g} 秒内没有结束",
                    en=f"The {stage} stage did not end within {seconds:g} s",
                ),
            ) from None
        except ChannelClosed as closed:
            how = describe_exit(closed.status, closed.ended_for)
            if worker.closed_its_channel or closed.status == messages.CHANNEL_LOST << 8:
                how = Text(zh="它关闭了与服务器的连接", en="it closed its connection to the server")
            raise self._failed(
                snapshot,
                number,
                stage,
                "worker_exited",
                Text(
                    zh=f"插件进程在 {stage} 阶段结束（{how.zh}）：请检查 os._exit、关闭描述符、内存用量或原生扩展，"
                    "详情见插件日志",
                    en=f"The plugin's process ended at the {stage} stage ({how.en}): look for os._exit, closed "
                    "descriptors, memory use or a native extension; its log may say more",
                ),
            ) from None
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self._failed(
                snapshot,
                number,
                stage,
                "manifest_invalid",
                Text(
                    zh=f"插件给出的描述不可用：{error}",
                    en=f"What the plugin says of itself cannot be used: {error}",
                ),
            ) from error
        finally:
            boost.cancel()

    def _load_message(
        self, snapshot: Snapshot, config: Mapping[str, Any], number: int
    ) -> tuple[dict[str, Any], bytes]:
        unit = snapshot.unit
        root = self.plugins_dir
        header = {
            "t": messages.LOAD,
            "protocol": messages.PROTOCOL,
            "type": unit.type.value,
            "module": unit.module,
            "file": str(root / unit.main_file),
            "root": str(root),
            "home": str(self._home),
            "generation": number,
            "config": {key: value for key, value in config.items() if not key.startswith("_")},
            "data_dir": str(self.data_dir(unit.type.value, unit.short_name)),
            "downloads_dir": str(self._downloads_dir),
            "modules": [
                {
                    "name": one.name,
                    "path": str(root / one.path),
                    "package": one.is_package,
                    "size": len(one.content),
                }
                for one in snapshot.modules
            ],
        }
        return header, b"".join(one.content for one in snapshot.modules)

    def _manifest(self, snapshot: Snapshot, hello: Hello, body: bytes) -> Manifest:
        if hello.protocol != messages.PROTOCOL:
            raise ValueError(f"protocol {hello.protocol} instead of {messages.PROTOCOL}")
        manifest = msgspec.json.decode(body, type=Manifest)
        if manifest.type is not snapshot.unit.type:
            raise ValueError(f"type {manifest.type}")
        if not is_valid_name(manifest.name):
            raise ValueError(f"name {manifest.name[:80]!r}")
        if manifest.config_json_schema is not None:
            fields = fields_from_json_schema(manifest.config_json_schema)
            manifest = msgspec.structs.replace(manifest, config_schema=fields)
        return manifest

    def _reported(self, body: bytes, number: int) -> LoadError:
        error = msgspec.json.decode(body, type=LoadError)
        return msgspec.structs.replace(error, generation=number)

    def _failed(self, snapshot: Snapshot, number: int, stage: Stage, code: str, text: Text) -> LoadFailed:
        return LoadFailed(
            LoadError(
                stage=stage,
                code=code,
                type="",
                message=text.zh,
                file=f"plugins/{snapshot.unit.main_file}",
                line=None,
                column=None,
                traceback=None,
                generation=number,
                messages=text,
            )
        )


_LIMIT_OF = {Stage.IMPORT: "load_s", Stage.START: "start_s", Stage.SELF_CHECK: "self_check_s"}


class _Imports(Exception):
    """Carries the modules that a failed load named, for `imports_of`."""

    def __init__(self, modules: list[str]) -> None:
        super().__init__()
        self.modules = frozenset(modules)


def imports_of(failure: LoadFailed) -> frozenset[str] | None:
    """The plugin-side modules that a failed load named, as far as the worker came to say so."""
    return failure.__cause__.modules if isinstance(failure.__cause__, _Imports) else None


def flawed(flaw: SourceFlawed, number: int, max_bytes: int) -> LoadFailed:
    """The error of a plugin whose path holds no text that could be loaded."""
    text = describe_flaw(flaw, max_bytes)
    return LoadFailed(
        LoadError(
            stage=Stage.IMPORT,
            code=f"file_{flaw.flaw.value}",
            type="",
            message=text.zh,
            file=f"plugins/{flaw.unit.path}",
            line=None,
            column=None,
            traceback=None,
            generation=number,
            messages=text,
        )
    )


class _Place:
    """One of the places for loads at the same time, given up early by a load that takes long.

    A plugin that hangs must not keep others from loading.
    """

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False

    async def __aenter__(self) -> None:
        await self._places.acquire()
        self._held = True
        self._timer = asyncio.get_running_loop().call_later(_LONG_LOAD_SECONDS, self._give_up)

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        self._give_up()

    def _give_up(self) -> None:
        if self._held:
            self._held = False
            self._places.release()
