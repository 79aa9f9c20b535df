"""How fast an event reaches 5,000 WebSocket clients, and how long the event loop is held by it.

Plugbay's hub beside `websockets.broadcast()`: each in a process of its own with 5,000 clients of its own, the same
frame, the same machine, in turns. The clients are plain sockets in an epoll loop, which costs less than what is
measured.

    python -m benchmarks.fanout [--clients N] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

CLIENTS = 5000
ROUNDS = 30
BURST = 20
SOCKETS_PER_PROCESS = 9000
_SERVERS = ("plugbay", "websockets")
_STEP_TIMEOUT_S = 60.0


async def run(clients: int = CLIENTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure; times are in milliseconds.

    Returns:
        For each server, for one event and for a burst: how long after the publish the last client had it (`median`,
        `p90`, `max`); `hold`, the longest time that the event loop did not get back to its selector, and `hold_cpu`,
        the same in processor time, which leaves out what other processes took. `ratio` is Plugbay's median over the
        peer's.
    """
    result: dict[str, Any] = {"clients": clients, "rounds": rounds, "versions": versions()}
    async with contextlib.AsyncExitStack() as stack:
        pairs = {name: await stack.enter_async_context(_pair(name, clients)) for name in _SERVERS}
        for kind, count, repeats in (("event", 1, rounds), ("burst", BURST, max(5, rounds // 3))):
            times: dict[str, list[float]] = {name: [] for name in _SERVERS}
            holds: dict[str, list[dict[str, float]]] = {name: [] for name in _SERVERS}
            for turn in range(repeats + 1):
                for name in _SERVERS if turn % 2 else reversed(_SERVERS):
                    last_ms, hold = await _measure(*pairs[name], count)
                    # The first of each is for warming up.
                    if turn:
                        times[name].append(last_ms)
                        holds[name].append(hold)
            result[kind] = {
                name: {
                    **_summary(times[name]),
                    "hold": round(max(hold["ms"] for hold in holds[name]), 2),
                    "hold_cpu": round(max(hold["cpu_ms"] for hold in holds[name]), 2),
                }
                for name in _SERVERS
            }
            result[kind]["ratio"] = round(
                statistics.median(times["plugbay"]) / statistics.median(times["websockets"]), 3
            )
        for name in _SERVERS:
            result.setdefault("server_mib", {})[name] = (await pairs[name][0].ask("memory"))["mib"]
    return result


def versions() -> dict[str, str]:
    """What the figures depend on."""
    libraries = {name: version(name) for name in ("aiohttp", "websockets", "msgspec")}
    return {
        **libraries,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = asyncio.run(run(arguments.clients, arguments.rounds))
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['clients']} WebSocket clients, {result['rounds']} rounds, milliseconds")
    print(", ".join(f"{name} {value}" for name, value in result["versions"].items()))
    print(f"{'':8}{'':12}{'median':>9}{'p90':>9}{'max':>9}{'loop held':>12}{'of it own':>12}")
    for kind in ("event", "burst"):
        for name in _SERVERS:
            row = result[kind][name]
            figures = f"{row['median']:9.1f}{row['p90']:9.1f}{row['max']:9.1f}"
            print(f"{kind:8}{name:12}{figures}{row['hold']:12.2f}{row['hold_cpu']:12.2f}")
        print(f"{kind:8}{'ratio':12}{result[kind]['ratio']:9.2f}")
    print(f"server memory: {result['server_mib']} MiB")


# The parent's side


class _Child:
    """A process of this benchmark that answers one line of JSON with another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        await self.tell(command, **arguments)
        return await self.answer()

    async def tell(self, command: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()

    async def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(_STEP_TIMEOUT_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.asynccontextmanager
async def _child(*arguments: str) -> AsyncIterator[_Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.fanout_child",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield _Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _pair(name: str, clients: int) -> AsyncIterator[tuple[_Child, _Child]]:
    if clients > SOCKETS_PER_PROCESS:
        raise ValueError(f"at most {SOCKETS_PER_PROCESS} clients")
    async with _child("serve", name) as server:
        port = (await server.answer())["port"]
        async with _child("receive", name) as receiver:
            await receiver.ask("connect", port=port, clients=clients)
            while (await server.ask("clients"))["clients"] < clients:
                await asyncio.sleep(0.05)
            yield server, receiver


async def _measure(server: _Child, receiver: _Child, count: int) -> tuple[float, dict[str, float]]:
    await receiver.ask("arm", count=count)
    await server.ask("hold")
    began = (await server.ask("publish", count=count))["at"]
    ended = (await receiver.answer())["at"]
    return (ended - began) / 1e6, await server.ask("hold")


def _summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "median": round(statistics.median(ordered), 1),
        "p90": round(ordered[min(len(ordered) - 1, round(0.9 * len(ordered)))], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    main()
