# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20", "defusedxml>=0.7.1"]
# ///
"""Searches the collection APIs of MacCMS and SeaCMS sites."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs, unquote, urldefrag, urlsplit

from plugins.search.maccms_plugin.answers import NotAList, Page, Video, read_answer
from plugins.search.maccms_plugin.results import as_result
from plugins.search.maccms_plugin.sites import Site, read_sites
from plugins.shared.lenient_values import as_number
from plugins.shared.source_fan_out import NO_LIMIT, as_they_arrive
from plugins.shared.web_documents import Web
from service.sdk import ConfigField, SearchPlugin, SearchResult

REDIRECTS_AT_MOST = 5
ANSWER_MAX_BYTES = 8 * 1024 * 1024
IDS_A_QUESTION = 20
# What sites call the list with everything in it, the newest name first; the last has names and numbers only.
LIST_NAMES = ("detail", "videolist", "list")


class MaccmsPlugin(SearchPlugin):
    """All sites are asked at once; one that is slow or broken costs only its own results."""

    name = "maccms"
    version = "1.0.0"
    description = "搜索苹果 CMS、海洋 CMS 采集接口 · Searches MacCMS and SeaCMS collection APIs"

    def __init__(self) -> None:
        # By the site's address: which name of the list it knows, so that it is asked once from then on.
        self._list_names: dict[str, str] = {}

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="sites",
                label="站点 · Sites",
                type="list",
                default=[],
                description="没有站点就没有结果 · Nothing is found before there is one",
                fields=[
                    ConfigField(name="name", label="名称 · Name"),
                    ConfigField(
                        name="url",
                        label="采集接口地址 · Address of the API",
                        description="https://example.org/api.php/provide/vod/",
                    ),
                    ConfigField(
                        name="format",
                        label="格式 · Format",
                        type="select",
                        default="auto",
                        options=["auto", "json", "xml"],
                    ),
                    ConfigField(name="enabled", label="启用 · Enabled", type="boolean", default=True),
                ],
            ),
            ConfigField(name="limit", label="每站结果上限 · Results a site", type="number", default=50),
            ConfigField(name="pages", label="每站页数上限 · Pages a site", type="number", default=5),
            ConfigField(name="timeout", label="超时（秒）· Timeout in seconds", type="number", default=10),
        ]

    async def search(self, keyword: str, **kwargs: Any) -> AsyncIterator[SearchResult]:
        """Yield results in the order in which the sites answer.

        Args:
            keyword: a part of the title.
            kwargs: `limit` stops after that many in all.

        Raises:
            ConnectionError: no site gave an answer; the text says of each why.
        """
        sites = read_sites(self.config)
        if not sites:
            self.log.warning("no site is set; add one to `sites` in the configuration")
        keyword = keyword.strip()
        if not sites or not keyword:
            return
        total = int(as_number(kwargs.get("limit") or None, NO_LIMIT, 1, NO_LIMIT))
        async with self._web() as web:
            sources = {self._source_name(site, sites): self._search(web, site, keyword) for site in sites}
            # Three deadlines are what several pages take at a decent pace.
            timeout_s = 3 * self._timeout_s
            async with aclosing(
                as_they_arrive(sources, log=self.log, timeout_s=timeout_s, total=total)
            ) as results:
                async for result in results:
                    yield result

    async def get_video_info(self, url: str) -> SearchResult:
        """One entry, by the address that `search` gave it, or by `site name#id`.

        Raises:
            ValueError: it belongs to none of the configured sites, or the site does not have it.
        """
        site, id = self._entry(url)
        async with self._web() as web:
            [*videos] = await self._details(web, site, [id])
        for video in videos:
            if video.id == id:
                return as_result(site, video, self.name)
        raise ValueError(f"{site.name} has no entry {id}")

    def _web(self) -> Web:
        headers = {"User-Agent": f"Plugbay-{self.name}/{self.version}"}
        return Web(headers, timeout_s=self._timeout_s, redirects=REDIRECTS_AT_MOST)

    @property
    def _timeout_s(self) -> float:
        return as_number(self.config.get("timeout") or self.config.get("timeout_s"), 10, 0.1, 300)

    @staticmethod
    def _source_name(site: Site, sites: list[Site]) -> str:
        """Its name, with its address where another has the same name."""
        return site.name if [one.name for one in sites].count(site.name) == 1 else f"{site.name} ({site.url})"

    def _entry(self, url: str) -> tuple[Site, str]:
        base, fragment = urldefrag(url)
        id = unquote(fragment) or parse_qs(urlsplit(base).query).get("ids", [""])[0]
        for site in read_sites(self.config):
            plain = base.partition("?")[0] == site.url.partition("?")[0]
            if id and (base in (site.url, site.name) or (plain and not fragment)):
                return site, id
        raise ValueError(f"{url} is not an entry of a configured site; search gives such addresses")

    async def _search(self, web: Web, site: Site, keyword: str) -> AsyncGenerator[SearchResult, None]:
        limit = int(as_number(self.config.get("limit"), 50, 1, 5000))
        pages = int(as_number(self.config.get("pages") or self.config.get("max_pages"), 5, 1, 100))
        list_name, page = await self._first_page(web, site, keyword)
        seen: set[str] = set()
        number = 1
        while True:
            new = [video for video in {one.id: one for one in page.videos}.values() if video.id not in seen]
            new = new[: limit - len(seen)]
            seen.update(video.id for video in new)
            for video in await self._filled(web, site, new):
                yield as_result(site, video, self.name)
            number += 1
            # A page without anything new is the end, whatever the site says of its pages.
            if not new or len(seen) >= limit or number > min(pages, page.count or pages):
                return
            page = await self._page(web, site, ac=list_name, wd=keyword, pg=number)

    async def _first_page(self, web: Web, site: Site, keyword: str) -> tuple[str, Page]:
        known = self._list_names.get(site.url)
        problem: NotAList | None = None
        empty: tuple[str, Page] | None = None
        for list_name in (known,) if known else LIST_NAMES:
            try:
                page = await self._page(web, site, ac=list_name, wd=keyword, pg=1)
            except NotAList as error:
                problem = problem or error
                continue
            if page.videos:
                self._list_names[site.url] = list_name
                return list_name, page
            empty = empty or (list_name, page)
        if empty:
            return empty
        self._list_names.pop(site.url, None)
        raise problem or NotAList("it has no list")

    async def _filled(self, web: Web, site: Site, videos: list[Video]) -> list[Video]:
        """The same videos, with everything about those of which there are only names."""
        bare = [video.id for video in videos if video.plays is None]
        full: dict[str, Video] = {}
        for begin in range(0, len(bare), IDS_A_QUESTION):
            ids = bare[begin : begin + IDS_A_QUESTION]
            try:
                full |= {video.id: video for video in await self._details(web, site, ids)}
            except (OSError, ValueError) as error:
                self.log.warning("%s: no details of %s: %s", site.name, ",".join(ids), error)
        return [full.get(video.id, video) for video in videos]

    async def _details(self, web: Web, site: Site, ids: list[str]) -> list[Video]:
        problem: NotAList | None = None
        bare: list[Video] = []
        for list_name in LIST_NAMES[:2]:
            try:
                page = await self._page(web, site, ac=list_name, ids=",".join(ids))
            except NotAList as error:
                problem = problem or error
                continue
            if any(video.plays is not None for video in page.videos):
                return page.videos
            bare = bare or page.videos
        if problem and not bare:
            raise problem
        return bare

    async def _page(self, web: Web, site: Site, **query: object) -> Page:
        answer = await web.get(site.address(**query), max_bytes=ANSWER_MAX_BYTES)
        if answer.status != 200:
            raise ConnectionError(f"it answered with HTTP {answer.status}")
        return await asyncio.to_thread(read_answer, answer.body, answer.headers.get("Content-Type", ""))
