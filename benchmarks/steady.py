"""What other requests notice of reloads: the same requests with and without ten reloads a second, in turns."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.figures import Figure, Goal, Row, Size, median, p99
from benchmarks.processes import Server, child, new_home, plugbay
from benchmarks.sources import catalogue, plugin_path, put, rename_into, small
from service.model.text import Text

_RELOADED, _CALLED = "catalogue", "small"
_RELOADS_PER_SECOND = 10
_REQUESTS_PER_SECOND = 200
_WINDOW_SECONDS = 2.5
_SERVES_WITHIN_SECONDS = 5.0
_PATHS = {
    "/livez": Text(zh="不经插件的请求（/livez）", en="requests without a plugin (/livez)"),
    f"/api/search/{_CALLED}?keyword=x": Text(zh="调用另一个插件", en="calls of another plugin"),
}


async def measure(size: Size) -> Figure:
    """Windows of a few seconds, one with reloads after one without."""
    figure = Figure(
        Text(
            zh=f"每秒重新加载 {_RELOADS_PER_SECOND} 次时，其他请求的耗时",
            en=f"Other requests while a plugin of 200 lines is reloaded {_RELOADS_PER_SECOND} times a second",
        )
    )
    windows = size.of(1, 8, 40)
    with new_home() as home:
        path = plugin_path(home, _RELOADED)
        put(path, catalogue(_RELOADED, "1.0.0"))
        put(plugin_path(home, _CALLED), small(_CALLED))
        async with plugbay(home) as server, child("benchmarks.load") as load:
            await server.until("/readyz")
            reloads = _Reloads(path)
            for target, what in _PATHS.items():
                quiet: list[float] = []
                busy: list[float] = []
                for window in range(windows * 2 + 1):
                    async with reloads.going_on() if window % 2 else contextlib.nullcontext():
                        answer = await load.ask(
                            "paced",
                            port=server.port,
                            path=target,
                            rate=_REQUESTS_PER_SECOND,
                            seconds=_WINDOW_SECONDS,
                        )
                    if window:  # the first is for warming up
                        (busy if window % 2 else quiet).extend(answer["ms"])
                figure.rows += _rows(what, quiet, busy)
            await _serves(server, reloads.version)
    figure.notes.append(
        Text(
            zh=f"{_REQUESTS_PER_SECOND} 次请求/秒，每种各 {windows * _WINDOW_SECONDS:g} 秒，"
            f"期间重新加载 {reloads.count} 次",
            en=f"{_REQUESTS_PER_SECOND} requests/s, {windows * _WINDOW_SECONDS:g} s of each; "
            f"{reloads.count} reloads in all",
        )
    )
    return figure


def _rows(what: Text, quiet: list[float], busy: list[float]) -> list[Row]:
    peer = Text(zh="没有重新加载时", en="without reloads")
    return [
        Row(
            what=Text(zh=f"{what.zh}，p99", en=f"{what.en}, p99"),
            value=p99(busy),
            unit="ms",
            peer=peer,
            peer_value=p99(quiet),
            goal=Goal(at_most=1.5, ratio=True),
        ),
        Row(
            what=Text(zh=f"{what.zh}，中位数", en=f"{what.en}, median"),
            value=median(busy),
            unit="ms",
            peer=peer,
            peer_value=median(quiet),
        ),
    ]


async def _serves(server: Server, version: str) -> None:
    """Make sure that the last save serves in the end, so that all of them were reloaded in earnest."""
    async with asyncio.timeout(_SERVES_WITHIN_SECONDS):
        while True:
            _, body = await server.get(f"/api/plugins/search/{_RELOADED}")
            if json.loads(body)["version"] == version:
                return
            await asyncio.sleep(0.05)


class _Reloads:
    """Saves a plugin again and again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0

    @property
    def version(self) -> str:
        """What was saved last."""
        return f"1.0.{self.count}"

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Meanwhile."""
        task = asyncio.create_task(self._go_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.count += 1
            rename_into(self._path, catalogue(_RELOADED, self.version))
            due += 1 / _RELOADS_PER_SECOND
            await asyncio.sleep(max(0.0, due - loop.time()))
