"""Answers of Torznab and Newznab: errors, and feeds of releases."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, quote, urljoin, urlsplit
from xml.etree.ElementTree import Element, ParseError

from plugins.search.torznab_plugin.caps import Caps
from plugins.shared.readable_text import readable_size
from service.sdk import SearchResult

KEY_REFUSED = (100, 101, 102)
_REMEDIES = {
    100: "the API key is wrong; correct it in the configuration",
    101: "the account is suspended",
    102: "the API key has too few rights",
    201: "it does not take these parameters",
    202: "it does not know this kind of search",
    203: "it does not offer this kind of search",
    500: "its limit of requests is reached; try again later",
    910: "its API is switched off",
}
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_WEB_PAGE = re.compile(rb"<!doctype html|<html\b", re.IGNORECASE)
_KEY_PARAMETER = re.compile(r"((?:api_?key|passkey|jackett_apikey)(?:=|%3D))[^&\s\"'<>]+", re.IGNORECASE)


class IndexerError(ConnectionError):
    """The indexer answered that something is wrong; `code` is Torznab's number, 0 where it gave none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Feed:
    """One page: its entries, and how many there are in all, where the indexer says it."""

    items: list[Item]
    total: int | None


@dataclass
class Item:
    """One release, as the feed has it."""

    fields: dict[str, str]
    attrs: dict[str, list[str]] = field(default_factory=dict)
    enclosure: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What tells it from others."""
        return self.fields.get("guid") or self.fields.get("link") or self.fields.get("title", "")

    def attr(self, *names: str) -> str:
        """The first of these attributes that is there, else empty."""
        return next((self.attrs[name][0] for name in names if self.attrs.get(name)), "")


def hide(text: str, key: str) -> str:
    """The text without the API key."""
    if len(key) >= 4:
        text = text.replace(key, "***").replace(quote(key, safe=""), "***")
    return _KEY_PARAMETER.sub(r"\1***", text)


def read_xml(body: bytes, status: int) -> Element:
    """The root of an answer.

    Raises:
        IndexerError: it is an `<error>`, no XML, or the status says that there is nothing to read.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    root: Element | None = None
    try:
        try:
            root = fromstring(body, forbid_dtd=True)
        except (ParseError, ValueError):
            if b"<" in body[:1000]:
                text = _NOT_XML.sub("", body.decode("utf-8-sig", errors="replace")).lstrip()
                root = fromstring(re.sub(r"^<\?xml\b[^<>]{0,200}\?>", "", text), forbid_dtd=True)
    except DefusedXmlException:
        if not _WEB_PAGE.search(body[:2000]):
            raise IndexerError("its XML declares entities, which is refused") from None
    except (ParseError, ValueError):
        pass
    if root is not None and root.tag == "error":
        code = _number(root.get("code")) or 0
        said = " ".join((root.get("description") or "no reason given").split())[:300]
        remedy = _REMEDIES.get(code, "")
        raise IndexerError(f"{remedy + ': ' if remedy else ''}{said} (error {code})", code)
    if status in (401, 403):
        raise IndexerError(f"{_REMEDIES[100]} (HTTP {status})", 100)
    if status != 200:
        raise IndexerError(f"it answered with HTTP {status}")
    if root is None or root.tag.lower() == "html":
        what = "a web page" if _WEB_PAGE.search(body[:2000]) else "something that is no XML"
        raise IndexerError(f"it answered with {what}; is that the address of its Torznab feed?")
    return root


def read_feed(body: bytes, status: int) -> Feed:
    """The releases in an answer; raises `IndexerError` as `read_xml` does, and where it is no feed."""
    root = read_xml(body, status)
    channel = root.find("channel") if root.tag == "rss" else None
    if channel is None:
        raise IndexerError(f"it answered with <{_local(root.tag)}>, not with a feed")
    total = None
    for element in channel:
        if _local(element.tag) == "response":
            total = _number(element.get("total"))
    return Feed([_item(element) for element in channel.iterfind("item")], total)


def as_result(item: Item, base: str, indexer: str, caps: Caps, key: str) -> SearchResult | None:
    """A release as a result, or None where it has no title or nothing to download.

    Args:
        base: the address of the feed, for relative addresses.
        indexer: the configured name.
        key: hidden wherever it is not needed; a download address holds it where the indexer put it there.
    """
    title = item.fields.get("title", "")
    links = [item.attr("magneturl"), item.enclosure.get("url", ""), item.fields.get("link", "")]
    links += [item.fields.get(name, "") for name in ("guid", "comments")]
    magnet = next((link for link in links if link.lower().startswith("magnet:?")), "")
    file = next((url for link in links[1:3] if (url := _web_address(link, base))), "")
    if not title or not (magnet or file):
        return None
    size = _number(item.attr("size") or item.fields.get("size") or item.enclosure.get("length"))
    seeders, peers, leechers = (_number(item.attr(name)) for name in ("seeders", "peers", "leechers"))
    if peers is None and leechers is not None:
        peers = leechers + (seeders or 0)
    ids = _category_ids(item)
    category = caps.category_name(ids) or next(
        (text for text in item.attrs.get("/category", []) if not text.isdigit()), ""
    )
    is_nzb = "nzb" in item.enclosure.get("type", "")
    metadata: dict[str, Any] = {
        "size": size,
        "seeders": seeders,
        "peers": peers,
        "leechers": leechers if leechers is not None or peers is None else max(0, peers - (seeders or 0)),
        "grabs": _number(item.attr("grabs") or item.fields.get("grabs")),
        "files": _number(item.attr("files") or item.fields.get("files")),
        "infohash": _infohash(item.attr("infohash"), magnet),
        "magnet": magnet or None,
        "torrent_url": file if file and not is_nzb else None,
        "category": category,
        "categories": ids,
        "downloadvolumefactor": _decimal(item.attr("downloadvolumefactor")),
        "uploadvolumefactor": _decimal(item.attr("uploadvolumefactor")),
        "published": _moment(item.fields.get("pubDate", "")),
        "guid": hide(item.fields.get("guid", ""), key),
        "page": hide(_web_address(item.fields.get("comments", ""), base), key),
        "indexer": indexer,
        "tracker": item.fields.get("jackettindexer") or item.fields.get("prowlarrindexer") or "",
    }
    if is_nzb:
        metadata["nzb_url"] = file
    said = [
        readable_size(size) if size else "",
        f"{seeders} seeders" if seeders is not None else "",
        category,
    ]
    return SearchResult(
        title=title,
        url=magnet or file,
        thumbnail=hide(_web_address(item.attr("coverurl", "poster"), base), key) or None,
        platform=indexer,
        description=" · ".join(filter(None, said)),
        metadata=metadata,
    )


def _item(element: Element) -> Item:
    item = Item({})
    for one in element:
        name = _local(one.tag)
        if name == "attr":  # torznab:attr or newznab:attr
            key, value = (one.get("name") or "").strip().lower(), (one.get("value") or "").strip()
            if key and value:
                item.attrs.setdefault(key, []).append(value)
        elif name == "enclosure":
            item.enclosure = item.enclosure or {key: value.strip() for key, value in one.attrib.items()}
        elif name == "category":
            item.attrs.setdefault("/category", []).append((one.text or "").strip())
        elif one.text and name not in item.fields:
            item.fields[name] = " ".join(one.text.split())
    return item


def _local(tag: str) -> str:
    return tag.rpartition("}")[2].rpartition(":")[2]


def _category_ids(item: Item) -> list[int]:
    given = [*item.attrs.get("category", []), *item.attrs.get("/category", [])]
    return list(dict.fromkeys(int(one) for one in given if one.isascii() and one.isdigit()))


def _web_address(link: str, base: str) -> str:
    if not link or link.lower().startswith("magnet:"):
        return ""
    try:
        url = urljoin(base, link)
        parts = urlsplit(url)
    except ValueError:  # not an address at all
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname else ""


def _infohash(given: str, magnet: str) -> str | None:
    """In hexadecimal; a magnet link may have it in base 32."""
    topics = parse_qs(urlsplit(magnet).query).get("xt", [])
    for one in (given, *(topic[9:] for topic in topics if topic.lower().startswith("urn:btih:"))):
        if re.fullmatch(r"[0-9a-fA-F]{40}", one):
            return one.lower()
        if re.fullmatch(r"[a-zA-Z2-7]{32}", one):
            return base64.b32decode(one.upper()).hex()
    return None


def _number(text: str | None) -> int | None:
    try:
        return int(float(text or ""))
    except (ValueError, OverflowError):
        return None


def _decimal(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _moment(text: str) -> str | None:
    """ISO 8601, from the RFC 822 of RSS."""
    try:
        return parsedate_to_datetime(text).isoformat()
    except ValueError:
        return text or None
