"""Calls of a plugin: from the server to the plugin and back, and through HTTP."""

from __future__ import annotations

from benchmarks.figures import Figure, Goal, Row, Size, median, p99
from benchmarks.processes import child, free_port, new_home
from benchmarks.sources import plugin_path, put, small
from service.model.text import Text

NAME = "small"
ROUTES = {"ours": f"/api/search/{NAME}?keyword=x", "nothing": "/bench/nothing"}
_CONNECTIONS = 16
_SLICE_SECONDS = 1.0


async def measure(size: Size) -> Figure:
    """The server and the load are processes of their own; both routes are the same server's, in turns."""
    figure = Figure(Text(zh="调用插件", en="Calls of a plugin"))
    slices = size.of(1, 8, 30)
    with new_home() as home:
        put(plugin_path(home, NAME), small(NAME))
        port = free_port()
        async with (
            child("benchmarks.calls_child", str(home), str(port)) as server,
            child("benchmarks.load") as load,
        ):
            await server.answer()
            times = await server.ask("calls", count=size.of(50, 2000, 10_000))
            rates: dict[str, list[float]] = {name: [] for name in ROUTES}
            for turn in range(slices + 1):
                for name in ROUTES if turn % 2 else reversed(ROUTES):
                    answer = await load.ask(
                        "flat_out",
                        port=port,
                        path=ROUTES[name],
                        connections=_CONNECTIONS,
                        seconds=_SLICE_SECONDS,
                    )
                    if turn:  # the first is for warming up
                        rates[name].append(answer["rate"])
    figure.rows += [
        Row(
            what=Text(zh="服务器到插件再返回，中位数", en="server to plugin and back, median"),
            value=median(times["ours"]) * 1000,
            unit="µs",
            peer=Text(zh="ProcessPoolExecutor 中的同一函数", en="the same in a ProcessPoolExecutor"),
            peer_value=median(times["peer"]) * 1000,
            goal=Goal(at_most=200),
        ),
        Row(
            what=Text(zh="GET /api/search/{plugin}，每秒请求数", en="GET /api/search/{plugin}, requests/s"),
            value=median(rates["ours"]),
            unit="/s",
            peer=Text(zh="同一服务器、同样中间件、什么都不调用的路由", en="a route of the same server, with the "
                      "same middleware, that calls nothing"),
            peer_value=median(rates["nothing"]),
            goal=Goal(at_least=0.5, ratio=True),
        ),
    ]  # fmt: skip
    figure.notes.append(
        Text(
            zh=f"{len(times['ours'])} 次调用，p99 {p99(times['ours']) * 1000:.0f} µs；HTTP：{_CONNECTIONS} 个连接，"
            f"每种 {slices} 段，每段 {_SLICE_SECONDS:g} 秒",
            en=f"{len(times['ours'])} calls, p99 {p99(times['ours']) * 1000:.0f} µs; HTTP: {_CONNECTIONS} connections, "
            f"{slices} slices of {_SLICE_SECONDS:g} s of each",
        )
    )
    return figure
