"""The tags and texts of an HTML document, one after the other.

Parsers that build a tree take time by the square of how deep elements nest and of how many attributes one has: five
megabytes of `<div>` cost an hour in which nobody can stop them. What leads somewhere stands in the tags themselves, so
one pass over them, in a time that only the length decides, is enough.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

ATTRIBUTES_MAX = 200

# A tag as HTML reads it: quotes count only after `=`. Possessive, and an end of the text ends it too, so that no text
# makes the search go back.
_TAG = re.compile(
    r"""<(?:
        (?P<comment>!--)
      | (?P<other>[!?])
      | (?P<end>/?)(?P<name>[a-z][^\s/>]*+)
        (?P<attributes>(?:[^>=]++|=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>"'][^\s>]*+)?+)*+)
        (?:>|\Z)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s/=>][^\s/=>]*+)
        (?:\s*+=\s*+(?:"(?P<double>[^"]*+)"?|'(?P<single>[^']*+)'?|(?P<bare>[^\s>"'][^\s>]*+)?))?+""",
    re.VERBOSE,
)
_QUOTED = re.compile(r"\"[^\"]*+\"|'[^']*+'")
_BETWEEN_ATTRIBUTES = re.compile(r"[\s/\"'=]++")
# What is in them is text, however much it looks like tags.
_TEXT_ONLY = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}


class Token(NamedTuple):
    """A piece of a document.

    Args:
        name: the tag's name in lower case; empty for text.
        is_end: whether it is an end tag.
        text: the text, or what a text-only element such as `script` holds, entities as they are.
        source: what stands between the tag's name and its end.
    """

    name: str
    is_end: bool
    text: str
    source: str

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes that have a value, each name's first, names in lower case."""
        found: dict[str, str] = {}
        for count, match in enumerate(_ATTRIBUTE.finditer(self.source)):
            if count >= ATTRIBUTES_MAX:
                break
            value = match["double"] or match["single"] or match["bare"]
            if value:
                found.setdefault(match["name"].lower(), html.unescape(value).strip())
        return found

    @property
    def attribute_count(self) -> int:
        """About how many attributes there are, those that `attributes` leaves out too."""
        return len(_BETWEEN_ATTRIBUTES.findall(_QUOTED.sub("''", self.source)))


def tokens(document: str) -> Iterator[Token]:
    """All tags and texts, comments and declarations left out; each end tag of a text-only element is there too."""
    position = 0
    while match := _TAG.search(document, position):
        if match.start() > position:
            yield Token("", False, document[position : match.start()], "")
        position = match.end()
        if match["comment"]:
            end = document.find("-->", match.start() + 2)
            position = end + 3 if end >= 0 else len(document)
            continue
        if match["other"]:
            end = document.find(">", position)
            position = end + 1 if end >= 0 else len(document)
            continue
        name = match["name"].lower()
        text = ""
        if not match["end"] and (raw := _TEXT_ONLY.get(name)):
            closing = raw.search(document, position)
            end = closing.start() if closing else len(document)
            text = document[position:end]
            position = end
        yield Token(name, bool(match["end"]), text, match["attributes"])
    if position < len(document):
        yield Token("", False, document[position:], "")
