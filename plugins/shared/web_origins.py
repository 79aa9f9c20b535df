"""Where a request may go: which addresses are fetched, whose secrets it may hold, which proxy is in between."""

from __future__ import annotations

import base64
import re
import urllib.request
from urllib.parse import SplitResult, unquote, urlsplit

_WITHOUT_PROXY = re.compile(r"localhost|127(\.\d+){3}|::1", re.IGNORECASE)


def is_web_address(url: str) -> bool:
    """Whether it is an `http` or `https` address."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # not an address at all, such as http://[
        return False


def is_same_origin(one: str, other: str) -> bool:
    """Whether private headers for one may go to the other; from http to https on the usual ports they may."""
    a, b = urlsplit(one), urlsplit(other)
    if a.hostname != b.hostname or (a.scheme, b.scheme) == ("https", "http"):
        return False
    return a.port == b.port if a.scheme == b.scheme else a.port is None and b.port is None


def basic(parts: SplitResult) -> str:
    """The `Authorization` for the login that stands in an address, or an empty text."""
    if parts.username is None:
        return ""
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(login.encode()).decode()


def proxy_for(scheme: str, host: str) -> SplitResult | None:
    """The proxy that the environment names for a host; never one for this machine itself."""
    if _WITHOUT_PROXY.fullmatch(host) or urllib.request.proxy_bypass(host):
        return None
    found = urllib.request.getproxies().get(scheme) or urllib.request.getproxies().get("all")
    if not found:
        return None
    return urlsplit(found if "://" in found else f"http://{found}")
