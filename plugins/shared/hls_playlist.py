"""What an HLS playlist says (RFC 8216), with absolute addresses; nothing here looks at the network.

The m3u8 library reads the tags. What it cannot take (`#EXTINF:-1 tvg-id="x",News`, a segment without `#EXTINF`, dates
of every kind) is put right or left out before, because one odd line must not cost a segment.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

_KEPT_TAGS = {
    "#EXT-X-BYTERANGE",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-ENDLIST",
    "#EXT-X-GAP",
    "#EXT-X-KEY",
    "#EXT-X-MAP",
    "#EXT-X-MEDIA",
    "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-PLAYLIST-TYPE",
    "#EXT-X-STREAM-INF",
    "#EXT-X-TARGETDURATION",
}
_WHOLE_NUMBER_TAGS = {"#EXT-X-MEDIA-SEQUENCE", "#EXT-X-TARGETDURATION"}
_ATTRIBUTE = re.compile(r'([A-Za-z0-9-]+)\s*=\s*("[^"]*"|[^,]*)')
_VARIABLE = re.compile(r"\{\$([A-Za-z0-9_-]+)\}")
# The library splits at these too, and a title may hold them.
_ODD_BREAKS = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNKNOWN_TARGET_S = 6.0
# Longer ones are no playlists.
PLAYLIST_MAX_BYTES = 32 * 1024 * 1024


class PlaylistRefused(ValueError):
    """The playlist cannot be downloaded: not HLS, damaged, protected by DRM, or naming what is never fetched."""


@dataclass(frozen=True, slots=True)
class Span:
    """Some bytes of a file, from `start`."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Key:
    """An AES-128 key: where it is, and the initialisation vector to use it with."""

    url: str
    iv: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to fetch: a segment, or the initialisation section that goes before some."""

    url: str
    span: Span | None = None
    key: Key | None = None
    is_init: bool = False

    @property
    def identity(self) -> str:
        """The same for the same bytes."""
        return hashlib.sha256(repr((self.url, self.span, self.key)).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment.

    Args:
        sequence: its media sequence number.
        piece: its bytes.
        init: the initialisation section that it needs before it.
        duration: in seconds, 0 where the playlist does not say.
        gap: the playlist says that it is missing.
    """

    sequence: int
    piece: Piece
    init: Piece | None
    duration: float
    gap: bool

    @property
    def name(self) -> str:
        """Tells segments apart, also when a new token is in the query at every look."""
        parts = urlsplit(self.piece.url)
        return hashlib.sha256(f"{parts.path} {self.piece.span}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """Segments in order.

    Args:
        segments: all that it names now.
        target_s: how long a segment is at most, in seconds.
        ended: nothing will be added.
        numbered: it gives sequence numbers itself.
    """

    segments: tuple[Segment, ...]
    target_s: float
    ended: bool
    numbered: bool

    @property
    def plan(self) -> str:
        """The same for the same list of segments."""
        digest = hashlib.sha256()
        for segment in self.segments:
            init = segment.init.identity if segment.init else ""
            digest.update(f"{segment.piece.identity} {init} {segment.duration} {segment.gap}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Rendition:
    """An audio track that has a playlist of its own; `url` is None where it is inside the variants themselves."""

    group: str
    name: str
    language: str
    default: bool
    url: str | None


@dataclass(frozen=True, slots=True)
class Variant:
    """One quality of a stream; `bandwidth` in bits a second."""

    url: str
    bandwidth: int | None
    width: int | None
    height: int | None
    codecs: str | None
    frame_rate: float | None
    audio: str | None

    @property
    def label(self) -> str:
        """For people: `1080p · 5.2 Mbit/s`."""
        parts = [f"{self.height}p"] if self.height else []
        if self.bandwidth:
            parts.append(rate_text(self.bandwidth))
        return " · ".join(parts) or self.url.partition("?")[0].rpartition("/")[2] or self.url

    @property
    def rank(self) -> tuple[int, int]:
        """Orders variants by quality."""
        return (self.width or 0) * (self.height or 0) or (self.height or 0), self.bandwidth or 0


@dataclass(frozen=True, slots=True)
class MasterPlaylist:
    """The qualities of a stream, in the playlist's order, and its separate audio tracks."""

    variants: tuple[Variant, ...]
    audio: tuple[Rendition, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def rate_text(bandwidth: int) -> str:
    """Bits a second for people."""
    return f"{bandwidth / 1e6:.1f} Mbit/s" if bandwidth >= 1_000_000 else f"{bandwidth / 1e3:.0f} kbit/s"


def read_playlist(
    text: str, url: str, variables: Mapping[str, str] | None = None
) -> MasterPlaylist | MediaPlaylist:
    """Read a playlist.

    Args:
        text: what the server sent.
        url: where it came from, after redirects; relative addresses begin there.
        variables: `EXT-X-DEFINE` of the master playlist, for `IMPORT`.

    Raises:
        PlaylistRefused: it is none, or one that is not downloaded.
    """
    if not text.lstrip("\ufeff \t\r\n").startswith("#EXTM3U"):
        raise PlaylistRefused(f"{url} is not an HLS playlist: it does not begin with #EXTM3U")
    if "#EXT-X-" not in text:
        raise PlaylistRefused(
            f"{url} is a list of addresses, not an HLS stream; download its entries one by one"
        )
    # With the first playlist, so that plugins load in no time.
    import m3u8  # type: ignore[import-untyped]  # comes without types

    known: dict[str, str] = {}
    lines = list(_lines(text, url, variables or {}, known))
    try:
        data = m3u8.parse("\n".join(lines), custom_tags_parser=_take_tag)
        if data["is_variant"]:
            return _master(data, url, known)
        return _media(data, url, any(line.startswith("#EXT-X-MEDIA-SEQUENCE:") for line in lines))
    except PlaylistRefused:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise PlaylistRefused(f"{url} is a damaged playlist: {type(error).__name__}: {error}") from error


def absolute(base: str, address: str, *, data: bool = False) -> str:
    """The whole address.

    Raises:
        PlaylistRefused: neither http nor https; `data:` only where that is allowed.
    """
    whole = urljoin(base, address.strip())
    parts = urlsplit(whole)
    scheme = parts.scheme.lower()
    if scheme == "data" and data:
        return whole
    if scheme not in ("http", "https") or not parts.hostname:
        raise PlaylistRefused(
            f"the playlist names {whole[:200]!r}; only http and https addresses are fetched"
        )
    return whole.partition("#")[0]


def _lines(text: str, url: str, imported: Mapping[str, str], known: dict[str, str]) -> Iterator[str]:
    """The lines that count, put right."""
    has_info = names_variant = False
    for raw in re.split(r"\r\n|\r|\n", text.lstrip("\ufeff")):
        line = _ODD_BREAKS.sub(" ", raw).strip()
        if line.startswith("#EXT-X-DEFINE:"):
            known.update(_defined(line, url, imported))
            continue
        if known:
            line = _VARIABLE.sub(lambda found: known.get(found[1], found[0]), line)
        tag = line.partition(":")[0].rstrip()
        if not line:
            continue
        if tag == "#EXTINF":
            found = re.match(r"#EXTINF\s*:\s*\+?(\d+(?:\.\d*)?|\.\d+)", line)
            yield f"#EXTINF:{found[1] if found else 0},"
            has_info = True
        elif tag in _WHOLE_NUMBER_TAGS:
            if number := re.search(r":\s*(\d+)", line):
                yield f"{tag}:{number[1]}"
        elif tag in _KEPT_TAGS:
            yield line
            names_variant = names_variant or tag == "#EXT-X-STREAM-INF"
        elif not line.startswith("#"):
            if not has_info and not names_variant:
                yield "#EXTINF:0,"
            yield line
            has_info = names_variant = False


def _defined(line: str, url: str, imported: Mapping[str, str]) -> dict[str, str]:
    attributes = _attributes(line)
    if "NAME" in attributes:
        return {attributes["NAME"]: attributes.get("VALUE", "")}
    if name := attributes.get("QUERYPARAM"):
        return {name: parse_qs(urlsplit(url).query, keep_blank_values=True).get(name, [""])[0]}
    name = attributes.get("IMPORT", "")
    return {name: imported[name]} if name in imported else {}


def _attributes(line: str) -> dict[str, str]:
    return {
        name.upper(): value.strip().strip('"') for name, value in _ATTRIBUTE.findall(line.partition(":")[2])
    }


def _take_tag(line: str, _number: int, data: dict[str, Any], state: dict[str, Any]) -> bool:
    """Keys and initialisation sections, of which the library forgets what belongs together."""
    tag, _, _ = line.partition(":")
    if tag == "#EXT-X-KEY":
        key = _attributes(line)
        here = len(data["segments"])
        # The same segments offered under several systems: one key that anybody can use is enough.
        if not (
            _is_plain(state.get("current_key") or {}) and state.get("key_at") == here and not _is_plain(key)
        ):
            state["current_key"] = None if key.get("METHOD", "NONE").upper() == "NONE" else key
            state["key_at"] = here
        return True
    if tag == "#EXT-X-MAP":
        state["current_segment_map"] = {
            **_attributes(line),
            "key": state.get("current_key"),
            "at": len(data["segments"]),
        }
        return True
    return False


def _is_plain(key: Mapping[str, str]) -> bool:
    return (
        key.get("METHOD", "").upper() == "AES-128" and key.get("KEYFORMAT", "identity").lower() == "identity"
    )


def _master(data: dict[str, Any], url: str, variables: Mapping[str, str]) -> MasterPlaylist:
    variants = []
    for entry in data["playlists"]:
        about = entry["stream_info"]
        size = re.match(r"\s*\"?(\d+)\s*[xX]\s*(\d+)", str(about.get("resolution") or ""))
        variants.append(
            Variant(
                url=absolute(url, entry["uri"]),
                bandwidth=about.get("bandwidth"),
                width=int(size[1]) if size else None,
                height=int(size[2]) if size else None,
                codecs=about.get("codecs"),
                frame_rate=about.get("frame_rate"),
                audio=about.get("audio"),
            )
        )
    if not variants:
        raise PlaylistRefused(f"{url} is a master playlist without a stream in it")
    audio = tuple(
        Rendition(
            group=entry.get("group_id") or "",
            name=entry.get("name") or "",
            language=entry.get("language") or "",
            default=str(entry.get("default", "")).upper() == "YES",
            url=absolute(url, entry["uri"]) if entry.get("uri") else None,
        )
        for entry in data["media"]
        if str(entry.get("type", "")).upper() == "AUDIO"
    )
    return MasterPlaylist(tuple(variants), audio, variables)


def _media(data: dict[str, Any], url: str, numbered: bool) -> MediaPlaylist:
    first = int(data.get("media_sequence") or 0)
    ends: dict[str, int] = {}
    segments: list[Segment] = []
    for index, entry in enumerate(data["segments"]):
        address = absolute(url, entry["uri"])
        span = _span(entry["byterange"], ends.get(address, 0)) if entry.get("byterange") else None
        if span:
            ends[address] = span.start + span.length
        init = None
        if about := entry.get("init_section"):
            init = Piece(
                absolute(url, about["URI"]),
                _span(about["BYTERANGE"], 0) if about.get("BYTERANGE") else None,
                _key(about["key"], url, first + about["at"]),
                is_init=True,
            )
        key = _key(entry.get("key"), url, first + index)
        piece = Piece(address, span, key)
        segments.append(
            Segment(first + index, piece, init, float(entry.get("duration") or 0), bool(entry.get("gap_tag")))
        )
    target_s = float(data.get("targetduration") or 0) or max(
        (segment.duration for segment in segments), default=0.0
    )
    ended = bool(data["is_endlist"]) or str(data.get("playlist_type") or "").lower() == "vod"
    if ended and not segments:
        raise PlaylistRefused(f"{url} is a playlist without a segment in it")
    return MediaPlaylist(tuple(segments), target_s or _UNKNOWN_TARGET_S, ended, numbered)


def _span(text: str, implied_start: int) -> Span:
    found = re.fullmatch(r'\s*"?\s*(\d+)\s*(?:@\s*(\d+))?\s*"?\s*', text)
    if not found or int(found[1]) == 0:
        raise PlaylistRefused(f"{text[:80]!r} is not a byte range")
    return Span(int(found[2]) if found[2] else implied_start, int(found[1]))


def _key(about: Mapping[str, str] | None, url: str, sequence: int) -> Key | None:
    """The key of a segment with that sequence number, which is its initialisation vector where none is given."""
    if about is None:
        return None
    method = about.get("METHOD", "").upper()
    if not _is_plain(about):
        system = about.get("KEYFORMAT") or "identity"
        raise PlaylistRefused(
            f"the stream is protected ({method}, {system}): only AES-128 with a plain key can be "
            "downloaded, not SAMPLE-AES or DRM"
        )
    address = about.get("URI", "")
    if not address or urlsplit(address).scheme.lower() == "skd":
        raise PlaylistRefused(f"the stream's key is at {address!r}, which only a DRM system can read")
    iv = sequence.to_bytes(16, "big")
    if given := about.get("IV"):
        found = re.fullmatch(r"0[xX]([0-9a-fA-F]{1,32})", given)
        if not found:
            raise PlaylistRefused(f"{given[:80]!r} is not an initialisation vector")
        iv = int(found[1], 16).to_bytes(16, "big")
    return Key(absolute(url, address, data=True), iv)
