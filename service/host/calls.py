"""Calls to plugins: each holds one generation from its start to its end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import msgspec
import structlog

from service.errors import ConfigMissing, PlugbayError, PluginCrashed, PluginRaised, PluginTimeout
from service.host.generation import Generation, describe_exit
from service.host.plugin import Plugin
from service.host.plugin_limits import LimitsOfPlugins
from service.host.registry import Registry
from service.host.workers.channel import ChannelClosed, MethodRaised, OnItem

log = structlog.get_logger(__name__)
_level = logging.getLogger(__name__)

# Of each plugin, in a second: one that fails thousands of times must not cost the others the loop. More are told at
# level debug.
_FAILURES_TOLD = 10
# Whoever asked was refused, or has gone.
_NO_FAILURES = frozenset({"ok", "cancelled", "plugin_not_found", "plugin_disabled"})

_encoder = msgspec.json.Encoder()

# Told of every call: the plugin's id, the method, `ok` or the code of the error, and the seconds that it took.
Count = Callable[[str, str, str, float], None]


class Call:
    """A call under way: `outcome` is how it ends where nothing is raised, `generation` the number of who is called."""

    __slots__ = ("generation", "outcome")

    def __init__(self) -> None:
        self.outcome = "ok"
        self.generation: int | None = None


class Caller:
    """Calls methods of plugins.

    Args:
        registry: where generations are leased.
        limits: how long calls may take.
        count: told how each call ended.
    """

    def __init__(self, registry: Registry, limits: LimitsOfPlugins, *, count: Count) -> None:
        self._registry = registry
        self._limits = limits
        self._count = count
        self._failures: Counter[str] = Counter()
        self._failures_until_s = 0.0

    def seconds(self, plugin: Plugin, method: str) -> float:
        """How long a call of a plugin's method may take."""
        return self._limits.of(plugin.identity).seconds(method)

    async def call(
        self, plugin: Plugin, method: str, params: dict[str, object], *, timeout_s: float | None = None
    ) -> msgspec.Raw:
        """Call a method in the generation that serves now.

        Args:
            plugin: which.
            method: of the interface.
            params: by name, JSON-encodable.
            timeout_s: seconds that it may take; the method's own limit where none is given.

        Returns:
            the result as the worker encoded it; it is JSON.

        Raises:
            PluginNotFound, PluginDisabled, ConfigMissing, CallFailed
        """
        with self.counted(plugin, method) as call:
            generation = await self._ready(plugin)
            call.generation = generation.number
            with generation.lease():
                return await self._call_in(plugin, generation, method, params, timeout_s)

    async def call_in(
        self,
        plugin: Plugin,
        generation: Generation,
        method: str,
        params: dict[str, object],
        *,
        timeout_s: float | None = None,
    ) -> msgspec.Raw:
        """The same in a generation that the caller names, whether it serves or drains.

        Raises:
            CallFailed
        """
        with self.counted(plugin, method) as call, generation.lease():
            call.generation = generation.number
            return await self._call_in(plugin, generation, method, params, timeout_s)

    async def stream(
        self, plugin: Plugin, method: str, params: dict[str, object], on_item: OnItem, *, timeout_s: float
    ) -> bytes:
        """Call a method that may yield its results one by one.

        Args:
            plugin: which.
            method: of the interface.
            params: by name, JSON-encodable.
            on_item: called with each result as it comes, as JSON, see `Channel.stream`.
            timeout_s: seconds that all of it may take.

        Returns:
            a JSON array of the results that did not come one by one, or `null`.

        Raises:
            PluginNotFound, PluginDisabled, ConfigMissing, CallFailed
        """
        with self.counted(plugin, method) as call:
            generation = await self._ready(plugin)
            call.generation = generation.number
            with generation.lease(), _translated(plugin, method, timeout_s):
                return await generation.worker.channel.stream(
                    method, _encoder.encode(params), timeout_s, on_item
                )

    async def _ready(self, plugin: Plugin) -> Generation:
        generation = await self._registry.serving(plugin)
        if generation.manifest.config_missing:
            raise ConfigMissing(str(plugin.identity), generation.manifest.config_missing)
        return generation

    async def _call_in(
        self,
        plugin: Plugin,
        generation: Generation,
        method: str,
        params: dict[str, object],
        timeout_s: float | None,
    ) -> msgspec.Raw:
        seconds = timeout_s or self.seconds(plugin, method)
        with _translated(plugin, method, seconds):
            return msgspec.Raw(await generation.worker.channel.call(method, _encoder.encode(params), seconds))

    @contextmanager
    def counted(self, plugin: Plugin, method: str) -> Iterator[Call]:
        """Count what happens in it as one call, for those that the methods above do not make.

        An error or a cancellation that comes out of it says how the call ended; else it does itself.
        """
        call, began_s = Call(), perf_counter()
        try:
            yield call
        except PlugbayError as error:
            call.outcome = error.code
            raise
        except asyncio.CancelledError:
            call.outcome = "cancelled"
            raise
        except BaseException:
            call.outcome = "internal"
            raise
        finally:
            seconds = perf_counter() - began_s
            self._count(str(plugin.identity), method, call.outcome, seconds)
            if call.outcome not in _NO_FAILURES or _level.isEnabledFor(logging.DEBUG):
                self._log(plugin, method, call, seconds)

    def _log(self, plugin: Plugin, method: str, call: Call, seconds: float) -> None:
        """A line for a call that has ended: of those that failed, at level warning, only so many in a second."""
        id, now = str(plugin.identity), perf_counter()
        say = log.debug
        if call.outcome not in _NO_FAILURES:
            if now >= self._failures_until_s:
                self._failures.clear()
                self._failures_until_s = now + 1
            self._failures[id] += 1
            if self._failures[id] <= _FAILURES_TOLD:
                say = log.warning
        say(
            "plugin.call",
            plugin=id,
            generation=call.generation,
            method=method,
            outcome=call.outcome,
            ms=round(seconds * 1000, 2),
        )


@contextmanager
def _translated(plugin: Plugin, method: str, seconds: float) -> Iterator[None]:
    """What a channel says of a call, as the errors that clients know."""
    try:
        yield
    except MethodRaised as raised:
        raise PluginRaised(str(plugin.identity), raised.error) from None
    except ChannelClosed as closed:
        raise PluginCrashed(str(plugin.identity), describe_exit(closed.status, closed.ended_for)) from None
    except TimeoutError:
        raise PluginTimeout(str(plugin.identity), method, seconds) from None
