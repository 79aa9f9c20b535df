"""Loading with what a plugin may do, which the disk tells; for a reload that is remembered, and looked at meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from service.errors import LoadFailed
from service.host.conversation import load_failed
from service.host.files.sources import Snapshot
from service.host.generation import Generation
from service.host.workers.sandbox import Place, Sandbox
from service.model.plugin import Stage
from service.model.text import Text
from service.worker.confinement.policy import Policy

# Far more than there are plugins; the oldest are forgotten.
_KEPT = 2000

Load = Callable[[Policy], Awaitable[Generation]]


class _Known(NamedTuple):
    place: Place
    allowed: Mapping[str, Any]
    policy: Policy


class Policies:
    """See the module.

    What a plugin might do the last time is a good guess where nothing was granted: then it hangs on the plugin's own
    folder only, which nobody changes but by hand. Should the guess turn out to be wrong, the plugin is loaded again.

    Args:
        sandbox: works them out, in a thread.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._known: dict[Path, _Known] = {}

    async def load(
        self,
        snapshot: Snapshot,
        number: int,
        place: Place,
        allowed: Mapping[str, Any],
        config: Mapping[str, Any],
        load: Load,
    ) -> Generation:
        """Load a plugin with what it may do.

        Args:
            snapshot, number: as for `Loader.load`.
            place, allowed, config: as for `Sandbox.policy`.
            load: loads it with one policy.

        Raises:
            LoadFailed: as `load` does, or the plugin's own folder cannot be had.
        """
        known = self._known.pop(place.data_dir, None)
        # A task, so that it begins when the load that goes by the guess is under way.
        looking = asyncio.create_task(asyncio.to_thread(self._sandbox.policy, place, allowed, config))
        looking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            if (
                known is not None
                and known[:2] == (place, allowed)
                and not Sandbox.opens_folders(place, allowed)
            ):
                generation, failure = await _outcome(load(known.policy))
                policy, was_mended = await _certain(looking, snapshot, number, generation)
                if policy == known.policy and not was_mended:
                    self._remember(place, allowed, policy)
                    if generation is None:
                        assert failure is not None
                        raise failure
                    return generation
                if generation is not None:
                    await generation.end()
            policy, _ = await _certain(looking, snapshot, number, None)
        finally:
            looking.cancel()
        self._remember(place, allowed, policy)
        return await load(policy)

    def forget(self, data_dir: Path) -> None:
        """Guess nothing of a plugin whose own folder is about to go: another one may come by its name."""
        self._known.pop(data_dir, None)

    def _remember(self, place: Place, allowed: Mapping[str, Any], policy: Policy) -> None:
        self._known[place.data_dir] = _Known(place, allowed, policy)
        while len(self._known) > _KEPT:
            self._known.pop(next(iter(self._known)))


async def _outcome(load: Awaitable[Generation]) -> tuple[Generation | None, LoadFailed | None]:
    try:
        return await load, None
    except LoadFailed as failure:
        return None, failure


async def _certain(
    looking: asyncio.Task[tuple[Policy, bool]], snapshot: Snapshot, number: int, loaded: Generation | None
) -> tuple[Policy, bool]:
    """What came of the look at the disk; a generation that was loaded by a guess ends where nothing did."""
    try:
        return await asyncio.shield(looking)
    except OSError as error:
        if loaded is not None:
            await loaded.end()
        raise load_failed(
            snapshot,
            number,
            Stage.IMPORT,
            "data_dir_unusable",
            Text(
                zh=f"无法创建插件的数据目录（{error}），请检查磁盘空间与权限",
                en=f"The plugin's data folder cannot be made ({error}); check the disk's space and permissions",
            ),
        ) from error
    except asyncio.CancelledError:
        if loaded is not None:
            loaded.worker.kill()
        raise
