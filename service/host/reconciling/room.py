"""Room for another generation: a load waits while too many drain, or one that nothing may run beside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from service.host.plugin import Plugin
from service.host.reconciling.desks import Desk
from service.model.text import Text

log = structlog.get_logger(__name__)

# A wait is told of only where it takes long enough to be seen.
_SAY_AFTER_SECONDS = 0.25


class Room:
    """See the module.

    Args:
        most: how many generations of a plugin may drain.
        warn: puts a warning in a plugin's log.
    """

    def __init__(self, most: int, warn: Callable[[Plugin, Text], None]) -> None:
        self._most = most
        self._warn = warn

    async def wait(self, desk: Desk, plugin: Plugin) -> bool:
        """Wait until there is room.

        Returns:
            whether there is room; `False` when something else is wanted meanwhile.
        """
        saying: asyncio.TimerHandle | None = None
        try:
            while len(plugin.draining) >= self._most or any(
                one.manifest.exclusive for one in plugin.draining
            ):
                if saying is None and not desk.told_to_wait:
                    saying = asyncio.get_running_loop().call_later(
                        _SAY_AFTER_SECONDS, self._say, desk, plugin
                    )
                changed = asyncio.ensure_future(plugin.wait_for_change(None))
                try:
                    if await desk.arrival_before(changed):
                        return False
                finally:
                    changed.cancel()
        finally:
            if saying is not None:
                saying.cancel()
        desk.told_to_wait = False
        return True

    def _say(self, desk: Desk, plugin: Plugin) -> None:
        desk.told_to_wait = True
        count = len(plugin.draining)
        log.warning("plugin.waits_for_drain", plugin=str(plugin.identity), draining=count)
        if count < self._most:
            text = Text(
                zh="插件只能单独运行（exclusive），新的一代等待旧的一代结束后再加载",
                en="the plugin runs alone (exclusive): the new generation waits to load until the older one has ended",
            )
        else:
            text = Text(
                zh=f"新的一代等待 {count} 代旧代码结束运行中的调用后再加载（limits.draining_generations）",
                en=f"the new generation waits to load until running calls of {count} older ones are over "
                "(limits.draining_generations)",
            )
        self._warn(plugin, text)
