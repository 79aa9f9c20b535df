"""The conversation of a load with its worker: what that is told, what it answers, and what its silence means."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from service.errors import LoadFailed
from service.host.configuration.config_schema import fields_from_json_schema
from service.host.configuration.entries import plain
from service.host.files.sources import Snapshot
from service.host.generation import Generation, describe_exit
from service.host.plugin_limits import PluginLimits
from service.host.workers.channel import ChannelClosed
from service.host.workers.worker_messages import Failed, Hello
from service.host.workers.worker_messages import Stage as StageBegun
from service.host.workers.worker_process import WorkerProcess
from service.model.identity import is_valid_name
from service.model.plugin import LoadError, Manifest, Stage
from service.model.text import Text
from service.wire import messages
from service.worker.confinement.policy import Policy

# The worker keeps the limits itself and can say where the plugin stands; this is for one that cannot.
_GRACE_SECONDS = 1.5
# A load is of low priority only while it is short: a long one would starve beside busy plugins.
_LOW_PRIORITY_SECONDS = 0.015


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Seconds that the stages of a load may take."""

    load_s: float
    start_s: float
    self_check_s: float


class WorkerKilled(LoadFailed):
    """The worker was killed, and not by the server: with its template, for want of memory, or by somebody's hand.

    That need not be the plugin's doing, so another worker is worth a try.
    """


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """What the text of a plugin tells, see `service.worker.outline`; empty where it tells nothing."""

    name: str = ""
    version: str = ""
    description: str = ""
    methods: list[str] = []
    supported_protocols: list[str] | None = None


class Conversation:
    """See the module; one for all loads.

    Args:
        home: the server's home folder.
        limits: the deadlines.
        downloads_dir: where plugins download to.
        stall_s: see `service.worker.stalls`.
    """

    def __init__(self, home: Path, limits: LoadLimits, downloads_dir: Path, stall_s: float | None) -> None:
        self._home = home
        self._limits = limits
        self._downloads_dir = downloads_dir
        self._stall_s = stall_s

    def data_dir(self, plugin_type: str, short_name: str) -> Path:
        """The folder that is a plugin's own."""
        return self._home / "data" / "plugins" / plugin_type / short_name

    async def load(
        self,
        worker: WorkerProcess,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        number: int,
        site: Path | None,
        policy: Policy,
    ) -> tuple[Generation, list[str]]:
        """Have a worker load a plugin.

        Args:
            worker: it waits for a plugin and has its limits; ending it, should this fail, is the caller's.
            snapshot, config, number: as for `Loader.load`.
            site: the folder of what it depends on, where it declares anything.
            policy: what the plugin may do.

        Returns:
            the generation, and the third-party modules that it imported.

        Raises:
            LoadFailed: at which stage, where and why.
        """
        began = time.perf_counter()
        worker.channel.send(*self._load_message(snapshot, config, number, site, policy, worker.limits))
        loop = asyncio.get_running_loop()
        boost = loop.call_later(_LOW_PRIORITY_SECONDS, worker.set_normal_priority)
        stage = Stage.IMPORT
        stages: dict[Stage, float] = {}
        try:
            while True:
                seconds = getattr(self._limits, _LIMIT_OF[stage])
                async with asyncio.timeout(seconds + _GRACE_SECONDS):
                    message, body = await worker.channel.loading()
                stages[stage] = (time.perf_counter() - began) * 1000 - sum(stages.values())
                if isinstance(message, StageBegun):
                    if message.stage not in _LIMIT_OF or message.stage == stage:
                        raise ValueError(f"stage {message.stage}")
                    stage = Stage(message.stage)
                elif isinstance(message, Failed):
                    raise LoadFailed(_reported(body, number)) from _Imports(message.imports)
                else:
                    manifest = _manifest(snapshot, message, body)
                    load_ms = (time.perf_counter() - began) * 1000
                    generation = Generation(number, snapshot, manifest, worker, load_ms)
                    generation.stage_ms = stages
                    generation.config = config
                    generation.imports = frozenset(worker.channel.imports or message.modules)
                    return generation, message.third_party
        except TimeoutError:
            raise load_failed(
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
            failure = load_failed(
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
            )
            if closed.ended_for is None and not worker.closed_its_channel and _was_killed(closed.status):
                failure = WorkerKilled(failure.error)
            raise failure from None
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise load_failed(
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
            # A user who is not root cannot do it for itself.
            worker.set_normal_priority()

    async def outline(self, worker: WorkerProcess, snapshot: Snapshot) -> Outline:
        """Have a worker tell what a plugin says of itself, as far as its text does; nothing of it is run.

        Raises:
            LoadFailed: it cannot be parsed.
        """
        boost = asyncio.get_running_loop().call_later(_LOW_PRIORITY_SECONDS, worker.set_normal_priority)
        try:
            header, body = self._load_message(snapshot, {}, 0, None, Policy(network=False))
            worker.channel.send({**header, "outline": True}, body)
            async with asyncio.timeout(self._limits.load_s + _GRACE_SECONDS):
                message, told = await worker.channel.loading()
            if isinstance(message, Failed):
                raise LoadFailed(_reported(told, None))
            return msgspec.json.decode(told, type=Outline)
        except (TimeoutError, ChannelClosed, msgspec.MsgspecError):
            # A text that is made to be hard to parse tells nothing.
            return Outline()
        finally:
            boost.cancel()

    def _load_message(
        self,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        number: int,
        site: Path | None,
        policy: Policy,
        limits: PluginLimits | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        unit = snapshot.unit
        root = self._home / "plugins"
        header = {
            "t": messages.LOAD,
            "protocol": messages.PROTOCOL,
            "type": unit.type.value,
            "module": unit.module,
            "file": str(root / unit.main_file),
            "root": str(root),
            "home": str(self._home),
            "generation": number,
            "policy": policy.to_json(),
            "limits": _told(limits),
            "site": str(site) if site is not None else None,
            "config": plain(config),
            "data_dir": str(self.data_dir(unit.type.value, unit.short_name)),
            "downloads_dir": str(self._downloads_dir),
            "stall_s": self._stall_s,
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


def _told(limits: PluginLimits | None) -> dict[str, Any]:
    """What a worker is told of the limits of its plugin, over what it was told of all."""
    if limits is None:
        return {}
    return {
        "memory_bytes": limits.memory_bytes,
        "open_files": limits.open_files,
        "settle_s": limits.call_s,
    }


def _was_killed(status: int | None) -> bool:
    """Whether a wait status is that of a process that somebody killed; of one lost with its template there is none."""
    return status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL)


def load_failed(snapshot: Snapshot, number: int, stage: Stage, code: str, text: Text) -> LoadFailed:
    """The error of a load of which only the server can say what became of it."""
    return LoadFailed(
        LoadError.of_server(stage, code, text, file=f"plugins/{snapshot.unit.main_file}", generation=number)
    )


class EndedAtOnce(LoadFailed):
    """A process that had loaded its plugin ended before that served; nothing was changed."""


async def ended_at_once(generation: Generation) -> EndedAtOnce:
    """The error of a generation whose process has ended, when it is known how."""
    await generation.end()
    worker = generation.worker
    how = describe_exit(worker.exited.result() if worker.exited.done() else None, worker.ended_for)
    failed = load_failed(
        generation.snapshot,
        generation.number,
        Stage.START,
        "worker_exited",
        Text(
            zh=f"插件加载后，其进程随即结束（{how.zh}）：请检查 start() 开始的任务和线程，以及 os._exit，"
            "详情见插件日志",
            en=f"The plugin's process ended as soon as it had loaded ({how.en}): look at the tasks and threads that "
            "its start() began, and for os._exit; its log may say more",
        ),
    )
    return EndedAtOnce(failed.error)


def imports_of(failure: LoadFailed) -> frozenset[str] | None:
    """The plugin-side modules that a failed load named, as far as the worker came to say so."""
    return failure.__cause__.modules if isinstance(failure.__cause__, _Imports) else None


_LIMIT_OF = {Stage.IMPORT: "load_s", Stage.START: "start_s", Stage.SELF_CHECK: "self_check_s"}


class _Imports(Exception):
    """Carries the modules that a failed load named, for `imports_of`."""

    def __init__(self, modules: list[str]) -> None:
        super().__init__()
        self.modules = frozenset(modules)


def _manifest(snapshot: Snapshot, hello: Hello, body: bytes) -> Manifest:
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


def _reported(body: bytes, number: int | None) -> LoadError:
    error = msgspec.json.decode(body, type=LoadError)
    return msgspec.structs.replace(error, generation=number)
