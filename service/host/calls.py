"""Calls to plugins: each holds one generation from its start to its end."""

from __future__ import annotations

import msgspec

from service.errors import ConfigMissing, PluginCrashed, PluginRaised, PluginTimeout
from service.host.channel import ChannelClosed, MethodRaised
from service.host.generation import describe_exit
from service.host.registry import Plugin, Registry

_encoder = msgspec.json.Encoder()


class Caller:
    """Calls methods of plugins.

    Args:
        registry: where generations are leased.
        call_s: seconds that a call may take.
        search_s: the same for `search`.
    """

    def __init__(self, registry: Registry, *, call_s: float, search_s: float) -> None:
        self._registry = registry
        self._call_s = call_s
        self._search_s = search_s

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
        seconds = timeout_s or (self._search_s if method == "search" else self._call_s)
        generation = await self._registry.serving(plugin)
        if generation.manifest.config_missing:
            raise ConfigMissing(str(plugin.identity), generation.manifest.config_missing)
        with generation.lease():
            try:
                return msgspec.Raw(
                    await generation.worker.channel.call(method, _encoder.encode(params), seconds)
                )
            except MethodRaised as raised:
                raise PluginRaised(str(plugin.identity), raised.error) from None
            except ChannelClosed as closed:
                raise PluginCrashed(str(plugin.identity), describe_exit(closed.status)) from None
            except TimeoutError:
                raise PluginTimeout(str(plugin.identity), method, seconds) from None
