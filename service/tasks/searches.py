"""Searches over many plugins at once, and parses by many parsers: each plugin's part comes and fails on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from service.errors import CallFailed, PlugbayError
from service.host.calls import Caller
from service.host.plugin import Plugin
from service.host.registry import Registry
from service.model.identity import PluginType
from service.model.task import TaskAnswer, TaskKind, TaskStatus
from service.model.text import Text
from service.tasks.board import Board, LiveTask
from service.tasks.parsers import Parsers
from service.tasks.parts import Part
from service.tasks.runners import Runners
from service.tasks.waiting import first


class SearchFailed(CallFailed):
    """Every plugin that was asked failed."""

    code = "search_failed"

    def __init__(self, failures: Sequence[tuple[str, PlugbayError]]) -> None:
        super().__init__(
            Text(
                zh="所有插件都失败了：" + "；".join(f"{name}：{error.text.zh}" for name, error in failures),
                en="Every plugin failed: "
                + "; ".join(f"{name}: {error.text.en}" for name, error in failures),
            )
        )


class Searches:
    """See the module.

    Args:
        board: keeps and tells.
        registry: where plugins are.
        caller: calls them.
        parsers: for the episodes of what is found.
        runners: own the tasks that do it.
    """

    def __init__(
        self, board: Board, registry: Registry, caller: Caller, parsers: Parsers, runners: Runners
    ) -> None:
        self._board = board
        self._registry = registry
        self._caller = caller
        self._parsers = parsers
        self._runners = runners

    def enabled(self) -> list[Plugin]:
        """The search plugins that are switched on, by name."""
        return [
            plugin
            for plugin in self._registry.all()
            if plugin.identity.type is PluginType.SEARCH and plugin.enabled
        ]

    async def start(
        self, keyword: str, plugins: Sequence[Plugin] | None, *, limit: int | None = None
    ) -> LiveTask:
        """Begin a search.

        Args:
            keyword: what to search for.
            plugins: which plugins; all enabled ones where it is `None`.
            limit: how many results, in the order of their arrival; any number where it is `None`.

        Raises:
            StoreFailed
        """
        chosen = self.enabled() if plugins is None else plugins
        live = await self._board.create(
            TaskKind.SEARCH,
            title=keyword,
            keyword=keyword,
            limit=limit,
            plugin_name=chosen[0].identity.name if plugins is not None and len(chosen) == 1 else None,
            plugins=None if plugins is None else [plugin.identity.name for plugin in plugins],
        )
        self.run(live)
        return live

    async def start_parse(self, url: str, plugins: Sequence[Plugin] | None) -> LiveTask:
        """Begin to have an address taken apart.

        Args:
            url: the address.
            plugins: which parsers; all enabled ones whose `can_parse` agrees where it is `None`.

        Raises:
            StoreFailed
        """
        live = await self._board.create(
            TaskKind.PARSE,
            title=url,
            url=url,
            plugins=None if plugins is None else [plugin.identity.name for plugin in plugins],
        )
        self.run(live)
        return live

    def run(self, live: LiveTask) -> None:
        """Have somebody work on a search or a parse that is pending."""
        self._runners.begin(live, self._work(live))

    async def _work(self, live: LiveTask) -> None:
        """Do it until it is done or a user wishes otherwise; what is just being told as ended has ended."""
        if live.wish is not None:
            await self._board.change(live, TaskStatus.CANCELLED)
            return
        work = self._parse if live.task.kind is TaskKind.PARSE else self._search
        doing = asyncio.ensure_future(work(live))
        try:
            if await first(doing, live.wished) or live.task.has_ended:
                await doing
                return
        except Exception as error:
            await self._board.fail_broken(live, error)
            return
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)
        if not live.task.has_ended:
            await self._board.change(live, TaskStatus.CANCELLED)

    async def _search(self, live: LiveTask) -> None:
        plugins = self._named(PluginType.SEARCH, live.task.plugins)
        await self._board.change(live, TaskStatus.RUNNING, searching=[name for name, _ in plugins])
        failures: list[tuple[str, PlugbayError]] = []
        enough = asyncio.Event()
        parts = {
            asyncio.ensure_future(self._search_one(live, name, plugin, len(plugins), enough, failures))
            for name, plugin in plugins
        }
        stop = asyncio.ensure_future(enough.wait())
        try:
            pending = set(parts)
            while pending and not stop.done():
                await asyncio.wait({*pending, stop}, return_when=asyncio.FIRST_COMPLETED)
                pending = {part for part in pending if not part.done()}
        finally:
            for task in (*parts, stop):
                task.cancel()
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        await self._end(live, len(plugins), failures)

    async def _search_one(
        self,
        live: LiveTask,
        name: str,
        plugin: Plugin | PlugbayError,
        count: int,
        enough: asyncio.Event,
        failures: list[tuple[str, PlugbayError]],
    ) -> None:
        facts: dict[str, Any] = {}
        clock = asyncio.get_running_loop().time
        started_s = clock()
        try:
            if isinstance(plugin, PlugbayError):
                raise plugin
            await Part(live, plugin, self._board, self._caller, self._parsers, enough).run()
        except PlugbayError as error:
            failures.append((name, error))
            facts["failures"] = [*live.task.failures, self._board.failure(name, error)]
        waiting = [other for other in live.task.searching if other != name]
        answer = TaskAnswer(plugin=name, ms=round((clock() - started_s) * 1000, 1))
        done = count - len(waiting)
        self._board.progress(
            live,
            searching=waiting,
            answered=[*live.task.answered, answer],
            progress=100 * done / count,
            progress_message=f"{done}/{count}",
            **facts,
        )

    async def _parse(self, live: LiveTask) -> None:
        task = live.task
        await self._board.change(live, TaskStatus.RUNNING)
        assert task.url is not None
        failures: list[tuple[str, PlugbayError]] = []
        if task.plugins is None:
            plugins = self._parsers.enabled()
        else:
            plugins = []
            for name, plugin in self._named(PluginType.PARSER, task.plugins):
                if isinstance(plugin, PlugbayError):
                    failures.append((name, plugin))
                else:
                    plugins.append(plugin)
        parsed = await self._parsers.parse(plugins, task.url, ask=task.plugins is None)
        failures += [(plugin.identity.name, error) for plugin, error in parsed.failures]
        self._board.add_results(
            live,
            msgspec.json.decode(msgspec.json.encode(parsed.entries)),
            failures=[self._board.failure(name, error) for name, error in failures],
            answered=[TaskAnswer(plugin=name, ms=ms) for name, ms in parsed.took_ms],
        )
        await self._end(live, len(plugins), failures)

    async def _end(self, live: LiveTask, count: int, failures: list[tuple[str, PlugbayError]]) -> None:
        if failures and len(failures) >= count and not live.results:
            await self._board.fail(live, failures[0][1] if count == 1 else SearchFailed(failures))
        else:
            await self._board.change(live, TaskStatus.COMPLETED, progress=100.0)

    def _named(
        self, type: PluginType, names: Sequence[str] | None
    ) -> list[tuple[str, Plugin | PlugbayError]]:
        """The plugins of a task; for one that is gone by now, the error that says so."""
        if names is None:
            return [(plugin.identity.name, plugin) for plugin in self.enabled()]
        found: list[tuple[str, Plugin | PlugbayError]] = []
        for name in names:
            try:
                found.append((name, self._registry.find(type, name)))
            except PlugbayError as error:
                found.append((name, error))
        return found
