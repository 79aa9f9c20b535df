"""What other requests notice of work that goes on beside them: windows of the same requests with and without it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from benchmarks.figures import Figure, Goal, Row, Size
from benchmarks.processes import Child
from service.model.text import Text

CALLED = "small"
REQUESTS_PER_SECOND = 200
_PATHS = {
    "/livez": Text(zh="不经插件的请求（/livez）", en="requests without a plugin (/livez)"),
    f"/api/search/{CALLED}?keyword=x": Text(zh="调用另一个插件", en="calls of another plugin"),
}


async def compare(
    figure: Figure,
    load: Child,
    port: int,
    count: int,
    work: Callable[[], AbstractAsyncContextManager[None]],
    *,
    seconds: float,
    named: Text,
    peer: Text,
) -> None:
    """Windows of a few seconds, one with the work after one without; rows for requests with and without a plugin.

    Args:
        figure: gets the rows.
        load: a `benchmarks.load`.
        port: of a server that has the plugin `CALLED`.
        count: how many windows of each kind.
        seconds: of each window.
        work: goes on while it is entered.
        named: how rows are called, with `{}` for the requests.
        peer: how windows without the work are called.
    """
    for path, what in _PATHS.items():
        quiet: list[float] = []
        busy: list[float] = []
        for window in range(count * 2 + 1):
            async with work() if window % 2 else contextlib.nullcontext():
                times = await paced(load, port, path, seconds)
            if window:  # the first is for warming up
                (busy if window % 2 else quiet).extend(times)
        figure.rows.append(
            Row.of(
                Text(zh=named.zh.format(what.zh), en=named.en.format(what.en)),
                "ms",
                busy,
                peer=peer,
                peer_values=quiet,
                p99_goal=Goal(at_most=1.5, ratio=True),
            )
        )


async def paced(load: Child, port: int, path: str, seconds: float) -> list[float]:
    """Milliseconds of each request of one window.

    Raises:
        RuntimeError: a request lost its connection.
    """
    answer = await load.ask("paced", port=port, path=path, rate=REQUESTS_PER_SECOND, seconds=seconds)
    if answer["lost"]:
        raise RuntimeError(f"{answer['lost']} requests lost their connections")
    times: list[float] = answer["ms"]
    return times


def window_seconds(size: Size) -> float:
    """How long a window is."""
    return size.of(0.5, 2.5, 2.5)


@contextlib.asynccontextmanager
async def going_on(action: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Does something without end until left; what it raises is raised then."""
    task = asyncio.ensure_future(action())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
