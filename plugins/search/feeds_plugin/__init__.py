# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20", "feedparser>=6.0.11"]
# ///
"""Searches feeds: RSS, Atom, JSON Feed and OPDS catalogs, and asks those that can search themselves."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from plugins.search.feeds_plugin.fetch import Cache, Document, Fetcher, FetchFailed
from plugins.search.feeds_plugin.parse import Entry, Feed, NotAFeed, filled, parse, search_template
from plugins.shared.keyword_query import Query
from plugins.shared.lenient_values import not_negative
from plugins.shared.web_documents import Web
from service.sdk import ConfigField, SearchPlugin, SearchResult

FEEDS_AT_ONCE = 16
PAGES_MAX = 3
PARSED_MAX_BYTES = 32 * 1024 * 1024
PARSE_SECONDS = 15.0
REMEMBERED_MAX = 5000


class Source:
    """One configured feed.

    Args:
        name: what to call it; empty for the feed's own title.
        url: where the feed is; may be empty where there is a template.
        search_url: an address with `{query}` or `{searchTerms}`, where it can search itself.
    """

    def __init__(self, name: str, url: str, search_url: str) -> None:
        self.name = name
        self.url = url
        self.search_url = search_url

    def title(self, feed: Feed) -> str:
        """The name to show with what was found."""
        return self.name or feed.title or self.host

    @property
    def host(self) -> str:
        """The server's name, which unlike the address holds no password."""
        try:
            return urlsplit(self.url or self.search_url).hostname or self.url
        except ValueError:
            return self.url


class FeedsPlugin(SearchPlugin):
    """All words must occur in an entry's title, text, author or categories; each feed's hits come once it is there."""

    name = "feeds"
    version = "1.0.0"
    description = "搜索 RSS、Atom 与 OPDS 书目 · Searches RSS, Atom and OPDS feeds"

    def __init__(self) -> None:
        self.parsed: OrderedDict[str, tuple[int, str, Feed]] = OrderedDict()
        self.locks: dict[str, asyncio.Lock] = {}
        self.remembered: OrderedDict[str, SearchResult] = OrderedDict()
        self.fetcher: Fetcher | None = None

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="feeds",
                label="订阅源 · Feeds",
                type="list",
                default=[],
                fields=[
                    ConfigField(name="name", label="名称 · Name"),
                    ConfigField(name="url", label="地址 · Address"),
                    ConfigField(
                        name="search_url",
                        label="搜索地址 · Address for searches",
                        description="可选，用 {query} 代表关键词 · Optional, with {query} for the keyword",
                    ),
                ],
            ),
            ConfigField(
                name="limit",
                label="每个源最多结果数 · Results at most, for each feed",
                type="number",
                default=100,
            ),
            ConfigField(
                name="refresh_s",
                label="多少秒内不重新获取 · Seconds before a feed is asked for again",
                type="number",
                default=300,
            ),
            ConfigField(name="timeout_s", label="超时（秒）· Timeout in seconds", type="number", default=20),
        ]

    @property
    def sources(self) -> list[Source]:
        """The configured feeds; an entry may also be just an address."""
        chosen = self.config.get("feeds") or []
        found = []
        for entry in [chosen] if isinstance(chosen, str | dict) else chosen:
            values = entry if isinstance(entry, dict) else {"url": entry}
            name, url, search_url = (
                str(values.get(key) or "").strip() for key in ("name", "url", "search_url")
            )
            if url or search_url:
                found.append(Source(name, url, search_url))
        return found

    async def start(self) -> None:
        self.fetcher = Fetcher(
            Cache(self.data_dir / "cache"),
            refresh_s=not_negative(self.config.get("refresh_s"), 300.0),
            timeout_s=not_negative(self.config.get("timeout_s"), 20.0) or 20.0,
            user_agent=f"Plugbay-{self.name}/{self.version}",
        )

    async def search(self, keyword: str, **kwargs: Any) -> AsyncIterator[SearchResult]:
        sources = self.sources
        query = Query.parse(str(keyword))
        limit = int(not_negative(kwargs.get("limit") or self.config.get("limit"), 100.0)) or 100
        arrived: asyncio.Queue[tuple[Source, list[SearchResult] | Exception]] = asyncio.Queue()
        at_once = asyncio.Semaphore(FEEDS_AT_ONCE)
        failures: list[str] = []
        async with self._fetching().web() as web:

            async def ask(source: Source) -> None:
                async with at_once:
                    try:
                        found = await self._found(web, source, str(keyword), query, limit)
                    except Exception as error:  # whatever it is, it costs this feed only
                        arrived.put_nowait((source, error))
                    else:
                        arrived.put_nowait((source, found))

            asking = [asyncio.create_task(ask(source)) for source in sources]
            try:
                for _ in sources:
                    source, answer = await arrived.get()
                    if isinstance(answer, Exception):
                        failures.append(f"{source.name or source.host}: {answer or type(answer).__name__}")
                        self.log.warning("%s", failures[-1])
                        continue
                    for result in answer:
                        self._remember(result)
                        yield result
            finally:
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)
        if sources and len(failures) == len(sources):
            raise RuntimeError("no feed could be searched: " + "; ".join(failures))

    async def get_video_info(self, url: str) -> SearchResult:
        """The entry of that address, from what was found before, else from the feeds as they are now."""
        if (known := self.remembered.get(url)) is not None:
            return known
        failures = []
        async with self._fetching().web() as web:
            for source in self.sources:
                if not source.url:
                    continue
                try:
                    feed = await self._feed(web, source.url, source)
                except (FetchFailed, NotAFeed) as error:
                    failures.append(f"{source.name or source.host}: {error}")
                    continue
                for entry in feed.entries:
                    enclosures = [one["url"] for one in entry.metadata["enclosures"]]
                    if url == entry.url or url in enclosures:
                        return _result(entry, source.title(feed))
        raise ValueError("; ".join([f"{url} is in none of the feeds", *failures]))

    def _fetching(self) -> Fetcher:
        if self.fetcher is None:
            raise RuntimeError("the plugin has not been started")
        return self.fetcher

    async def _found(
        self, web: Web, source: Source, keyword: str, query: Query, limit: int
    ) -> list[SearchResult]:
        """What one feed has.

        Raises:
            FetchFailed, NotAFeed
        """
        if source.search_url and keyword.strip():
            return await self._asked(web, source, source.search_url, keyword, query, limit)
        if not source.url:
            return []
        feed = await self._feed(web, source.url, source)
        if keyword.strip() and (feed.search_template or feed.search_description):
            try:
                template = feed.search_template or await self._described(web, feed.search_description)
                return await self._asked(web, source, template, keyword, query, limit)
            except (FetchFailed, NotAFeed) as error:
                self.log.warning("%s cannot search itself: %s", source.title(feed), error)
        found: list[SearchResult] = []
        name = source.title(feed)
        async with aclosing(self._pages(web, feed, source, kept=True)) as pages:
            async for page in pages:
                found += await asyncio.to_thread(_matching, page.entries, query, name)
                if len(found) >= limit:
                    break
        return found[:limit]

    async def _asked(
        self,
        web: Web,
        source: Source,
        template: str,
        keyword: str,
        query: Query,
        limit: int,
    ) -> list[SearchResult]:
        """What a feed's own search gives; it knows better than we what matches, except for what must not occur."""
        document = await self._fetching().get_once(web, filled(template, keyword))
        feed = await _read(document)
        found: list[SearchResult] = []
        without = Query((), query.excluded)
        async with aclosing(self._pages(web, feed, source, kept=False)) as pages:
            async for page in pages:
                found += await asyncio.to_thread(_matching, page.entries, without, source.title(feed))
                if len(found) >= limit:
                    break
        return found[:limit]

    async def _pages(self, web: Web, feed: Feed, source: Source, *, kept: bool) -> AsyncGenerator[Feed, None]:
        """A feed, and the pages that follow it; one that fails ends it."""
        seen: set[str] = set()
        for _ in range(PAGES_MAX):
            yield feed
            if not feed.next_page or feed.next_page in seen:
                return
            seen.add(feed.next_page)
            try:
                if kept:
                    feed = await self._feed(web, feed.next_page, source)
                else:
                    feed = await _read(await self._fetching().get_once(web, feed.next_page))
            except (FetchFailed, NotAFeed) as error:
                self.log.warning("%s does not go on: %s", source.name or source.host, error)
                return

    async def _described(self, web: Web, url: str) -> str:
        document, _ = await self._fetching().get(web, url)
        return await asyncio.to_thread(search_template, document)

    async def _feed(self, web: Web, url: str, source: Source) -> Feed:
        document, problem = await self._fetching().get(web, url)
        if problem is not None:
            self.log.warning("%s: %s; an older copy is searched", source.name or source.host, problem)
        # However many ask, a document is read once.
        async with self.locks.setdefault(url, asyncio.Lock()):
            digest = await asyncio.to_thread(lambda: document.digest)
            if url not in self.parsed or self.parsed[url][1] != digest:
                self.parsed[url] = len(document.body), digest, await _read(document)
            self.parsed.move_to_end(url)
            feed = self.parsed[url][2]
            while (
                sum(size for size, _, _ in self.parsed.values()) > PARSED_MAX_BYTES and len(self.parsed) > 1
            ):
                self.parsed.popitem(last=False)
            return feed

    def _remember(self, result: SearchResult) -> None:
        self.remembered[result.url] = result
        while len(self.remembered) > REMEMBERED_MAX:
            self.remembered.popitem(last=False)


async def _read(document: Document) -> Feed:
    try:
        async with asyncio.timeout(PARSE_SECONDS):
            return await asyncio.to_thread(parse, document)
    except TimeoutError:
        raise NotAFeed(f"it could not be read within {PARSE_SECONDS:g} s") from None


def _matching(entries: list[Entry], query: Query, platform: str) -> list[SearchResult]:
    return [_result(entry, platform) for entry in entries if query.matches(*entry.texts)]


def _result(entry: Entry, platform: str) -> SearchResult:
    return SearchResult(
        title=entry.title,
        url=entry.url,
        thumbnail=entry.thumbnail,
        duration=entry.duration,
        platform=platform,
        description=entry.summary,
        metadata=dict(entry.metadata),
    )
