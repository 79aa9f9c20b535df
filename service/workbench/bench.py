"""The parts of a server that load plugins, put together without the server, in a home that is thrown away.

    files ─► eyes ─► tree ─► snapshot ─► environments ─► loader ─► worker

Nothing is written beside the plugin: its data, its downloads and what it depends on go into a temporary folder. Only
the cache of uv outlives it, so that what was fetched once need not be fetched again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from service.host.dependencies import declaration
from service.host.dependencies.declaration import Declared
from service.host.dependencies.environments import Environments
from service.host.dependencies.installed import Finding
from service.host.dependencies.leases import Lease
from service.host.files.eyes import Eyes
from service.host.files.sources import REQUIREMENTS_SUFFIX, ROOT_PACKAGE, Snapshot, SourceFile, SourceFlawed
from service.host.files.tree import SourceTree
from service.host.generation import Generation
from service.host.loader import Loader, LoadLimits, flawed
from service.host.workers.calls_in_flight import Running
from service.host.workers.ground import ground_of
from service.host.workers.processes import Nursery
from service.host.workers.sandbox import Sandbox
from service.host.workers.templates import Templates
from service.limiting import limits_of_plugins, worker_limits
from service.model.events import InstallProgress
from service.settings import Settings
from service.workbench.targets import Target
from service.worker.confinement.report import probe

_PREFIX = "plugbay-check-"
_STALL_SECONDS = 0.1
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Home:
    """A throw-away home around one plugin folder.

    Attributes:
        folder: of the home; `plugins` in it leads to the real files.
        tree: the plugin folder as it was read.
        loader: loads from it.
    """

    folder: Path
    tree: SourceTree
    loader: Loader

    @property
    def plugins(self) -> Path:
        """The plugin folder, as workers are told of it."""
        return self.folder / ROOT_PACKAGE

    @property
    def downloads(self) -> Path:
        """Where plugins download to."""
        return self.folder / "downloads"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a plugin depends on, ready: `lease` is None where the server's environment has it all."""

    declared: Declared
    lease: Lease | None
    satisfied: list[Finding]


class Bench:
    """Use it as an async context manager: on leaving, every worker is gone, and all files with it.

    Args:
        settings: limits as a server has them.
        folder: where its own folder is made; that for temporary files where it is not given.
    """

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        self.limits = settings.limits
        self._settings = settings
        self._parent = folder
        self._homes = 0

    async def __aenter__(self) -> Self:
        self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, None, _PREFIX, self._parent))
        dependencies = self._settings.dependencies
        worker = worker_limits(self._settings)
        report = await asyncio.to_thread(probe)
        self._report, self._ground = report, await asyncio.to_thread(ground_of, report, self._folder)
        self._templates = Templates(
            Nursery(worker, spares=1, frame_bytes=worker["frame_bytes"], ground=self._ground)
        )
        self._environments = Environments(
            self._folder / "envs",
            timeout_s=dependencies.timeout_s,
            allow_builds=dependencies.allow_builds,
            ground=self._ground,
        )
        try:
            await self._environments.start()
            await self._templates.start()
            self._environments.settled()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.shield(self._close())

    async def _close(self) -> None:
        await self._environments.close()
        await self._templates.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def home(self, target: Target) -> Home:
        """A home for a plugin, with the files as they are now. Give it back with `discard`."""
        self._homes += 1
        folder = self._folder / f"home-{self._homes}"
        tree = SourceTree()
        await asyncio.to_thread(self._fill, folder, target, tree)
        load = LoadLimits(self.limits.load_s, self.limits.start_s, self.limits.self_check_s)
        loader = Loader(
            self._templates,
            self._environments,
            folder,
            load,
            folder / "downloads",
            Sandbox(folder, folder / "downloads", self._report, self._ground),
            limits_of_plugins(self._settings),
            stall_s=_STALL_SECONDS,
        )
        return Home(folder, tree, loader)

    async def discard(self, home: Home) -> None:
        """Throw a home away."""
        await asyncio.to_thread(shutil.rmtree, home.folder, ignore_errors=True)

    def snapshot(self, home: Home, target: Target) -> Snapshot:
        """The plugin's code.

        Raises:
            LoadFailed: its path holds no text that could be loaded.
        """
        try:
            return home.tree.snapshot(target.unit)
        except SourceFlawed as flaw:
            raise flawed(flaw, 1, self._file_bytes) from None

    async def depend(
        self, snapshot: Snapshot, on_progress: Callable[[InstallProgress], None] = lambda progress: None
    ) -> Dependencies:
        """Resolve and install what a plugin declares; the lease, if any, is the caller's to release.

        Raises:
            LoadFailed: at stage `dependencies`.
        """
        file = f"{ROOT_PACKAGE}/{snapshot.unit.main_file}"
        declared = await asyncio.to_thread(
            declaration.declared,
            snapshot.source,
            snapshot.requirements,
            file=file,
            requirements_file=f"{ROOT_PACKAGE}/{snapshot.requirements_path}",
        )
        lease = await self._environments.acquire(
            declared, user=str(snapshot.unit.short_name), file=file, on_progress=on_progress
        )
        findings = await asyncio.to_thread(declaration.examine, declared) if lease is None else []
        return Dependencies(declared, lease, [one for one in findings if one.name != "python"])

    async def load(
        self,
        home: Home,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        on_output: Callable[[bytes], None],
    ) -> Generation:
        """Load it in a worker of its own.

        Raises:
            LoadFailed
        """
        return await home.loader.load(snapshot, config, 1, on_output, grant=True)

    async def call(self, generation: Generation, method: str, params: Mapping[str, Any]) -> tuple[Any, float]:
        """Call a method; its result, and the milliseconds that it took.

        Raises:
            MethodRaised, ChannelClosed, TimeoutError
        """
        seconds = self.limits.search_s if method == "search" else self.limits.call_s
        began = time.perf_counter()
        answer = await generation.worker.channel.call(method, _encoder.encode(params), seconds)
        took = (time.perf_counter() - began) * 1000
        return msgspec.json.decode(answer), took

    async def download(self, generation: Generation, url: str) -> tuple[Any, float]:
        """Download an address into the throw-away home; what came of it, and the milliseconds that it took.

        Raises:
            MethodRaised, ChannelClosed, TimeoutError
        """
        task = {
            "id": "check",
            "url": url,
            "title": url,
            "plugin_name": generation.manifest.name,
            "metadata": {},
        }
        began = time.perf_counter()
        running: Running | None = None

        def noted(kind: str, number: int, _body: bytes) -> None:
            if kind == "checkpoint" and running is not None:
                running.kept(number)

        running = generation.worker.channel.start("download", _encoder.encode({"task": task}), noted)
        try:
            async with asyncio.timeout(self.limits.call_s):
                answer = await running.answer
        finally:
            running.stop("cancel")
            running.let_go()
        return msgspec.json.decode(answer), (time.perf_counter() - began) * 1000

    @property
    def line_bytes(self) -> int:
        """The longest line of a plugin's log."""
        return self._settings.logs.line_kib * 1024

    @property
    def _file_bytes(self) -> int:
        return self.limits.plugin_file_kib * 1024

    def _fill(self, folder: Path, target: Target, tree: SourceTree) -> None:
        plugins = folder / ROOT_PACKAGE
        folder.mkdir()
        if target.root is not None and not target.is_misnamed:
            plugins.symlink_to(os.path.abspath(target.root))
        else:
            _put_alone(plugins, target)

        def report(seen: list[tuple[str, SourceFile | None]]) -> None:
            for path, file in seen:
                tree.apply(path, file)

        Eyes(plugins, self._file_bytes, report).look_everywhere(first=True)


def _put_alone(plugins: Path, target: Target) -> None:
    """A plugin folder with one plugin in it, and the requirements file that lies beside it."""
    unit = target.unit
    place = plugins / unit.type.value
    place.mkdir(parents=True)
    (plugins / unit.path).symlink_to(os.path.abspath(target.path))
    own = target.path.name.removesuffix(".py")
    for name in dict.fromkeys((unit.short_name, unit.stem, own)):
        beside = target.path.parent / f"{name}{REQUIREMENTS_SUFFIX}"
        if beside.is_file():
            (place / f"{unit.short_name}{REQUIREMENTS_SUFFIX}").symlink_to(os.path.abspath(beside))
            return
