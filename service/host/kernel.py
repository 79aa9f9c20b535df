"""The parts that make files run, put together: eyes, watcher, reconciler, loader, workers.

watcher ─► eyes ─► reconciler ─► loader ─► templates
                        │
                        └─► registry, retirement
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from service.host.configuration.config_store import ConfigStore
from service.host.dependencies.environments import Environments
from service.host.files.eyes import Eyes
from service.host.files.sources import Snapshot, SourceFile, source_file
from service.host.files.tree import SourceTree
from service.host.files.watcher import Watcher
from service.host.history.history import History
from service.host.history.record import RevisionRecord
from service.host.loader import Loader, LoadLimits
from service.host.operations import Operations
from service.host.plugin import Plugin
from service.host.plugin_limits import LimitsOfPlugins
from service.host.plugin_logs import LogRecord, PluginLogs
from service.host.reconciling.reconciler import Reconciler, ReconcilerLimits
from service.host.reconciling.retirement import Retirement
from service.host.registry import Registry
from service.host.store import Store
from service.host.workers.census import Census
from service.host.workers.output import OutputLines
from service.host.workers.processes import Nursery
from service.host.workers.sandbox import Sandbox
from service.host.workers.templates import Templates
from service.host.workers.weights import Weights
from service.live.event_log import EventLog
from service.model.events import LogLine
from service.model.plugin import Origin
from service.model.states import GenerationState
from service.model.text import Text

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
_LAST_WORDS_SECONDS = 2.0
_REREAD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class KernelLimits:
    """What the kernel is given of the settings."""

    load: LoadLimits
    reconciler: ReconcilerLimits
    worker: dict[str, Any]
    plugins: LimitsOfPlugins
    downloads_dir: Path
    dependencies_s: float
    allow_builds: bool
    frame_bytes: int
    plugin_file_bytes: int
    call_s: float
    stop_s: float
    scan_s: float
    spares: int


class Kernel:
    """Builds the parts and starts and ends them together.

    Args:
        home: the home folder.
        events: where changes are published.
        config: the stored configuration.
        store: what is remembered of plugins.
        history: what served, and what was changed.
        logs: takes what plugins print.
        limits: from the settings.
        sandbox: what plugins may do.
        bundled: by file relative to home, where the original of a bundled plugin lies, to know its copy by.
    """

    def __init__(
        self,
        home: Path,
        *,
        events: EventLog,
        config: ConfigStore,
        store: Store,
        history: History,
        logs: PluginLogs,
        limits: KernelLimits,
        sandbox: Sandbox,
        bundled: Mapping[str, Path] | None = None,
    ) -> None:
        self._events = events
        self._config = config
        self._store = store
        self._logs = logs
        self._limits = limits
        self.limits_of_plugins = limits.plugins
        self._bundled = dict(bundled or {})
        self._bundled_origins: dict[str, Origin] = {}
        self.workers_problem: Text | None = Text(zh="正在启动", en="starting")
        self.tree = SourceTree()
        self.registry = Registry(events, call_s=limits.call_s)
        self.templates = Templates(
            Nursery(
                limits.worker,
                spares=limits.spares,
                frame_bytes=limits.frame_bytes,
                ground=sandbox.ground,
            )
        )
        self.census = Census(self.templates.workers, limits.plugins)
        self.weights = Weights(self.templates.workers, self.census.below, limits.plugins.usual)
        self.environments = Environments(
            home / "data" / "envs",
            timeout_s=limits.dependencies_s,
            allow_builds=limits.allow_builds,
            on_removed=self._forget_template,
            ground=sandbox.ground,
        )
        self.loader = Loader(
            self.templates,
            self.environments,
            home,
            limits.load,
            limits.downloads_dir,
            sandbox,
            limits.plugins,
            is_bundled=self._is_bundled,
        )
        self.retirement = Retirement(events, limits.plugins, stop_s=limits.stop_s)
        self.reconciler = Reconciler(
            self.registry,
            self.tree,
            self.loader,
            self.retirement,
            config,
            output=self.output,
            remember=store.remember_manifest,
            record=RevisionRecord(history.revisions, self.tree),
            limits=limits.reconciler,
        )
        self._loop = asyncio.get_running_loop()
        self.eyes = Eyes(self.loader.plugins_dir, limits.plugin_file_bytes, self._report)
        self.watcher = Watcher(
            self.eyes, home / "config" / "plugins.json", self._config_changed, scan_s=limits.scan_s
        )
        self.operations = Operations(
            self.registry,
            self.reconciler,
            self.tree,
            self.eyes,
            self.loader,
            config,
            history,
            events,
            tell_files=self.tell_files,
        )
        self._rereading: asyncio.Task[None] | None = None
        self._reread_again = False
        self._closing = False

    async def start(self) -> None:
        """Start the workers' template, look at the files and watch them."""
        self.census.start()
        self.weights.start()
        try:
            await self.environments.start()
            await asyncio.to_thread(_make, self._limits.downloads_dir)
            bundled = self._bundled_origins = await asyncio.to_thread(_origins_of, self._bundled)
            self.reconciler.know(await self._store.manifests(), {**bundled, **await self._store.origins()})
            await asyncio.gather(self.templates.start(), self._look())
            self.workers_problem = None
            await self.reconciler.first_round()
            self.environments.settled()
        except (OSError, TimeoutError) as error:
            self.workers_problem = Text(
                zh=f"插件进程无法启动：{error}", en=f"Workers cannot be started: {error}"
            )
            log.error("kernel.start_failed", reason=str(error))

    def _is_bundled(self, snapshot: Snapshot) -> bool:
        origin = self._bundled_origins.get(f"plugins/{snapshot.unit.path}")
        return origin is not None and origin.sha256 == snapshot.sha256

    async def _look(self) -> None:
        await self.watcher.start()
        self.reconciler.begin()
        if self._config.is_unread:
            self._config_changed()

    async def close(self, seconds: float) -> None:
        """Stop every plugin, politely for so many seconds; calling it twice is safe."""
        self._closing = True
        await self.watcher.close()
        if self._rereading is not None:
            self._rereading.cancel()
            await asyncio.gather(self._rereading, return_exceptions=True)
        await self.reconciler.close()
        for plugin in self.registry.all():
            generation = self.registry.retire(plugin)
            if generation is not None and generation.state is GenerationState.DRAINING:
                self.retirement.begin(plugin, generation)
        await self.retirement.close(max(0.0, seconds - _LAST_WORDS_SECONDS))
        await self.operations.close()
        await self.environments.close()
        await self.templates.close()
        await self.census.close()
        await self.weights.close()

    def tell_files(self, files: Mapping[str, bytes | None]) -> None:
        """Have the tree know what files are about to hold, so that their appearing is no news to the watcher."""
        for path, content in files.items():
            self.tree.apply(path, None if content is None else source_file(content))

    async def _forget_template(self, site: Path) -> None:
        self.templates.forget(site)

    def output(self, plugin: Plugin, number: int) -> Callable[[bytes], None]:
        """What takes the output of one generation."""
        key = (plugin.unit.type.value, plugin.unit.stem)
        lines = OutputLines(
            self.limits_of_plugins.most.line_bytes,
            lambda level, line, request: self._logs.append(key, number, level, line, request),
        )
        return lines.feed

    def announce_log(self, key: tuple[str, str], record: LogRecord) -> None:
        """Tell clients of a line in a plugin's log."""
        if (plugin := self._plugin_of_log(key)) is not None:
            self._events.publish(
                LogLine(
                    id=str(plugin.identity),
                    at=record.at,
                    level=record.level,
                    generation=record.generation,
                    message=record.message,
                    request=record.request,
                )
            )

    def log_bounds(self, key: tuple[str, str]) -> tuple[int, int]:
        """How many bytes a plugin's log may have, and one line of it."""
        plugin, limits = self._plugin_of_log(key), self.limits_of_plugins
        bounds = limits.of(plugin.identity) if plugin is not None else limits.usual
        return bounds.log_bytes, bounds.line_bytes

    def _plugin_of_log(self, key: tuple[str, str]) -> Plugin | None:
        type_, stem = key
        return self.registry.at(f"{type_}/{stem}.py") or self.registry.at(f"{type_}/{stem}")

    def _report(self, seen: list[tuple[str, SourceFile | None]]) -> None:
        self._loop.call_soon_threadsafe(self.reconciler.observe, seen)

    def _config_changed(self) -> None:
        """The configuration file may have changed; one rereading at a time, and one more if it comes meanwhile."""
        if self._closing:
            return
        self._reread_again = True
        if self._rereading is None or self._rereading.done():
            self._rereading = asyncio.create_task(self._reread(), name="reread configuration")

    async def _reread(self) -> None:
        while self._reread_again:
            self._reread_again = False
            changed = await self._config.reread()
            if changed:
                await self.operations.apply_config(changed)
        if self._config.is_unread:
            self._loop.call_later(_REREAD_SECONDS, self._config_changed)


def _make(folder: Path) -> None:
    """Have a folder be there; where it cannot be made, what wants to write into it says so better."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("kernel.folder_not_made", folder=str(folder), reason=str(error))


def _origins_of(bundled: Mapping[str, Path]) -> dict[str, Origin]:
    return {
        file: Origin(kind="bundled", sha256=hashlib.sha256(original.read_bytes()).hexdigest())
        for file, original in bundled.items()
        if original.is_file()
    }
