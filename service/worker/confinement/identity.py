"""A user of its own for plugins, where the server is root, and no rights of root.

It stops what depends on whose a file or a process is: changing modes, owners and times of the server's files, signals
to its processes, looking into them. One user is for all plugins of a server; what keeps them apart from each other is
Landlock and the filter of system calls.

Where Landlock guards the files, plugins keep the capability to pass over modes and owners (`CAP_DAC_OVERRIDE`). It
opens nothing that Landlock does not, and without it a plugin could not read an interpreter below a private home, nor
write to a folder of somebody else's that it was granted. It does let them see that a file is there, how large it is
and of when.

Where the server is an ordinary user's, plugins run as that user, without any capability.
"""

from __future__ import annotations

import ctypes
import os

from service.worker.confinement.kernel import prctl, syscall
from service.worker.confinement.seccomp import number_of

CAP_DAC_OVERRIDE = 1
_CAP_CHOWN = 0
_CAP_KILL = 5
_CAP_SETGID = 6
_CAP_SETUID = 7
CAP_SYS_ADMIN = 21
# What a server needs that has processes of another user.
FOR_ANOTHER_USER = (_CAP_CHOWN, _CAP_KILL, _CAP_SETGID, _CAP_SETUID)

_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522


def apply(user: int | None, capabilities: tuple[int, ...], *, held: int, debuggable: bool) -> None:
    """Become that user, for good, with these capabilities and no others; no program that is run gives any back.

    Args:
        user: the id of the user, and of its group; `None` to stay who one is.
        capabilities: those that are kept, by number; what this process does not have it does not get.
        held: what `effective` gave; this process still has it.
        debuggable: whether others of the same user may look into this process, as far as other guards let them.

    Raises:
        OSError
    """
    keep = [one for one in capabilities if held >> one & 1]
    if user is not None and os.geteuid() != user:
        prctl(_PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    if held:
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        _set(keep)
        for one in keep:
            # So that programs which the plugin runs have it too: they are of the same interpreter and folders.
            prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, one)
    # A change of the user makes a process one that nobody may look into.
    prctl(_PR_SET_DUMPABLE, int(debuggable))


def effective() -> int:
    """The capabilities that this process has, as a set of bits."""
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"CapEff:"):
                return int(line.split()[1], 16)
    return 0


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def _set(capabilities: list[int]) -> None:
    bits = sum(1 << one for one in capabilities)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)(*(_Sets(*[bits >> shift & 0xFFFFFFFF] * 3) for shift in (0, 32)))
    syscall(
        number_of("capset"),
        ctypes.cast(ctypes.byref(header), ctypes.c_void_p),
        ctypes.cast(sets, ctypes.c_void_p),
    )
