"""Which addresses are pages: all but the API's and its neighbours'. No I/O."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

from aiohttp import web

_NOT_PAGES = ("api", "livez", "readyz", "metrics")
# With those in the pattern, a wrong method there would be a 404 here.
PAGE_PATTERN = rf"/{{path:(?!(?:{'|'.join(_NOT_PAGES)})(?:/|$)).*}}"

_TOKEN = "token"
_MAX_LENGTH = 2000


def is_page(path: str) -> bool:
    """Whether a path (decoded, from its first slash on) is that of a page. None has a line break or the like in it."""
    return path.isprintable() and path[1:].partition("/")[0] not in _NOT_PAGES


def address_of(request: web.BaseRequest) -> str:
    """The address of a page within this server, to come back to: path and query, without a token in it.

    It always begins with exactly one slash, since two would name another host, and so would a backslash.
    """
    url = request.rel_url
    path = quote("/" + url.path.lstrip("/\\"), safe="/~!$&'()*+,;=:@")
    pairs = [pair for pair in parse_qsl(url.raw_query_string, keep_blank_values=True) if pair[0] != _TOKEN]
    address = path + (f"?{urlencode(pairs)}" if pairs else "")
    return address if len(address) <= _MAX_LENGTH else "/"
