"""An entry of a site as a search result."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

from plugins.search.maccms_plugin.answers import Video
from plugins.search.maccms_plugin.episodes import episodes
from plugins.search.maccms_plugin.sites import Site
from service.sdk import SearchResult

_COPIED = {
    "type": ("type_name", "vod_class"),
    "area": ("vod_area",),
    "lang": ("vod_lang",),
    "actor": ("vod_actor",),
    "director": ("vod_director",),
    "remarks": ("vod_remarks", "vod_continu"),
    "update_time": ("vod_time", "vod_addtime"),
}


def as_result(site: Site, video: Video, platform: str) -> SearchResult:
    """A result with `metadata.episodes`, each `{title, play_url, source}`."""
    fields = video.fields
    metadata: dict[str, Any] = {"site": site.name, "id": video.id}
    for key, names in _COPIED.items():
        metadata[key] = next((fields[name] for name in names if fields.get(name)), "")
    year = fields.get("vod_year", "")
    metadata["year"] = year if year != "0" else ""
    metadata["score"] = _score(fields)
    metadata["episodes"] = episodes(video.plays or [], site.url)
    metadata["sources"] = list(dict.fromkeys(one["source"] for one in metadata["episodes"]))
    if video.downloads:
        metadata["downloads"] = [
            {"title": one["title"], "url": one["play_url"], "source": one["source"]}
            for one in episodes(video.downloads, site.url)
        ]
    duration = fields.get("vod_duration", "")
    return SearchResult(
        title=fields["vod_name"],
        url=site.link(video.id),
        thumbnail=_picture(site, fields.get("vod_pic") or fields.get("vod_pic_thumb") or ""),
        duration=duration if duration.strip("0:") else None,
        platform=platform,
        description=fields.get("vod_content") or fields.get("vod_blurb") or "",
        metadata=metadata,
    )


def _picture(site: Site, address: str) -> str | None:
    if address.startswith("mac:"):  # MacCMS's own mark for a picture host, with the scheme left open
        address = address.removeprefix("mac:")
    try:
        url = urljoin(site.url, address) if address else ""
        return url if urlsplit(url).scheme in ("http", "https") else None
    except ValueError:  # not an address at all
        return None


def _score(fields: dict[str, str]) -> float | None:
    for name in ("vod_score", "vod_douban_score"):
        try:
            score = float(fields.get(name, ""))
        except ValueError:
            continue
        if 0 < score <= 100:
            return score
    return None
