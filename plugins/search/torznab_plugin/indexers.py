"""The indexers of the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from plugins.shared.lenient_values import as_bool, entries_of, text_of

_KEY_NAMES = ("apikey", "api_key", "passkey")
# What the address must not fix, because each question says it anew.
_ASKED_ANEW = ("t", "q", "cat", "offset", "limit", "extended", "season", "ep", "imdbid")


class Indexer(NamedTuple):
    """One Torznab feed.

    Args:
        name: what results call it.
        urls: where its API may be, the likeliest first.
        key: its API key, or empty.
        categories: numbers or names to search in, separated by commas; empty for all.
    """

    name: str
    urls: tuple[str, ...]
    key: str
    categories: str

    def address(self, url: str, **query: object) -> str:
        """The address of one question."""
        parts = urlsplit(url)
        asked: dict[str, object] = dict(parse_qsl(parts.query))
        asked.update({name: value for name, value in query.items() if value not in (None, "")})
        if self.key:
            asked["apikey"] = self.key
        return urlunsplit(parts._replace(query=urlencode(asked, quote_via=quote)))


def read_indexers(config: Mapping[str, Any]) -> list[Indexer]:
    """The enabled indexers, each once.

    Raises:
        ValueError: an address that is neither `http` nor `https`.
    """
    found: dict[tuple[str, str], Indexer] = {}
    for entry in _entries(config):
        address = text_of(entry, "url", "base_url", "address", "host")
        if not address or not as_bool(entry.get("enabled"), True):
            continue
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "an indexer's address is neither http nor https; correct it in the configuration"
            )
        query = parse_qsl(parts.query)
        in_address = next((value for name, value in query if name.lower() in _KEY_NAMES), "")
        kept = [(name, value) for name, value in query if name.lower() not in (*_KEY_NAMES, *_ASKED_ANEW)]
        plain = parts._replace(query=urlencode(kept, quote_via=quote), fragment="")
        urls = tuple(urlunsplit(plain._replace(path=path)) for path in _paths(parts.path))
        key = text_of(entry, "api_key", "apikey", "key", "token") or in_address
        name = text_of(entry, "name", "title", "label") or parts.netloc.rpartition("@")[2]
        categories = entry.get("categories") or entry.get("cat") or config.get("categories") or ""
        if isinstance(categories, list):
            categories = ",".join(map(str, categories))
        found.setdefault((urls[0], key), Indexer(name, urls, key, str(categories)))
    return list(found.values())


def _entries(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from entries_of(config.get("indexers"))
    if text_of(config, "url", "base_url"):  # one indexer, as in older configurations
        yield {**config, "enabled": True}


def _paths(path: str) -> tuple[str, ...]:
    """Where the API may be: people copy the address of a feed, of a server, or of the API itself."""
    bare = path.rstrip("/")
    if bare.endswith("/api") and not bare.endswith("/torznab/api"):
        return (bare, path) if path != bare else (bare,)
    if bare.endswith("/torznab/api"):
        return (bare, bare.removesuffix("api"))
    if re.search(r"/(?:torznab|newznab)$", bare):  # Jackett
        return (path, f"{bare}/api")
    return (f"{bare}/api", path or "/")  # Prowlarr, Newznab
