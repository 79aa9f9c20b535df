"""Text for people: out of bytes of any encoding, out of markup, cut to a length; and sizes in words."""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator

_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|</?[a-zA-Z][^<>]*>|<[!?][^<>]*>",
    re.DOTALL | re.IGNORECASE,
)
_INLINE = re.compile(
    r"</?(?:a|b|i|u|s|em|strong|span|font|small|big|mark|code|sub|sup|ruby|wbr)\b", re.IGNORECASE
)
# What an encoding's name means on the web, where that is more than it says.
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "gb_2312-80": "gb18030",
    "x-gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "us-ascii": "cp1252",
    "ascii": "cp1252",
    "shift_jis": "cp932",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "unicode": "utf-8",
    "utf8": "utf-8",
}
_HEAD_BYTES = 4096
_WRONG_SHARE = 0.05


def decoded(body: bytes, said: str | None) -> str:
    """The text of a document: by its byte order mark, by header, by what it says itself, as UTF-8, as GB 18030.

    The first that fits is taken: a document may say one thing and be another. A few wrong bytes do no harm.

    Args:
        body: all of it, or its beginning.
        said: what its header says: a charset, or a `Content-Type` with one.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if body.startswith(mark):
            return body[len(mark) :].decode(name, errors="replace")
    best: tuple[float, str] | None = None
    for name in (_charset_of(said or ""), _charset_inside(body[:_HEAD_BYTES]), "utf-8", "gb18030"):
        codec = _WIDER.get(name, name)
        try:
            text = codecs.getincrementaldecoder(codec)("replace").decode(body) if codec else None
        except (LookupError, UnicodeError):  # no encoding has that name
            continue
        if text is None:
            continue
        wrong = text.count("\ufffd")
        share = wrong / max(1, len(text) - len(text.encode("ascii", "ignore")))
        if share <= _WRONG_SHARE:
            return text
        if best is None or share < best[0]:
            best = (share, text)
    return best[1] if best else body.decode("utf-8", errors="replace")


def _charset_of(said: str) -> str:
    found = re.search(r"charset\s*=\s*[\"']?\s*([\w.:\-]+)", said, re.IGNORECASE)
    return (found[1] if found else said).lower()


def _charset_inside(head: bytes) -> str:
    """What XML declares, or a `meta` of HTML."""
    found = re.search(
        rb"<\?xml\b[^<>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_.:\-]+)"
        rb"|<meta\b[^<>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:\-]+)",
        head,
        re.IGNORECASE,
    )
    name = (found[1] or found[2]).decode("ascii").lower() if found else ""
    return "utf-8" if name.startswith("utf-16") else name  # or this could not have been read


def plain(markup: str) -> str:
    """The text of HTML, in one line."""
    return " ".join(html.unescape(untagged(markup)).split())


def untagged(markup: str) -> str:
    """HTML without its tags, comments, scripts and styles; its entities stay."""
    return _TAG.sub(_space_of_tag, markup)


def _space_of_tag(tag: re.Match[str]) -> str:
    # A word may be partly bold; a paragraph ends a word.
    return "" if _INLINE.match(tag[0]) else " "


def cut(text: str, length: int) -> str:
    """At most so many characters, ended by … where something is missing."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def pieces(text: str, length: int = 32 * 1024) -> Iterator[str]:
    """A long text in pieces that end between words, so that no single step keeps other threads waiting."""
    start = 0
    while len(text) - start > length:
        end = max(text.rfind("\n", start, start + length), text.rfind(" ", start, start + length))
        end = end if end > start else start + length
        yield text[start:end]
        start = end
    yield text[start:]


def readable_size(size: float) -> str:
    """`4617089843` as `4.3 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
