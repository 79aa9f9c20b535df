"""The filters of both architectures, gone through as the kernel would, whatever machine this is."""

from __future__ import annotations

import errno
import struct
from types import SimpleNamespace

import pytest

from service.worker.confinement import seccomp

ALLOWED = 0
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
INTERNET, UNIX = 2, 1


def ran(program: bytes, number: int, architecture: int, *arguments: int) -> int:
    """What the kernel answers: 0, or the number of the error. Only what the filters are made of is known here."""
    values = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(value & (1 << 64) - 1 for value in values))
    code = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        kind, yes, no, value = code[at]
        at += 1
        if kind == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif kind == 0x54:
            accumulator &= value
        elif kind == 0x06:
            return 0 if value == 0x7FFF0000 else value & 0xFFFF
        else:
            true = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: accumulator & value}[kind]
            at += yes if true else no


@pytest.fixture(params=ARCHITECTURES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(seccomp.os, "uname", lambda: SimpleNamespace(machine=request.param))
    return ARCHITECTURES[request.param]


def called(machine: int, name: str, *arguments: int, shared_user: bool = False) -> int:
    program = seccomp.for_plugins(shared_user=shared_user)
    return ran(program, seccomp.number_of(name), machine, *arguments)


@pytest.mark.parametrize(
    "name", ["mount", "ptrace", "bpf", "keyctl", "setns", "io_uring_setup", "memfd_create"]
)
def test_what_no_plugin_needs_is_refused(machine: int, name: str) -> None:
    assert called(machine, name) == errno.EPERM


def test_every_other_call_is_allowed(machine: int) -> None:
    program = seccomp.for_plugins(shared_user=True)
    column = list(ARCHITECTURES.values()).index(machine)
    known = {numbers[column] for numbers in seccomp._NUMBERS.values()}
    assert {ran(program, number, machine) for number in range(470) if number not in known} == {ALLOWED}


def test_calls_of_another_convention_are_refused(machine: int) -> None:
    program = seccomp.for_plugins(shared_user=False)
    (other,) = set(ARCHITECTURES.values()) - {machine}
    assert ran(program, 0, other) == errno.EPERM
    assert ran(program, 0, 0x40000003) == errno.EPERM  # i386
    if machine == ARCHITECTURES["x86_64"]:
        assert ran(program, 0x40000000, machine) == errno.EPERM  # x32


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("socket", (INTERNET, 1 | 0o2000000, 0), ALLOWED),
        ("socket", (INTERNET, 2, 17), ALLOWED),
        ("socket", (INTERNET, 2, 1), errno.EPERM),
        ("socket", (INTERNET, 3, 0), errno.EPERM),
        ("socket", (UNIX, 1, 0), errno.EPERM),
        ("socket", (16, 3, 0), ALLOWED),
        ("socket", (16, 3, 4), errno.EPERM),
        ("socketpair", (UNIX, 1 | 0o2004000), ALLOWED),
        ("socketpair", (UNIX, 2), errno.EPERM),
        ("clone", (0x01200011,), ALLOWED),
        ("clone", (0x10000011,), errno.EPERM),
        ("clone", (0x8011,), errno.EPERM),
        ("clone3", (), errno.ENOSYS),
        ("unshare", (0x10000000,), errno.EPERM),
        ("unshare", (0x50000000,), errno.EPERM),
        ("prctl", (1, 9), ALLOWED),
        ("prctl", (1, 0), errno.EPERM),
        ("prctl", (36, 0), errno.EPERM),
        ("prctl", (15, 0), ALLOWED),
        ("ioctl", (0, 0x5401), ALLOWED),
        ("ioctl", (0, 0x1_0000_5412), errno.EPERM),
        ("personality", (0xFFFFFFFF,), ALLOWED),
        ("personality", (0x40000,), errno.EPERM),
        ("prlimit64", (0, 7), ALLOWED),
        ("prlimit64", (1, 7), errno.EPERM),
        ("setpriority", (0, 0), ALLOWED),
        ("setpriority", (2, 0), errno.EPERM),
        ("sched_setaffinity", (1,), errno.EPERM),
    ],
)
def test_what_depends_on_arguments(machine: int, name: str, arguments: tuple[int, ...], answer: int) -> None:
    assert called(machine, name, *arguments) == answer


def test_modes_by_path_are_refused_where_the_user_is_the_servers(machine: int) -> None:
    assert called(machine, "fchmodat") == ALLOWED
    assert called(machine, "fchmodat", shared_user=True) == errno.EPERM


def test_without_the_network_and_with_some_ports(machine: int) -> None:
    none, some = seccomp.without_network(), seccomp.connecting_only()
    number = seccomp.number_of
    assert ran(none, number("socket"), machine, INTERNET) == errno.EPERM
    assert ran(none, number("socket"), machine, 16) == ALLOWED
    assert ran(some, number("sendto"), machine, 3, 0, 0, 0) == ALLOWED
    assert ran(some, number("sendto"), machine, 3, 0, 0, 0x20000000) == errno.EPERM
    assert ran(some, number("setsockopt"), machine, 3, 6, 30) == errno.EPERM
    assert ran(some, number("setsockopt"), machine, 3, 1, 30) == ALLOWED
