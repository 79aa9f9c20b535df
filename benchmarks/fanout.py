"""How fast an event reaches 100 to 10,000 WebSocket clients, and how long the event loop is held by it.

Plugbay's hub beside `websockets.broadcast()` and a starlette application under uvicorn: each in a process of its own
with as many clients of its own, the same frame, the same machine, in turns. The clients are plain sockets in an epoll
loop, which costs less than what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, Goal, Lines, Row, Series, Size, median, p99
from benchmarks.peers import absence
from benchmarks.processes import Child, child
from service.model.text import Text

OURS = "plugbay"
PEERS = {
    "websockets": (Text(zh="websockets.broadcast()", en="websockets.broadcast()"), ("websockets",)),
    "uvicorn": (
        Text(
            zh="uvicorn + starlette，逐个 send_text",
            en="uvicorn and starlette, send_text to one after the other",
        ),
        ("uvicorn", "starlette", "websockets"),
    ),
}
BURST = 20
# Of this many clients the figure of bursts and of the held loop is asked for.
_ASKED = 5000
_WARM_UP = 2
_SETTLE_S = 30.0
# A client takes a descriptor of the server's and one of the receivers', which need a few for themselves.
_OTHER_FILES = 64
_WISH = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": ["plugins/**"]}}


@dataclass(frozen=True, slots=True)
class Round:
    """One event, or one burst, at one server: times in milliseconds.

    Args:
        last: from the publish until the last client had it.
        hold: the longest time that the event loop did not get back to its selector; None where that cannot be told.
        hold_cpu: the same in processor time, which leaves out what other processes took.
    """

    last: float
    hold: float | None
    hold_cpu: float | None


@dataclass(slots=True)
class Pair:
    """A server and its clients."""

    server: Child
    receivers: Child
    port: int
    loop: str
    clients: int = 0

    async def grow(self, clients: int) -> None:
        """Have so many clients in all."""
        await self.receivers.ask(
            "connect", port=self.port, clients=clients - self.clients, wish=json.dumps(_WISH)
        )
        async with asyncio.timeout(_SETTLE_S):
            while (await self.server.ask("clients"))["clients"] < clients:
                await asyncio.sleep(0.05)
        self.clients = clients

    async def round(self, count: int) -> Round:
        """Publish so many events and wait until every client has them."""
        await self.receivers.ask("arm", count=count)
        await self.server.ask("hold")
        await self.server.tell("publish", count=count)
        ended = (await self.receivers.answer())["at"]
        began = (await self.server.ask("published"))["at"]
        hold = await self.server.ask("hold")
        return Round((ended - began) / 1e6, hold["ms"], hold["cpu_ms"])


async def measure(size: Size) -> Figure:
    """One event at a time to more and more clients; to 5,000 of them also bursts."""
    figure = Figure(Text(zh="向 WebSocket 客户端广播一个事件", en="An event to WebSocket clients"))
    counts = _possible(figure, size.of((20, 200), (100, 1000, 5000, 10_000), (100, 1000, 5000, 10_000)))
    asked = _ASKED if _ASKED in counts else counts[-1]
    repeats = size.of(3, 100, 400)
    absent = {name: absence(libraries=needs) for name, (_, needs) in PEERS.items()}
    singles: dict[int, dict[str, list[Round]]] = {}
    bursts: dict[str, list[Round]] = {}
    async with contextlib.AsyncExitStack() as stack:
        pairs = {
            name: await stack.enter_async_context(pair(name))
            for name in (OURS, *(name for name in PEERS if absent[name] is None))
        }
        for count in counts:
            for one in pairs.values():
                await one.grow(count)
            singles[count] = await _rounds(pairs, 1, repeats)
            if count == asked:
                bursts = await _rounds(pairs, BURST, max(2, repeats // 10))
        memory = {name: (await one.server.ask("memory"))["mib"] for name, one in pairs.items()}
        loops = {name: one.loop for name, one in pairs.items()}
    for count in counts:
        what = Text(
            zh=f"一个事件，{count:,} 个客户端全部收到", en=f"one event, the last of {count:,} clients has it"
        )
        for name, (peer, _) in PEERS.items():
            figure.rows.append(
                Row.of(what, "ms", _lasts(singles[count], OURS), peer=peer, absent=absent[name],
                       peer_values=_lasts(singles[count], name), goal=Goal(at_most=1, ratio=True))
            )  # fmt: skip
    _add_burst(figure, bursts, absent, asked)
    _add_hold(figure, singles[asked], absent["websockets"], asked)
    figure.lines.append(_plot(singles, absent))
    _add_notes(figure, singles[asked], bursts, memory, loops, repeats, counts[-1])
    return figure


def _possible(figure: Figure, counts: Sequence[int]) -> list[int]:
    """Those counts for which a process may have enough files open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = [count for count in counts if count + _OTHER_FILES <= hard]
    for count in sorted(set(counts) - set(possible)):
        figure.notes.append(
            Text(
                zh=f"{count:,} 个客户端未测：一个进程最多打开 {hard:,} 个文件（ulimit -Hn）",
                en=f"{count:,} clients not measured: a process may have {hard:,} files open (ulimit -Hn)",
            )
        )
    return possible


async def _rounds(pairs: dict[str, Pair], count: int, repeats: int) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {name: [] for name in pairs}
    for turn in range(repeats + _WARM_UP):
        for name in pairs if turn % 2 else reversed(pairs):
            one = await pairs[name].round(count)
            if turn >= _WARM_UP:
                rounds[name].append(one)
    return rounds


def _lasts(rounds: dict[str, list[Round]], name: str) -> list[float]:
    return [one.last for one in rounds.get(name, ())]


def _add_burst(
    figure: Figure, bursts: dict[str, list[Round]], absent: dict[str, Text | None], clients: int
) -> None:
    what = Text(
        zh=f"连续 {BURST} 个事件，{clients:,} 个客户端全部收到",
        en=f"{BURST} events at once, the last of {clients:,} clients has all",
    )
    for name, (peer, _) in PEERS.items():
        figure.rows.append(
            Row.of(what, "ms", _lasts(bursts, OURS), peer=peer, peer_values=_lasts(bursts, name), absent=absent[name])
        )  # fmt: skip


def _add_hold(figure: Figure, singles: dict[str, list[Round]], absent: Text | None, clients: int) -> None:
    figure.rows.append(
        Row(
            what=Text(
                zh=f"{clients:,} 个客户端时事件循环最长被占用",
                en=f"the event loop held, {clients:,} clients, at most",
            ),
            unit="ms",
            value=max(_holds(singles[OURS])),
            peer=PEERS["websockets"][0],
            peer_value=None if absent else max(_holds(singles["websockets"])),
            goal=Goal(at_most=5),
            absent=absent,
        )
    )


def _holds(rounds: list[Round]) -> list[float]:
    return [one.hold for one in rounds if one.hold is not None]


def _plot(singles: dict[int, dict[str, list[Round]]], absent: dict[str, Text | None]) -> Lines:
    labels = {OURS: Text(zh="Plugbay", en="Plugbay"), **{name: peer for name, (peer, _) in PEERS.items()}}
    return Lines(
        title=Text(zh="一个事件，最后一个客户端收到", en="One event, until the last client has it"),
        x=[float(count) for count in singles],
        x_label=Text(zh="客户端数", en="clients"),
        unit="ms",
        series=[
            Series(
                label=label,
                values=[median(_lasts(rounds, name)) for rounds in singles.values()],
                upper=[p99(_lasts(rounds, name)) for rounds in singles.values()],
                ours=name == OURS,
            )
            for name, label in labels.items()
            if absent.get(name) is None
        ],
    )


def _add_notes(
    figure: Figure,
    singles: dict[str, list[Round]],
    bursts: dict[str, list[Round]],
    memory: dict[str, int],
    loops: dict[str, str],
    repeats: int,
    most: int,
) -> None:
    held = max(one.hold_cpu or 0.0 for one in singles[OURS] + bursts[OURS])
    shown = ", ".join(f"{name} {mib} MiB ({loops[name]})" for name, mib in memory.items())
    figure.notes.append(
        Text(
            zh=f"各 {repeats} 轮，轮流；Plugbay 的循环被占用的处理器时间最长 {held:.1f} ms；"
            f"{most:,} 个客户端时的服务器内存（及事件循环）：{shown}",
            en=f"{repeats} rounds of each, in turns; processor time that Plugbay's loop was held for, at most "
            f"{held:.1f} ms; server memory (and event loop) with {most:,} clients: {shown}",
        )
    )


@contextlib.asynccontextmanager
async def pair(name: str) -> AsyncIterator[Pair]:
    """A server without clients, and the process for them."""
    async with child("benchmarks.broadcasters", name) as server, child("benchmarks.receivers") as receivers:
        started = await server.answer()
        yield Pair(server, receivers, started["port"], started["loop"])
