"""What files say: the text of those that are text, the title of books, and the words around what was found."""

from __future__ import annotations

import codecs
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable

from plugins.shared.keyword_query import Term, tokens
from plugins.shared.readable_text import cut, pieces, plain

_TEXT = frozenset(
    b".txt .text .md .markdown .rst .tex .org .srt .ass .ssa .vtt .sub .smi .lrc .nfo .diz .json .jsonl .xml .opf"
    b" .csv .tsv .yaml .yml .toml .ini .cfg .conf .log .html .htm .xhtml .cue .m3u .m3u8 .epub".split()
)
_MARKUP = frozenset((b".html", b".htm", b".xhtml", b".xml", b".opf", b".smi"))
_BOOK_PART_MAX_BYTES = 256 * 1024
_BOOK_FIELD = re.compile(
    r"<dc:(?:title|creator|subject|description|publisher)\b[^<>]*>(.{0,5000}?)</dc:",
    re.DOTALL | re.IGNORECASE,
)
_BOOK_PACKAGE = re.compile(r"full-path\s*=\s*[\"']([^\"']+)[\"']")
_SUBTITLE_NUMBERS = re.compile(r"^(?:\d+|.*-->.*)\s*$", re.MULTILINE)
_SUBTITLE_STYLE = re.compile(r"\{[^{}\n]*\}|</?[a-z][^<>\n]*>|\\[Nnh]")
_ASS_LINE = re.compile(
    r"^(?:Dialogue|Comment):(?:[^,\n]*,){9}(.*)$|^(?:Title|Original Script):(.*)$", re.MULTILINE
)
_JSON_ESCAPE = re.compile(r"(?<!\\)((?:\\u[0-9a-fA-F]{4})+)")
_SNIPPET_BEFORE, _SNIPPET_AFTER = 60, 120


def is_text(name: bytes) -> bool:
    """Whether a file of that name is read."""
    return os.path.splitext(name)[1].lower() in _TEXT


def body_of(path: bytes, max_bytes: int) -> str:
    """The tokens of a file's text, with spaces between; empty where it has none or cannot be read."""
    text = text_of(path, max_bytes)
    return " ".join(token for piece in pieces(text) for token in tokens(piece)) if text else ""


def text_of(path: bytes, max_bytes: int) -> str:
    """The text of a file, or of its beginning, without what is only markup.

    Args:
        path: the file.
        max_bytes: how much of it is read; 0 reads nothing.
    """
    if max_bytes <= 0 or not is_text(path):
        return ""
    suffix = os.path.splitext(path)[1].lower()
    try:
        if suffix == b".epub":
            return _book(path)
        text = decode(_beginning(path, max_bytes))
    except (OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error):
        return ""
    if suffix in (b".srt", b".vtt", b".sub"):
        return _SUBTITLE_STYLE.sub(" ", _SUBTITLE_NUMBERS.sub("", text))
    if suffix in (b".ass", b".ssa"):
        return _SUBTITLE_STYLE.sub(" ", "\n".join("".join(found) for found in _ASS_LINE.findall(text)))
    if suffix in (b".json", b".jsonl"):
        return _JSON_ESCAPE.sub(_unescaped, text)
    return plain(text) if suffix in _MARKUP else text


def decode(data: bytes) -> str:
    """Text in UTF-8, UTF-16 or GB 18030, with or without a mark of its encoding; empty where it is no text."""
    marks = (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    )
    for mark, encoding in marks:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if b"\0" in data[:4096]:
        # Latin text in UTF-16 has its NULs at every other place, a binary file has them anywhere.
        even, odd = data[:4096:2].count(0), data[1:4096:2].count(0)
        if max(even, odd) < 8 * min(even, odd) + 1 or (len(data) % 2 and len(data) < 4096):
            return ""
        return data.decode("utf-16-be" if even > odd else "utf-16-le", "ignore")
    for encoding in ("utf-8", "gb18030"):
        try:
            # What was read may end in the middle of a character.
            return codecs.getincrementaldecoder(encoding)().decode(data)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "ignore")


def snippet(path: bytes, max_bytes: int, terms: Iterable[Term]) -> str:
    """The words around the first place where one of the terms occurs; empty where none is found any more."""
    text = text_of(path, max_bytes)
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    for term in terms:
        if not term.tokens:
            continue
        pattern = r"[\W_]*".join(
            ("0*" if token[0].isdigit() else "") + re.escape(token) for token in term.tokens
        )
        if found := re.search(pattern, text, re.IGNORECASE):
            start = max(0, found.start() - _SNIPPET_BEFORE)
            shown = " ".join(text[start : found.end() + _SNIPPET_AFTER].split())
            return cut(("…" if start else "") + shown, _SNIPPET_BEFORE + _SNIPPET_AFTER + 100)
    return ""


def _beginning(path: bytes, max_bytes: int) -> bytes:
    # A pipe or a device that took the file's place must not hold up the reading.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        return file.read(max_bytes)


def _book(path: bytes) -> str:
    """Title, authors, subjects and description of an EPUB."""
    with zipfile.ZipFile(os.fsdecode(path)) as book:

        def part(name: str) -> str:
            with book.open(name) as file:
                return decode(file.read(_BOOK_PART_MAX_BYTES))

        try:
            package = _BOOK_PACKAGE.search(part("META-INF/container.xml"))
            fields = _BOOK_FIELD.findall(part(package[1])) if package else []
        except KeyError:  # a part that is not there
            return ""
    return "\n".join(plain(plain(field)) for field in fields)


def _unescaped(match: re.Match[str]) -> str:
    units = bytes.fromhex(match[1].replace("\\u", ""))
    return units.decode("utf-16-be", "replace")
