"""What the kernel lets this process confine others with. Asks only; changes nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass

from service.worker.confinement import identity, landlock, seccomp


@dataclass(frozen=True, slots=True)
class Report:
    """What there is.

    Attributes:
        landlock: the version of Landlock's interface, 0 for none.
        seccomp: whether system calls can be filtered.
        namespaces: whether a process may make a network namespace.
        users: whether a process may become another user, be given files, and be ended then.
        passes_modes: whether it may pass over the modes and owners of files, and let others do so.
        is_root: whether this process is root's, so that what it owns is the system's.
    """

    landlock: int
    seccomp: bool
    namespaces: bool
    users: bool
    passes_modes: bool
    is_root: bool


def probe() -> Report:
    """Ask the kernel."""
    held = identity.effective()
    return Report(
        landlock=landlock.version(),
        seccomp=seccomp.supported(),
        namespaces=bool(held >> identity.CAP_SYS_ADMIN & 1),
        users=all(held >> one & 1 for one in identity.FOR_ANOTHER_USER),
        passes_modes=bool(held >> identity.CAP_DAC_OVERRIDE & 1),
        is_root=os.geteuid() == 0,
    )
