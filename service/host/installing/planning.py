"""What an install would do, told before anything is changed; and a check that loads it and leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from service.errors import LoadFailed
from service.host import permissions
from service.host.dependencies import declaration
from service.host.dependencies.environments import Environments
from service.host.files.sources import REQUIREMENTS_SUFFIX, Unit
from service.host.installing.candidates import Candidate, host_of, unit_named
from service.host.installing.trial import HeldOutput, Trials
from service.host.kernel import Kernel
from service.host.plugin import Plugin
from service.model.identity import Identity, is_valid_name
from service.model.plugin import LoadError, Origin, Stage


class Plans:
    """See the module.

    Args:
        kernel: knows what there is.
        trials: loads candidates.
        environments: knows what dependencies come to.
    """

    def __init__(self, kernel: Kernel, trials: Trials, environments: Environments) -> None:
        self._kernel = kernel
        self._trials = trials
        self._environments = environments

    async def plan(self, candidate: Candidate, *, replace: bool) -> dict[str, Any]:
        """What putting it in place would do. No line of what it depends on is run.

        A plugin that depends on nothing is loaded in a worker, of any other the text is read.
        """
        provides, flaw = await self._outlined(candidate)
        candidate = self._in_place(candidate, provides.get("name", ""))
        declared, dependencies, error = await self._dependencies(candidate)
        if declared is not None and not declared.dependencies and error is None:
            loaded, error = await self._loaded(candidate)
            if error is not None and must_wait(self._kernel, candidate, error):
                error = None  # whether it does, only the install itself can tell
            provides = loaded or provides
        else:
            error = error or flaw
        return self._told(candidate, declared, dependencies, provides, error, replace=replace)

    async def check(self, candidate: Candidate, *, replace: bool) -> dict[str, Any]:
        """The plan, and whether it loads with all that it depends on; nothing of it is left."""
        outlined, _ = await self._outlined(candidate)
        candidate = self._in_place(candidate, outlined.get("name", ""))
        declared, dependencies, error = await self._dependencies(candidate)
        provides: dict[str, Any] = {}
        if error is None:
            provides, error = await self._loaded(candidate)
        provides = provides or outlined
        plan = self._told(candidate, declared, dependencies, provides, error, replace=replace)
        return {**plan, "loads": error is None}

    def _in_place(self, candidate: Candidate, name: str) -> Candidate:
        """The candidate as it would be put: what it depends on may stand beside the file that it gets."""
        if is_valid_name(name):
            held = held_by(self._kernel, candidate, name)
            candidate = candidate.named(final_unit(candidate, name, held))
        return without_leftovers(self._kernel, candidate)

    async def _dependencies(
        self, candidate: Candidate
    ) -> tuple[declaration.Declared | None, dict[str, Any], LoadError | None]:
        file = f"plugins/{candidate.unit.main_file}"
        none: dict[str, Any] = {"add": [], "satisfied": []}
        try:
            snapshot = self._trials.snapshot(candidate)
            declared = await asyncio.to_thread(
                declaration.declared,
                snapshot.source,
                snapshot.requirements,
                file=file,
                requirements_file=f"plugins/{snapshot.requirements_path}",
            )
        except LoadFailed as failure:
            return None, none, failure.error
        try:
            plan = await self._environments.plan(declared, file=file)
        except LoadFailed as failure:
            return declared, none, failure.error
        return (
            declared,
            {
                "add": [{"name": one.name, "version": one.version, "size": one.size} for one in plan.add],
                "satisfied": [{"name": one.requirement, "version": one.installed} for one in plan.satisfied],
            },
            None,
        )

    async def _loaded(self, candidate: Candidate) -> tuple[dict[str, Any], LoadError | None]:
        folders = self._trials.folders()
        try:
            generation = await self._trials.load(candidate, folders, HeldOutput())
        except LoadFailed as failure:
            return {}, failure.error
        else:
            await generation.end()
            manifest = generation.manifest
            provides = {
                "name": manifest.name,
                "version": manifest.version,
                "description": manifest.description,
                "methods": manifest.methods,
                "config_schema": manifest.config_schema,
                "load_ms": round(generation.load_ms, 2),
            }
            if manifest.supported_protocols is not None:
                provides["supported_protocols"] = manifest.supported_protocols
            return provides, None
        finally:
            await asyncio.shield(folders.remove())

    async def _outlined(self, candidate: Candidate) -> tuple[dict[str, Any], LoadError | None]:
        try:
            outline = await self._kernel.loader.outline(self._trials.snapshot(candidate))
        except LoadFailed as failure:
            return {}, failure.error
        told = msgspec.structs.asdict(outline)
        return {key: value for key, value in told.items() if value is not None}, None

    def _told(
        self,
        candidate: Candidate,
        declared: declaration.Declared | None,
        dependencies: dict[str, Any],
        provides: dict[str, Any],
        error: LoadError | None,
        *,
        replace: bool,
    ) -> dict[str, Any]:
        type_ = candidate.unit.type
        name = provides.pop("name", "")
        if not is_valid_name(name):
            name = candidate.unit.short_name
        version = provides.pop("version", "")
        held = held_by(self._kernel, candidate, name)
        asked = permissions.asked_by(declared.plugbay if declared is not None else None)
        granted = held.granted if held is not None else permissions.DEFAULT
        clash = held is not None and not replace
        return {
            "plugin": {
                "type": type_,
                "name": name,
                "version": version,
                "file": f"plugins/{final_unit(candidate, name, held).path}",
            },
            "provides": provides,
            "dependencies": dependencies,
            "conflicts": [{"id": str(held.identity), "file": held.file}]
            if held is not None and clash
            else [],
            "replaces": str(held.identity) if held else None,
            "origin_changes": self._origin_changes(candidate, held),
            "permissions": {
                "asked": asked,
                "granted": granted,
                "lacking": permissions.lacking(asked, granted),
            },
            "error": error,
        }

    def _origin_changes(self, candidate: Candidate, held: Plugin | None) -> dict[str, Any] | None:
        """From where the plugin that is replaced came, where that is another place."""
        before = self._kernel.reconciler.installed_origin(held.file) if held is not None else None
        if before is None or candidate.origin is None or _place(before) == _place(candidate.origin):
            return None
        if before.url == candidate.origin.url:
            return {"recorded": host_of(before), "offered": host_of(candidate.origin)}
        return {
            "recorded": before.url or before.kind,
            "offered": candidate.origin.url or candidate.origin.kind,
        }


def held_by(kernel: Kernel, candidate: Candidate, name: str) -> Plugin | None:
    """The plugin that has this name, or the candidate's file."""
    registry = kernel.registry
    return registry.get(Identity(candidate.unit.type, name)) or registry.at(candidate.unit.path)


def final_unit(candidate: Candidate, name: str, held: Plugin | None) -> Unit:
    """The file that it will have: that of the plugin that it replaces, its own, or one by its name."""
    if held is not None and not held.unit.is_package and not candidate.unit.is_package:
        return held.unit
    return unit_named(candidate.unit.type, f"{name}_plugin") if candidate.is_unnamed else candidate.unit


def must_wait(kernel: Kernel, candidate: Candidate, error: LoadError) -> bool:
    """Whether a candidate may only have failed because the one that it replaces runs alone, and has not stopped."""
    held = kernel.registry.at(candidate.unit.path)
    serving = held.serving if held is not None else None
    return (
        serving is not None and serving.manifest.exclusive and error.stage in (Stage.START, Stage.SELF_CHECK)
    )


def without_leftovers(kernel: Kernel, candidate: Candidate) -> Candidate:
    """What came from an address comes with all that it needs: a requirements file of before goes."""
    held = kernel.registry.at(candidate.unit.path)
    if held is None or candidate.origin is None or candidate.origin.kind != "url":
        return candidate
    old: Mapping[str, bytes | None] = {
        path: None
        for path in kernel.tree.files_of(held.unit, [held.identity.name])
        if path.endswith(REQUIREMENTS_SUFFIX)
    }
    return candidate.with_contents({**old, **candidate.contents})


def _place(origin: Origin) -> tuple[str, str | None, str]:
    return origin.kind, origin.url, host_of(origin)
