"""Play lists as MacCMS and its relatives write them: `name$address#name$address`, lists apart by `$$$`."""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote, urljoin

_LISTS_APART = "$$$"
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.\-]*://|//|magnet:\?|thunder:|ed2k:)\S", re.IGNORECASE)
_ESCAPED_ADDRESS = re.compile(r"https?%3a%2f%2f", re.IGNORECASE)
_PLAYER = re.compile(r"[a-z0-9_]*(?:m3u8|mp4|flv|yun|iframe)", re.IGNORECASE)
_ENDS_LIKE_A_FILE = re.compile(r"\.[a-z0-9]{2,5}$", re.IGNORECASE)
_WORD = re.compile(r"[\w\-]+")
# Addresses that a player must never be given.
_REFUSED = ("javascript:", "data:", "vbscript:", "file:", "about:", "blob:")


def play_lists(sources: str, addresses: str) -> list[tuple[str, str]]:
    """Pairs of source and list, from `vod_play_from` and `vod_play_url`."""
    lists = addresses.split(_LISTS_APART)
    names = sources.split(_LISTS_APART) if sources else []
    if len(names) == 1 < len(lists) == len(sources.split(",")):
        # With a chosen player set, a site joins the names by commas.
        names = sources.split(",")
    return [
        (names[index].strip() if index < len(names) else "", text)
        for index, text in enumerate(lists)
        if text.strip()
    ]


def episodes(lists: list[tuple[str, str]], base: str) -> list[dict[str, Any]]:
    """`{title, play_url, source}` of each episode, in the order of the site.

    Args:
        lists: pairs of source and list.
        base: the address of the site, for addresses relative to it.
    """
    known = {source for source, _ in lists if source}
    found = []
    for number, (source, text) in enumerate(lists, 1):
        name = source or f"线路{number}"
        count = 0
        # Only this one entity: without its semicolon, `&copy=1` in an address would become a sign.
        for part in re.split(r"[#\r\n]+", text.replace("&amp;", "&")):
            split = _episode(part, known)
            if split is None:
                continue
            title, url = split
            if url.startswith("/"):
                url = urljoin(base, url)
            if url.lower().startswith(_REFUSED):
                continue
            count += 1
            found.append(
                {"title": html.unescape(title) or f"第{count:02d}集", "play_url": url, "source": name}
            )
    return found


def _episode(part: str, sources: Collection[str]) -> tuple[str, str] | None:
    """Title and address. The first piece that looks like an address begins it: a `$` may be in the title or in it."""
    pieces = part.strip().split("$")
    pieces = [unquote(one) if _ESCAPED_ADDRESS.match(one.strip()) else one for one in pieces]
    begin = next((index for index, piece in enumerate(pieces) if _ADDRESS.match(piece.strip())), None)
    if begin is None:
        return _by_id(pieces, sources)
    title = "$".join(pieces[:begin]).strip(" $\t\u3000")
    address = pieces[begin:]
    while len(address) > 1 and (
        not address[-1].strip() or _is_label(address[-1].strip(), address[-2], sources)
    ):
        label = address.pop().strip()
        if label and not title and label not in sources and not _PLAYER.fullmatch(label):
            title = label  # written the other way round: address$name
    return title, "$".join(address).strip()


def _is_label(last: str, before: str, sources: Collection[str]) -> bool:
    """Whether the last piece is the third part of `name$address$player`, not the rest of an address with a `$`."""
    if last in sources:
        return not before.rstrip().endswith(("=", "/", "?", "&"))
    if not _WORD.fullmatch(last) or not before.strip()[-1:].isalnum():
        return False
    return bool(_PLAYER.fullmatch(last) or _ENDS_LIKE_A_FILE.search(before.strip()))


def _by_id(pieces: list[str], sources: Collection[str]) -> tuple[str, str] | None:
    """`name$id`, as some players have it; a name alone is an episode that is not there yet."""
    kept = [piece.strip() for piece in pieces]
    while len(kept) > 1 and (not kept[-1] or (len(kept) > 2 and kept[-1] in sources)):
        kept.pop()
    return (kept[0], "$".join(kept[1:])) if len(kept) > 1 else None
