"""Calls of a plugin: from the server to the plugin and back, one by one and many at once, and through HTTP.

Beside the same function in a `ProcessPoolExecutor` of one process, which is what a program would do by itself; through
HTTP both are routes of the same server, with the same middleware, and so is a third that calls nothing.
"""

from __future__ import annotations

from benchmarks.figures import Figure, Goal, Row, Size
from benchmarks.processes import child, free_port, new_home
from benchmarks.sources import plugin_path, put, small
from service.model.text import Text

NAME = "small"
ROUTES = {
    "ours": f"/api/search/{NAME}?keyword=x",
    "nothing": "/bench/nothing",
    "executor": "/bench/executor?keyword=x",
}
_CONNECTIONS = 16
_SLICE_SECONDS = 1.0
_EXECUTOR = Text(zh="ProcessPoolExecutor 中的同一函数", en="the same in a ProcessPoolExecutor")
_NOTHING = Text(
    zh="同一服务器、同样中间件、什么都不调用的路由",
    en="a route of the same server, with the same middleware, that calls nothing",
)
_EXECUTOR_ROUTE = Text(
    zh="同一服务器、同样中间件、调用 ProcessPoolExecutor 的路由",
    en="a route of the same server, with the same middleware, that calls a ProcessPoolExecutor",
)


async def measure(size: Size) -> Figure:
    """The server and the load are processes of their own; all routes are the same server's, in turns."""
    figure = Figure(Text(zh="调用插件", en="Calls of a plugin"))
    slices = size.of(1, 12, 30)
    count = size.of(320, 10_000, 50_000)
    rates: dict[str, list[float]] = {name: [] for name in ROUTES}
    times: dict[str, list[float]] = {name: [] for name in ROUTES}
    with new_home() as home:
        put(plugin_path(home, NAME), small(NAME))
        port = free_port()
        async with (
            child("benchmarks.calls_child", str(home), str(port)) as server,
            child("benchmarks.load") as load,
        ):
            await server.answer()
            trips = await server.ask("round_trips", count=count)
            at_once = await server.ask("rates", count=count, at_once=_CONNECTIONS)
            for turn in range(slices + 1):
                for name in ROUTES if turn % 2 else reversed(ROUTES):
                    answer = await load.ask(
                        "flat_out", port=port, path=ROUTES[name], connections=_CONNECTIONS, seconds=_SLICE_SECONDS
                    )  # fmt: skip
                    if turn:  # the first is for warming up
                        rates[name].append(answer["rate"])
                        times[name].extend(answer["ms"])
    figure.rows += [
        Row.of(
            Text(zh="服务器到插件再返回", en="server to plugin and back"), "µs",
            [ms * 1000 for ms in trips["ours"]], peer=_EXECUTOR,
            peer_values=[ms * 1000 for ms in trips["executor"]], goal=Goal(at_most=200),
        ),
        Row.of(
            Text(zh=f"同时 {_CONNECTIONS} 个调用，每秒调用数", en=f"calls/s, {_CONNECTIONS} at once"), "/s",
            at_once["ours"], peer=_EXECUTOR, peer_values=at_once["executor"], goal=Goal(at_least=1, ratio=True),
            more_is_better=True,
        ),
    ]  # fmt: skip
    what = Text(zh="GET /api/search/{plugin}，每秒请求数", en="GET /api/search/{plugin}, requests/s")
    for name, peer, least in (("nothing", _NOTHING, 0.5), ("executor", _EXECUTOR_ROUTE, 1.0)):
        figure.rows.append(
            Row.of(what, "/s", rates["ours"], peer=peer, peer_values=rates[name],
                   goal=Goal(at_least=least, ratio=True), more_is_better=True)
        )  # fmt: skip
    what = Text(
        zh=f"同上，{_CONNECTIONS} 个连接全速时一次请求的耗时",
        en=f"the same, one request with {_CONNECTIONS} connections flat out",
    )
    for name, peer in (("nothing", _NOTHING), ("executor", _EXECUTOR_ROUTE)):
        figure.rows.append(Row.of(what, "ms", times["ours"], peer=peer, peer_values=times[name]))
    figure.notes.append(
        Text(
            zh=f"{len(trips['ours'])} 次调用；HTTP：每种 {slices} 段，每段 {_SLICE_SECONDS:g} 秒",
            en=f"{len(trips['ours'])} calls; HTTP: {slices} slices of {_SLICE_SECONDS:g} s of each",
        )
    )
    return figure
