"""Installing: from an address or an upload to a plugin that serves, as one transaction.

    fetch ─► check ─► dependencies ─► load in a worker ─► whose name is it? ─► files appear, it serves

Until the last step nothing is on disk and nothing is registered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from service.errors import LoadFailed, PluginExists
from service.host.configuration.config_store import ConfigStore
from service.host.dependencies import declaration
from service.host.dependencies.installed import Finding
from service.host.files.sources import Unit
from service.host.generation import Generation
from service.host.installing.candidates import (
    Candidate,
    Candidates,
    FetchLimits,
    HashMismatch,
    InstallRequest,
    unit_named,
)
from service.host.installing.placing import HeldOutput, NewFolders, NotSaved, Placing
from service.host.kernel import Kernel
from service.host.reconciling.desks import Change
from service.host.registry import DEFAULT_PERMISSIONS, Plugin
from service.host.store import Store
from service.live.event_log import EventLog
from service.model.events import Cause
from service.model.identity import Identity
from service.model.plugin import LoadError, PluginView, Stage
from service.model.text import Text

__all__ = ["HashMismatch", "InstallRequest", "Installed", "Installer", "NotSaved"]


@dataclass(frozen=True, slots=True)
class Installed:
    """The plugin as it is now, and whether it serves."""

    plugin: PluginView
    hot_loaded: bool


class Installer:
    """See the module.

    Args:
        kernel: loads and serves.
        store: remembers origins.
        config: remembers grants.
        events: told of the stages.
        max_bytes: the largest plugin file.
        timeout_s: seconds that a fetch may take.
        redirects: how many are followed.
        allowed_hosts: from where plugins may come; anywhere where it is empty.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        store: Store,
        config: ConfigStore,
        events: EventLog,
        max_bytes: int,
        timeout_s: float,
        redirects: int,
        allowed_hosts: list[str],
    ) -> None:
        self._kernel = kernel
        self._config = config
        self._candidates = Candidates(events, FetchLimits(max_bytes, timeout_s, redirects, allowed_hosts))
        self._placing = Placing(kernel, store)
        self._one_by_one = asyncio.Lock()
        self._commits: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait for what is being put in place; calling it twice is safe."""
        if self._commits:
            await asyncio.wait(self._commits, timeout=10.0)

    async def install(self, request: InstallRequest) -> Installed:
        """Install a plugin.

        Raises:
            RequestRefused, FetchFailed, HashMismatch, PluginExists, NotSaved: nothing was changed.
            LoadFailed: it does not load; with `keep` it is put in place all the same.
        """
        with self._candidates.announcing(request):
            return await self._install(request)

    async def _install(self, request: InstallRequest) -> Installed:
        def check(unit: Unit) -> None:
            self._require_free(self._kernel.registry.at(unit.path), request)

        candidate = await self._candidates.of(request, check)
        folders = NewFolders(self._kernel.loader.data_dir)
        try:
            loaded = await self._loaded(request, candidate, folders)
        except LoadFailed as failure:
            stage = failure.error.stage
            held = self._kernel.registry.at(candidate.unit.path)
            runs_alone = held is not None and held.serving is not None and held.serving.manifest.exclusive
            if runs_alone and stage in (Stage.START, Stage.SELF_CHECK):
                # What it holds can only be had once the one that it replaces has stopped.
                return await self._shielded(self._exchange(candidate))
            if not request.keep or stage is Stage.FETCH:
                await folders.remove()
                raise
            return await self._shielded(self._keep(request, candidate, folders))
        except BaseException:
            await asyncio.shield(folders.remove())
            raise
        return await self._shielded(self._place(request, loaded, folders))

    async def plan(self, request: InstallRequest) -> dict[str, Any]:
        """What an install would do; nothing is changed.

        Raises:
            RequestRefused, FetchFailed, HashMismatch
        """
        candidate = await self._candidates.of(request)
        declared, findings, error = await self._declared(candidate)
        name, version = candidate.unit.short_name, ""
        if error is None:
            folders = NewFolders(self._kernel.loader.data_dir)
            try:
                generation = await self._load(candidate, folders, HeldOutput())
                name, version = generation.manifest.name, generation.manifest.version
                await generation.end()
            except LoadFailed as failure:
                error = failure.error
            finally:
                await asyncio.shield(folders.remove())
        held = self._held(candidate, name)
        asked = declared.plugbay if declared is not None and declared.plugbay else DEFAULT_PERMISSIONS
        return {
            "plugin": {
                "type": request.plugin_type,
                "name": name,
                "version": version,
                "file": f"plugins/{self._final_unit(candidate, name, held).path}",
            },
            "dependencies": {
                "add": [
                    {"name": one.requirement, "version": None, "size": None}
                    for one in findings
                    if not one.satisfied
                ],
                "satisfied": [
                    {"name": one.requirement, "version": one.installed} for one in findings if one.satisfied
                ],
            },
            "conflicts": [{"id": str(held.identity), "file": held.file}]
            if held and not request.replace
            else [],
            "replaces": str(held.identity) if held else None,
            "permissions": {"asked": asked},
            "error": error,
        }

    # -- loading -------------------------------------------------------------------------------------------------

    async def _declared(
        self, candidate: Candidate
    ) -> tuple[declaration.Declared | None, list[Finding], LoadError | None]:
        file = f"plugins/{candidate.unit.path}"
        try:
            declared = await asyncio.to_thread(
                declaration.declared, candidate.source, candidate.requirements, file=file
            )
        except LoadFailed as failure:
            return None, [], failure.error
        findings = await asyncio.to_thread(declaration.examine, declared)
        try:
            await asyncio.to_thread(declaration.require_satisfied, declared, file=file)
        except LoadFailed as failure:
            return declared, findings, failure.error
        return declared, findings, None

    async def _loaded(self, request: InstallRequest, candidate: Candidate, folders: NewFolders) -> _Loaded:
        """Load it under the file that it will have, which its name may have a say in."""
        self._candidates.say(candidate.unit, "load", request)
        output = HeldOutput()
        generation = await self._load(candidate, folders, output)
        try:
            name = generation.manifest.name
            held = self._held(candidate, name)
            self._require_free(held, request)
            final = self._final_unit(candidate, name, held)
        except BaseException:
            generation.worker.kill()
            raise
        if final == candidate.unit:
            return _Loaded(candidate, generation, output)
        await generation.end()
        candidate, output = candidate.named(final), HeldOutput()
        return _Loaded(candidate, await self._load(candidate, folders, output), output)

    async def _load(self, candidate: Candidate, folders: NewFolders, output: HeldOutput) -> Generation:
        unit, loader = candidate.unit, self._kernel.loader
        await folders.note(unit)
        snapshot = self._kernel.tree.with_files(candidate.files()).snapshot(unit)
        held = self._kernel.registry.at(unit.path)
        number = held.generation_count + 1 if held is not None else 1
        guessed = (held.identity if held is not None else Identity(unit.type, unit.short_name)).config_key
        values = self._config.values(guessed)
        generation = await loader.load(snapshot, values, number, output.feed)
        real = Identity(unit.type, generation.manifest.name).config_key
        if real != guessed and self._config.values(real) != values:
            await generation.end()
            generation = await loader.load(snapshot, self._config.values(real), number, output.feed)
        return generation

    def _held(self, candidate: Candidate, name: str) -> Plugin | None:
        """The plugin that has this name, or this file."""
        registry = self._kernel.registry
        return registry.get(Identity(candidate.unit.type, name)) or registry.at(candidate.unit.path)

    def _require_free(self, held: Plugin | None, request: InstallRequest) -> None:
        if held is not None and not request.replace:
            raise PluginExists(str(held.identity), held.file)

    def _final_unit(self, candidate: Candidate, name: str, held: Plugin | None) -> Unit:
        if held is not None and not held.unit.is_package:
            return held.unit
        return unit_named(candidate.unit.type, f"{name}_plugin") if candidate.is_unnamed else candidate.unit

    # -- putting in place ----------------------------------------------------------------------------------------

    async def _place(self, request: InstallRequest, loaded: _Loaded, folders: NewFolders) -> Installed:
        """Write the files and let the loaded generation serve: from here on it is done or was never begun."""
        candidate, generation = loaded.candidate, loaded.generation
        self._candidates.say(candidate.unit, "install", request)
        try:
            async with self._one_by_one:
                name = generation.manifest.name
                held = self._held(candidate, name)
                self._require_free(held, request)
                if self._final_unit(candidate, name, held) != candidate.unit:
                    assert held is not None
                    raise PluginExists(str(held.identity), held.file)
                if generation.worker.has_ended():
                    raise NotSaved(
                        Text(
                            zh="插件进程在安装完成前退出，请重试",
                            en="The plugin's process ended before it was installed; try again",
                        )
                    )
                async with self._placing.placed(candidate):
                    if held is not None and held.unit != candidate.unit:
                        await self._kernel.operations.remove_files(held)
                    if request.grant and generation.asked:
                        key = Identity(candidate.unit.type, name).config_key
                        await self._config.set_granted(key, generation.asked)
                    plugin = self._kernel.reconciler.adopt(
                        candidate.unit, generation, Cause.API, candidate.origin
                    )
        except BaseException:
            generation.worker.kill()
            await asyncio.shield(folders.remove())
            raise
        loaded.output.release(self._kernel.output(plugin, generation.number))
        await folders.remove(but=candidate.unit)
        return Installed(plugin.view(), hot_loaded=plugin.serving is generation)

    async def _exchange(self, candidate: Candidate) -> Installed:
        """Replace one that runs alone by files only: the reconciler stops it first, and brings it back on failure."""
        async with self._one_by_one:
            reconciler, registry = self._kernel.reconciler, self._kernel.registry
            before = registry.at(candidate.unit.path)
            known = before.origin if before is not None else candidate.origin
            try:
                async with self._placing.placed(candidate):
                    plugin = reconciler.introduce(candidate.unit, candidate.origin)
                    outcome = await reconciler.request(plugin, Change(Cause.API, force=True))
                    if outcome.error is not None:
                        raise LoadFailed(outcome.error)
            except LoadFailed:
                plugin = reconciler.introduce(candidate.unit, known)
                await reconciler.request(plugin, Change(Cause.API))
                raise
        view = (registry.at(candidate.unit.path) or plugin).view()
        return Installed(view, hot_loaded=True)

    async def _keep(self, request: InstallRequest, candidate: Candidate, folders: NewFolders) -> Installed:
        """Put a plugin in place that does not load, for editing."""
        held = self._held(candidate, candidate.unit.short_name)
        try:
            self._require_free(held, request)
            candidate = candidate.named(self._final_unit(candidate, candidate.unit.short_name, held))
            async with self._one_by_one, self._placing.placed(candidate):
                plugin = self._kernel.reconciler.introduce(candidate.unit, candidate.origin)
                outcome = await self._kernel.reconciler.request(plugin, Change(Cause.API, force=True))
        except BaseException:
            await asyncio.shield(folders.remove())
            raise
        await folders.remove(but=candidate.unit)
        return Installed(outcome.plugin or plugin.view(), hot_loaded=outcome.error is None)

    async def _shielded(self, commit: Coroutine[Any, Any, Installed]) -> Installed:
        """Finish a commit though the client may go away in the middle of it; it cleans up after itself."""
        task = asyncio.create_task(commit, name="install")
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        return await asyncio.shield(task)


@dataclass(frozen=True, slots=True)
class _Loaded:
    candidate: Candidate
    generation: Generation
    output: HeldOutput
