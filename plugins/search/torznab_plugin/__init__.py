# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20", "defusedxml>=0.7.1"]
# ///
"""Searches Torznab indexers: Jackett, Prowlarr, and what speaks Newznab."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

from plugins.search.torznab_plugin.caps import Caps
from plugins.search.torznab_plugin.feed import (
    KEY_REFUSED,
    Feed,
    IndexerError,
    as_result,
    hide,
    read_feed,
    read_xml,
)
from plugins.search.torznab_plugin.indexers import Indexer, read_indexers
from plugins.shared import web_failures
from plugins.shared.lenient_values import as_number
from plugins.shared.source_fan_out import NO_LIMIT, as_they_arrive
from plugins.shared.web_documents import Web
from service.sdk import ConfigField, SearchPlugin, SearchResult

REDIRECTS_AT_MOST = 5
ANSWER_MAX_BYTES = 16 * 1024 * 1024
CAPS_FRESH_S = 3600
PAGES_AT_MOST = 50
# An indexer that asks to wait is waited for so long, once; beyond, the user is told.
WAIT_AT_MOST_S = 5.0
WAIT_DEFAULT_S = 10.0
# It is there, but does not say what it can do.
NO_CAPS = (201, 202, 203)
# What a search may say besides its words, by the names that callers use and those of Torznab.
PARAMETERS = {
    "season": "season",
    "ep": "ep",
    "episode": "ep",
    "year": "year",
    "imdbid": "imdbid",
    "imdb_id": "imdbid",
    "tmdbid": "tmdbid",
    "tvdbid": "tvdbid",
    "genre": "genre",
}
MODES = {"tv": "tvsearch", "tv-search": "tvsearch", "tvsearch": "tvsearch", "movie-search": "movie"}


class Source(NamedTuple):
    """An indexer that has been asked what it can do, and the address at which it answered."""

    url: str
    caps: Caps


class TorznabPlugin(SearchPlugin):
    """All indexers are asked at once; one that is slow or broken costs only its own results."""

    name = "torznab"
    version = "1.0.0"
    description = "搜索 Jackett、Prowlarr 等 Torznab 索引器 · Searches Torznab indexers"

    def __init__(self) -> None:
        # By address: the monotonic time until which an indexer asked not to be asked.
        self._busy_until: dict[str, float] = {}

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="indexers",
                label="索引器 · Indexers",
                type="list",
                default=[],
                description="没有索引器就没有结果 · Nothing is found before there is one",
                fields=[
                    ConfigField(name="name", label="名称 · Name"),
                    ConfigField(
                        name="url",
                        label="Torznab 地址 · Address of the feed",
                        description="http://127.0.0.1:9117/api/v2.0/indexers/all/results/torznab/",
                    ),
                    ConfigField(name="api_key", label="API 密钥 · API key", type="password"),
                    ConfigField(name="categories", label="分类 · Categories"),
                    ConfigField(name="enabled", label="启用 · Enabled", type="boolean", default=True),
                ],
            ),
            ConfigField(
                name="categories",
                label="分类 · Categories",
                description="编号或名称，逗号分隔，如 2000,TV/HD；留空为全部 · Numbers or names; empty: all",
            ),
            ConfigField(
                name="limit", label="每个索引器结果上限 · Results an indexer", type="number", default=100
            ),
            ConfigField(name="timeout", label="超时（秒）· Timeout in seconds", type="number", default=20),
        ]

    async def search(self, keyword: str, **kwargs: Any) -> AsyncIterator[SearchResult]:
        """Yield results in the order in which the indexers answer.

        Args:
            keyword: what to look for.
            kwargs: `limit` in all; `categories` as in the configuration; `type` (`search`, `tvsearch`, `movie` …) and
                `season`, `ep`, `year`, `imdbid` and the like, which an indexer gets where it understands them.

        Raises:
            ConnectionError: no indexer gave an answer; the text says of each why.
        """
        indexers = read_indexers(self.config)
        if not indexers:
            self.log.warning("no indexer is set; add one to `indexers` in the configuration")
        keyword = keyword.strip()
        if not indexers or not (keyword or any(kwargs.get(name) for name in PARAMETERS)):
            return
        total = int(as_number(kwargs.get("limit") or None, NO_LIMIT, 1, NO_LIMIT))
        headers = {"User-Agent": f"Plugbay-{self.name}/{self.version}"}
        async with Web(headers, timeout_s=self._timeout_s, redirects=REDIRECTS_AT_MOST) as web:
            sources = {
                one.name
                if [other.name for other in indexers].count(one.name) == 1
                else f"{one.name} ({number})": self._search(web, one, keyword, kwargs)
                for number, one in enumerate(indexers, 1)
            }
            # Twice, for the capabilities and for several pages.
            timeout_s = 2 * self._timeout_s
            async with aclosing(
                as_they_arrive(sources, log=self.log, timeout_s=timeout_s, total=total)
            ) as results:
                async for result in results:
                    yield result

    @property
    def _timeout_s(self) -> float:
        return as_number(self.config.get("timeout") or self.config.get("timeout_s"), 20, 0.1, 300)

    async def _search(
        self, web: Web, indexer: Indexer, keyword: str, asked: Mapping[str, Any]
    ) -> AsyncGenerator[SearchResult, None]:
        try:
            source = await self._source(web, indexer)
            async for result in self._releases(web, indexer, source, keyword, asked):
                yield result
        except (OSError, ValueError) as error:
            # Errors are shown and logged; whatever repeats the question would show the key.
            raise IndexerError(hide(str(error), indexer.key)) from None

    async def _releases(
        self,
        web: Web,
        indexer: Indexer,
        source: Source,
        keyword: str,
        asked: Mapping[str, Any],
    ) -> AsyncGenerator[SearchResult, None]:
        limit = int(as_number(self.config.get("limit"), 100, 1, 10_000))
        limit = min(limit, int(as_number(asked.get("limit") or None, limit, 1, 10_000)))
        query = question(source.caps, keyword, asked)
        categories = asked.get("categories") or asked.get("cat") or indexer.categories
        if isinstance(categories, list | tuple):
            categories = ",".join(map(str, categories))
        query["cat"] = ",".join(map(str, source.caps.category_ids(str(categories))))
        seen: set[str] = set()
        given = offset = 0
        for _ in range(PAGES_AT_MOST):
            size = min(limit - given, source.caps.page_max)
            feed = await self._page(web, indexer, source.url, {**query, "offset": offset, "limit": size})
            new = [item for item in feed.items if item.identity not in seen]
            for item in new:
                if item.identity in seen:
                    continue
                seen.add(item.identity)
                result = as_result(item, source.url, indexer.name, source.caps, indexer.key)
                if result is not None:
                    yield result
                    given += 1
                    if given >= limit:
                        return
            offset += len(feed.items)
            # Some say how many there are; those that do not are through with a page that is not full, and those that
            # know no offset repeat themselves.
            more = offset < feed.total if feed.total is not None else len(feed.items) >= size
            if not new or not more:
                return

    async def _page(self, web: Web, indexer: Indexer, url: str, query: dict[str, Any]) -> Feed:
        body, status = await self._ask(web, indexer, url, {**query, "extended": 1})
        return await asyncio.to_thread(read_feed, body, status)

    async def _source(self, web: Web, indexer: Indexer) -> Source:
        """The indexer's capabilities, an hour old at most; where it cannot be asked now, older ones."""
        path = self._cache_path(indexer)
        kept = await asyncio.to_thread(_read_kept, path, indexer.urls)
        if kept and kept[1] < CAPS_FRESH_S:
            return kept[0]
        problem: Exception | None = None
        for url in indexer.urls:
            try:
                body, status = await self._ask(web, indexer, url, {"t": "caps"})
                root = await asyncio.to_thread(read_xml, body, status)
                if root.tag != "caps":
                    raise IndexerError(f"it answered with <{root.tag}>, not with its capabilities")
            except IndexerError as error:
                if error.code in KEY_REFUSED:
                    raise
                if error.code in NO_CAPS:
                    return Source(url, Caps())
                # 404, a web page: the API may be at the other address.
                problem = problem or error
                continue
            except OSError as error:
                problem = error
                break
            source = Source(url, Caps.from_xml(root))
            await asyncio.to_thread(_keep, path, source)
            return source
        if kept:
            self.log.warning("%s: %s; going by what it could do before", indexer.name, problem)
            return kept[0]
        raise problem or IndexerError("it does not say what it can do")

    async def _ask(self, web: Web, indexer: Indexer, url: str, query: dict[str, Any]) -> tuple[bytes, int]:
        """Body and status. One that asks to wait a moment is waited for, one that asks for more is left alone."""
        address = indexer.address(url, **query)
        for _ in range(2):
            wait_s = self._busy_until.get(url, 0.0) - time.monotonic()
            if wait_s > WAIT_AT_MOST_S:
                raise IndexerError(f"it asks to wait; try again in {wait_s:.0f} s", 429)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            answer = await web.get(address, max_bytes=ANSWER_MAX_BYTES)
            if answer.status != 429:
                return answer.body, answer.status
            pause_s = retry_after_s(answer.headers.get("Retry-After", ""))
            self._busy_until[url] = time.monotonic() + pause_s
        raise IndexerError(f"it asks to wait (HTTP 429); try again in {pause_s:.0f} s", 429)

    def _cache_path(self, indexer: Indexer) -> Path:
        # By the key as well: what one account may do another may not. Only a digest of it is written.
        digest = hashlib.sha256(f"{indexer.urls[0]}\n{indexer.key}".encode()).hexdigest()
        return self.data_dir / f"caps-{digest[:24]}.json"


def question(caps: Caps, keyword: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a search, in the mode that fits and with what the indexer says it understands.

    Raises:
        IndexerError: it cannot be asked by words.
    """
    given = {name: str(asked[key]) for key, name in PARAMETERS.items() if asked.get(key) not in (None, "")}
    if re.fullmatch(r"tt\d{7,10}", keyword) and "imdbid" in caps.modes.get("movie", []):
        given.setdefault("imdbid", keyword)
        keyword = ""
    wanted = str(asked.get("type") or asked.get("mode") or asked.get("t") or "").lower()
    wanted = MODES.get(wanted, wanted)
    if not wanted and given:
        wanted = "tvsearch" if {"season", "ep", "tvdbid"} & given.keys() else "movie"
    order = (wanted, "search", "movie", "tvsearch", *caps.modes)
    mode = next((one for one in order if one in caps.modes and (not keyword or "q" in caps.modes[one])), None)
    if mode is None:
        raise IndexerError("it cannot be searched by words")
    understood = {name: value for name, value in given.items() if name in caps.modes[mode]}
    return {"t": mode, "q": _with_rest(keyword, given, understood), **understood}


def _with_rest(keyword: str, given: Mapping[str, str], understood: Mapping[str, str]) -> str:
    """The words, with season and episode in them where the indexer takes neither by itself."""
    season, episode = given.get("season", ""), given.get("ep", "")
    words = [keyword]
    if season.isdigit() and "season" not in understood:
        words.append(f"S{int(season):02d}" + (f"E{int(episode):02d}" if episode.isdigit() else ""))
    if "year" in given and "year" not in understood:
        words.append(given["year"])
    return " ".join(filter(None, words))


def retry_after_s(text: str) -> float:
    """Seconds, from a `Retry-After` header in either of its forms; ten where it has none."""
    asked_s = web_failures.retry_after_s(text)
    return WAIT_DEFAULT_S if asked_s is None else asked_s


def _read_kept(path: Path, urls: tuple[str, ...]) -> tuple[Source, float] | None:
    """What was kept and its age in seconds; None where there is nothing of use."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        source = Source(str(data["url"]), Caps.from_dict(data["caps"]))
        age_s = time.time() - float(data["at"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    # From the future, by a clock that was set back: as good as old.
    return (source, age_s if age_s >= 0 else CAPS_FRESH_S) if source.url in urls else None


def _keep(path: Path, source: Source) -> None:
    data = {"url": source.url, "at": time.time(), "caps": source.caps.to_dict()}
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another generation may write the same file; each renames a whole one into place.
    part = path.with_name(f"{path.name}.{time.monotonic_ns()}.part")
    try:
        part.write_text(json.dumps(data), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
