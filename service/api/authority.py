"""Names of hosts: which authority a header means, and which of them are this machine. No I/O."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import msgspec

DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.ASCII)
_HEADER_MAX_LENGTH = 300


class Authority(msgspec.Struct, frozen=True):
    """A host in its canonical spelling, and the port where one was written."""

    host: str
    port: int | None


def parse_authority(text: str) -> Authority | None:
    """Read `host`, `host:port` or `[v6]:port`; None for anything else, user names included.

    Letters become small and one trailing dot goes, so that spellings of one name are equal.
    """
    if len(text) > _HEADER_MAX_LENGTH:
        return None
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        if not bracket or "%" in literal:
            return None
        try:
            host = str(ipaddress.IPv6Address(literal))
        except ValueError:
            return None
        colon, port_text = rest[:1], rest[1:]
        if rest and colon != ":":
            return None
    else:
        name, colon, port_text = text.partition(":")
        host = name.lower().removesuffix(".")
        if not _HOST_NAME.fullmatch(host) or ".." in host:
            return None
    if not colon:
        return Authority(host, None)
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5):
        return None
    port = int(port_text)
    return Authority(host, port) if 0 < port < 65536 else None


def parse_origin(text: str) -> tuple[str, Authority] | None:
    """Read an `Origin`: its scheme, and its authority with the port always given. `null` is none."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    authority = parse_authority(rest) if separator and scheme in DEFAULT_PORTS else None
    if authority is None:
        return None
    return scheme, with_port(authority, scheme)


def with_port(authority: Authority, scheme: str) -> Authority:
    """The same authority, with the scheme's own port where none was written."""
    if authority.port is not None:
        return authority
    return Authority(authority.host, DEFAULT_PORTS[scheme])


def is_loopback_name(host: str) -> bool:
    """Whether a canonical host is `localhost` or a loopback address."""
    return host == "localhost" or is_loopback_address(host)


@lru_cache(maxsize=1024)
def is_loopback_address(address: str) -> bool:
    """Whether an IP address is this machine: 127.0.0.0/8, ::1, and the former written as IPv6."""
    try:
        return parse_ip(address).is_loopback
    except ValueError:
        return False


def parse_ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an IP address; one of IPv4 that is written as IPv6 is one of IPv4.

    Raises:
        ValueError: it is none.
    """
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
