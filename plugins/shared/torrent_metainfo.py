"""Torrent files (BEP 3, 47, 52) and magnet links (BEP 9) read as data; nothing here opens a file or a connection.

The decoder is our own, because an info-hash is the hash of the info dictionary's bytes as they stand: the bencode
packages give values without their places, and encoding those again is another text where a torrent has unsorted keys.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

MAX_DEPTH = 64
MAX_VALUES = 1_000_000
MAX_FIELDS = 1000
_INTEGER = re.compile(rb"i(0|-?[1-9][0-9]{0,19})e")
_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,9}):")
# Codecs that people wrote names in; not every name of a codec that Python has is one of a character set.
_CHARSET = re.compile(
    r"(gb(k|2312|18030)|big5(hkscs)?|shift_?jis|sjis|euc_?(jp|kr)|cp\d{3,5}|windows_?\d{4}|koi8_?[ru]|iso_?8859_?\d+)"
)
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class MetainfoError(ValueError):
    """What was given is no torrent, or no magnet link of one; the message says why."""


class _Decoder:
    """One pass over bencoded bytes; hostile ones end it with `MetainfoError`, not with the stack or the memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.values = 0
        self.info: bytes | None = None

    def value(self, depth: int = 0) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise MetainfoError(f"the torrent holds more than {MAX_VALUES:,} values")
        if depth > MAX_DEPTH:
            raise MetainfoError(f"the torrent is nested more than {MAX_DEPTH} levels deep")
        match self.data[self.position : self.position + 1]:
            case b"i":
                return self._integer()
            case b"l":
                self.position += 1
                found = []
                while not self._ended():
                    found.append(self.value(depth + 1))
                return found
            case b"d":
                return self._dictionary(depth)
            case _:
                return self._string()

    def _ended(self) -> bool:
        if self.data[self.position : self.position + 1] == b"e":
            self.position += 1
            return True
        if self.position >= len(self.data):
            raise MetainfoError("the torrent ends in the middle")
        return False

    def _integer(self) -> int:
        found = _INTEGER.match(self.data, self.position)
        if found is None:
            raise MetainfoError(f"byte {self.position} of the torrent begins a number that is none")
        self.position = found.end()
        return int(found[1])

    def _string(self) -> bytes:
        found = _LENGTH.match(self.data, self.position)
        if found is None:
            raise MetainfoError(f"byte {self.position} of the torrent is not bencoded")
        end = found.end() + int(found[1])
        if end > len(self.data):
            raise MetainfoError("the torrent ends in the middle")
        self.position = end
        return self.data[found.end() : end]

    def _dictionary(self, depth: int) -> dict[bytes, Any]:
        self.position += 1
        found: dict[bytes, Any] = {}
        while not self._ended():
            key = self._string()
            if key in found:  # which of the two counts would differ from program to program
                raise MetainfoError(f"the key {key[:40]!r} stands twice in the torrent")
            began = self.position
            found[key] = self.value(depth + 1)
            if depth == 0 and key == b"info":
                self.info = self.data[began : self.position]
        return found


def bdecode(data: bytes) -> Any:
    """The value of bencoded bytes.

    Raises:
        MetainfoError: they are not bencoded, or more deeply nested or with more values than any torrent.
    """
    return _decoded(data)[0]


def _decoded(data: bytes) -> tuple[Any, bytes | None]:
    decoder = _Decoder(data)
    value = decoder.value()
    if data[decoder.position :].strip(b"\r\n\t \x00"):
        raise MetainfoError("something follows the end of the torrent")
    return value, decoder.info


@dataclass(frozen=True)
class Torrent:
    """What a `.torrent` file says.

    Args:
        info_hash: SHA-1 of the info dictionary in hexadecimal; empty for one of version 2 only.
        info_hash_v2: its SHA-256; empty for one of version 1 only.
        size: bytes of all files.
        files: `{"path", "size"}` of each, the path with the torrent's name first where it has a folder.
        created_at: ISO 8601 in UTC.
    """

    name: str
    info_hash: str
    info_hash_v2: str
    size: int
    piece_size: int
    files: list[dict[str, Any]]
    trackers: list[str] = field(default_factory=list)
    web_seeds: list[str] = field(default_factory=list)
    private: bool = False
    comment: str | None = None
    created_by: str | None = None
    created_at: str | None = None

    @classmethod
    def read(cls, data: bytes) -> Torrent:
        """Read the bytes of a `.torrent` file.

        Raises:
            MetainfoError: it is none, and why.
        """
        if data.lstrip()[:1] == b"<":
            raise MetainfoError("the address gave a page, not a torrent file; it may ask for a sign-in")
        if data[:1] != b"d":
            raise MetainfoError("the address gave something else than a torrent file")
        meta, raw = _decoded(data)
        info = meta.get(b"info")
        if raw is None or not isinstance(info, dict):
            raise MetainfoError("the torrent has no info dictionary")
        charset = _charset(meta.get(b"encoding"))
        name = safe_name(_text(info, b"name", charset))
        is_v1, is_v2 = _versions(info)
        files = list(_files(info, name, charset) if is_v1 else _tree(info, name))
        if not files:
            raise MetainfoError("the torrent has no files")
        return cls(
            name=name,
            info_hash=hashlib.sha1(raw, usedforsecurity=False).hexdigest() if is_v1 else "",
            info_hash_v2=hashlib.sha256(raw).hexdigest() if is_v2 else "",
            size=sum(one["size"] for one in files),
            piece_size=_count(info.get(b"piece length"), "piece length"),
            files=files,
            trackers=_addresses([meta.get(b"announce"), meta.get(b"announce-list")]),
            web_seeds=_addresses([meta.get(b"url-list"), meta.get(b"httpseeds")]),
            private=info.get(b"private") == 1,
            comment=_text(meta, b"comment", charset) or None,
            created_by=_text(meta, b"created by", charset) or None,
            created_at=_moment(meta.get(b"creation date")),
        )

    @property
    def hashes(self) -> set[str]:
        """Both hashes, as far as it has them."""
        return {one for one in (self.info_hash, self.info_hash_v2) if one}

    @property
    def magnet(self) -> str:
        """The magnet link of the same torrent."""
        return Magnet(
            name=self.name,
            info_hash=self.info_hash,
            info_hash_v2=self.info_hash_v2,
            size=self.size,
            trackers=self.trackers,
            web_seeds=self.web_seeds,
        ).url


@dataclass(frozen=True)
class Magnet:
    """What a magnet link says; hashes in hexadecimal, `exact_sources` where its `.torrent` file should be (xs, as)."""

    name: str = ""
    info_hash: str = ""
    info_hash_v2: str = ""
    size: int | None = None
    trackers: list[str] = field(default_factory=list)
    web_seeds: list[str] = field(default_factory=list)
    exact_sources: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, url: str) -> Magnet:
        """Read a `magnet:` address.

        Raises:
            MetainfoError: it names no torrent, and why.
        """
        scheme, _, query = url.strip().partition("?")
        if scheme.lower() != "magnet:":
            raise MetainfoError("not a magnet link")
        try:
            # Links copied from a page's source have their `&` escaped.
            pairs = parse_qsl(query.replace("&amp;", "&"), errors="replace", max_num_fields=MAX_FIELDS)
        except ValueError as error:
            raise MetainfoError(f"the magnet link has more than {MAX_FIELDS} parts") from error
        found: dict[str, list[str]] = {}
        for key, value in pairs:
            # `xt.1`, `tr.2`: numbered where there are several.
            found.setdefault(re.sub(r"\.\d+$", "", key.lower()), []).append(value.strip())
        info_hash, info_hash_v2 = _topics(found.get("xt", []))
        size = found.get("xl", [""])[0]
        return cls(
            name=safe_name(found["dn"][0]) if found.get("dn") else "",
            info_hash=info_hash,
            info_hash_v2=info_hash_v2,
            size=int(size) if re.fullmatch(r"[0-9]{1,19}", size) else None,
            trackers=_unique(found.get("tr", [])),
            web_seeds=_unique(found.get("ws", [])),
            exact_sources=_unique([*found.get("xs", []), *found.get("as", [])]),
        )

    @property
    def hashes(self) -> set[str]:
        """Both hashes, as far as it has them."""
        return {one for one in (self.info_hash, self.info_hash_v2) if one}

    @property
    def url(self) -> str:
        """The link, written anew."""
        parts = [f"xt=urn:btih:{self.info_hash}"] if self.info_hash else []
        parts += [f"xt=urn:btmh:1220{self.info_hash_v2}"] if self.info_hash_v2 else []
        parts += [f"dn={quote(self.name, safe='')}"] if self.name else []
        parts += [f"xl={self.size}"] if self.size is not None else []
        for key, values in (("tr", self.trackers), ("ws", self.web_seeds), ("xs", self.exact_sources)):
            parts += [f"{key}={quote(value, safe='')}" for value in values]
        return "magnet:?" + "&".join(parts)


def is_magnet(url: str) -> bool:
    """Whether the address is a magnet link, of whatever."""
    return url.strip()[:8].lower() == "magnet:?"


def is_torrent_address(url: str) -> bool:
    """Whether the address is one of HTTP whose path ends in `.torrent`."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    return (
        parts.scheme.lower() in ("http", "https")
        and bool(parts.hostname)
        and parts.path.lower().endswith(".torrent")
    )


def safe_name(text: str) -> str:
    """One component of a path that is safe to show and to use: no separators, no control characters, never `..`."""
    name = _UNSAFE.sub("_", text).strip()
    return "_" if name in ("", ".", "..") else name


def _topics(topics: list[str]) -> tuple[str, str]:
    v1 = v2 = ""
    for topic in topics:
        kind, _, digest = topic.lower().rpartition(":")
        if kind == "urn:btih" and re.fullmatch(r"[0-9a-f]{40}", digest):
            v1 = v1 or digest
        elif kind == "urn:btih" and re.fullmatch(r"[a-z2-7]{32}", digest):
            v1 = v1 or base64.b32decode(digest.upper()).hex()
        elif kind == "urn:btmh" and re.fullmatch(r"1220[0-9a-f]{64}", digest):
            v2 = v2 or digest[4:]
    if not v1 and not v2:
        raise MetainfoError("the magnet link has no BitTorrent hash (xt=urn:btih:… or urn:btmh:1220…)")
    return v1, v2


def _versions(info: dict[bytes, Any]) -> tuple[bool, bool]:
    """Whether it is one of version 1, and of version 2 (a hybrid is both)."""
    is_v1 = isinstance(info.get(b"pieces"), bytes) and (b"length" in info or b"files" in info)
    is_v2 = info.get(b"meta version") == 2 and isinstance(info.get(b"file tree"), dict)
    if is_v1 and len(info[b"pieces"]) % 20:
        raise MetainfoError("the torrent's piece hashes are cut off")
    if not is_v1 and not is_v2:
        raise MetainfoError("the torrent's info dictionary lists no files with their pieces")
    return is_v1, is_v2


def _files(info: dict[bytes, Any], name: str, charset: str | None) -> Iterator[dict[str, Any]]:
    """The files of version 1, without the padding that only fills up pieces."""
    if b"files" not in info:
        yield {"path": name, "size": _count(info.get(b"length"), "length")}
        return
    listed = info[b"files"]
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise MetainfoError("the torrent's list of files is none")
    for one in listed:
        path = one.get(b"path.utf-8", one.get(b"path"))
        if not isinstance(path, list) or not path or not all(isinstance(part, bytes) for part in path):
            raise MetainfoError("a file of the torrent has no path")
        size = _count(one.get(b"length"), "length")
        flags = one.get(b"attr")
        if not (isinstance(flags, bytes) and b"p" in flags):
            yield {
                "path": "/".join([name, *(safe_name(_string(part, charset)) for part in path)]),
                "size": size,
            }


def _tree(info: dict[bytes, Any], name: str) -> Iterator[dict[str, Any]]:
    """The files of version 2; a single one that has the torrent's own name lies in no folder."""
    tree = info[b"file tree"]
    single = len(tree) == 1 and all(isinstance(one, dict) and b"" in one for one in tree.values())
    # A stack of its own: the decoder has bounded the depth, and the paths' length with it.
    waiting: list[tuple[list[str], Any]] = [([] if single else [name], tree)]
    while waiting:
        path, node = waiting.pop()
        if not isinstance(node, dict):
            raise MetainfoError("the torrent's file tree is none")
        leaf = node.get(b"")
        if leaf is not None:
            if not isinstance(leaf, dict):
                raise MetainfoError("the torrent's file tree is none")
            yield {"path": "/".join(path), "size": _count(leaf.get(b"length"), "length")}
            continue
        for part, below in reversed(node.items()):
            waiting.append(([*path, safe_name(_string(part, None))], below))


def _count(value: Any, what: str) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise MetainfoError(f"the torrent's {what} is no size")
    return value


def _charset(value: Any) -> str | None:
    name = value.decode("ascii", "replace").lower().replace("-", "_") if isinstance(value, bytes) else ""
    return name if _CHARSET.fullmatch(name) else None


def _string(raw: bytes, charset: str | None) -> str:
    """UTF-8 where it is, since many torrents name another charset and do not use it; GB 18030 holds GBK, too."""
    for codec in ("utf-8", charset, "gb18030"):
        try:
            if codec is not None:
                return raw.decode(codec)
        except (UnicodeDecodeError, LookupError):
            continue
    return raw.decode("utf-8", "replace")


def _text(holder: dict[bytes, Any], key: bytes, charset: str | None) -> str:
    raw = holder.get(key + b".utf-8", holder.get(key))
    return _string(raw, charset).replace("\x00", "") if isinstance(raw, bytes) else ""


def _addresses(nested: Any) -> list[str]:
    """All addresses in lists of lists, each once."""
    found: list[str] = []
    waiting = [nested]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(reversed(one))
        elif isinstance(one, bytes) and one.strip():
            found.append(one.decode("utf-8", "replace").strip())
    return _unique(found)


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


def _moment(value: Any) -> str | None:
    try:
        return datetime.fromtimestamp(value, UTC).isoformat() if isinstance(value, int) else None
    except (OverflowError, ValueError, OSError):
        return None
