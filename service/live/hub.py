"""The hub: who is connected, what each asked for, and the task that feeds them all from the event log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from service.live.client import Client
from service.live.event_log import EventLog
from service.live.feeder import WATER_BYTES, Feeder
from service.live.figures import ClientCounts, ClientFigures
from service.live.framing import WEB_SOCKET, Framing
from service.live.heap import Heap
from service.live.limits import LiveLimits
from service.live.outbox import Hold, Outbox, Replay
from service.live.turns import Turns

GOING_AWAY = 1001
# As the status 401 of a request.
SIGNED_OUT = 4401

_ENTRIES_PER_TURN = 64
_CLIENTS_AT_ONCE = 1000
_FLUSH_S = 1.0


class HubClosed(Exception):
    """The server is shutting down and takes no more clients."""


class TooManyClients(Exception):
    """The address has as many connections as it may."""


class Subscribed(msgspec.Struct, frozen=True):
    """What became of a subscription.

    `recovered` is false where the position could not be resumed from; then nothing is in force. `replayed` events
    follow the answer, up to `seq`.
    """

    epoch: str
    seq: str
    recovered: bool
    replayed: int


class Hub:
    """Owns the clients; `run` is the task that serves them, `close` its end.

    All methods belong to the event loop's thread.

    Args:
        log: the events.
        limits: what one client may have.

    Attributes:
        counts: what has happened since the start.
    """

    def __init__(self, log: EventLog, limits: LiveLimits) -> None:
        self.limits = limits
        self.turns = Turns()
        self.counts = ClientCounts()
        self._log = log
        self._heap = Heap()
        self._feeder = Feeder(log, limits, on_beat=self._on_beat)
        self._clients: dict[Client, None] = {}
        self._addresses: dict[str, int] = {}
        self._idle = asyncio.Event()
        self._closed = False
        self._running = False
        self._stop_listening = log.listen(self._feeder.publish)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def is_wanted(self, subject: str) -> bool:
        """Whether anybody would get an event of that subject."""
        return self._feeder.is_wanted(subject)

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many clients were let go of since the start, by why: `slow_consumer`, `no_answer`, `failed`."""
        return self._feeder.dropped

    async def figures(self) -> ClientFigures:
        """How the clients are; of thousands, the loop is not kept busy in one go."""
        connected = {"websocket": 0, "sse": 0}
        behind = queued = most = 0
        for number, client in enumerate(list(self._clients)):
            if number % _CLIENTS_AT_ONCE == _CLIENTS_AT_ONCE - 1:
                await asyncio.sleep(0)
            connected[_transport(client.framing)] += 1
            behind += not client.live
            waiting = client.outbox.events
            queued += waiting
            most = max(most, waiting)
        return ClientFigures(connected, behind, queued, most, self._feeder.waiting)

    @property
    def passing_dropped(self) -> int:
        """How many passing events nobody got, because they came faster than they could be handed out."""
        return self._feeder.passing_dropped

    # Clients, coming and going

    def check_room(self, address: str | None) -> None:
        """Whether one more client may come from there.

        Args:
            address: where it comes from; None where that is not counted.

        Raises:
            HubClosed: the server is shutting down.
            TooManyClients: `clients_per_address` are there already.
        """
        if self._closed:
            raise HubClosed
        if address is not None and self._addresses.get(address, 0) >= self.limits.clients_per_address:
            raise TooManyClients

    def attach(
        self,
        transport: asyncio.Transport,
        drain: Callable[[], Awaitable[None]],
        address: str | None,
        framing: Framing = WEB_SOCKET,
        *,
        by_token: bool = False,
    ) -> Client:
        """Take in a client. From here to `detach` only the hub writes to its transport.

        Args:
            transport: the client's connection.
            drain: returns when the transport takes more after it was full.
            address: as for `check_room`, which comes first.
            framing: what kind of connection it is.
            by_token: whether it came in by the token, so that `sign_out` ends it.
        """
        transport.set_write_buffer_limits(high=WATER_BYTES)
        limits = self.limits
        outbox = Outbox(
            self._log,
            max_events=limits.client_queue,
            max_bytes=limits.client_queue_bytes,
            framing=framing,
        )
        client = Client(transport, drain, framing, outbox, self._log.position, address, by_token)
        self._clients[client] = None
        if address is not None:
            self._addresses[address] = self._addresses.get(address, 0) + 1
        self.counts.came[_transport(framing)] += 1
        self._heap.joined(len(self._clients))
        self._feeder.start(client)
        if self._closed:
            self._say_goodbye(client)
        return client

    def detach(self, client: Client) -> None:
        """Let go of a client and end its connection. Calling it twice is safe."""
        if client not in self._clients:
            return
        del self._clients[client]
        self._heap.left(len(self._clients))
        if client.address is not None:
            left = self._addresses.pop(client.address) - 1
            if left:
                self._addresses[client.address] = left
        self._feeder.stop(client)
        if client.cut_timer is not None:
            client.cut_timer.cancel()
        if client.buffered():
            # Closing waits for the other side to read; for that it has as long as for a goodbye.
            asyncio.get_running_loop().call_later(self.limits.close_s, client.transport.abort)
        client.transport.close()
        client.detached.set()
        self._feeder.wake.set()

    def sign_out(self, client: Client | None = None) -> None:
        """End the connection of a client that came in by a token that is void now; of all of them, where none is given.

        What they have not got by then they get when they come back with the new token.
        """
        for one in [client] if client is not None else list(self._clients):
            if one.by_token:
                self._feeder.say_goodbye(
                    one, SIGNED_OUT, "the token was replaced; sign in again and reconnect"
                )

    def close_client(self, client: Client, frame: bytes) -> None:
        """Say goodbye with a last frame; where no answer comes in `close_s`, the connection is cut."""
        self._feeder.close_client(client, frame)

    def fence(self, client: Client) -> None:
        """Serve a client no more: its connection is ending, and has `close_s` for it. Calling it twice is safe."""
        self._feeder.fence(client)

    # What clients say

    def alive(self, client: Client) -> None:
        """The client has sent something, so it is there."""
        client.pinged = False

    async def room(self, client: Client) -> None:
        """Wait until the client has taken answers enough to be heard again; the pings bound the time."""
        await self._feeder.room(client)

    def send(self, client: Client, frame: bytes) -> None:
        """Answer a client: now, or after all that it was to get before. An empty frame is none."""
        if frame:
            self._feeder.send(client, frame)

    def hold(self, client: Client) -> Hold:
        """Keep the place of an answer that is not known yet; `release` fills it."""
        return self._feeder.hold(client)

    def release(self, client: Client, hold: Hold, frame: bytes) -> None:
        """Give the answer whose place was kept; an empty one for none."""
        self._feeder.release(client, hold, frame)

    async def subscribe(
        self,
        client: Client,
        patterns: Iterable[str],
        since: tuple[str, int] | None,
        answer: Callable[[Subscribed], bytes],
        *,
        else_from_now: bool = False,
    ) -> None:
        """Add topics to a client's own, from a position on.

        The client gets the answer, then what it lacks up to the position in the answer, then all else as it comes.
        Where the position cannot be resumed from, the topics are not added: the client fetches a snapshot and
        subscribes from there, and what is published in between reaches it once, by that.

        Args:
            client: whose topics.
            patterns: as `check_pattern` accepts them.
            since: epoch and seq that the client has come to; None for now.
            answer: makes the frame of the answer; an empty one for none.
            else_from_now: add the topics from now on where the position cannot be resumed from. It is for those who
                have no way to ask again: they fetch a snapshot meanwhile, and drop what it knows already.

        Raises:
            TopicInvalid: the client has too many topics.
        """
        patterns = frozenset(patterns)
        client.subscription.check_room(patterns)
        log = self._log
        replayed = 0
        recovered = True
        replay: Replay | None = None
        if since is not None:
            epoch, seq = since
            is_missing = client.subscription.missing_from(patterns)
            cursor = seq
            while log.resumable(epoch, seq) and cursor < log.head:
                entries = log.read(cursor, _ENTRIES_PER_TURN) or ()
                replayed += sum(map(is_missing, entries))
                cursor += len(entries)
                await self.turns.take()
            self.counts.resumed["recovered" if log.resumable(epoch, seq) else "lost"] += 1
            if not log.resumable(epoch, seq):
                if not else_from_now:
                    self.send(client, answer(Subscribed(log.epoch, str(log.head), False, 0)))
                    return
                recovered, replayed, since = False, 0, None
            elif replayed:
                self.counts.replayed += replayed
                replay = Replay(seq, log.head, is_missing)
        # From here on nothing is awaited: the answer, the replay and what comes later join without a seam.
        if client.closing:
            return
        client.subscription.add(patterns, log.head if since is None else since[1])
        self._feeder.regroup(client)
        self.send(client, answer(Subscribed(log.epoch, str(log.head), recovered, replayed)))
        if replay is not None:
            self._feeder.replay(client, replay)

    def unsubscribe(self, client: Client, patterns: Iterable[str]) -> None:
        """Take topics from a client's own; one that it does not have is no error."""
        client.subscription.remove(patterns)
        self._feeder.regroup(client)

    # The task

    async def run(self) -> None:
        """Serve until `close`, or until cancelled."""
        feeder = self._feeder
        loop = asyncio.get_running_loop()
        self._running = True
        try:
            while not (self._closed and not self._clients):
                next_beat = feeder.next_beat_at
                alarm = None if next_beat is None else loop.call_at(next_beat, feeder.wake.set)
                try:
                    await feeder.wake.wait()
                finally:
                    if alarm is not None:
                        alarm.cancel()
                feeder.wake.clear()
                await feeder.work()
                self._idle.set()
        finally:
            self._running = False
            self._idle.set()

    async def close(self) -> None:
        """Send what is pending, say goodbye to all, and cut those that do not answer. Calling it twice is safe."""
        self._closed = True
        await self._flush()
        clients = list(self._clients)
        for client in clients:
            self._say_goodbye(client)
            await self.turns.take()
        try:
            # Longer than `close_s`, in which every connection ends.
            async with asyncio.timeout(self.limits.close_s + _FLUSH_S):
                for client in clients:
                    await client.detached.wait()
        except TimeoutError:
            for client in clients:
                client.transport.abort()
                self.detach(client)
        self._stop_listening()
        self._feeder.wake.set()

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(_FLUSH_S):
                while self._running and self._feeder.busy:
                    self._idle.clear()
                    self._feeder.wake.set()
                    await self._idle.wait()
        except TimeoutError:
            pass

    def _on_beat(self) -> None:
        self._heap.beat(len(self._clients))

    def _say_goodbye(self, client: Client) -> None:
        self._feeder.say_goodbye(client, GOING_AWAY, "server is shutting down; reconnect")


def _transport(framing: Framing) -> str:
    return "websocket" if framing is WEB_SOCKET else "sse"
