"""How fast clients that come back with `since` get the events they missed.

Beside a server of the websockets library and a starlette application under uvicorn that hold the very same texts in a
list and send it to whoever comes: no position is looked up, nothing is matched against topics. Each is a process of its
own; the clients are plain sockets that only count.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from benchmarks.fanout import OURS, Pair, pair
from benchmarks.figures import Figure, Goal, Lines, Row, Series, Size, median, worst
from benchmarks.peers import absence
from service.model.text import Text

_PEERS = {
    "websockets": (Text(zh="websockets，从列表逐条发送", en="websockets, sending a list"), ("websockets",)),
    "uvicorn": (
        Text(zh="uvicorn + starlette，从列表逐条发送", en="uvicorn and starlette, sending a list"),
        ("uvicorn", "starlette", "websockets"),
    ),
}
_CROWD = 100
_WARM_UP = 1


async def measure(size: Size) -> Figure:
    """One client that missed more and more events; then a hundred at once."""
    figure = Figure(Text(zh="断线后补发错过的事件", en="Resuming: clients that come back with since"))
    alone = size.of((10, 100), (100, 1000, 5000, 10_000), (100, 1000, 5000, 10_000))
    crowd, each = size.of((5, 20), (_CROWD, 1000), (_CROWD, 1000))
    repeats = size.of(2, 20, 100)
    absent = {name: absence(libraries=needs) for name, (_, needs) in _PEERS.items()}
    async with contextlib.AsyncExitStack() as stack:
        pairs = {
            name: await stack.enter_async_context(pair(name))
            for name in (OURS, *(name for name in _PEERS if absent[name] is None))
        }
        single = {count: await _rates(pairs, 1, count, repeats) for count in alone}
        many = await _rates(pairs, crowd, each, max(2, repeats // 4))
    rows = [(Text(zh=f"一个客户端补发 {count:,} 个事件", en=f"one client resumes {count:,} events"), rates)
            for count, rates in single.items()]  # fmt: skip
    rows.append(
        (
            Text(
                zh=f"{crowd} 个客户端同时各补发 {each:,} 个事件",
                en=f"{crowd} clients at once resume {each:,} events each",
            ),
            many,
        )
    )  # fmt: skip
    for what, rates in rows:
        for name, (peer, _) in _PEERS.items():
            figure.rows.append(
                Row.of(what, "/s", rates[OURS], peer=peer, peer_values=rates.get(name, ()), absent=absent[name],
                       goal=Goal(at_least=1, ratio=True), more_is_better=True)
            )  # fmt: skip
    figure.lines.append(_plot(single, absent))
    figure.notes.append(
        Text(
            zh=f"每种 {repeats} 次（同时 {crowd} 个客户端的 {max(2, repeats // 4)} 次），轮流；"
            "从发出 since 到收到最后一个事件，p99 为其中最慢的百分之一",
            en=f"{repeats} times each ({max(2, repeats // 4)} of {crowd} clients), in turns; from sending `since` "
            "until the last event has come, and the p99 is of the slowest hundredth",
        )
    )
    return figure


async def _rates(pairs: dict[str, Pair], clients: int, count: int, repeats: int) -> dict[str, list[float]]:
    """Events a second that all clients together got, of each time."""
    rates: dict[str, list[float]] = {name: [] for name in pairs}
    wishes = {name: _wish(await one.server.ask("fill", count=count)) for name, one in pairs.items()}
    for turn in range(repeats + _WARM_UP):
        for name in pairs if turn % 2 else reversed(pairs):
            one = pairs[name]
            answer = await one.receivers.ask(
                "resume", port=one.port, clients=clients, count=count, wish=wishes[name]
            )
            if turn >= _WARM_UP:
                rates[name].append(clients * count / answer["ms"] * 1000)
    return rates


def _wish(since: dict[str, Any]) -> str:
    params = {"topics": ["plugins/**"], "since": since}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params})


def _plot(single: dict[int, dict[str, list[float]]], absent: dict[str, Text | None]) -> Lines:
    labels = {OURS: Text(zh="Plugbay", en="Plugbay"), **{name: peer for name, (peer, _) in _PEERS.items()}}
    return Lines(
        title=Text(zh="一个客户端补发的速度", en="Events a second that one client resumes"),
        x=[float(count) for count in single],
        x_label=Text(zh="错过的事件", en="events that it missed"),
        unit="/s",
        series=[
            Series(
                label=label,
                values=[median(rates[name]) for rates in single.values()],
                upper=[worst(rates[name], more_is_better=True) for rates in single.values()],
                ours=name == OURS,
            )
            for name, label in labels.items()
            if absent.get(name) is None
        ],
    )
