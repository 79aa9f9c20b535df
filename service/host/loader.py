"""Loading: a snapshot and its configuration in, a ready generation out. Knows nothing of what else runs."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from service.errors import LoadFailed
from service.host import permissions
from service.host.conversation import (
    Conversation,
    LoadLimits,
    Outline,
    WorkerKilled,
    imports_of,
    load_failed,
)
from service.host.dependencies import declaration
from service.host.dependencies.declaration import Declared
from service.host.dependencies.environments import Environments
from service.host.dependencies.leases import Lease
from service.host.files.flaws import describe_flaw
from service.host.files.sources import Snapshot, SourceFlawed
from service.host.generation import END_SECONDS, Generation
from service.host.loads_under_way import LoadsUnderWay
from service.host.plugin_limits import LimitsOfPlugins, PluginLimits
from service.host.policies import Policies
from service.host.workers.sandbox import Place, Sandbox
from service.host.workers.templates import SERVER_SITE, Templates
from service.host.workers.worker_process import WorkerProcess
from service.model.events import InstallProgress
from service.model.identity import Identity
from service.model.plugin import LoadError, Stage
from service.model.request_id import for_no_request
from service.model.states import GenerationState
from service.model.text import Text
from service.worker.compat.signs import imports_base_plugin
from service.worker.confinement.policy import Policy

__all__ = ["LoadLimits", "Loader", "Outline", "flawed", "imports_of"]

# How often a load that lost its worker for no fault of the plugin's begins again.
_BEGINS_AGAIN = 2


class Loader:
    """Loads plugins into workers.

    Args:
        templates: gives the workers.
        environments: gives what plugins depend on.
        home: the server's home folder.
        limits: the deadlines.
        downloads_dir: where plugins download to.
        sandbox: what plugins may do.
        limits_of_plugins: what they may take.
        is_bundled: whether a plugin's code is the one that came with the server, which is granted what it asks for.
        stall_s: seconds that a plugin's event loop may stand still before its log tells what holds it up, see
            `service.worker.stalls`; nobody looks where it is not given.

    Attributes:
        under_way: the loads that are.
    """

    def __init__(
        self,
        templates: Templates,
        environments: Environments,
        home: Path,
        limits: LoadLimits,
        downloads_dir: Path,
        sandbox: Sandbox,
        limits_of_plugins: LimitsOfPlugins,
        *,
        is_bundled: Callable[[Snapshot], bool] = lambda _: False,
        stall_s: float | None = None,
    ) -> None:
        self._policies = Policies(sandbox)
        self.limits_of_plugins = limits_of_plugins
        self._is_bundled = is_bundled
        self._templates = templates
        self._environments = environments
        self._home = home
        self._conversation = Conversation(home, limits, downloads_dir, stall_s)
        self.under_way = LoadsUnderWay()

    @property
    def home(self) -> Path:
        """The home folder."""
        return self._home

    @property
    def plugins_dir(self) -> Path:
        """The plugin folder."""
        return self._home / "plugins"

    def data_dir(self, plugin_type: str, short_name: str) -> Path:
        """The folder that is a plugin's own."""
        return self._conversation.data_dir(plugin_type, short_name)

    def forget(self, data_dir: Path) -> None:
        """Know nothing any more of the folder that was a plugin's own."""
        self._policies.forget(data_dir)

    async def load(
        self,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        number: int,
        on_output: Callable[[bytes], None],
        on_progress: Callable[[InstallProgress], None] | None = None,
        *,
        granted: Mapping[str, Any] | None = None,
        grant: bool = False,
        limits: PluginLimits | None = None,
    ) -> Generation:
        """Load one generation; on any failure nothing of it is left.

        Args:
            snapshot: the code.
            config: the stored configuration.
            number: the generation's number.
            on_output: takes what it prints.
            on_progress: told how far its dependencies are, where any are to be installed.
            granted: what it was granted, where somebody said so.
            grant: let it have all that it asks for, whatever was granted.
            limits: what it may take, where that is not what is usual.

        Raises:
            LoadFailed: at which stage, where and why.
        """
        with self.under_way.counted():
            return await self._load_all(
                snapshot, config, number, on_output, on_progress, granted, grant, limits
            )

    async def _load_all(
        self,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        number: int,
        on_output: Callable[[bytes], None],
        on_progress: Callable[[InstallProgress], None] | None,
        granted: Mapping[str, Any] | None,
        grant: bool,
        limits: PluginLimits | None,
    ) -> Generation:
        declared = await self._declared(snapshot, number)
        asked = permissions.asked_by(declared.plugbay if declared is not None else None)
        if grant or (granted is None and self._is_bundled(snapshot)):
            granted = asked
        lease = await self._lease(snapshot, number, declared, on_progress)
        try:
            if lacks := permissions.lacking(asked, granted):
                on_output(_lacking(lacks))
            allowed = permissions.allowed(asked, granted)
            generation = await self._load(
                snapshot,
                config,
                number,
                on_output,
                declared,
                lease,
                allowed,
                limits or self.limits_of_plugins.usual,
            )
            generation.asked = asked
            return generation
        except BaseException:
            if lease is not None:
                lease.release(in_vain=True)
            raise

    async def asked(self, snapshot: Snapshot, number: int) -> dict[str, Any] | None:
        """What a plugin asks for; `None` where its file does not say so in a way that can be read."""
        try:
            declared = await self._declared(snapshot, number)
        except LoadFailed:
            return None
        return permissions.asked_by(declared.plugbay if declared is not None else None)

    async def prepare(
        self,
        snapshot: Snapshot,
        number: int,
        on_progress: Callable[[InstallProgress], None] | None = None,
    ) -> Lease | None:
        """Have what a plugin depends on there, for a `load` that is to come; nothing of it is run.

        Returns:
            what keeps it there until it is given back; `None` where the plugin needs nothing.

        Raises:
            LoadFailed: it cannot be had.
        """
        declared = await self._declared(snapshot, number)
        return await self._lease(snapshot, number, declared, on_progress)

    async def _lease(
        self,
        snapshot: Snapshot,
        number: int,
        declared: Declared | None,
        on_progress: Callable[[InstallProgress], None] | None,
    ) -> Lease | None:
        if declared is None:
            return None
        return await self._environments.acquire(
            declared,
            user=f"{snapshot.unit.type.value}/{snapshot.unit.short_name}",
            file=f"plugins/{snapshot.unit.main_file}",
            generation=number,
            on_progress=on_progress or (lambda progress: None),
        )

    async def _load(
        self,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        number: int,
        on_output: Callable[[bytes], None],
        declared: Declared | None,
        lease: Lease | None,
        allowed: Mapping[str, Any],
        limits: PluginLimits,
    ) -> Generation:
        site = SERVER_SITE if declared is not None else None
        if lease is not None:
            site = lease.set.path
            self._templates.learn(site, self._environments.modules(site.name))
        unit = snapshot.unit
        data_dir = self.data_dir(unit.type.value, unit.short_name)
        place = Place(unit, self.plugins_dir / unit.path, data_dir, site)
        load = functools.partial(self._load_under, snapshot, config, number, on_output, site, limits)
        generation = await self._policies.load(snapshot, number, place, allowed, config, load)
        worker = generation.worker
        if lease is not None:
            lease.user = str(Identity(snapshot.unit.type, generation.manifest.name))
            # What the plugin runs on stays as long as its process does.
            worker.exited.add_done_callback(
                lambda _: lease.release(in_vain=generation.state is GenerationState.READY),
                context=for_no_request(),
            )
        return generation

    async def _load_under(
        self,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        number: int,
        on_output: Callable[[bytes], None],
        site: Path | None,
        limits: PluginLimits,
        policy: Policy,
    ) -> Generation:
        async with self.under_way.place():
            killed, of_the_fork = 0, ""
            while True:
                worker = await self._worker(snapshot, number, site, policy, cold=bool(killed or of_the_fork))
                worker.limits = limits
                try:
                    generation = await self._attempt(
                        worker, snapshot, config, number, on_output, site, policy
                    )
                    break
                except WorkerKilled:
                    killed += 1
                    if killed > _BEGINS_AGAIN:
                        raise
                except LoadFailed as failure:
                    if of_the_fork or not (worker.is_preloaded and _may_be_of_the_fork(failure.error)):
                        raise
                    of_the_fork = failure.error.code
            if of_the_fork and site is not None:
                self._templates.distrust(site, f"a plugin only loads without it ({of_the_fork})")
            return generation

    async def _worker(
        self,
        snapshot: Snapshot,
        number: int,
        site: Path | None,
        policy: Policy | None = None,
        *,
        cold: bool = False,
    ) -> WorkerProcess:
        try:
            return await self._templates.acquire(site, policy, cold=cold)
        except OSError as error:  # no descriptors, no processes, or nothing in time
            raise load_failed(
                snapshot,
                number,
                Stage.IMPORT,
                "worker_unavailable",
                Text(
                    zh=f"无法启动插件进程（{error}）；请检查内存，并调大进程数上限（ulimit -u、pids.max 或 TasksMax）"
                    "与打开文件数上限（ulimit -n），服务器会自动重试",
                    en=f"No worker process could be started ({error}); check memory, and raise the limits of processes "
                    "(ulimit -u, pids.max or TasksMax) and of open files (ulimit -n). It is tried again by itself",
                ),
            ) from error

    async def _attempt(
        self,
        worker: WorkerProcess,
        snapshot: Snapshot,
        config: Mapping[str, Any],
        number: int,
        on_output: Callable[[bytes], None],
        site: Path | None,
        policy: Policy,
    ) -> Generation:
        worker.send_output_to(on_output)
        try:
            generation, third_party = await self._conversation.load(
                worker, snapshot, config, number, site, policy
            )
            if site is not None and self._templates.learn(site, third_party):
                await self._remember_modules(site)
            return generation
        except LoadFailed:
            worker.kill()
            # What it held, a port or a lock, shall be free for whoever comes next.
            await asyncio.wait((worker.exited,), timeout=END_SECONDS)
            raise
        except BaseException:
            worker.kill()
            raise

    async def outline(self, snapshot: Snapshot) -> Outline:
        """What a plugin says of itself as far as its text tells; nothing of it is run.

        Raises:
            LoadFailed: it cannot be parsed, or there is no worker to do that.
        """
        worker = await self._worker(snapshot, 0, None)
        try:
            return await self._conversation.outline(worker, snapshot)
        finally:
            worker.kill()

    async def _declared(self, snapshot: Snapshot, number: int) -> Declared | None:
        """What the plugin declares, `None` where that is nothing."""
        text = snapshot.source
        if b"# /// script" not in text and snapshot.requirements is None and not imports_base_plugin(text):
            return None
        return await asyncio.to_thread(
            declaration.declared,
            text,
            snapshot.requirements,
            file=f"plugins/{snapshot.unit.main_file}",
            requirements_file=f"plugins/{snapshot.requirements_path}",
            generation=number,
        )

    async def _remember_modules(self, site: Path) -> None:
        if site != SERVER_SITE:
            await self._environments.remember_modules(site.name, self._templates.modules(site))


def _lacking(lacks: Mapping[str, Any]) -> bytes:
    """A line for the plugin's log about what it asks for in vain."""
    told = ", ".join(f"{key} {value}" for key, value in lacks.items())
    return (
        f"<4>它申请了未获准的权限（{told}），因此在没有这些权限的情况下运行；可以用 plugbay grant 授予 / "
        f"it asks for what was not granted ({told}) and runs without; plugbay grant can grant it\n"
    ).encode()


def _may_be_of_the_fork(error: LoadError) -> bool:
    """Whether a plugin that failed where its libraries had been imported before may load where they are not."""
    if error.stage is Stage.IMPORT:
        return error.type not in ("SyntaxError", "IndentationError", "TabError")
    return error.code in ("worker_exited", f"{error.stage}_timeout")


def flawed(flaw: SourceFlawed, number: int | None, max_bytes: int) -> LoadFailed:
    """The error of a plugin whose path holds no text that could be loaded."""
    return LoadFailed(
        LoadError.of_server(
            Stage.IMPORT,
            f"file_{flaw.flaw.value}",
            describe_flaw(flaw, max_bytes),
            file=f"plugins/{flaw.unit.path}",
            generation=number,
        )
    )
