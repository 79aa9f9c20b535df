"""One plugin's part of a search: what it finds is given its parsed addresses and told, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from service.errors import CallFailed, PlugbayError
from service.host.calls import Caller
from service.host.plugin import Plugin
from service.model.text import Text
from service.tasks.board import Board, LiveTask
from service.tasks.parsers import Parsers, has_episodes

_PARSE_SECONDS_MIN = 1.0
# As much as a plugin may answer at once; each result costs memory besides its text.
_RESULTS_BYTES_MAX = 16 * 1024 * 1024
_RESULT_OVERHEAD_BYTES = 200

_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode


class TooManyResults(CallFailed):
    """A plugin goes on yielding results without end."""

    code = "too_many_results"

    def __init__(self, id: str) -> None:
        super().__init__(
            Text(
                zh=f"插件 {id} 的搜索结果超过 {_RESULTS_BYTES_MAX // 1024**2} MiB，已停止该插件的搜索",
                en=f"Plugin {id} gave over {_RESULTS_BYTES_MAX // 1024**2} MiB of results; its search was stopped",
            )
        )


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
        self._call: asyncio.Task[bytes] | None = None
        self._bytes = 0
        self._is_flooded = False
        self._deadline = asyncio.get_running_loop().time() + caller.seconds(plugin, "search")

    async def run(self) -> None:
        """Search; what was found before it fails or is cancelled is told all the same.

        Raises:
            PlugbayError: as `Caller.stream` does.
        """
        params: dict[str, object] = {"keyword": self._live.task.keyword}
        if self._live.task.limit is not None:
            params["limit"] = self._live.task.limit
        try:
            rest = await self._called(params)
            if has_episodes(rest):
                self._gathered += [bytes(result) for result in _decode_raw(rest)]
                await self._tell()
            else:
                self._take(msgspec.json.decode(rest) or [])
        except asyncio.CancelledError:
            if self._teller is not None:
                self._teller.cancel()
                await asyncio.gather(self._teller, return_exceptions=True)
            self._take([msgspec.json.decode(item) for item in self._gathered])
            raise

    async def _called(self, params: dict[str, object]) -> bytes:
        """Call the plugin; what it yielded is told when this ends, however it does unless it is cancelled."""
        self._call = asyncio.ensure_future(
            self._caller.stream(
                self._plugin,
                "search",
                params,
                self._on_item,
                timeout_s=self._caller.seconds(self._plugin, "search"),
            )
        )
        rest, failure = b"null", None
        try:
            rest = await self._call
        except PlugbayError as error:
            failure = error
        except asyncio.CancelledError:
            if not self._is_flooded:
                raise
            failure = TooManyResults(str(self._plugin.identity))
        if self._teller is not None:
            await self._teller
        self._done = None  # there is nobody any more who waits for room
        if failure is not None:
            raise failure
        return rest

    def _on_item(self, item: bytes, done: Callable[[int], None]) -> None:
        self._bytes += len(item) + _RESULT_OVERHEAD_BYTES
        if self._bytes > _RESULTS_BYTES_MAX:
            self._is_flooded = True
            if self._call is not None:
                self._call.cancel()
            return
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
            batch = list(self._gathered)
            results = msgspec.json.decode(await self._with_parsed_urls(b"[%b]" % b",".join(batch)))
            del self._gathered[: len(batch)]
            self._take(results)
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
