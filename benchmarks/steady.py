"""What other requests notice of reloads: the same requests with and without ten reloads a second, in turns."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from benchmarks import windows
from benchmarks.figures import Figure, Size
from benchmarks.processes import Server, child, new_home, plugbay
from benchmarks.sources import catalogue, plugin_path, put, rename_into, small
from service.model.text import Text

_RELOADED = "catalogue"
_RELOADS_PER_SECOND = 10
_SERVES_WITHIN_SECONDS = 5.0


async def measure(size: Size) -> Figure:
    """Windows of a few seconds, one with reloads after one without."""
    figure = Figure(
        Text(
            zh=f"每秒重新加载 {_RELOADS_PER_SECOND} 次时，其他请求的耗时",
            en=f"Other requests while a plugin of 200 lines is reloaded {_RELOADS_PER_SECOND} times a second",
        )
    )
    count = size.of(1, 8, 40)
    with new_home() as home:
        path = plugin_path(home, _RELOADED)
        put(path, catalogue(_RELOADED, "1.0.0"))
        put(plugin_path(home, windows.CALLED), small(windows.CALLED))
        async with plugbay(home) as server, child("benchmarks.load") as load:
            await server.until("/readyz")
            reloads = _Reloads(path)
            await windows.compare(
                figure,
                load,
                server.port,
                count,
                reloads.going_on,
                named=Text(zh="{}", en="{}"),
                peer=Text(zh="没有重新加载时", en="without reloads"),
            )
            await _serves(server, reloads.version)
    figure.notes.append(
        Text(
            zh=f"{windows.REQUESTS_PER_SECOND} 次请求/秒，每种各 {count * windows.WINDOW_SECONDS:g} 秒，"
            f"期间重新加载 {reloads.count} 次",
            en=f"{windows.REQUESTS_PER_SECOND} requests/s, {count * windows.WINDOW_SECONDS:g} s of each; "
            f"{reloads.count} reloads in all",
        )
    )
    return figure


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

    def going_on(self) -> AbstractAsyncContextManager[None]:
        """Meanwhile."""
        return windows.going_on(self._go_on)

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.count += 1
            rename_into(self._path, catalogue(_RELOADED, self.version))
            due += 1 / _RELOADS_PER_SECOND
            await asyncio.sleep(max(0.0, due - loop.time()))
