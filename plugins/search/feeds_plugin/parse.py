"""Reading RSS, Atom, OPDS catalogs, JSON Feed and OpenSearch descriptions. Slow: for threads, not for the loop."""

from __future__ import annotations

import calendar
import io
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from xml.etree import ElementTree

from plugins.search.feeds_plugin.fetch import Document
from plugins.shared.readable_text import cut, decoded, plain

ENTRIES_MAX = 5000
_SUMMARY_CHARS = 500
_TEXT_CHARS = 20_000
_ACQUISITION = "http://opds-spec.org/acquisition"
_IMAGES = (
    "http://opds-spec.org/image/thumbnail",
    "http://opds-spec.org/image",
    "x-stanza-cover-image-thumbnail",
)
_OPENSEARCH = "application/opensearchdescription+xml"
_SCHEMES = ("http", "https", "ftp", "ftps", "magnet", "ed2k", "thunder")
# Entities that a document defines itself are what bombs are made of; feeds have no use for them.
_OWN_ENTITIES = re.compile(r"<!DOCTYPE[^>\[]*\[.*?\]\s*>", re.DOTALL | re.IGNORECASE)
_MARKS_OF_FEEDS = re.compile(r"<(?:\w+:)?(?:rss|rdf|feed|channel|entry|item)\b", re.IGNORECASE)
_NO_FEED = "it is neither RSS nor Atom nor JSON Feed"
_PROLOG_CHARS = 64 * 1024
_PARAMETER = re.compile(r"\{([A-Za-z:]+)(\??)\}")
_REQUIRED_PARAMETERS = {
    "startPage": "1",
    "startIndex": "1",
    "count": "50",
    "language": "*",
    "inputEncoding": "UTF-8",
    "outputEncoding": "UTF-8",
}


class NotAFeed(Exception):
    """The document is something else; the message says so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a feed.

    Args:
        title: in plain text.
        url: its page, else what it encloses; may be empty.
        summary: a few words about it, in plain text.
        texts: what is searched.
        thumbnail: address of a picture.
        duration: seconds, or as the feed says.
        metadata: `published`, `author`, `enclosures` and `categories`.
    """

    title: str
    url: str
    summary: str
    texts: tuple[str, ...]
    thumbnail: str | None = None
    duration: str | float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feed:
    """What a document holds.

    Args:
        title: of the feed.
        entries: in the feed's own order.
        search_template: an address with `{searchTerms}`, where the feed names one itself.
        search_description: where its OpenSearch description is.
        next_page: where it goes on.
    """

    title: str
    entries: list[Entry]
    search_template: str = ""
    search_description: str = ""
    next_page: str = ""


def parse(document: Document) -> Feed:
    """Read a feed.

    Raises:
        NotAFeed
    """
    text = decoded(document.body, document.content_type).lstrip()
    if text.startswith("{"):
        return _json_feed(text, document.url)
    if not _MARKS_OF_FEEDS.search(text):
        raise NotAFeed(_NO_FEED)
    import feedparser  # type: ignore[import-untyped]

    text = _without_own_entities(text)
    parsed = feedparser.parse(
        # Given as a file: a text would be taken for an address or a path to open.
        io.BytesIO(re.sub(r"^<\?xml[^>]*\?>", "", text).encode("utf-8", "replace")),
        response_headers={
            "content-type": "application/xml; charset=utf-8",
            "content-location": document.url,
        },
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    if not parsed.version and not parsed.entries:
        raise NotAFeed(_NO_FEED)
    links = _links(parsed.feed, document.url)
    search = [link for link in links if link["rel"] == "search"]
    return Feed(
        title=plain(str(parsed.feed.get("title") or "")),
        entries=[_entry(one, document.url) for one in parsed.entries[:ENTRIES_MAX]],
        search_template=next(
            (link["href"] for link in search if "{searchTerms}" in link["href"]),
            "",
        ),
        search_description=next((link["href"] for link in search if link["type"] == _OPENSEARCH), ""),
        next_page=next((link["href"] for link in links if link["rel"] == "next"), ""),
    )


def search_template(document: Document) -> str:
    """The address for searches that an OpenSearch description gives, one that answers with a feed.

    Raises:
        NotAFeed: it gives none.
    """
    try:
        root = ElementTree.fromstring(
            _without_own_entities(decoded(document.body, document.content_type)).encode()
        )
    except ElementTree.ParseError as error:
        raise NotAFeed(f"its OpenSearch description is no XML: {error}") from error
    found: list[tuple[int, str]] = []
    for element in root.iter():
        kind, template = element.get("type", ""), element.get("template", "")
        if element.tag.rpartition("}")[2] != "Url" or "{searchTerms" not in template:
            continue
        if "html" not in kind and any(word in kind for word in ("opds", "atom", "rss", "xml")):
            order = next(at for at, word in enumerate(("opds", "atom", "rss", "xml")) if word in kind)
            found.append((order, urljoin(document.url, template)))
    if not found:
        raise NotAFeed("its OpenSearch description names no search that answers with a feed")
    return min(found)[1]


def filled(template: str, keyword: str) -> str:
    """The address of a search: `{query}` and `{searchTerms}` become the keyword, optional parameters nothing."""

    def value(match: re.Match[str]) -> str:
        if match[1] in ("searchTerms", "query", "keyword"):
            return quote(keyword, safe="")
        return "" if match[2] else _REQUIRED_PARAMETERS.get(match[1], "")

    return _PARAMETER.sub(value, template)


def _without_own_entities(text: str) -> str:
    start = text[:_PROLOG_CHARS].upper().find("<!DOCTYPE")
    found = _OWN_ENTITIES.match(text, start) if start >= 0 else None
    return text[:start] + text[found.end() :] if found else text


def _entry(one: Any, base: str) -> Entry:
    links = _links(one, base)
    enclosures = _enclosures(one, links, base)
    title = plain(str(one.get("title") or ""))
    bodies = [str(one.get("summary") or "")] + [
        str(part.get("value") or "") for part in one.get("content") or []
    ]
    text = cut(plain(max(bodies, key=len)[: 4 * _TEXT_CHARS]), _TEXT_CHARS)
    authors = [str(person.get("name") or "") for person in one.get("authors") or []]
    author = ", ".join(dict.fromkeys(filter(None, authors))) or str(one.get("author") or "")
    categories = [str(tag.get("label") or tag.get("term") or "") for tag in one.get("tags") or []]
    moment = one.get("published_parsed") or one.get("updated_parsed")
    page = _page(one, links, base)
    return Entry(
        title=title or cut(text, 80) or page,
        url=page or next((enclosure["url"] for enclosure in enclosures), ""),
        summary=cut(plain(bodies[0][: 4 * _TEXT_CHARS]) or text, _SUMMARY_CHARS),
        texts=(title, text, author, " ".join(categories)),
        thumbnail=_thumbnail(one, links, enclosures, base),
        duration=_duration(one),
        metadata={
            "published": _published(moment) or one.get("published") or one.get("updated"),
            "author": author or None,
            "enclosures": enclosures,
            "categories": [category for category in categories if category],
        },
    )


def _page(one: Any, links: list[dict[str, str]], base: str) -> str:
    pages = [link for link in links if link["rel"] == "alternate" and _allowed(link["href"])]
    pages.sort(key=lambda link: "html" not in link["type"])
    # Where there is no link, an identity that is an address is one.
    other = str(one.get("link") or "")
    return pages[0]["href"] if pages else _allowed(urljoin(base, other)) if other else ""


def _links(holder: Any, base: str) -> list[dict[str, str]]:
    return [
        {
            "rel": str(link.get("rel") or ""),
            # A media type's parameters say more than is asked for here.
            "type": str(link.get("type") or "").partition(";")[0].strip().lower(),
            "href": urljoin(base, str(link.get("href") or "")),
            "length": str(link.get("length") or ""),
        }
        for link in holder.get("links") or []
        if link.get("href")
    ]


def _enclosures(one: Any, links: list[dict[str, str]], base: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for link in links:
        if link["rel"] == "enclosure" or link["rel"].startswith(_ACQUISITION):
            _add(found, link["href"], link["type"], link["length"])
    for media in one.get("media_content") or []:
        if media.get("url") and media.get("medium") != "image":
            _add(found, urljoin(base, media["url"]), media.get("type"), media.get("filesize"))
    return list(found.values())


def _add(found: dict[str, dict[str, Any]], url: str, kind: Any, length: Any) -> None:
    if _allowed(url):
        digits = str(length or "").strip()
        size = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
        found.setdefault(url, {"url": url, "type": str(kind or "") or None, "length": size or None})


def _thumbnail(
    one: Any, links: list[dict[str, str]], enclosures: list[dict[str, Any]], base: str
) -> str | None:
    candidates = [str(media.get("url") or "") for media in one.get("media_thumbnail") or []]
    candidates += [link["href"] for rel in _IMAGES for link in links if link["rel"] == rel]
    image = one.get("image")
    if isinstance(image, Mapping):
        candidates.append(str(image.get("href") or ""))
    candidates += [
        str(media.get("url") or "")
        for media in one.get("media_content") or []
        if media.get("medium") == "image" or str(media.get("type") or "").startswith("image/")
    ]
    candidates += [one["url"] for one in enclosures if str(one["type"]).startswith("image/")]
    urls = (urljoin(base, candidate) for candidate in candidates if candidate)
    return next((url for url in urls if url.startswith(("http://", "https://"))), None)


def _duration(one: Any) -> str | float | None:
    said = str(one.get("itunes_duration") or "").strip()
    if not said:
        said = next(
            (str(media["duration"]) for media in one.get("media_content") or [] if media.get("duration")), ""
        )
    try:
        return float(said) if said else None
    except ValueError:
        return cut(said, 20)


def _published(moment: Any) -> str | None:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(calendar.timegm(moment))) if moment else None
    except (TypeError, ValueError, OverflowError):
        return None


def _allowed(url: str) -> str:
    """The address, where it is one that may be shown as a link; else nothing."""
    try:
        return url if urlsplit(url).scheme.lower() in _SCHEMES else ""
    except ValueError:
        return ""


def _json_feed(text: str, base: str) -> Feed:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotAFeed(f"it is no JSON: {error}") from error
    items = data.get("items")
    if "jsonfeed.org" not in str(data.get("version")) or not isinstance(items, list):
        raise NotAFeed("it is JSON, but no JSON Feed")
    return Feed(
        title=str(data.get("title") or ""),
        entries=[_json_entry(item, base) for item in items[:ENTRIES_MAX] if isinstance(item, dict)],
        next_page=urljoin(base, str(data["next_url"])) if data.get("next_url") else "",
    )


def _json_entry(item: dict[str, Any], base: str) -> Entry:
    attached = [one for one in _dicts(item.get("attachments")) if one.get("url")]
    found: dict[str, dict[str, Any]] = {}
    for one in attached:
        _add(found, urljoin(base, str(one["url"])), one.get("mime_type"), one.get("size_in_bytes"))
    text = str(item.get("content_text") or "") or plain(
        str(item.get("content_html") or "")[: 4 * _TEXT_CHARS]
    )
    people = _dicts(item.get("authors")) or _dicts([item.get("author")])
    author = ", ".join(str(one["name"]) for one in people if one.get("name"))
    tags = item.get("tags")
    categories = [str(tag) for tag in tags] if isinstance(tags, list) else []
    page = (
        _allowed(urljoin(base, str(item.get("url") or item.get("external_url") or "")))
        if item.get("url") or item.get("external_url")
        else ""
    )
    title = plain(str(item.get("title") or "")) or cut(text, 80)
    picture = str(item.get("image") or item.get("banner_image") or "")
    return Entry(
        title=title,
        url=page or next(iter(found), ""),
        summary=cut(str(item.get("summary") or "") or text, _SUMMARY_CHARS),
        texts=(title, cut(text, _TEXT_CHARS), str(item.get("summary") or ""), author, " ".join(categories)),
        thumbnail=urljoin(base, picture) if picture else None,
        duration=next(
            (one["duration_in_seconds"] for one in attached if one.get("duration_in_seconds")), None
        ),
        metadata={
            "published": item.get("date_published") or item.get("date_modified"),
            "author": author or None,
            "enclosures": list(found.values()),
            "categories": categories,
        },
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    items: Iterable[Any] = value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict)]
