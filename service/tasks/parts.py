"""One plugin's part of a search: what it finds is given its parsed addresses and told, in its order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec

from service.host.calls import Caller
from service.host.registry import Plugin
from service.tasks.board import Board, LiveTask
from service.tasks.parsers import Parsers, has_episodes

_GATHERED_MAX = 1000
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
        self._deadline = asyncio.get_running_loop().time() + caller.search_s

    async def run(self) -> None:
        """Search; what was found before it fails or is cancelled is told all the same.

        Raises:
            PlugbayError: as `Caller.stream` does.
        """
        params: dict[str, object] = {"keyword": self._live.task.keyword}
        if self._live.task.limit is not None:
            params["limit"] = self._live.task.limit
        teller: asyncio.Task[None] | None = None
        try:
            found = self._caller.stream(self._plugin, "search", params, timeout_s=self._caller.search_s)
            async with aclosing(found) as items:
                async for item in items:
                    if teller is None and not has_episodes(item):
                        self._take([msgspec.json.decode(item)])
                        continue
                    # From here on one after the other: parsers take their time, and the order stays.
                    self._gathered.append(item)
                    if teller is None:
                        teller = asyncio.ensure_future(self._tell())
                    elif teller.done():
                        await teller
                        teller = asyncio.ensure_future(self._tell())
                    elif len(self._gathered) >= _GATHERED_MAX:
                        await teller
        finally:
            if teller is not None:
                await teller
                await self._tell()

    async def _tell(self) -> None:
        while self._gathered:
            batch, self._gathered = self._gathered, []
            left = max(_PARSE_SECONDS_MIN, self._deadline - asyncio.get_running_loop().time())
            body = await self._parsers.add_parsed_urls(b"[%b]" % b",".join(batch), seconds=left)
            self._take(msgspec.json.decode(body))

    def _take(self, results: list[Any]) -> None:
        live, limit = self._live, self._live.task.limit
        if limit is not None:
            results = results[: max(0, limit - len(live.results))]
        name = self._plugin.identity.name
        self._board.add_results(live, [{**result, "plugin": name} for result in results])
        if limit is not None and len(live.results) >= limit:
            self._enough.set()
