"""Whether plugins have changed where they came from, and taking over what has."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from packaging.version import InvalidVersion, Version

from service.errors import LoadFailed, PlugbayError
from service.host.history.errors import ChangeSuperseded
from service.host.installing.candidates import (
    Candidate,
    Candidates,
    fetched_unit,
    host_of,
    is_requirements,
    origin_of,
    requirements_path,
    with_requirements,
)
from service.host.installing.placing import Placing, Wishes
from service.host.installing.planning import Plans
from service.host.installing.plugin_files import held_by_files
from service.host.installing.trial import Trials
from service.host.kernel import Kernel
from service.host.plugin import Plugin
from service.model.plugin import Origin, PluginView
from service.model.text import Language, Text

_AT_ONCE = 4

State = Literal["outdated", "current", "modified", "unreachable"]


class OutdatedView(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin that came from an address, and how it stands to what is there now.

    `modified` is one that was edited here since; `latest_version` says whether its address has another one too.
    """

    id: str
    version: str
    latest_version: str | None
    url: str
    state: State
    sha256: str | None = None
    problem: Text | None = None

    def in_language(self, language: Language) -> dict[str, Any]:
        """As clients are given it."""
        told = msgspec.structs.asdict(self)
        return {**told, "problem": self.problem.in_language(language) if self.problem is not None else None}


@dataclass(frozen=True, slots=True)
class Updated:
    """The plugin as it is now, whether that is something else than before, and the change that can be undone."""

    plugin: PluginView
    changed: bool
    change: str | None = None


class NoOrigin(PlugbayError):
    """The plugin did not come from an address."""

    code = "no_origin"


class LocallyModified(PlugbayError):
    """The plugin was edited here; an update would lose that. Nothing was changed."""

    code = "locally_modified"


class OriginChanged(PlugbayError):
    """The address leads to another host than it did. Nothing was changed."""

    code = "origin_changed"


class Updates:
    """See the module.

    Args:
        kernel: knows the plugins.
        candidates: fetches.
        trials: reads what has come.
        placing: puts in place.
        plans: tells what would be done.
    """

    def __init__(
        self, kernel: Kernel, candidates: Candidates, trials: Trials, placing: Placing, plans: Plans
    ) -> None:
        self._kernel = kernel
        self._candidates = candidates
        self._trials = trials
        self._placing = placing
        self._plans = plans
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def outdated(self) -> list[OutdatedView]:
        """Ask the address of every plugin that came from one."""
        origins = [(plugin, self._origin(plugin)) for plugin in self._kernel.registry.all()]
        return list(
            await asyncio.gather(
                *(self._examined(plugin, origin) for plugin, origin in origins if origin is not None)
            )
        )

    async def update(
        self, plugin: Plugin, *, dry_run: bool, replace: bool, accept_origin: bool
    ) -> Updated | dict[str, Any]:
        """Take over what a plugin's address has now, where that is something else.

        Args:
            plugin: which.
            dry_run: only tell what it would do.
            replace: also where it was edited here.
            accept_origin: also where its address leads to another host than it did.

        Returns:
            the plugin, or the plan.

        Raises:
            NoOrigin, LocallyModified, OriginChanged, RequestRefused, FetchFailed: nothing was changed.
            LoadFailed, NameChanged: what came does not do; the old one serves on.
        """
        origin = self._origin(plugin)
        if origin is None or origin.url is None:
            raise NoOrigin(
                Text(
                    zh=f"插件 {plugin.identity} 不是从地址安装的，无法更新；请用 install --replace 指定地址",
                    en=f"Plugin {plugin.identity} did not come from an address; install it from one with replace",
                )
            )
        held = await held_by_files(self._kernel, plugin)
        modified = self._is_modified(plugin, origin)
        refusal: PlugbayError | None = _modified(plugin) if modified and not replace else None
        if refusal is not None and not dry_run:
            raise refusal
        # Asked for in so many words, it is fetched; what its server thinks of the time is not relied on.
        asked = msgspec.structs.replace(origin, etag=msgspec.UNSET, modified=msgspec.UNSET)
        candidate = await self._newer(plugin, asked, anew=modified)
        if candidate is None:
            return Updated(plugin.view(), changed=False)
        assert candidate.origin is not None
        if not accept_origin and host_of(origin) != host_of(candidate.origin):
            refusal = refusal or _elsewhere(origin, candidate.origin)
        if dry_run:
            plan = await self._plans.plan(candidate, replace=True)
            refused = {"code": refusal.code, "message": refusal.text} if refusal is not None else None
            return {**plan, "refused": refused}
        if refusal is not None:
            raise refusal
        expected: dict[str, str | None] = {} if replace else {**dict.fromkeys(candidate.contents), **held}
        wishes = Wishes(kind="update", name=plugin.said_name, of=plugin.unit, expected=expected)
        try:
            done = await self._placing.put(candidate, wishes)
        except ChangeSuperseded:
            # Edited, or updated by somebody else, while this was fetched and loaded.
            raise _modified(plugin) from None
        return Updated(done.plugin, changed=True, change=done.change)

    # -- asking --------------------------------------------------------------------------------------------------

    def _origin(self, plugin: Plugin) -> Origin | None:
        origin = self._kernel.reconciler.installed_origin(plugin.file)
        return origin if origin is not None and origin.url is not None else None

    def _is_modified(self, plugin: Plugin, origin: Origin) -> bool:
        """Whether the files are not what came from the address."""
        if self._kernel.tree.sha256_of(plugin.unit) != origin.sha256:
            return True
        # What was installed before that was kept says nothing of its requirements.
        return origin.host is not msgspec.UNSET and self._requirements(plugin) != _known(origin)

    async def _examined(self, plugin: Plugin, origin: Origin) -> OutdatedView:
        assert origin.url is not None
        version = plugin.manifest.version if plugin.manifest is not None else ""
        modified = self._is_modified(plugin, origin)
        latest: str | None = None
        digest: str | None = None
        problem: Text | None = None
        state: State = "modified" if modified else "current"
        try:
            async with self._places:
                candidate = await self._newer(plugin, origin)
            if candidate is not None:
                assert candidate.origin is not None
                digest = candidate.origin.sha256
                state = "modified" if modified else "outdated"
                outline = await self._kernel.loader.outline(self._trials.snapshot(candidate))
                latest = outline.version or None
                problem = _doubts(origin, candidate.origin, version, latest or "")
        except LoadFailed as failure:
            # What is there is another, but no plugin, or nothing that could be one.
            problem = failure.error.text
            state = state if digest is not None else "unreachable"
        except PlugbayError as error:
            state, problem = "unreachable", error.text
        return OutdatedView(
            id=str(plugin.identity),
            version=version,
            latest_version=latest,
            url=origin.url,
            state=state,
            sha256=digest,
            problem=problem,
        )

    async def _newer(self, plugin: Plugin, origin: Origin, *, anew: bool = False) -> Candidate | None:
        """What the address has, where that is not what was installed.

        Args:
            plugin: whose.
            origin: its address.
            anew: give it also where it is.

        Raises:
            RequestRefused, FetchFailed, LoadFailed
        """
        url, unit = origin.url, plugin.unit
        assert url is not None
        asked = Origin(kind=origin.kind, sha256=origin.sha256) if anew else origin
        fetched = await self._candidates.newer(url, asked)
        beside = await self._candidates.requirements(url, fetched_unit(unit.type, url, fetched))
        known = self._requirements(plugin) if origin.host is msgspec.UNSET else _known(origin)
        if not anew and _digest(beside) == known and (fetched is None or fetched.sha256 == origin.sha256):
            return None
        if fetched is None:
            # Only what it depends on is another, or the name that tells where that stands only comes with the file.
            return await self._newer(
                plugin, msgspec.structs.replace(origin, etag=msgspec.UNSET, modified=msgspec.UNSET)
            )
        # All that is there goes, under whichever name: what came is all that it needs.
        contents: dict[str, bytes | None] = dict.fromkeys(self._requirements_files(plugin))
        if beside is not None:
            contents[requirements_path(unit)] = beside
        return Candidate(
            unit,
            {**contents, unit.main_file: fetched.content},
            with_requirements(origin_of(url, fetched), beside),
        )

    def _requirements(self, plugin: Plugin) -> str | None:
        """The SHA-256 of the plugin's requirements file, where it has one."""
        files = [self._kernel.tree.get(path) for path in self._requirements_files(plugin)]
        return next((file.sha256 for file in files if file is not None), None)

    def _requirements_files(self, plugin: Plugin) -> list[str]:
        return [
            path
            for path in self._kernel.tree.files_of(plugin.unit, [plugin.identity.name])
            if is_requirements(path) and not plugin.unit.holds(path)
        ]


def _modified(plugin: Plugin) -> LocallyModified:
    return LocallyModified(
        Text(
            zh=f"{plugin.file} 安装后被修改过，更新会覆盖这些修改；确认请指定 replace，之后可以回退",
            en=f"{plugin.file} was edited since it was installed, and an update would replace that; say "
            "`replace` to do so, you can go back later",
        ),
        file=plugin.file,
    )


def _elsewhere(origin: Origin, now: Origin) -> OriginChanged:
    recorded, offered = host_of(origin), host_of(now)
    return OriginChanged(
        Text(
            zh=f"{origin.url} 现在由 {offered} 提供，此前是 {recorded}；确认可信后请指定 accept_origin",
            en=f"{origin.url} is served by {offered} now and was by {recorded}; "
            "if you trust it, say `accept_origin`",
        ),
        recorded=recorded,
        offered=offered,
    )


def _known(origin: Origin) -> str | None:
    return None if origin.requirements is msgspec.UNSET else origin.requirements


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _doubts(before: Origin, after: Origin, version: str, latest: str) -> Text | None:
    """What somebody should know before they take an update."""
    if host_of(before) != host_of(after):
        return Text(
            zh=f"现在由 {host_of(after)} 提供，此前是 {host_of(before)}",
            en=f"it is served by {host_of(after)} now and was by {host_of(before)}",
        )
    try:
        older = Version(latest) < Version(version)
    except InvalidVersion:
        return None
    if older:
        return Text(zh=f"该地址提供的是更旧的版本 {latest}", en=f"its address has an older version, {latest}")
    return None
