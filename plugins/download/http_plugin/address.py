"""Addresses: as they go over the wire, where redirects may lead, and which proxy is in between."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from plugins.download.http_plugin.errors import DownloadFailed
from plugins.shared.web_origins import basic, proxy_for

PORTS = {"http": 80, "https": 443}


def plain_url(url: str) -> tuple[str, str]:
    """The address as it goes over the wire, and the `Authorization` that was in it, or an empty text.

    Raises:
        DownloadFailed: it is none, or of another scheme.
    """
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").encode("ascii" if (parts.hostname or "").isascii() else "idna").decode()
        port = parts.port
    except ValueError as error:  # UnicodeError is one
        raise DownloadFailed(f"{url!r} is no address: {error}") from error
    if parts.scheme not in PORTS:
        raise DownloadFailed(f"{url} is neither http nor https; other schemes are not allowed here")
    if not host or re.search(r"[\s\x00-\x1f\x7f]", host):
        raise DownloadFailed(f"{url!r} names no host")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != PORTS[parts.scheme]:
        netloc += f":{port}"
    path = quote(parts.path, safe="/%:=&~+!$,;'@()*")
    query = quote(parts.query, safe="/%:=&?~+!$,;'@()*[]|")
    return urlunsplit((parts.scheme, netloc, path, query, "")), basic(parts)


def redirected(url: str, location: str) -> str:
    """Where a `Location` leads; DownloadFailed where that is not allowed."""
    try:
        location = location.encode("latin-1").decode()  # http.client reads headers as Latin-1
    except ValueError:
        pass
    try:
        return plain_url(urljoin(url, location.strip()))[0]
    except ValueError as error:
        raise DownloadFailed(
            f"the server redirects to {location!r}, which is not allowed: {error}"
        ) from error


def http_proxy_for(scheme: str, host: str) -> SplitResult | None:
    """The proxy that the environment names for a host; DownloadFailed where it is of another kind."""
    proxy = proxy_for(scheme, host)
    if proxy is not None and proxy.scheme != "http":
        raise DownloadFailed(f"the proxy {proxy.hostname} of the environment is not of the kind http://")
    return proxy
