"""What a collection API answers, JSON or XML, with what stands around it: warnings, wrong encodings, other shapes."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugins.search.maccms_plugin.episodes import play_lists
from plugins.shared import readable_text
from plugins.shared.readable_text import decoded, untagged

TEXT_MAX_CHARS = 20_000
_BEGINNINGS_TRIED = 50

_CDATA = re.compile(r"(<!\[CDATA\[.*?\]\]>)", re.DOTALL)
_LOOSE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-f]+);)", re.IGNORECASE)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_XML_BEGIN = re.compile(r"<\?xml\b|<rss\b|<list\b", re.IGNORECASE)
_WEB_PAGE = re.compile(r"<!doctype html|<html\b|<body\b", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"<\?xml\b[^<>]{0,200}\?>", re.IGNORECASE)
_XML_FIELDS = {
    "id": "vod_id",
    "name": "vod_name",
    "type": "type_name",
    "pic": "vod_pic",
    "last": "vod_time",
    "note": "vod_remarks",
    "des": "vod_content",
}


class NotAList(ValueError):
    """The site answered, but not with a list of videos; the text says with what."""


@dataclass
class Video:
    """One entry of a site.

    Args:
        id: its number at the site.
        fields: what the site says, by the names of MacCMS (`vod_name` …), as text.
        plays: pairs of source and play list, or None where the answer did not go that far.
        downloads: likewise, for downloading.
    """

    id: str
    fields: dict[str, str]
    plays: list[tuple[str, str]] | None = None
    downloads: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Page:
    """One page of a list; `count` is how many pages there are, where the site says it."""

    videos: list[Video]
    count: int | None


def read_answer(body: bytes, content_type: str = "") -> Page:
    """Read an answer of either kind, whatever was asked for.

    Raises:
        NotAList: it is something else, or says that something is wrong.
    """
    text = decoded(body, content_type)
    markup = _XML_BEGIN.search(text)
    brace = text.find("{")
    if markup and (brace < 0 or markup.start() < brace):
        return _from_xml(text[markup.start() :])
    for data in _objects(text):
        if page := _from_json(data):
            return page
    if markup:
        return _from_xml(text[markup.start() :])
    raise NotAList(_what_instead(text))


def plain(value: object) -> str:
    """A value as text, without markup and entities, on one line."""
    if value is None or isinstance(value, bool | Mapping):
        return ""
    if isinstance(value, list):
        return ",".join(filter(None, map(plain, value)))
    text = str(value)[:TEXT_MAX_CHARS]
    if "<" in text or "&" in text:
        # Twice, because sites escape what was escaped already.
        text = untagged(readable_text.plain(readable_text.plain(text)))
    return " ".join(text.split())


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The JSON objects in a text: warnings of PHP may stand before them, anything after them."""
    decoder = json.JSONDecoder(strict=False)
    position = text.find("{")
    for _ in range(_BEGINNINGS_TRIED):
        if position < 0:
            return
        try:
            data, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            yield data
        position = text.find("{", end)


def _from_json(data: Mapping[str, Any]) -> Page | None:
    """The page in an object, or None where it is no answer of a collection API."""
    if not {"list", "code", "msg", "data"} & data.keys():
        return None
    inner = data.get("data")
    holder = inner if "list" not in data and isinstance(inner, Mapping) else data
    listed = holder.get("list", inner if isinstance(inner, list) else None)
    videos = [video for entry in _entries(listed) if (video := _video(entry))]
    code = str(data.get("code", 1)).strip()
    if not videos and (code not in ("1", "200", "") or "list" not in holder):
        said = plain(data.get("msg") or data.get("message"))
        raise NotAList(f"the site says {said or 'nothing more'} (code {code})")
    return Page(videos, _count(holder.get("pagecount", data.get("pagecount"))))


def _entries(listed: object) -> list[Mapping[str, Any]]:
    """The entries of `list`, which PHP writes as an object where its numbering has gaps."""
    if isinstance(listed, Mapping):
        listed = [listed] if "vod_id" in listed else list(listed.values())
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def _video(entry: Mapping[str, Any]) -> Video | None:
    id, name = plain(entry.get("vod_id")), plain(entry.get("vod_name"))
    if not id or not name:
        return None
    return Video(
        id,
        {key: plain(value) for key, value in entry.items() if isinstance(key, str)},
        _groups(entry, "vod_play_from", "vod_play_url") if "vod_play_url" in entry else None,
        _groups(entry, "vod_down_from", "vod_down_url"),
    )


def _groups(entry: Mapping[str, Any], sources: str, addresses: str) -> list[tuple[str, str]]:
    lists = entry.get(addresses)
    if isinstance(lists, Mapping):  # source: list
        return [(str(name), str(text)) for name, text in lists.items() if text]
    return play_lists(str(entry.get(sources) or ""), str(lists or ""))


def _from_xml(text: str) -> Page:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    # Decoded already, so a declared encoding would only mislead.
    text = _NOT_XML.sub("", _XML_DECLARATION.sub("", text, count=1))
    end = max(text.rfind("</rss>") + len("</rss>"), text.rfind("</list>") + len("</list>"))
    text = text[:end] if end > len("</list>") else text
    try:
        try:
            root = fromstring(text, forbid_dtd=True)
        except ParseError:
            root = fromstring(_mended(text), forbid_dtd=True)
    except ParseError as error:
        raise NotAList(f"its XML is broken ({error})") from None
    except DefusedXmlException:
        if _WEB_PAGE.search(text[:4096]):
            raise NotAList(_what_instead(text)) from None
        raise NotAList("its XML declares entities, which is refused") from None
    listed = root if root.tag == "list" else root.find(".//list")
    if listed is None:
        raise NotAList("its XML holds no list")
    videos = []
    for element in listed.iter("video"):
        fields = {_XML_FIELDS.get(one.tag, f"vod_{one.tag}"): plain(one.text) for one in element}
        if fields.get("vod_id") and fields.get("vod_name"):
            holder = element.find("dl")
            plays = (
                None
                if holder is None
                else [
                    (plain(one.get("flag")), part)
                    for one in holder.iter("dd")
                    for part in (one.text or "").split("$$$")
                    if part.strip()
                ]
            )
            videos.append(Video(fields["vod_id"], fields, plays))
    return Page(videos, _count(listed.get("pagecount")))


def _mended(text: str) -> str:
    """Outside CDATA: entities that only HTML has, and ampersands that begin none."""
    parts = _CDATA.split(text)
    parts[::2] = [
        _LOOSE_AMPERSAND.sub("&amp;", re.sub(r"&(?!amp|lt|gt|quot|apos)[a-z]{2,10};", _named, part))
        for part in parts[::2]
    ]
    return "".join(parts)


def _named(match: re.Match[str]) -> str:
    return html.unescape(match[0])


def _count(value: object) -> int | None:
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return None


def _what_instead(text: str) -> str:
    if _WEB_PAGE.search(text[:4096]):
        return "it answered with a web page; is that the address of its collection API?"
    said = plain(text[:2000])[:120]
    return f"it answered: {said}" if said else "it answered with nothing"
