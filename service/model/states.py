"""The states of a generation and of a plugin, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class GenerationState(StrEnum):
    """The life of one generation, which is one worker process."""

    STARTING = "starting"
    READY = "ready"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"
    CRASHED = "crashed"


GENERATION_TRANSITIONS: dict[GenerationState, frozenset[GenerationState]] = {
    GenerationState.STARTING: frozenset({GenerationState.READY, GenerationState.FAILED}),
    GenerationState.READY: frozenset(
        {GenerationState.SERVING, GenerationState.FAILED, GenerationState.DRAINING}
    ),
    GenerationState.SERVING: frozenset({GenerationState.DRAINING, GenerationState.CRASHED}),
    GenerationState.DRAINING: frozenset({GenerationState.STOPPED, GenerationState.CRASHED}),
    GenerationState.STOPPED: frozenset(),
    GenerationState.FAILED: frozenset(),
    GenerationState.CRASHED: frozenset(),
}


class PluginState(StrEnum):
    """What a client sees of a plugin.

    `loading`: the first generation is on its way. `active`: the newest file serves. `degraded`: an older
    generation serves because the newest file does not load. `failed`: nothing serves. `disabled`: switched off.
    """

    LOADING = "loading"
    ACTIVE = "active"
    DEGRADED = "degraded"
    FAILED = "failed"
    DISABLED = "disabled"
