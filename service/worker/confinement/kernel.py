"""System calls that Python has no name for, with their errors as `OSError`."""

from __future__ import annotations

import ctypes
import os

_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_prctl = _libc.prctl


def syscall(number: int, *arguments: int | ctypes.c_void_p | None) -> int:
    """Make a system call.

    Args:
        number: the call's, on this architecture.
        arguments: numbers, or pointers.

    Raises:
        OSError
    """
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = _syscall(ctypes.c_long(number), *given)
    if result == -1:
        _fail(f"system call {number}")
    return int(result)


def prctl(option: int, *values: int) -> int:
    """Ask or tell the kernel something of this process, see prctl(2).

    Raises:
        OSError
    """
    given = [ctypes.c_ulong(one) for one in (*values, 0, 0, 0, 0)[:4]]
    result = _prctl(option, *given)
    if result == -1:
        _fail(f"prctl({option})")
    return int(result)


def forbid_new_privileges() -> None:
    """From now on no program that is run gives this process more rights, set-user-id or not; both filters ask for it.

    Raises:
        OSError
    """
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")
