"""Who is at the other end of a connection from this machine: a plugin, or somebody else.

    sock_diag(7) ── the user and the inode of the peer's socket
        │
        ├─ plugins have a user of their own ─────► it is a plugin's, of any server, or it is not
        └─ they share the server's ──────────────► the process that holds the socket: below this server, or below the
                                                   template of another (`plugbay check` has one, too), or not

One question to the kernel for each connection, and where plugins share the server's user a look at processes, the
newest first, until one is found that holds the socket. A socket that nobody is found to hold may be on its way between
two processes of a plugin, so it counts as one of a plugin's.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from service.host.workers.census import process_of
from service.host.workers.ground import is_for_plugins
from service.host.workers.processes import TEMPLATE_ENTRY

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
# In struct inet_diag_msg; the inode follows the user.
_USER_AT = 64
_ANSWER_BYTES = 4096
_CMDLINE_BYTES = 4096
_TEMPLATE_ENTRY = TEMPLATE_ENTRY.encode()


class End(NamedTuple):
    """One end of a connection as `getpeername` and `getsockname` give it: the address, and the port."""

    address: str
    port: int


class Socket(NamedTuple):
    """Whose a socket is; the inode is 0 where no process has it any more."""

    user: int
    inode: int


class Unknown(Exception):
    """The kernel does not say whose the peer's socket is."""


class Peers:
    """See the module.

    Args:
        plugin_user: the user that plugins run as, `None` where that is the server's own.

    Attributes:
        can_tell: whether the kernel says whose a socket is.
    """

    def __init__(self, plugin_user: int | None) -> None:
        self._plugin_user = plugin_user
        self._server = os.getpid()
        self._server_user = os.geteuid()
        self.can_tell = _can_tell()

    def is_plugin(self, peer: End, own: End) -> bool:
        """Whether a plugin is at the other end, or may be. Blocks for some microseconds, or see `may_search`.

        Raises:
            Unknown
        """
        found = socket_of(peer, own)
        if found is None or not found.inode:
            return True
        if found.user == self._plugin_user or is_for_plugins(found.user):
            return True
        if self._plugin_user is not None or found.user != self._server_user:
            return False
        holder = _holder(found)
        return holder is None or self._is_below_a_server(holder)

    @property
    def may_search(self) -> bool:
        """Whether a look at many processes may be needed, for some milliseconds."""
        return self._plugin_user is None

    def _is_below_a_server(self, pid: int) -> bool:
        while pid > 1:
            if _is_template(pid):
                return True
            if (found := process_of(pid)) is None:  # it has just gone
                return True
            pid = found.parent
            if pid == self._server:
                return True
        return False


def _is_template(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return any(one.endswith(_TEMPLATE_ENTRY) for one in file.read(_CMDLINE_BYTES).split(b"\0"))
    except OSError:  # another user's, or it has just gone: its parent says more
        return False


def socket_of(peer: End, own: End) -> Socket | None:
    """The socket at the other end of a connection within this machine; `None` where there is none.

    Raises:
        Unknown
    """
    addresses = [_unmapped(one.address) for one in (peer, own)]
    family = socket.AF_INET if addresses[0].version == 4 else socket.AF_INET6
    payload = b"".join(
        (
            _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _ALL_STATES),
            struct.pack(">HH", peer.port, own.port),
            *(one.packed.ljust(16, b"\0") for one in addresses),
            struct.pack("=III", 0, _NO_COOKIE, _NO_COOKIE),
        )
    )
    head = _HEADER.pack(_HEADER.size + len(payload), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    try:
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
        ) as ask:
            # It is answered before the send returns.
            ask.setblocking(False)
            ask.send(head + payload)
            answer = ask.recv(_ANSWER_BYTES)
    except OSError as error:
        raise Unknown(str(error)) from error
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        if -number == errno.ENOENT:
            return None
        raise Unknown(os.strerror(-number))
    return Socket(*struct.unpack_from("=II", answer, _HEADER.size + _USER_AT))


def _can_tell() -> bool:
    """Whether the kernel answers at all, be it that there is no such socket."""
    nowhere = End("127.0.0.1", 0)
    try:
        socket_of(nowhere, nowhere)
    except Unknown:
        return False
    return True


def _unmapped(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address; one of IPv4 that is written as of IPv6 is one of IPv4 to the kernel, too."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def _holder(wanted: Socket) -> int | None:
    """A process of that user that holds the socket; who has just been started is looked at first."""
    link = f"socket:[{wanted.inode}]"
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdecimal()), reverse=True):
        if link in _links(pid, wanted.user):
            return pid
    return None


def _links(pid: int, user: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):  # another user's, or it has just gone
        if os.stat(folder).st_uid != user:
            return
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                yield os.readlink(f"{folder}/{name}")
