"""An indexer that follows the Torznab specification, for tests: capabilities, paging, errors, both namespaces."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web

KEY = "0123456789abcdef0123456789abcdef"
NAMESPACES = {
    "torznab": "http://torznab.com/schemas/2015/feed",
    "newznab": "http://www.newznab.com/DTD/2010/feeds/attributes/",
}

CAPS = """<?xml version="1.0" encoding="UTF-8"?>
<caps>
  <server version="1.1" title="Double" strapline="..." />
  <limits max="10" default="5" />
  <registration available="no" open="no" />
  <searching>
    <search available="yes" supportedParams="q" />
    <tv-search available="yes" supportedParams="q,season,ep" />
    <movie-search available="yes" supportedParams="q,imdbid" />
    <music-search available="no" supportedParams="q" />
  </searching>
  <categories>
    <category id="2000" name="Movies"><subcat id="2040" name="HD" /><subcat id="2045" name="UHD" /></category>
    <category id="5000" name="TV"><subcat id="5070" name="Anime" /></category>
    <category id="100117" name="Donghua" />
  </categories>
</caps>"""


def release(number: int, **more: Any) -> dict[str, Any]:
    """An entry as the indexer keeps it; `attrs` are its extended attributes."""
    return {
        "title": f"Big Buck Bunny {number} & co",
        "guid": f"https://tracker.example/torrent/{number}",
        "link": f"https://tracker.example/download/{number}.torrent",
        "comments": f"https://tracker.example/torrent/{number}#comments",
        "pubDate": "Sat, 14 Mar 2015 13:12:42 -0400",
        "size": 4617089843,
        "categories": [2000, 2040],
        "attrs": {"seeders": 12, "peers": 15, "grabs": 99, "infohash": "A" * 40, "downloadvolumefactor": "0"},
        **more,
    }


class Torznab:
    """Answers `api` as the specification has it; set its attributes to make it answer otherwise."""

    def __init__(self, releases: list[dict[str, Any]], namespace: str = "torznab") -> None:
        self.releases = releases
        self.namespace = namespace
        self.caps = CAPS
        self.key = KEY
        self.page_max = 10
        self.says_total = True
        self.knows_offset = True
        self.asked: list[dict[str, str]] = []

    async def api(self, request: web.Request) -> web.StreamResponse:
        asked = dict(request.query)
        self.asked.append(asked)
        if asked.get("apikey") != self.key:
            return self.error(100, "Incorrect user credentials")
        match asked.get("t"):
            case "caps":
                return web.Response(text=self.caps, content_type="application/xml")
            case "search" | "tvsearch" | "movie":
                return web.Response(text=self.feed(asked), content_type="application/rss+xml")
            case None:
                return self.error(200, "Missing parameter (t)")
            case _:
                return self.error(202, f"No such function ({asked['t']})")

    def error(self, code: int, description: str, status: int = 200, **headers: str) -> web.Response:
        text = f'<?xml version="1.0" encoding="UTF-8"?><error code="{code}" description={quoteattr(description)} />'
        return web.Response(text=text, status=status, content_type="application/xml", headers=headers)

    def feed(self, asked: dict[str, str]) -> str:
        words = asked.get("q", "").lower().split()
        wanted = {int(one) for one in asked.get("cat", "").split(",") if one}
        found = [
            one
            for one in self.releases
            if all(word in one["title"].lower() for word in words)
            and (not wanted or wanted & set(one["categories"]))
        ]
        offset = int(asked.get("offset", 0)) if self.knows_offset else 0
        part = found[offset : offset + min(int(asked.get("limit", 5)), self.page_max)]
        spaces = "".join(f' xmlns:{name}="{uri}"' for name, uri in NAMESPACES.items())
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"{spaces}><channel><title>Double</title>'
        )
        if self.says_total:
            text += f'<newznab:response offset="{offset}" total="{len(found)}" />'
        return text + "".join(map(self.item, part)) + "</channel></rss>"

    def item(self, one: dict[str, Any]) -> str:
        text = "<item>"
        for name in ("title", "guid", "link", "comments", "pubDate", "size", "jackettindexer"):
            if one.get(name) is not None:
                text += f"<{name}>{escape(str(one[name]))}</{name}>"
        text += "".join(f"<category>{id}</category>" for id in one["categories"])
        enclosure = one.get("enclosure", one["link"])
        if enclosure:
            kind = one.get("enclosure_type", "application/x-bittorrent")
            text += f'<enclosure url={quoteattr(enclosure)} length="{one["size"] or 0}" type="{kind}" />'
        attrs = [("category", id) for id in one["categories"]] + list(one["attrs"].items())
        for name, value in attrs:
            text += f'<{self.namespace}:attr name="{name}" value={quoteattr(str(value))} />'
        return f"{text}</item>"
