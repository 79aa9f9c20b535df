"""What a reverse proxy says of the client behind it: believed of listed proxies only. No I/O.

    X-Forwarded-For: 198.51.100.7, 10.0.0.2        X-Forwarded-Proto: https        X-Forwarded-Host: plug.example
    Forwarded: for=198.51.100.7;proto=https;host=plug.example                      (RFC 7239)

Each proxy adds the address that it was connected from at the end. Going back from there, the first that is no listed
proxy is the client: whatever stands before it, the client may have written itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

import msgspec
from aiohttp import web

from service.api.authority import DEFAULT_PORTS, parse_ip
from service.api.keys import SCHEME
from service.errors import PlugbayError
from service.model.text import Text

# More hops than any network has; what a client sends is not read for longer.
_HOPS_MAX = 32

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# One pair of a `Forwarded` element: a token, and a token or a quoted string.
_PAIR = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";,]+))\s*')


def scheme_of(request: web.BaseRequest) -> str:
    """By which scheme the client of a request came: as a trusted proxy says it, or else as it came here."""
    return request.get(SCHEME) or request.scheme


class Forwarded(msgspec.Struct, frozen=True):
    """What a trusted proxy says of its client.

    Attributes:
        address: the client's; None where the proxy does not say it, or says it twice and differently.
        scheme: by which the client came, `http` or `https`; None where it is not said.
        host: the `Host` that the client sent; None where it is not said.
    """

    address: str | None
    scheme: str | None
    host: str | None


class Proxies:
    """The listed proxies.

    Args:
        listed: addresses and networks: `10.0.0.2`, `10.0.0.0/8`, `fd00::/8`.

    Raises:
        PlugbayError: an entry is neither.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._networks = [_network(item) for item in listed]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def has(self, address: str) -> bool:
        """Whether an address is that of a listed proxy."""
        try:
            ip = parse_ip(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def read(self, headers: Sequence[tuple[bytes, bytes]]) -> Forwarded:
        """What the headers of a request say that came from one of them.

        A proxy that sets one of the two kinds passes the other on as the client wrote it: where both are there, the
        client's address is not taken from either.
        """
        named = _ours(headers)
        elements = _elements(named.get(b"forwarded", []))
        hops = [hop.strip() for hop in ",".join(named.get(b"x-forwarded-for", [])).split(",") if hop.strip()]
        address = None
        if not (hops and elements):
            address = self._client(hops or [one["for"] for one in elements if "for" in one])
        last = elements[-1] if elements and not hops else {}
        scheme = _last(named.get(b"x-forwarded-proto", [])) or last.get("proto", "")
        host = _last(named.get(b"x-forwarded-host", [])) or last.get("host", "")
        scheme = scheme.lower()
        return Forwarded(address, scheme if scheme in DEFAULT_PORTS else None, host or None)

    def _client(self, hops: list[str]) -> str | None:
        for hop in reversed(hops[-_HOPS_MAX:]):
            try:
                ip = parse_ip(_without_port(hop))
            except ValueError:
                # `unknown`, or a name that hides it (RFC 7239, section 6): nothing behind it can be relied on.
                return None
            if not any(ip in network for network in self._networks):
                return str(ip)
        return None


def _ours(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, list[str]]:
    named: dict[bytes, list[str]] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"):
            named.setdefault(lowered, []).append(value.decode("latin-1"))
    return named


def _elements(values: list[str]) -> list[dict[str, str]]:
    """The elements of `Forwarded`, the nearest hop last; none where they cannot be read."""
    text = ",".join(values)
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            return []
        name, quoted, bare = match.groups()
        elements[-1][name.lower()] = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = match.end()
        following = text[position : position + 1]
        if following == ",":
            elements.append({})
        elif following not in ("", ";"):
            return []
        position += 1
    return [element for element in elements if element]


def _last(values: list[str]) -> str:
    """The nearest proxy's word."""
    return values[-1].rpartition(",")[2].strip() if values else ""


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _network(item: str) -> _Network:
    try:
        return ipaddress.ip_network(item)
    except ValueError as error:
        raise PlugbayError(
            Text(
                zh=f"server.trusted_proxies 中的 {item} 不是地址或网段，应写作 10.0.0.2 或 10.0.0.0/8",
                en=f"{item} in server.trusted_proxies is no address or network; write 10.0.0.2 or 10.0.0.0/8",
            ),
            code="settings_invalid",
        ) from error
