"""Limits of the kernel on one process: memory of its own, open files, the stacks of its threads, no core dumps.

They stop a plugin that takes memory or files without end, at the place where it does so: with a `MemoryError`, or with
`EMFILE`. They do not stop memory that is shared (the server weighs the processes of a plugin for that, see
`service.host.workers.weights`) nor many processes (it counts them, see `service.host.workers.census`).
`RLIMIT_AS` is left alone, since threads take address space that they never use, and `RLIMIT_CPU` too, since a healthy
worker may be months old.
"""

from __future__ import annotations

import resource
import threading

_THREAD_STACK_BYTES = 1024 * 1024


def apply(memory_bytes: int, open_files: int) -> None:
    """Keep this process, and what it forks, to so much.

    Args:
        memory_bytes: of private data.
        open_files: descriptors.
    """
    threading.stack_size(_THREAD_STACK_BYTES)
    for kind, value in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (ceiling, ceiling))
