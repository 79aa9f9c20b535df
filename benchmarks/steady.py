"""What other requests notice of reloads: the same requests with and without ten reloads a second, in turns.

Then the same requests under the same storm of saves at Plugbay, at a server that imports into itself, and at
`uvicorn --reload`, which starts itself anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import windows
from benchmarks.figures import Figure, Goal, Row, Series, Size, Spread
from benchmarks.peers import absence
from benchmarks.processes import Child, Server, child, free_port, new_home, plugbay, running
from benchmarks.reload import in_process
from benchmarks.sources import catalogue, plugin_path, put, rename_into, small
from service.model.text import Text

_RELOADED = "catalogue"
_RELOADS_PER_SECOND = 10
_SERVES_WITHIN_SECONDS = 5.0
_PATH = "/livez"
_PEERS = {
    "in_process": Text(
        zh="同样的服务器，在自身进程内导入", en="the same server importing in its own process"
    ),
    "uvicorn": Text(
        zh="uvicorn --reload（watchfiles），断开后重发",
        en="uvicorn --reload with watchfiles, requests sent again when cut off",
    ),
}


async def measure(size: Size) -> Figure:
    """Windows of a few seconds, one with reloads after one without; then one server after the other."""
    figure = Figure(
        Text(
            zh=f"每秒重新加载 {_RELOADS_PER_SECOND} 次时，其他请求的耗时",
            en=f"Other requests while a plugin of 200 lines is reloaded {_RELOADS_PER_SECOND} times a second",
        )
    )
    count = size.of(1, 6, 40)
    seconds = windows.window_seconds(size)
    async with child("benchmarks.load") as load:
        async with _served() as served:
            await windows.compare(
                figure,
                load,
                served.server.port,
                count,
                served.saves.going_on,
                seconds=seconds,
                named=Text(zh="{}", en="{}"),
                peer=Text(zh="没有重新加载时", en="without reloads"),
            )
            await served.check()
            await _beside_peers(figure, load, count, seconds, served)
            await served.check()
    figure.notes.append(
        Text(
            zh=f"{windows.REQUESTS_PER_SECOND} 次请求/秒，每种各 {count * seconds:g} 秒，"
            f"期间 Plugbay 重新加载 {served.saves.count} 次",
            en=f"{windows.REQUESTS_PER_SECOND} requests/s, {count * seconds:g} s of each; Plugbay "
            f"reloaded {served.saves.count} times in all",
        )
    )
    return figure


async def _beside_peers(figure: Figure, load: Child, count: int, seconds: float, ours: _Served) -> None:
    absent = {"uvicorn": absence(libraries=("uvicorn", "watchfiles", "starlette"))}
    times: dict[str, list[float]] = {}
    lost: dict[str, int] = {}
    async with contextlib.AsyncExitStack() as stack:
        servers = {"plugbay": ours, "in_process": await stack.enter_async_context(_importing())}
        if absent["uvicorn"] is None:
            servers["uvicorn"] = await stack.enter_async_context(_restarting())
        for turn in range(count + 1):
            for name in servers if turn % 2 else reversed(servers):
                # A server that answers nothing while it is saved at does so when that is over.
                async with servers[name].saves.going_on(seconds):
                    answer = await load.ask(
                        "paced", port=servers[name].server.port, path=_PATH, rate=windows.REQUESTS_PER_SECOND,
                        seconds=seconds,
                    )  # fmt: skip
                if turn:  # the first is for warming up
                    times.setdefault(name, []).extend(answer["ms"])
                    lost[name] = lost.get(name, 0) + answer["lost"]
    what = Text(
        zh=f"每秒保存 {_RELOADS_PER_SECOND} 次时不经插件的请求（{_PATH}）",
        en=f"requests without a plugin ({_PATH}) with {_RELOADS_PER_SECOND} saves a second",
    )
    figure.rows += [
        Row.of(what, "ms", times["plugbay"], peer=peer, peer_values=times.get(name, ()), absent=absent.get(name),
               p99_goal=Goal(at_most=1, ratio=True))
        for name, peer in _PEERS.items()
    ]  # fmt: skip
    labels = {
        "plugbay": Text(zh="Plugbay", en="Plugbay"),
        "in_process": Text(zh="在自身进程内导入", en="importing in its own process"),
        "uvicorn": Text(zh="uvicorn --reload", en="uvicorn --reload"),
    }
    figure.spreads.append(
        Spread(
            title=Text(
                zh=f"每秒保存 {_RELOADS_PER_SECOND} 次时的 {_PATH}",
                en=f"{_PATH} with {_RELOADS_PER_SECOND} saves a second",
            ),
            unit="ms",
            series=[
                Series(label=labels[name], values=of, ours=name == "plugbay") for name, of in times.items()
            ],
        )
    )
    shown_zh = "；".join(f"{labels[name].zh} {count} 次" for name, count in lost.items())
    shown_en = "; ".join(f"{labels[name].en} {count}" for name, count in lost.items())
    figure.notes.append(
        Text(
            zh=f"失去连接、需要重发的请求（各共 {len(times['plugbay']):,} 次）：{shown_zh}",
            en=f"requests that lost their connection and were sent again, of {len(times['plugbay']):,}: {shown_en}",
        )
    )


@dataclass(frozen=True, slots=True)
class _Served:
    """A server and the saves of its plugin."""

    server: Server
    saves: _Saves

    async def check(self) -> None:
        """Make sure that the last save serves in the end, so that all of them were reloaded in earnest."""
        async with asyncio.timeout(_SERVES_WITHIN_SECONDS):
            while True:
                _, body = await self.server.get(f"/api/plugins/search/{_RELOADED}")
                if json.loads(body)["version"] == self.saves.version:
                    return
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def _served() -> AsyncIterator[_Served]:
    with _home() as (home, saves):
        put(plugin_path(home, windows.CALLED), small(windows.CALLED))
        async with plugbay(home) as server:
            await server.until("/readyz")
            yield _Served(server, saves)


@contextlib.asynccontextmanager
async def _importing() -> AsyncIterator[_Served]:
    with _home() as (home, saves):
        async with in_process(home) as server:
            yield _Served(server, saves)


@contextlib.asynccontextmanager
async def _restarting() -> AsyncIterator[_Served]:
    with _home() as (home, saves):
        port = free_port()
        command = f"-m uvicorn benchmarks.peers.restarted:app --port {port} --reload --reload-dir".split()
        environ = {"BENCH_HOME": str(home)}
        async with running(*command, str(home), port=port, alive=_PATH, environ=environ) as server:
            yield _Served(server, saves)


@contextlib.contextmanager
def _home() -> Iterator[tuple[Path, _Saves]]:
    with new_home() as home:
        path = plugin_path(home, _RELOADED)
        put(path, catalogue(_RELOADED, "1.0.0"))
        yield home, _Saves(path)


class _Saves:
    """Saves a plugin again and again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0

    @property
    def version(self) -> str:
        """What was saved last."""
        return f"1.0.{self.count}"

    def going_on(self, seconds: float = math.inf) -> AbstractAsyncContextManager[None]:
        """Meanwhile, but no longer than this."""
        return windows.going_on(partial(self._go_on, seconds))

    async def _go_on(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        end = due + seconds
        while due < end:
            self.count += 1
            rename_into(self._path, catalogue(_RELOADED, self.version))
            due += 1 / _RELOADS_PER_SECOND
            await asyncio.sleep(max(0.0, due - loop.time()))
