"""A TCP proxy that does to its connections what networks do: cuts them, holds them up, spoils bytes, falls silent.

It reorders nothing, since TCP does not. A spoilt byte has its highest bit turned over: what goes over these connections
is text, and where UTF-8 or a header breaks both ends can tell. Other damage to a connection without TLS, such as one
letter for another, nobody can tell from what was meant.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

Towards = Literal["client", "server"]
Kind = Literal["none", "cut", "close", "delay", "throttle", "spoil", "swallow", "freeze"]
QUICK: tuple[Kind, ...] = ("cut", "close", "delay", "throttle", "spoil")
# A client needs seconds to find out that nobody is there, in which nothing else can happen to it.
KINDS: tuple[Kind, ...] = (*QUICK, *QUICK, "swallow", "freeze")


# A slow connection is cut in the end, so that others come.
_SLOW_S = 2.0


class Fault(NamedTuple):
    """What becomes of one connection.

    Attributes:
        kind: `cut` ends it by a reset and `close` in order; `delay` holds up each piece for a while and `throttle`
            passes on a few bytes at a time, until they are cut too; `spoil` turns over one bit of one byte; `swallow`
            takes everything from then on and passes on nothing, also not that an end has gone; `freeze` does not even
            take it.
        towards: which direction's bytes are counted.
        after: how many of them are passed on before it happens.
    """

    kind: Kind
    towards: Towards = "client"
    after: int = 0


def any_of(*kinds: Kind, most_sent: int = 500, most_received: int = 3000) -> Callable[[random.Random], Fault]:
    """What draws a fault of these kinds, within so many bytes of what a client sends or receives."""

    def draw(chance: random.Random) -> Fault:
        kind = chance.choice(kinds)
        if chance.random() < 0.4:
            return Fault(kind, "server", int(most_sent ** chance.random()))
        return Fault(kind, "client", int(most_received ** chance.random()))

    return draw


class ChaosProxy:
    """See the module.

    Attributes:
        port: where it listens on 127.0.0.1.
        draw: the fault of each further connection.
        done: how many faults of each kind came to happen.
        connected: how many connections there were.
    """

    def __init__(
        self, target_port: int, chance: random.Random, draw: Callable[[random.Random], Fault] | None = None
    ) -> None:
        self.port = 0
        self.draw = draw or any_of(*KINDS)
        self.done: Counter[str] = Counter()
        self.connected = 0
        self._target_port = target_port
        self._chance = chance
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[_Connection] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def silent(self) -> int:
        """How many connections have fallen silent and are still held."""
        return sum(connection.is_silent for connection in self._connections)

    def calm(self) -> None:
        """Do nothing to further connections. Those that fell silent stay so."""
        self.draw = lambda _: Fault("none")

    def cut_all(self) -> None:
        """Reset every connection that there is."""
        for connection in self._connections:
            connection.cut()

    def fall_silent(self) -> None:
        """Swallow all of every connection that there is, from now on."""
        for connection in self._connections:
            connection.fault = Fault("swallow", connection.fault.towards, 0)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection, and take no more."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connected += 1
        connection = _Connection(self.draw(self._chance), random.Random(self._chance.random()), self.done)
        self._connections.add(connection)
        try:
            await connection.run(reader, writer, self._target_port)
        except asyncio.CancelledError:
            pass  # this is the end of the proxy; nobody waits for the task
        finally:
            self._tasks.discard(task)
            self._connections.discard(connection)


class _Connection:
    """One connection between a client and the server."""

    def __init__(self, fault: Fault, chance: random.Random, done: Counter[str]) -> None:
        self.fault = fault
        self._chance = chance
        self._done = done
        self._happened = False
        self._ends: list[asyncio.StreamWriter] = []

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        ends = [writer]
        self._ends = ends
        try:
            back, onward = await asyncio.open_connection(sock=await _connected(port))
            ends.append(onward)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, onward, "server"))
                pumps.create_task(self._pump(back, writer, "client"))
        except* (ConnectionError, OSError, _Cut):
            pass
        finally:
            for end in ends:
                end.transport.abort()

    def cut(self) -> None:
        """Reset it now."""
        for end in self._ends:
            end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, towards: Towards
    ) -> None:
        passed = 0
        while True:
            data = await self._read(reader)
            if not data:
                if self.is_silent:
                    # The other end is not told: for that one, this one is still there.
                    await asyncio.Event().wait()
                raise _Cut
            at = self.fault.after - passed
            if self.fault.towards == towards and 0 <= at < len(data) and not self._happened:
                data = await self._happen(data, at, writer)
            passed += len(data)
            if not self.is_silent:
                await self._pass_on(data, writer)

    @property
    def is_silent(self) -> bool:
        return self._happened and self.fault.kind in ("swallow", "freeze")

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        if self._happened and self.fault.kind == "freeze":
            await asyncio.Event().wait()
        try:
            return await reader.read(65536)
        except ConnectionError:
            return b""

    async def _happen(self, data: bytes, at: int, writer: asyncio.StreamWriter) -> bytes:
        """The fault comes in the middle of some bytes; what is to be passed on of them."""
        kind = self.fault.kind
        self._happened = True
        if kind != "none":
            self._done[kind] += 1
        if kind in ("delay", "throttle"):
            asyncio.get_running_loop().call_later(_SLOW_S * self._chance.random(), self.cut)
        if kind == "spoil":
            return data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :]
        if kind in ("cut", "close", "swallow", "freeze"):
            writer.write(data[:at])
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            if kind == "close":
                writer.close()
            if kind in ("cut", "close"):
                raise _Cut
        return data

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        kind = self.fault.kind if self._happened else "none"
        if kind == "delay":
            await asyncio.sleep(self._chance.random() * 0.2)
        pieces = [data]
        if kind == "throttle":
            size = self._chance.randrange(1, 500)
            # Of a long one the rest comes at once: what counts is that it comes in pieces.
            cuts = [*range(0, min(len(data), 20 * size), size), len(data)]
            pieces = [data[begin:end] for begin, end in itertools.pairwise(cuts)]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if kind == "throttle":
                await asyncio.sleep(0.002)


async def _connected(port: int) -> socket.socket:
    """A socket for which the system takes little: else it would take minutes of events for one that is frozen."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


class _Cut(Exception):
    """The connection ends."""


@asynccontextmanager
async def chaos(
    target_port: int, chance: random.Random, draw: Callable[[random.Random], Fault] | None = None
) -> AsyncIterator[ChaosProxy]:
    """A proxy in front of a port, until left."""
    proxy = ChaosProxy(target_port, chance, draw)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
