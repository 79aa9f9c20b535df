"""One plugin's part of a search: what it finds is given its parsed addresses and told, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from service.host.calls import Caller
from service.host.registry import Plugin
from service.tasks.board import Board, LiveTask
from service.tasks.parsers import Parsers, has_episodes

_PARSE_SECONDS_MIN = 1.0


class Part:
    """See the module.

    Args:
        live: the search.
        plugin: whose part it is.
        board: keeps and tells.
        caller: calls the plugin.
        parsers: take the addresses of episodes apart.
        enough: set when the search has as many results as were asked for.
    """

    def __init__(
        self,
        live: LiveTask,
        plugin: Plugin,
        board: Board,
        caller: Caller,
        parsers: Parsers,
        enough: asyncio.Event,
    ) -> None:
        self._live = live
        self._plugin = plugin
        self._board = board
        self._caller = caller
        self._parsers = parsers
        self._enough = enough
        self._gathered: list[bytes] = []
        self._done: Callable[[int], None] | None = None
        self._teller: asyncio.Task[None] | None = None
        self._deadline = asyncio.get_running_loop().time() + caller.search_s

    async def run(self) -> None:
        """Search; what was found before it fails or is cancelled is told all the same.

        Raises:
            PlugbayError: as `Caller.stream` does.
        """
        params: dict[str, object] = {"keyword": self._live.task.keyword}
        if self._live.task.limit is not None:
            params["limit"] = self._live.task.limit
        try:
            rest = await self._caller.stream(
                self._plugin, "search", params, self._on_item, timeout_s=self._caller.search_s
            )
        finally:
            if self._teller is not None:
                await self._teller
        if has_episodes(rest):
            rest = await self._with_parsed_urls(rest)
        self._take(msgspec.json.decode(rest) or [])

    def _on_item(self, item: bytes, done: Callable[[int], None]) -> None:
        if self._teller is None and not has_episodes(item):
            self._take([msgspec.json.decode(item)])
            done(1)
            return
        # From here on one after the other: parsers take their time, and the order stays.
        self._gathered.append(item)
        self._done = done
        if self._teller is None or self._teller.done():
            self._teller = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        while self._gathered:
            batch, self._gathered = self._gathered, []
            self._take(msgspec.json.decode(await self._with_parsed_urls(b"[%b]" % b",".join(batch))))
            if self._done is not None:
                self._done(len(batch))

    async def _with_parsed_urls(self, results: bytes) -> bytes:
        left = max(_PARSE_SECONDS_MIN, self._deadline - asyncio.get_running_loop().time())
        return await self._parsers.add_parsed_urls(results, seconds=left)

    def _take(self, results: list[Any]) -> None:
        live, limit = self._live, self._live.task.limit
        if not results:
            return
        if limit is not None:
            results = results[: max(0, limit - len(live.results))]
        name = self._plugin.identity.name
        self._board.add_results(live, [{**result, "plugin": name} for result in results])
        if limit is not None and len(live.results) >= limit:
            self._enough.set()
