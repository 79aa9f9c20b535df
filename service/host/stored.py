"""What is known of a plugin by its name, and loading with that of the name that it turns out to have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from service.host.generation import Generation
from service.host.plugin_limits import LimitsOfPlugins, PluginLimits
from service.model.identity import Identity


class StoredConfig(Protocol):
    """What is asked of the configuration."""

    def values(self, key: str) -> dict[str, Any]:
        """A plugin's stored values."""

    def granted(self, key: str) -> dict[str, Any] | None:
        """What it was granted, if somebody said so."""


class Stored(NamedTuple):
    """A plugin's configuration, what it was granted, and its limits."""

    values: dict[str, Any]
    granted: dict[str, Any] | None
    limits: PluginLimits

    @classmethod
    def of(cls, identity: Identity, config: StoredConfig, limits: LimitsOfPlugins) -> Stored:
        """What is known of this one."""
        key = identity.config_key
        return cls(config.values(key), config.granted(key), limits.of(identity))


async def load_by_name(
    guessed: Identity,
    config: StoredConfig,
    limits: LimitsOfPlugins,
    load: Callable[[Stored], Awaitable[Generation]],
) -> Generation:
    """Load with what is known of the name that a plugin turns out to have, which only a load can tell.

    Args:
        guessed: the name that it had, or that its file has.
        config: the stored configuration.
        limits: what plugins may take.
        load: loads with what is known of one name; called once more where that is another.

    Raises:
        LoadFailed: as `load` raises it.
    """
    generation = await load(stored := Stored.of(guessed, config, limits))
    real = Identity(guessed.type, generation.manifest.name)
    if real != guessed and (of_real := Stored.of(real, config, limits)) != stored:
        await generation.end()
        generation = await load(of_real)
    return generation
