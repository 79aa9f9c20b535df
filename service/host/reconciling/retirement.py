"""The end of generations: each drains, stops and is gone, with a deadline, whoever goes away meanwhile."""

from __future__ import annotations

import asyncio
import time

from service.host.generation import Generation
from service.host.plugin import Plugin
from service.host.plugin_limits import LimitsOfPlugins
from service.live.event_log import EventLog
from service.model.events import GenerationDrained
from service.model.states import GenerationState

_ORDERLY_EXIT_SECONDS = 1.0


class Retirement:
    """Owns the tasks that stop draining generations.

    Args:
        events: told when one is gone.
        limits: what calls began and left behind has as long as a call.
        stop_s: seconds for the plugin's `stop()`.
    """

    def __init__(self, events: EventLog, limits: LimitsOfPlugins, *, stop_s: float) -> None:
        self._events = events
        self._limits = limits
        self._patience_s = stop_s + _ORDERLY_EXIT_SECONDS
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, plugin: Plugin, generation: Generation) -> asyncio.Task[None]:
        """Stop a draining generation in the background; the task is done when nothing of it is left."""
        task = asyncio.create_task(
            self._retire(plugin, generation), name=f"retire {plugin.identity} {generation.number}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self, seconds: float) -> None:
        """Wait for all of them, then end what is left; calling it twice is safe."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _retire(self, plugin: Plugin, generation: Generation) -> None:
        began = time.monotonic()
        settle_s = self._limits.of(plugin.identity).call_s
        forced = await generation.stop(patience_s=settle_s + self._patience_s)
        if generation.state is GenerationState.DRAINING:
            generation.set_state(GenerationState.STOPPED)
        plugin.drained(generation)
        self._events.publish(
            GenerationDrained(
                id=str(plugin.identity),
                generation=generation.number,
                drain_ms=round((time.monotonic() - began) * 1000, 2),
                forced=forced,
            )
        )
