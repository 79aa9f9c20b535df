"""How fast an event reaches 5,000 WebSocket clients, and how long the event loop is held by it.

Plugbay's hub beside `websockets.broadcast()`: each in a process of its own with 5,000 clients of its own, the same
frame, the same machine, in turns. The clients are plain sockets in an epoll loop, which costs less than what is
measured.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from benchmarks import machine
from benchmarks.figures import Figure, Goal, Row, Size, median
from benchmarks.processes import Child, child
from service.model.text import Text

BURST = 20
_SERVERS = ("plugbay", "websockets")


class Round:
    """One event, or one burst, at one server: times in milliseconds.

    Args:
        last: from the publish until the last client had it.
        hold: the longest time that the event loop did not get back to its selector.
        hold_cpu: the same in processor time, which leaves out what other processes took.
    """

    def __init__(self, last: float, hold: float, hold_cpu: float) -> None:
        self.last = last
        self.hold = hold
        self.hold_cpu = hold_cpu


async def measure(size: Size) -> Figure:
    """One event at a time, then bursts."""
    clients = size.of(200, 5000, 5000)
    repeats = size.of(3, 30, 200)
    figure = Figure(
        Text(zh=f"向 {clients:,} 个 WebSocket 客户端广播", en=f"An event to {clients:,} WebSocket clients")
    )
    if machine.installed("websockets") == "-":
        figure.notes.append(
            Text(zh="未安装 websockets，未测", en="websockets is not installed: not measured")
        )
        return figure
    async with contextlib.AsyncExitStack() as stack:
        pairs = {name: await stack.enter_async_context(_pair(name, clients)) for name in _SERVERS}
        single = await _rounds(pairs, 1, repeats)
        burst = await _rounds(pairs, BURST, max(3, repeats // 3))
        memory = {name: (await server.ask("memory"))["mib"] for name, (server, _) in pairs.items()}
    peer = Text(zh="websockets.broadcast()", en="websockets.broadcast()")
    figure.rows = [
        Row(what=Text(zh="一个事件，最后一个客户端收到，中位数", en="one event, the last client has it, median"),
            value=_median(single["plugbay"]), unit="ms", peer=peer, peer_value=_median(single["websockets"]),
            goal=Goal(at_most=1, ratio=True)),
        Row(what=Text(zh="事件循环最长被占用", en="the event loop held, at most"),
            value=_longest(single["plugbay"]), unit="ms", peer=peer, peer_value=_longest(single["websockets"]),
            goal=Goal(at_most=5)),
        Row(what=Text(zh=f"连续 {BURST} 个事件，最后一个客户端全部收到，中位数",
                      en=f"{BURST} events at once, the last client has all, median"),
            value=_median(burst["plugbay"]), unit="ms", peer=peer, peer_value=_median(burst["websockets"])),
    ]  # fmt: skip
    own = {name: max(one.hold_cpu for one in single[name] + burst[name]) for name in _SERVERS}
    figure.notes.append(
        Text(
            zh=f"{repeats} 轮；循环被占用的处理器时间最长 {own['plugbay']:.1f} ms（对照 {own['websockets']:.1f} ms）；"
            f"服务器内存 {memory['plugbay']} MiB（对照 {memory['websockets']} MiB）",
            en=f"{repeats} rounds; processor time that the loop was held for, at most {own['plugbay']:.1f} ms (peer "
            f"{own['websockets']:.1f} ms); server memory {memory['plugbay']} MiB (peer {memory['websockets']} MiB)",
        )
    )
    return figure


async def _rounds(pairs: dict[str, tuple[Child, Child]], count: int, repeats: int) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {name: [] for name in _SERVERS}
    for turn in range(repeats + 1):
        for name in _SERVERS if turn % 2 else reversed(_SERVERS):
            one = await _round(*pairs[name], count)
            if turn:  # the first of each is for warming up
                rounds[name].append(one)
    return rounds


def _median(rounds: list[Round]) -> float:
    return median([one.last for one in rounds])


def _longest(rounds: list[Round]) -> float:
    return max(one.hold for one in rounds)


@contextlib.asynccontextmanager
async def _pair(name: str, clients: int) -> AsyncIterator[tuple[Child, Child]]:
    async with child("benchmarks.fanout_child", "serve", name) as server:
        port = (await server.answer())["port"]
        async with child("benchmarks.fanout_child", "receive", name) as receiver:
            await receiver.ask("connect", port=port, clients=clients)
            while (await server.ask("clients"))["clients"] < clients:
                await asyncio.sleep(0.05)
            yield server, receiver


async def _round(server: Child, receiver: Child, count: int) -> Round:
    await receiver.ask("arm", count=count)
    await server.ask("hold")
    began = (await server.ask("publish", count=count))["at"]
    ended = (await receiver.answer())["at"]
    hold = await server.ask("hold")
    return Round((ended - began) / 1e6, hold["ms"], hold["cpu_ms"])
