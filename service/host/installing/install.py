"""Installing: from an address or an upload to a plugin that serves.

fetch ─► check ─► put in place, see `service.host.installing.placing`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from service.host.files.sources import Unit
from service.host.installing.candidates import Candidate, Candidates, HashMismatch, InstallRequest
from service.host.installing.committing import NotSaved
from service.host.installing.placing import Installed, Placing, Wishes
from service.host.installing.planning import Plans
from service.host.kernel import Kernel
from service.model.events import InstallProgress

__all__ = ["HashMismatch", "InstallRequest", "Installed", "Installer", "NotSaved"]


class Installer:
    """See the module.

    Args:
        kernel: knows what there is.
        candidates: fetches.
        placing: puts in place.
        plans: tells what would be done.
    """

    def __init__(self, kernel: Kernel, candidates: Candidates, placing: Placing, plans: Plans) -> None:
        self._kernel = kernel
        self._candidates = candidates
        self._placing = placing
        self._plans = plans

    async def install(self, request: InstallRequest) -> Installed:
        """Install a plugin.

        Raises:
            RequestRefused, FetchFailed, HashMismatch, PluginExists, NotSaved: nothing was changed.
            LoadFailed: it does not load; with `keep` it is put in place all the same.
        """

        def check(unit: Unit) -> None:
            self._placing.require_free(self._kernel.registry.at(unit.path), replace=request.replace)

        with self._candidates.announcing(request):
            candidate = await self._candidates.of(request, check)
            wishes = Wishes(
                replace=request.replace,
                keep=request.keep,
                grant=request.grant,
                say=lambda one, stage: self._candidates.say(one.unit, stage, request),
                on_progress=self._teller(request, candidate),
            )
            return await self._placing.put(candidate, wishes)

    async def plan(self, request: InstallRequest) -> dict[str, Any]:
        """What an install would do; nothing is changed, and nothing of what it depends on is run.

        Raises:
            RequestRefused, FetchFailed, HashMismatch
        """
        return await self._plans.plan(await self._candidates.of(request), replace=request.replace)

    async def check(self, request: InstallRequest) -> dict[str, Any]:
        """The plan, and whether it loads with what it depends on; nothing of it is left.

        Raises:
            RequestRefused, FetchFailed, HashMismatch
        """
        candidate = await self._candidates.of(msgspec.structs.replace(request, dry_run=True))
        return await self._plans.check(candidate, replace=request.replace)

    def _teller(self, request: InstallRequest, candidate: Candidate) -> Callable[[InstallProgress], None]:
        return lambda progress: self._candidates.say(
            candidate.unit, "dependencies", request, progress=progress
        )
