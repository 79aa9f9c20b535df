"""The limits of plugins and of their processes, as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.host.plugin_limits import LimitsOfPlugins, PluginLimits
from service.settings import PluginLimitSettings, Settings

if TYPE_CHECKING:
    from service.host.kernel import KernelLimits

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


def kernel_limits(settings: Settings, home: Path) -> KernelLimits:
    """What the kernel is given of the settings."""
    # Only here, so that a check of a plugin does not load the server.
    from service.host.kernel import KernelLimits
    from service.host.loader import LoadLimits
    from service.host.reconciling.reconciler import ReconcilerLimits

    limits = settings.limits
    return KernelLimits(
        load=LoadLimits(limits.load_s, limits.start_s, limits.self_check_s),
        reconciler=ReconcilerLimits(
            settle_s=settings.watch.settle_ms / 1000,
            draining_generations=limits.draining_generations,
            plugin_file_bytes=limits.plugin_file_kib * 1024,
            crash_backoff_min_s=limits.crash_backoff_min_s,
            crash_backoff_max_s=limits.crash_backoff_max_s,
            crashes_before_failed=limits.crashes_before_failed,
            crash_window_s=limits.crash_window_s,
        ),
        worker=worker_limits(settings),
        plugins=limits_of_plugins(settings),
        downloads_dir=home / settings.downloads.folder,
        dependencies_s=settings.dependencies.timeout_s,
        allow_builds=settings.dependencies.allow_builds,
        frame_bytes=limits.frame_mib * _MIB,
        plugin_file_bytes=limits.plugin_file_kib * 1024,
        call_s=limits.call_s,
        stop_s=limits.stop_s,
        scan_s=settings.watch.scan_s,
        spares=settings.workers.spares,
    )
