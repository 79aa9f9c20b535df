"""Which addresses an install may be fetched from: decided without I/O, on what would really be connected to.

Loopback and private networks are allowed, because people keep plugins there. Never allowed is what only answers
questions about this machine (cloud metadata, link-local) and what is no host at all.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from yarl import URL

from service.errors import RequestRefused
from service.model.text import Text

_IPv4 = ipaddress.IPv4Address
_IPv6 = ipaddress.IPv6Address

_METADATA = Text(zh="云元数据服务地址", en="the address of a cloud metadata service")
_LINK_LOCAL = Text(
    zh="链路本地地址（云元数据服务也在其中）", en="a link-local address, where cloud metadata services are"
)
_NO_HOST = Text(
    zh="未指定、组播、广播或保留的地址", en="an unspecified, multicast, broadcast or reserved address"
)

_PRIVATE = Text(
    zh="内网或本机的地址；需要时可将该主机加入设置 thumbnails.private_hosts",
    en="an address of a private network or of this machine; thumbnails.private_hosts can allow its host",
)

_REFUSED_V4 = [
    (ipaddress.IPv4Network("169.254.0.0/16"), _LINK_LOCAL),
    (ipaddress.IPv4Network("100.100.100.200/32"), _METADATA),
    (ipaddress.IPv4Network("168.63.129.16/32"), _METADATA),
    (ipaddress.IPv4Network("192.0.0.192/32"), _METADATA),
    (ipaddress.IPv4Network("0.0.0.0/8"), _NO_HOST),
    (ipaddress.IPv4Network("224.0.0.0/4"), _NO_HOST),
    (ipaddress.IPv4Network("240.0.0.0/4"), _NO_HOST),
]
_REFUSED_V6 = [
    (ipaddress.IPv6Network("fe80::/10"), _LINK_LOCAL),
    (ipaddress.IPv6Network("fec0::/10"), _LINK_LOCAL),
    (ipaddress.IPv6Network("fd00:ec2::/32"), _METADATA),
    (ipaddress.IPv6Network("fd20:ce::254/128"), _METADATA),
    (ipaddress.IPv6Network("::/128"), _NO_HOST),
    (ipaddress.IPv6Network("ff00::/8"), _NO_HOST),
]
# Networks whose last 32 bits are the IPv4 address that is meant.
_TRANSLATED = [
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("::/96"),
    ipaddress.IPv6Network("::ffff:0:0:0/96"),
]
_REFUSED_NAMES = {
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
}

# Parameters by which an address lets somebody in: tokens, and the signatures of clouds.
_CREDENTIALS = frozenset(
    "token access_token private_token auth_token refresh_token id_token jwt auth authorization apikey api_key secret "
    "client_secret password passwd pwd sig signature credential session_id awsaccesskeyid".split()
)
_CREDENTIAL_PREFIXES = ("x_amz_", "x_goog_")


def refuse(what: str, reason: Text) -> RequestRefused:
    """The error for an address that is not fetched from; `what` must hold no credentials."""
    return RequestRefused(
        Text(
            zh=f"拒绝访问地址 {what}：{reason.zh}；请换用普通的 http 或 https 地址",
            en=f"The address {what} is refused: {reason.en}; give a plain http or https address",
        ),
        code="url_refused",
    )


def check_url(url: str | URL, allowed_hosts: Sequence[str] = ()) -> URL:
    """The parsed URL, if it may be fetched as far as can be seen before its host is looked up.

    Args:
        url: as a client or a redirect gave it.
        allowed_hosts: where not empty, only these hosts are allowed: `example.org`, or `*.example.org` for every
            host below it.

    Raises:
        RequestRefused: with code `url_refused`.
    """
    if isinstance(url, str) and (len(url) > 8000 or any(ord(char) <= 32 or ord(char) == 127 for char in url)):
        raise refuse(
            "",
            Text(
                zh="地址过长，或含有空格或控制字符", en="it is too long or has a blank or a control character"
            ),
        )
    try:
        parsed = URL(url)
        host = (parsed.raw_host or "").lower().rstrip(".")
        parsed.host, parsed.port, parsed.path, str(parsed)
    except (ValueError, TypeError) as error:
        raise refuse(
            "", Text(zh=f"不是有效的地址（{error}）", en=f"it is no valid address ({error})")
        ) from None
    what = shown(parsed)
    if parsed.scheme not in ("http", "https"):
        raise refuse(what, Text(zh="只允许 http 和 https", en="only http and https are allowed"))
    if not host or parsed.port == 0 or "%" in host or any(ord(char) <= 32 for char in host):
        raise refuse(what, Text(zh="主机名或端口无效", en="its host or port is not valid"))
    if host in _REFUSED_NAMES:
        raise refuse(what, _METADATA)
    reason = _literal_reason(host)
    if reason is not None:
        raise refuse(what, reason)
    if allowed_hosts and not any(_matches(host, pattern) for pattern in allowed_hosts):
        reason = Text(
            zh=f"主机 {host} 不在允许列表 install.allowed_hosts 中",
            en=f"{host} is not in install.allowed_hosts",
        )
        raise refuse(what, reason)
    return parsed


def address_reason(address: str) -> Text | None:
    """Why an IP address is never connected to, or None where it may be."""
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return Text(zh="不是 IP 地址", en="it is no IP address")
    return _reason(parsed)


def public_reason(address: str) -> Text | None:
    """Why an IP address is not one of the public internet, or None where it is."""
    reason = address_reason(address)
    if reason is not None:
        return reason
    parsed = ipaddress.ip_address(address.split("%", 1)[0])
    inner = _inner(parsed) if isinstance(parsed, _IPv6) else []
    return None if all(one.is_global for one in (*inner, *([] if inner else [parsed]))) else _PRIVATE


def matches_any(url: URL, hosts: Sequence[str]) -> bool:
    """Whether the host of an address is one of `hosts`, which are as for `check_url`."""
    host = (url.raw_host or "").lower().rstrip(".")
    return any(_matches(host, pattern) for pattern in hosts)


def shown(url: URL) -> str:
    """The URL as it may be shown and logged: neither credentials nor the values of its query."""
    try:
        bare = without_credentials(url)
        return str(bare.with_query(None)) + ("?…" if bare.raw_query_string else "")
    except ValueError:
        return ""


def public_url(url: str) -> str:
    """A URL to keep and to show as the origin of a plugin: without fragment and credentials, all else of it kept.

    Credentials are user and password, and parameters that are named as such.
    """
    try:
        bare = without_credentials(URL(url))
        if any(_is_credential(name) for name in bare.query):
            bare = bare.with_query([pair for pair in bare.query.items() if not _is_credential(pair[0])])
        return str(bare)
    except (ValueError, TypeError):
        return ""


def without_credentials(url: URL) -> URL:
    """The URL without user, password and fragment."""
    return (
        url.with_user(None).with_fragment(None) if url.absolute and url.raw_host else url.with_fragment(None)
    )


def _is_credential(parameter: str) -> bool:
    name = parameter.lower().replace("-", "_")
    return name in _CREDENTIALS or name.startswith(_CREDENTIAL_PREFIXES)


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.strip().lower().rstrip(".")
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern)
    return host == pattern.strip("[]")


def _literal_reason(host: str) -> Text | None:
    """Why a host that is written as an address is refused; None for names and good addresses."""
    if ":" in host:
        return address_reason(host)
    try:
        return _reason(_IPv4(host))
    except ValueError:
        pass
    try:
        socket.inet_aton(host)
    except OSError:
        return None
    # 2130706433, 0x7f.1, 0177.0.0.1: only ever written to get past a check.
    return Text(
        zh="IPv4 地址须写成四段十进制，例如 192.168.1.2",
        en="an IPv4 address has to be written as four decimal parts",
    )


def _reason(address: _IPv4 | _IPv6) -> Text | None:
    if isinstance(address, _IPv4):
        return next((reason for network, reason in _REFUSED_V4 if address in network), None)
    found = next((reason for network, reason in _REFUSED_V6 if address in network), None)
    if found is not None or address == _IPv6("::1"):
        return found
    return next((reason for inner in _inner(address) if (reason := _reason(inner)) is not None), None)


def _inner(address: _IPv6) -> list[_IPv4]:
    """The IPv4 addresses that a gateway would turn this one into."""
    found = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    found.extend(address.teredo or ())
    if any(address in network for network in _TRANSLATED):
        found.append(_IPv4(int(address) & 0xFFFFFFFF))
    return found
