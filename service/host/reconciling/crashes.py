"""Workers that ended of their own: started again, later and later, until it is too often."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from service.host.files.sources import Snapshot, Unit
from service.host.generation import Generation
from service.host.plugin import Plugin
from service.host.reconciling.conflicts import crash_loop
from service.host.reconciling.desks import Change, Desk
from service.host.registry import Registry
from service.model.events import Cause
from service.model.request_id import for_no_request
from service.model.states import GenerationState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CrashLimits:
    """How soon and how often a plugin is started again."""

    backoff_min_s: float
    backoff_max_s: float
    before_failed: int
    window_s: float


class Crashes:
    """See the module.

    Args:
        registry: what runs.
        want: asks for a change.
        limits: how soon and how often.

    Attributes:
        stuck: how many workers were given up because a call went on though it was cancelled.
    """

    def __init__(self, registry: Registry, want: Callable[[Unit, Change], None], limits: CrashLimits) -> None:
        self._registry = registry
        self._want = want
        self._limits = limits
        self.stuck = 0

    def watch(self, desk: Desk, generation: Generation) -> None:
        """Care for a generation that serves from now on."""
        generation.worker.channel.on_stuck = lambda: self._on_stuck(desk, generation)
        generation.worker.exited.add_done_callback(
            lambda _: self._on_exit(desk, generation), context=for_no_request()
        )

    def start_again(self, desk: Desk, plugin: Plugin, snapshot: Snapshot) -> bool:
        """Count a crash and start the same code again in a while (full jitter).

        Returns:
            whether it will be; not after too many crashes in the window.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        desk.crashes = [at for at in desk.crashes if now - at < self._limits.window_s] + [now]
        if len(desk.crashes) >= self._limits.before_failed:
            desk.crashes.clear()
            desk.forget_crash()
            return False
        ceiling = self._limits.backoff_min_s * 2 ** (len(desk.crashes) - 1)
        delay = random.uniform(0, min(self._limits.backoff_max_s, ceiling))
        plugin.restart_at = now + delay
        desk.forget_crash()
        desk.crashed = snapshot
        desk.restart = loop.call_later(delay, self._restart, desk, snapshot)
        return True

    def _restart(self, desk: Desk, snapshot: Snapshot) -> None:
        desk.restart = None
        self._want(desk.unit, Change(Cause.CRASH, force=True, snapshot=snapshot))

    def _on_exit(self, desk: Desk, generation: Generation) -> None:
        plugin = self._registry.at(desk.unit.path)
        if generation.state is GenerationState.DRAINING:
            return
        if plugin is None or plugin.serving is not generation:
            return
        generation.set_state(GenerationState.CRASHED)
        plugin.serving = None
        # With a lost template nobody can tell how it ended, and it is not the plugin's fault.
        at_fault = generation.worker.exited.result() is not None
        if not at_fault:
            plugin.restart_at = asyncio.get_running_loop().time()
        self._registry.publish(plugin, "crashed", Cause.CRASH)
        if not at_fault:
            desk.crashed = generation.snapshot
            self._restart(desk, generation.snapshot)
        elif not self.start_again(desk, plugin, generation.snapshot):
            plugin.error = crash_loop(plugin, generation, self._limits.before_failed, self._limits.window_s)
            plugin.restart_at = None
            desk.attempted = None
            self._registry.publish(plugin, "failed", Cause.CRASH)

    def _on_stuck(self, desk: Desk, generation: Generation) -> None:
        """A call goes on though it was cancelled: new calls get a new worker, and this one ends with its others."""
        self.stuck += 1
        generation.note_stuck()
        plugin = self._registry.at(desk.unit.path)
        if plugin is not None and plugin.serving is generation:
            log.warning("plugin.stuck", plugin=str(plugin.identity), generation=generation.number)
            self._want(desk.unit, Change(Cause.CRASH, force=True, snapshot=generation.snapshot))
