"""A filter of system calls: what no plugin needs and what would lead out of the other guards is refused. seccomp(2).

It stops, with `EPERM` and never with a kill:

- sockets other than TCP and UDP: paths and abstract names (a container's or an agent's socket is the whole machine),
  raw and packet sockets, all of netlink but what lists addresses. A connected pair, as `asyncio` has one, may be made.
- leaving the tree of processes that is counted and ended with the worker
- mounts, namespaces, other roots, modules, swap, clocks, reboots
- looking into and steering other processes: `ptrace`, `process_vm_readv`, `pidfd_getfd`, their limits and priorities
- `bpf`, `io_uring` (which makes calls that no filter sees), `userfaultfd`, `perf`, keys, file handles, `fanotify`
- memory that no limit counts: files in memory, and what the kernel keeps under a name for everybody (System V and
  POSIX queues, semaphores, shared memory)
- changes of owners, and of attributes by path (by descriptor `cp -p` and `sed -i` need them); where plugins
  share the server's user also of modes by path
- calls in another convention (x32, i386), which would have other numbers

It does not see what pointers lead to, so it knows nothing of paths and addresses; Landlock does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from service.worker.confinement.kernel import syscall

Program = bytes

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32 = 0x40000000

_SET_MODE_FILTER = 1
_FILTER_FLAG_TSYNC = 1
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# By name: the number on x86_64 and on aarch64, where the call is there.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chmod": (90, None),
    "chown": (92, None),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchownat": (260, 54),
    "file_setattr": (469, 469),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lchown": (94, None),
    "lookup_dcookie": (212, 18),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "setsockopt": (54, 208),
    "settimeofday": (164, 170),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}

_REFUSED = """
    acct add_key adjtimex bpf chown chroot clock_adjtime clock_settime delete_module fanotify_init fchownat
    file_setattr finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register
    io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lchown lookup_dcookie lremovexattr lsetxattr
    memfd_create memfd_secret migrate_pages modify_ldt mount mount_setattr move_mount move_pages mq_open mq_unlink
    msgctl msgget msgrcv msgsnd name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr
    perf_event_open pidfd_getfd pivot_root process_madvise process_mrelease process_vm_readv process_vm_writev
    ptrace quotactl quotactl_fd reboot removexattr removexattrat request_key semctl semget semop semtimedop
    setdomainname sethostname setns settimeofday setxattr setxattrat shmat shmctl shmget swapoff swapon syslog
    umount2 uselib userfaultfd vhangup
""".split()
_MODES_BY_PATH = ("chmod", "fchmodat", "fchmodat2")

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_SEQPACKET, _SOCK_TYPE_MASK = 1, 2, 5, 0xF
_IPPROTO_TCP, _IPPROTO_UDP = 6, 17
_TCP_FASTOPEN_CONNECT, _TCP_ULP, _MSG_FASTOPEN = 30, 31, 0x20000000
CLONE_NEWNET = 0x40000000
_CLONE_PARENT = 0x8000
_NAMESPACES = 0x7E020000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _SIGKILL = 1, 36, 9
_PERSONALITY_QUERY = 0xFFFFFFFF


def supported() -> bool:
    """Whether this architecture is known here and the kernel takes filters."""
    if os.uname().machine not in _ARCHITECTURES:
        return False
    action = struct.pack("=I", _REFUSE)
    try:
        # SECCOMP_GET_ACTION_AVAIL
        syscall(number_of("seccomp"), 2, 0, ctypes.cast(ctypes.c_char_p(action), ctypes.c_void_p))
    except OSError:
        return False
    return True


def number_of(name: str) -> int:
    """The number of a system call on this architecture.

    Raises:
        OSError: it has none, or the architecture is not known here.
    """
    column, _ = _architecture()
    number = _NUMBERS[name][column]
    if number is None:
        raise OSError(errno.ENOSYS, f"there is no system call {name} on {os.uname().machine}")
    return number


def install(program: Program) -> None:
    """Hold every thread of this process, and all that it starts, to a filter, besides those that it has.

    Raises:
        OSError
    """
    code = ctypes.create_string_buffer(program, len(program))
    length = len(program) // _INSTRUCTION.size
    # struct sock_fprog, with the hole that the pointer's alignment leaves
    head = ctypes.create_string_buffer(struct.pack("@HP", length, ctypes.addressof(code)))
    syscall(
        number_of("seccomp"),
        _SET_MODE_FILTER,
        _FILTER_FLAG_TSYNC,
        ctypes.cast(head, ctypes.c_void_p),
    )


# -- programs --------------------------------------------------------------------------------------------------------


def for_plugins(*, shared_user: bool) -> Program:
    """The filter that every plugin has.

    Args:
        shared_user: whether plugins run as the server's user, whose files are theirs to change then.
    """
    refused = [*_REFUSED, *(_MODES_BY_PATH if shared_user else ())]
    internet = _when(
        1,
        _SOCK_TYPE_MASK,
        {
            _SOCK_STREAM: _only(2, 0, _IPPROTO_TCP),
            _SOCK_DGRAM: _only(2, 0, _IPPROTO_UDP),
        },
        _refuse(),
    )
    blocks = {
        # Ahead of the plugin, a network namespace may be needed yet; without capabilities nobody can make one.
        "unshare": _only(0, CLONE_NEWNET),
        # A child of one's parent is no descendant: it would not be counted, and not ended with the worker.
        "clone": [_load(0), *_if_any_bit(_NAMESPACES | _CLONE_PARENT, _refuse()), *_allow()],
        # Its flags are behind a pointer; without it the C library makes do with clone.
        "clone3": _refuse(errno.ENOSYS),
        "socket": _when(
            0, None, {_AF_INET: internet, _AF_INET6: internet, _AF_NETLINK: _only(2, 0)}, _refuse()
        ),
        # A datagram socket of a pair could send to any path.
        "socketpair": _when(
            0,
            None,
            {
                _AF_UNIX: _when(
                    1, _SOCK_TYPE_MASK, {_SOCK_STREAM: _allow(), _SOCK_SEQPACKET: _allow()}, _refuse()
                )
            },
            _refuse(),
        ),
        "ioctl": _when(1, None, {_TIOCSTI: _refuse(), _TIOCLINUX: _refuse()}, _allow()),
        # What binds a process to its parent, and its descendants to it, may not be undone.
        "prctl": _when(
            0,
            None,
            {_PR_SET_PDEATHSIG: _only(1, _SIGKILL), _PR_SET_CHILD_SUBREAPER: _only(1, 1)},
            _allow(),
        ),
        "personality": _only(0, 0, _PERSONALITY_QUERY),
        "prlimit64": _only(0, 0),
        "setpriority": _when(0, None, {0: _only(1, 0)}, _refuse()),
        "ioprio_set": _when(0, None, {1: _only(1, 0)}, _refuse()),
        **dict.fromkeys(
            ("sched_setscheduler", "sched_setparam", "sched_setattr", "sched_setaffinity"), _only(0, 0)
        ),
    }
    return _program(refused, blocks)


def without_network() -> Program:
    """A filter that refuses sockets of the internet families."""
    return _program([], {"socket": _when(0, None, {_AF_INET: _refuse(), _AF_INET6: _refuse()}, _allow())})


def connecting_only() -> Program:
    """A filter that refuses to begin a TCP connection other than by connect(2), which Landlock sees.

    Another protocol above TCP (`TCP_ULP`) may take the socket's place, and Landlock does not know that for TCP.
    """
    no_fast_open = _if_any_bit(_MSG_FASTOPEN, _refuse())
    return _program(
        [],
        {
            "sendto": [_load(3), *no_fast_open, *_allow()],
            "sendmsg": [_load(2), *no_fast_open, *_allow()],
            "sendmmsg": [_load(3), *no_fast_open, *_allow()],
            "setsockopt": _when(
                1,
                None,
                {
                    _IPPROTO_TCP: _when(
                        2, None, {_TCP_FASTOPEN_CONNECT: _refuse(), _TCP_ULP: _refuse()}, _allow()
                    )
                },
                _allow(),
            ),
        },
    )


# -- assembling ------------------------------------------------------------------------------------------------------

_INSTRUCTION = struct.Struct("=HBBI")
# A block decides: whatever way is taken through it ends with a return.
_Block = list[bytes]


def _architecture() -> tuple[int, int]:
    try:
        return _ARCHITECTURES[os.uname().machine]
    except KeyError:
        raise OSError(errno.ENOSYS, f"no filter is known for {os.uname().machine}") from None


def _program(refused: Iterable[str], blocks: dict[str, _Block]) -> Program:
    column, architecture = _architecture()
    code = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        *_if_equal(architecture, [], otherwise=_refuse()),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if os.uname().machine == "x86_64":
        code += [_instruction(_AT_LEAST, _X32, yes=0, no=1), *_refuse()]
    for name, block in {**dict.fromkeys(refused, _refuse()), **blocks}.items():
        if (number := _NUMBERS[name][column]) is not None:
            code += _if_equal(number, block)
    return b"".join([*code, *_allow()])


def _instruction(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, yes, no, value)


def _allow() -> _Block:
    return [_instruction(_RETURN, _ALLOW)]


def _refuse(number: int = errno.EPERM) -> _Block:
    return [_instruction(_RETURN, _REFUSE | number)]


def _load(argument: int) -> bytes:
    """Load the lower half of an argument; those that are looked at here are numbers of 32 bits to the kernel, too."""
    return _instruction(_LOAD, _ARGUMENTS_AT + 8 * argument)


def _if_equal(value: int, block: _Block, *, otherwise: _Block | None = None) -> _Block:
    if otherwise is not None:
        return [_instruction(_EQUAL, value, yes=len(otherwise)), *otherwise, *block]
    return [_instruction(_EQUAL, value, no=len(block)), *block]


def _if_any_bit(bits: int, block: _Block) -> _Block:
    return [_instruction(_ANY_BIT, bits, no=len(block)), *block]


def _when(argument: int, mask: int | None, cases: dict[int, _Block], otherwise: _Block) -> _Block:
    code = [_load(argument)]
    if mask is not None:
        code.append(_instruction(_AND, mask))
    for value, block in cases.items():
        code += _if_equal(value, block)
    return code + otherwise


def _only(argument: int, *values: int) -> _Block:
    return _when(argument, None, dict.fromkeys(values, _allow()), _refuse())


def own_thread_is_alone() -> bool:
    """Whether this process has one thread only: Landlock holds the one that asks for it, and not its siblings."""
    return len(os.listdir("/proc/self/task")) == 1
