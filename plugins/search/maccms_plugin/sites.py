"""The sites of the configuration, and what to ask them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from plugins.shared.lenient_values import as_bool, entries_of, listed_in, text_of

DEFAULT_PATH = "/api.php/provide/vod/"


class Site(NamedTuple):
    """One collection API.

    Args:
        name: what results call it.
        url: where its API is.
        format: `json`, `xml`, or `auto` for what it answers by itself; an answer of the other kind is read too.
    """

    name: str
    url: str
    format: str = "auto"

    def address(self, **query: object) -> str:
        """The address of one question; what the configured address asks for stays unless it is given here."""
        parts = urlsplit(self.url)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        if self.format in ("json", "xml") and "/at/" not in parts.path:
            asked["at"] = self.format
        asked.update({name: str(value) for name, value in query.items()})
        return urlunsplit(parts._replace(query=urlencode(asked, quote_via=quote)))

    def link(self, id: str) -> str:
        """The address of one entry, as `search` gives it and `get_video_info` takes it."""
        return f"{self.url}#{quote(id, safe='')}"


def read_sites(config: Mapping[str, Any]) -> list[Site]:
    """The enabled sites, each once.

    Entries may be objects, `name|address` or bare addresses, in a list, in lines or as JSON; one site may also stand in
    the configuration itself (`url`, `api_url` …), as in older ones.

    Raises:
        ValueError: an address that is neither `http` nor `https`.
    """
    found: dict[str, Site] = {}
    for entry in _entries(config):
        address = text_of(entry, "url", "api", "api_url", "base_url", "address")
        if not address or not as_bool(entry.get("enabled"), True):
            continue
        url = _api_address(address)
        name = text_of(entry, "name", "title", "key", "label") or urlsplit(url).netloc
        format = text_of(entry, "format", "type").lower()
        site = Site(name, url, format if format in ("json", "xml") else "auto")
        found.setdefault(url, site)
    return list(found.values())


def _entries(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    listed = listed_in(config.get("sites") or config.get("sources"))
    if isinstance(listed, Mapping):  # one site, or sites by name
        listed = (
            [listed]
            if text_of(listed, "url", "api", "api_url", "base_url")
            else [
                {"name": name, **(entry if isinstance(entry, Mapping) else {"url": entry})}
                for name, entry in listed.items()
            ]
        )
    yield from entries_of(listed)
    if text_of(config, "url", "api_url", "base_url"):
        yield {**config, "enabled": True, "name": config.get("site_name") or ""}


def _api_address(address: str) -> str:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{address} is neither an http nor an https address; correct it in the configuration"
        )
    path = parts.path
    if path in ("", "/"):
        path = DEFAULT_PATH
    elif path.endswith(("/api.php", "/api.php/")):  # where the API begins, not yet which
        path = f"{path.rstrip('/')}/provide/vod/" if "/inc/" not in path else path
    return urlunsplit(parts._replace(path=path, fragment=""))
