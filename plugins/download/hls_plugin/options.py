"""What the user wants of a stream: which quality, which sound, which name; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from plugins.download.hls_plugin.state import LiveLimits
from plugins.shared.hls_playlist import MasterPlaylist, MediaPlaylist, Rendition, Variant
from plugins.shared.lenient_values import not_negative
from plugins.shared.saved_files import safe_name

PARALLEL_MAX = 64
# A title that ends so names the stream or an earlier file of it.
_MEDIA_SUFFIXES = {".m3u8", ".m3u", ".ts", ".mp4", ".mkv", ".m4v", ".mov", ".flv", ".aac", ".m4a"}
_SUFFIX_OF = {
    ".aac": ".aac",
    ".ac3": ".ac3",
    ".ec3": ".ec3",
    ".mp3": ".mp3",
    ".mp4": ".mp4",
    ".m4a": ".mp4",
    ".m4s": ".mp4",
    ".m4v": ".mp4",
    ".cmfa": ".mp4",
    ".cmfv": ".mp4",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The configuration of one download.

    Args:
        max_height: of the picture, in lines; 0 for any.
        max_bandwidth: in bits a second; 0 for any.
        audio: which separate audio tracks: `default`, `all` or `none`.
        parallel: segments at once.
        retries: how often each is tried again.
        timeout_s: how long nothing may come.
        headers: for every request.
        live: when a live stream ends by itself.
    """

    max_height: int
    max_bandwidth: int
    audio: str
    parallel: int
    retries: int
    timeout_s: float
    headers: Mapping[str, str]
    live: LiveLimits

    @classmethod
    def of(cls, config: Mapping[str, Any], metadata: Mapping[str, Any], user_agent: str) -> Options:
        """From the configuration, and from what one request wants otherwise."""
        values = {**config, **{key: value for key, value in metadata.items() if key in _PER_TASK}}
        headers = {"User-Agent": str(config.get("user_agent") or user_agent)}
        if referer := str(config.get("referer") or ""):
            headers["Referer"] = referer
        given = metadata.get("headers")
        for name, value in given.items() if isinstance(given, Mapping) else ():
            headers = {old: kept for old, kept in headers.items() if old.lower() != str(name).lower()}
            headers[str(name)] = str(value)
        audio = str(values.get("audio") or "default")
        return cls(
            max_height=int(not_negative(values.get("max_height"), 0)),
            max_bandwidth=int(not_negative(values.get("max_bandwidth"), 0)),
            audio=audio if audio in ("default", "all", "none") else "default",
            parallel=min(PARALLEL_MAX, max(1, int(not_negative(values.get("parallel"), 8)))),
            retries=min(100, int(not_negative(values.get("retries"), 4))),
            timeout_s=max(0.1, not_negative(values.get("timeout_s"), 20)),
            headers=headers,
            live=LiveLimits(
                record_s=60 * not_negative(values.get("live_minutes"), 0),
                idle_s=60 * not_negative(values.get("live_idle_minutes"), 10),
            ),
        )


_PER_TASK = {"max_height", "max_bandwidth", "audio", "live_minutes"}


def choose(variants: Sequence[Variant], max_height: int, max_bandwidth: int) -> list[Variant]:
    """The best variant within the limits, else the least; behind it the others of the same quality, to fall back on."""
    fitting = [
        one
        for one in variants
        if (not max_height or (one.height or 0) <= max_height)
        and (not max_bandwidth or (one.bandwidth or 0) <= max_bandwidth)
    ]
    best = max(fitting, key=lambda one: one.rank) if fitting else min(variants, key=lambda one: one.rank)
    # max() and min() take the first of equals, which is the one that the server prefers.
    return [best, *(one for one in variants if one.rank == best.rank and one is not best)]


def audio_of(master: MasterPlaylist, variant: Variant, wanted: str) -> list[Rendition]:
    """The audio tracks to save beside the variant; those inside it need nothing."""
    group = [one for one in master.audio if variant.audio is not None and one.group == variant.audio]
    if wanted == "none" or not group:
        return []
    if wanted == "default":
        group = [next((one for one in group if one.default), group[0])]
    seen = {variant.url}
    chosen = []
    for one in group:
        if one.url is not None and one.url not in seen:
            seen.add(one.url)
            chosen.append(one)
    return chosen


def stem_of(title: str, url: str) -> str:
    """The file's name without its suffix."""
    path = PurePosixPath(unquote(urlsplit(url).path))
    text = title.strip()
    if not text or text.lower().startswith(("http://", "https://")):
        text = path.name
    for suffix in _MEDIA_SUFFIXES:
        if text.lower().endswith(suffix) and len(text) > len(suffix):
            text = text[: -len(suffix)]
            break
    return safe_name(text, "stream")


def audio_label(rendition: Rendition, position: int) -> str:
    """What comes between stem and suffix; the first is only called `audio`."""
    if position == 0:
        return "audio"
    return f"audio.{safe_name(rendition.language or rendition.name, str(position + 1))}"


def suffix_of(playlist: MediaPlaylist) -> str:
    """`.mp4` where there is an initialisation section, else by what the segments are, `.ts` as a rule."""
    if not playlist.segments:
        return ".ts"
    first = playlist.segments[0]
    if first.init:
        return ".mp4"
    return _SUFFIX_OF.get(PurePosixPath(urlsplit(first.piece.url).path).suffix.lower(), ".ts")
