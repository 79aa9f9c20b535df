"""The limits of plugins and of their processes, as the settings say."""

from __future__ import annotations

from typing import Any

from service.host.plugin_limits import LimitsOfPlugins, PluginLimits
from service.settings import PluginLimitSettings, Settings

_KIB = 1024
_MIB = 1024 * 1024


def limits_of_plugins(settings: Settings) -> LimitsOfPlugins:
    """The limits of all plugins and of single ones."""
    return LimitsOfPlugins(
        _limits(settings, PluginLimitSettings(), ""),
        {id: _limits(settings, own, id) for id, own in settings.limits.plugins.items()},
    )


def worker_limits(settings: Settings) -> dict[str, Any]:
    """What workers are told of their limits before they are told their plugin, see `service.worker.runtime.serve`.

    Memory and files are the most that any plugin has: a process cannot raise what it was once held to.
    """
    limits, most = settings.limits, limits_of_plugins(settings).most
    return {
        "memory_bytes": most.memory_bytes,
        "open_files": most.open_files,
        "threads": limits.threads,
        "frame_bytes": limits.frame_mib * _MIB,
        "load_s": limits.load_s,
        "start_s": limits.start_s,
        "self_check_s": limits.self_check_s,
        "stop_s": limits.stop_s,
        "settle_s": limits.call_s,
    }


def _limits(settings: Settings, own: PluginLimitSettings, id: str) -> PluginLimits:
    limits, logs = settings.limits, settings.logs
    return PluginLimits(
        memory_bytes=(own.memory_mib or limits.memory_mib) * _MIB,
        open_files=own.open_files or limits.open_files,
        processes=own.processes or limits.processes,
        call_s=own.call_s or limits.call_s,
        search_s=own.search_s or limits.search_s,
        log_bytes=(own.plugin_mib or logs.plugin_mib) * _MIB,
        line_bytes=(own.line_kib or logs.line_kib) * _KIB,
        own=frozenset(name for name in own.__struct_fields__ if getattr(own, name) is not None),
        id=id,
    )
