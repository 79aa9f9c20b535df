"""Torrents as tests need them, written by hand where no program of Debian's makes such ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = 16 * 1024
PIECE = 32 * 1024


def bencode(value: Any) -> bytes:
    match value:
        case bytes():
            return b"%d:%s" % (len(value), value)
        case str():
            return bencode(value.encode())
        case int():
            return b"i%de" % value
        case list():
            return b"l%se" % b"".join(map(bencode, value))
        case dict():
            raw = {key.encode() if isinstance(key, str) else key: each for key, each in value.items()}
            return b"d%se" % b"".join(bencode(key) + bencode(raw[key]) for key in sorted(raw))
        case _:
            raise TypeError(type(value))


@dataclass
class Made:
    content: bytes
    v1: str
    v2: str


def hybrid_torrent(path: Path, tracker: str) -> Made:
    """A torrent of one file in both versions (BEP 52)."""
    data = path.read_bytes()
    leaves = [hashlib.sha256(data[at : at + BLOCK]).digest() for at in range(0, len(data), BLOCK)]
    per_piece = PIECE // BLOCK
    layer = [
        _root(leaves[at : at + per_piece], per_piece, b"\0" * 32) for at in range(0, len(leaves), per_piece)
    ]
    padding = _root([], per_piece, b"\0" * 32)
    width = 1
    while width < len(layer):
        width *= 2
    root = _root(layer, width, padding)
    info = {
        "name": path.name,
        "piece length": PIECE,
        "length": len(data),
        "pieces": b"".join(hashlib.sha1(data[at : at + PIECE]).digest() for at in range(0, len(data), PIECE)),
        "meta version": 2,
        "file tree": {path.name: {"": {"length": len(data), "pieces root": root}}},
    }
    raw = bencode(info)
    content = bencode({"announce": tracker, "info": info, "piece layers": {root: b"".join(layer)}})
    return Made(content, hashlib.sha1(raw).hexdigest(), hashlib.sha256(raw).hexdigest())


def _root(nodes: list[bytes], width: int, padding: bytes) -> bytes:
    level = nodes + [padding] * (width - len(nodes))
    while len(level) > 1:
        level = [hashlib.sha256(level[at] + level[at + 1]).digest() for at in range(0, len(level), 2)]
    return level[0]
