"""What a page says of itself, shows, and leads to."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from plugins.parser.page_plugin.tokens import Token, tokens

MEDIA_SUFFIXES = {
    **dict.fromkeys((".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".flv", ".m3u8", ".mpd"), "video"),
    **dict.fromkeys((".mp3", ".m4a", ".flac", ".ogg", ".wav", ".aac", ".opus"), "audio"),
    ".torrent": "torrent",
}
TEXT_MAX_CHARS = 20_000
ENTRIES_MAX = 5000
TRIES_MAX = 20_000
ADDRESS_MAX_CHARS = 4000
_NAME_MAX_CHARS = 300
_COLLECTED_MAX_CHARS = 400_000

_LAZY = ("src", "data-src", "data-original", "data-lazy-src", "data-url")
# Around the content, or no text to read.
_ASIDE = frozenset(
    "nav header footer aside form select button template noscript svg figcaption menu dialog".split()
)
_BLOCKS = frozenset(
    "p div li ul ol dl dt dd br tr td th table h1 h2 h3 h4 h5 h6 section article main pre blockquote".split()
)
_DATES = (
    "article:published_time",
    "datepublished",
    "date",
    "pubdate",
    "publishdate",
    "dc.date",
    "dcterms.created",
)
_SUFFIX = re.compile(
    rf"({'|'.join(map(re.escape, MEDIA_SUFFIXES))})(?![\w])(?:\?[^\s\"'<>\\`{{}}|^]{{0,1500}})?",
    re.IGNORECASE,
)
_BEFORE_ADDRESS = "\"'=(<>`;, \t\r\n"
_NOT_IN_ADDRESS = re.compile(r"[\s\"'<>`{}|\\^$]|\+\+")
_MAGNET = re.compile(r"magnet:\?[^\s\"'<>`\\]{10,4000}", re.IGNORECASE)


class Page:
    """Reads a document; afterwards its attributes hold what was found.

    Args:
        address: where the document is from; relative addresses start there, unless a `base` says otherwise.
        document: its text.
    """

    def __init__(self, address: str, document: str) -> None:
        self.address = address
        self.base = address
        self.title = ""
        self.language = ""
        self.canonical = ""
        self.meta: dict[str, str] = {}
        self.og: dict[str, str] = {}
        self.media: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        # What the document would cost a parser that builds a tree.
        self.tags = 0
        self.attributes_most = 0
        self._heading = ""
        self._published = ""
        self._seen: set[str] = set()
        self._link: dict[str, Any] | None = None
        self._holders: list[str] = []
        self._texts: dict[str, list[str]] = {"article": [], "main": [], "content": [], "all": []}
        self._text_chars = 0
        self._inside: dict[str, int] = {}
        self._has_base = False
        self._tries = 0
        for token in tokens(document):
            if not token.name:
                self._read_text(token.text)
            elif token.is_end:
                self._read_end(token.name)
            else:
                self._read_start(token)
        self._end_link()
        self._read_addresses(document)

    def about(self) -> dict[str, Any]:
        """The page itself, as an entry; its text is still to come."""
        title = self.title or self.og.get("title") or self.meta.get("twitter:title") or self._heading
        description = (
            self.meta.get("description") or self.og.get("description") or self.meta.get("twitter:description")
        )
        published = next((self.meta[name] for name in _DATES if self.meta.get(name)), "")
        return {
            "name": title or self.address,
            "url": self.address,
            "kind": "page",
            "title": title,
            "description": description or "",
            "og": self.og,
            "language": self.language or self.meta.get("content-language", ""),
            "canonical": self.canonical or self._absolute(self.og.get("url", "")),
            "site_name": self.og.get("site_name") or self.meta.get("application-name", ""),
            "published": published or self._published,
        }

    def plain_text(self) -> str:
        """The text without what is around it: of its article, else its main part, else all but menus and the like."""
        for name in ("article", "main", "content", "all"):
            lines = ("".join(self._texts[name])).splitlines()
            text = "\n".join(filter(None, (" ".join(line.split()) for line in lines)))
            if text:
                return text[:TEXT_MAX_CHARS]
        return ""

    def _read_text(self, text: str) -> None:
        if self._link is not None and len(self._link["name"]) < _NAME_MAX_CHARS:
            self._link["name"] += html.unescape(text[:_NAME_MAX_CHARS])
        if self._inside.get("h1") and len(self._heading) < _NAME_MAX_CHARS:
            self._heading = " ".join(f"{self._heading} {html.unescape(text[:_NAME_MAX_CHARS])}".split())
        if self._text_chars < _COLLECTED_MAX_CHARS:
            self._collect(html.unescape(text[:_COLLECTED_MAX_CHARS]))

    def _collect(self, text: str) -> None:
        self._text_chars += len(text)
        self._texts["all"].append(text)
        if not any(self._inside.get(name) for name in _ASIDE):
            self._texts["content"].append(text)
            for name in ("article", "main"):
                if self._inside.get(name):
                    self._texts[name].append(text)

    def _read_end(self, name: str) -> None:
        if name == "a":
            self._end_link()
        elif name in ("video", "audio", "picture") and self._holders:
            self._holders.pop()
        if self._inside.get(name):
            self._inside[name] -= 1
        if name in _BLOCKS:
            self._collect("\n")

    def _read_start(self, token: Token) -> None:
        self.tags += 1
        if len(token.source) > 1000:
            self.attributes_most = max(self.attributes_most, token.attribute_count)
        name = token.name
        if name in _BLOCKS:
            self._collect("\n")
        if name in _ASIDE or name in ("h1", "article", "main"):
            self._inside[name] = self._inside.get(name, 0) + 1
        match name:
            case "title":
                self.title = self.title or " ".join(html.unescape(token.text[:2000]).split())
            case "script" if "json" in token.source:
                if "ld+json" in token.attributes.get("type", ""):
                    self._read_linked_data(token.text)
            case "meta":
                self._read_meta(token.attributes)
            case "html":
                self.language = self.language or token.attributes.get("lang", "")
            case "base":
                href = token.attributes.get("href", "")
                if href and not self._has_base:
                    self._has_base, self.base = True, self._absolute(href) or self.base
            case "link":
                self._read_relation(token.attributes)
            case "time":
                self._published = self._published or token.attributes.get("datetime", "")
            case "a" | "area":
                self._read_link(token.attributes)
            case "video" | "audio" | "source" | "picture" | "iframe" | "embed" | "object" | "img":
                self._read_element(name, token.attributes)

    def _read_link(self, attributes: dict[str, str]) -> None:
        self._end_link()
        href = attributes.get("href", "")
        if not href or self._tries > TRIES_MAX:
            return
        if href.lower().startswith("magnet:?"):
            self._link = self._add(self.media, href, "", "magnet")
        else:
            kind = _kind_by_suffix(self._absolute(href))
            target = self.links if kind is None else self.media
            self._link = self._add(target, href, "", "link" if kind is None else _link_kind(kind))
        if self._link is not None:
            self._link["name"] = ""
            self._link["_named"] = attributes.get("title") or attributes.get("aria-label") or ""

    def _end_link(self) -> None:
        """The text inside a link is its name; else its title, its picture's, or its address names it."""
        if self._link is not None:
            named = self._link.pop("_named", "")
            text = " ".join(self._link["name"].split())[:_NAME_MAX_CHARS]
            self._link["name"] = text or " ".join(named.split()) or file_title(self._link["url"])
        self._link = None

    def _read_element(self, name: str, attributes: dict[str, str]) -> None:
        title = attributes.get("title") or attributes.get("alt") or ""
        address = next((attributes[key] for key in _LAZY if attributes.get(key)), "")
        if name == "img":
            if self._link is not None and not self._link["_named"]:
                self._link["_named"] = title
            if attributes.get("src", "").startswith("data:"):  # stands in until a script loads the real one
                address = next((attributes[key] for key in _LAZY[1:] if attributes.get(key)), "")
            self._add(self.images, address or _first_of_set(attributes.get("srcset", "")), title, "image")
            return
        if name in ("video", "audio", "picture"):
            self._holders = [*self._holders[-20:], name]
            self._add(self.images, attributes.get("poster", ""), title, "image")
        if name == "object":
            address = attributes.get("data", "")
        by_type = attributes.get("type", "").lower().partition("/")[0]
        holder = self._holders[-1] if self._holders else ""
        if name == "source" and (holder == "picture" or by_type == "image"):
            address = address or _first_of_set(attributes.get("srcset", ""))
            self._add(self.images, address, title, "image")
            return
        if by_type not in ("video", "audio") and self._tries <= TRIES_MAX:
            by_suffix = _kind_by_suffix(self._absolute(address)) or ""
            by_type = holder if name == "source" and holder else by_suffix if name != "video" else ""
        kind = by_type if by_type in ("video", "audio") else name
        self._add(self.media, address, title, kind)

    def _read_meta(self, attributes: dict[str, str]) -> None:
        key = (
            attributes.get("property") or attributes.get("name") or attributes.get("itemprop") or ""
        ).lower()
        key = key or attributes.get("http-equiv", "").lower()
        content = attributes.get("content", "")
        if not key or not content or len(self.meta) + len(self.og) > 500:
            return
        content = content[:ADDRESS_MAX_CHARS]
        if not key.startswith("og:"):
            self.meta.setdefault(key, content)
            return
        self.og.setdefault(key.removeprefix("og:"), content)
        if key in ("og:video", "og:video:url", "og:video:secure_url"):
            self._add(self.media, content, "", "video")
        elif key in ("og:audio", "og:audio:url", "og:audio:secure_url"):
            self._add(self.media, content, "", "audio")
        elif key in ("og:image", "og:image:url", "og:image:secure_url"):
            self._add(self.images, content, "", "image")

    def _read_relation(self, attributes: dict[str, str]) -> None:
        relations = attributes.get("rel", "").lower().split()
        href = attributes.get("href", "")
        if "canonical" in relations and not self.canonical:
            self.canonical = self._absolute(href)
        elif "alternate" in relations and attributes.get("type", "") in (
            "application/rss+xml",
            "application/atom+xml",
        ):
            self._add(self.links, href, attributes.get("title", ""), "feed")

    def _read_linked_data(self, text: str) -> None:
        """`VideoObject` and the like of schema.org."""
        try:
            data = json.loads(html.unescape(text) if text.lstrip().startswith("&") else text, strict=False)
        except (ValueError, RecursionError):
            return
        for one in _objects(data):
            kinds = one.get("@type")
            kinds = kinds if isinstance(kinds, list) else [kinds]
            published = one.get("datePublished") or one.get("uploadDate")
            if isinstance(published, str):
                self._published = self._published or published
            if not {"VideoObject", "AudioObject", "MediaObject", "Movie", "Episode"} & {
                kind for kind in kinds if isinstance(kind, str)
            }:
                continue
            name = one.get("name") if isinstance(one.get("name"), str) else ""
            kind = "audio" if "AudioObject" in kinds else "video"
            for key, target, as_kind in (
                ("contentUrl", self.media, kind),
                ("embedUrl", self.media, "iframe"),
                ("thumbnailUrl", self.images, "image"),
            ):
                for address in one[key] if isinstance(one.get(key), list) else [one.get(key)]:
                    if isinstance(address, str):
                        self._add(target, address, str(name), as_kind)

    def _read_addresses(self, document: str) -> None:
        """Media that only scripts and odd attributes name."""
        text = document.replace("\\/", "/").replace("\\u0026", "&")
        for match in _MAGNET.finditer(text):
            self._add(self.media, html.unescape(match[0]), "", "magnet")
        for match in islice(_SUFFIX.finditer(text), TRIES_MAX):
            begin = max(0, match.start() - 1000)
            stem = text[begin : match.start()]
            cut = max(stem.rfind(character) for character in _BEFORE_ADDRESS)
            before = stem[cut] if cut >= 0 else ""
            address = html.unescape(stem[cut + 1 :] + match[0])
            scheme = max(address.rfind("http://"), address.rfind("https://"))
            if scheme > 0 and "?" not in address[:scheme]:  # after other text, such as name$address
                address = address[scheme:]
            elif before not in ("'", '"') and scheme < 0:
                continue  # words of the text, not an address
            if before and address != match[0] and not _NOT_IN_ADDRESS.search(address):
                self._add(self.media, address, "", MEDIA_SUFFIXES[match[1].lower()])

    def _absolute(self, address: str) -> str:
        """The whole address without its fragment, or empty where it leads to no web page or file."""
        address = address.strip()[: ADDRESS_MAX_CHARS + 1]
        if not address or len(address) > ADDRESS_MAX_CHARS:
            return ""
        try:
            url = urldefrag(urljoin(self.base, re.sub(r"[\t\r\n]", "", address))).url
            parts = urlsplit(url)
            return url if parts.scheme in ("http", "https") and parts.hostname else ""
        except ValueError:  # not an address at all, such as http://[
            return ""

    def _add(self, target: list[dict[str, Any]], address: str, name: str, kind: str) -> dict[str, Any] | None:
        self._tries += 1
        if not address or self._tries > TRIES_MAX:
            return None
        url = address if kind == "magnet" else self._absolute(address)
        if not url or url in self._seen or len(target) >= ENTRIES_MAX:
            return None
        self._seen.add(url)
        entry = {
            "name": " ".join(name.split())[:_NAME_MAX_CHARS] or file_title(url),
            "url": url,
            "kind": kind,
        }
        target.append(entry)
        return entry


def file_title(url: str) -> str:
    """The last part of an address's path, or its host; a magnet link's name."""
    if url.lower().startswith("magnet:"):
        named = re.search(r"[?&]dn=([^&]+)", url)
        return unquote(named[1].replace("+", " ")) if named else url[:60]
    parts = urlsplit(url)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc


def _kind_by_suffix(url: str) -> str | None:
    path = urlsplit(url).path.lower()
    return next((kind for suffix, kind in MEDIA_SUFFIXES.items() if path.endswith(suffix)), None)


def _link_kind(kind: str) -> str:
    return kind if kind == "torrent" else "file"


def _first_of_set(srcset: str) -> str:
    return srcset.split(",", 1)[0].strip().partition(" ")[0]


def _objects(data: object) -> Iterator[dict[str, Any]]:
    waiting, count = [data], 0
    while waiting and count < 5000:
        one = waiting.pop()
        count += 1
        if isinstance(one, dict):
            yield one
            waiting.extend(reversed(list(one.values())))
        elif isinstance(one, list):
            waiting.extend(reversed(one))
