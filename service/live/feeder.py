"""Feeding: one pass after the other over all clients, in order, fairly, and a little at a time.

    publish ─► backlog ─► round: each entry to every client whose topics match
                            ├── live client: straight into its transport, one prepared frame for all
                            └── client that is behind: into its outbox ─► slices, as its transport takes them

Between two rounds every subscribed client has been served up to `Backlog.taken`, or further. A pass gives the loop back
whenever it has run for about a millisecond, so a broadcast to thousands of clients delays nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import perf_counter

from service.live.backlog import Backlog
from service.live.beats import Beats
from service.live.client import Client, Group
from service.live.event_log import Entry, EventLog
from service.live.framing import Framing
from service.live.limits import LiveLimits
from service.live.outbox import Hold, Replay, ReplayLost
from service.live.topics import topics_of
from service.live.turns import STEP_S

SLOW_CONSUMER = 4008
NO_ANSWER = 4009

# A client's transport may hold this much before the client counts as behind; one write adds about a slice to it.
WATER_BYTES = 16 * 1024
_SLICE_BYTES = 16 * 1024
# Looking at the clock costs less than writing to one client, but not nothing.
_CLIENTS_PER_LOOK = 8
# Answers that may wait before a client's further frames are not read.
_ANSWERS_WAITING = 64

_log = logging.getLogger("plugbay.live")


class Feeder:
    """Gives the clients what is theirs. `work` is called by one task only; the other methods may come in between.

    Args:
        log: the events.
        limits: what one client may have.
        on_beat: called for every ping.

    Attributes:
        dropped: how many clients were let go of, by why: `slow_consumer`, `no_answer`, `failed`.
    """

    def __init__(self, log: EventLog, limits: LiveLimits, on_beat: Callable[[], None]) -> None:
        self.wake = asyncio.Event()
        self._log = log
        self._close_s = limits.close_s
        self._on_beat = on_beat
        self._groups: dict[tuple[frozenset[str], Framing], Group] = {}
        self._backlog = Backlog(
            max_events=log.max_events, max_bytes=log.max_bytes, taken=log.position, taken_seq=log.head
        )
        self._ready: deque[Client] = deque()
        self._beats = Beats(limits.heartbeat_s)
        self._owed: list[Client] = []
        self.dropped: Counter[str] = Counter()
        self._step_began = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is left to be handed out now."""
        return bool(self._backlog or self._ready or self._owed)

    @property
    def next_beat_at(self) -> float | None:
        """When the next ping is due, on the clock of the event loop."""
        return self._beats.next_at

    @property
    def passing_dropped(self) -> int:
        """How many passing events nobody got, because they came faster than they could be handed out."""
        return self._backlog.passing_dropped

    @property
    def waiting(self) -> int:
        """How many entries of the log no round has taken up yet."""
        return len(self._backlog)

    def is_wanted(self, subject: str) -> bool:
        """Whether the topics of any client match the subject."""
        return any(group.topics.matches(subject) for group in self._groups.values())

    async def work(self) -> None:
        """Hand out what there is."""
        self._step_began = perf_counter()
        await self._serve_beats()
        while self.busy:
            await self._serve_round()
            await self._serve_slices()
            await self._serve_beats()
            await self._breathe()

    # What comes in

    def publish(self, entry: Entry) -> None:
        """Take in a new entry of the log."""
        if self._groups:
            self._backlog.add(entry)
            self.wake.set()
        else:
            self._backlog.skip(entry)

    def start(self, client: Client) -> None:
        """Begin to ping a new client."""
        self._beats.add(client, asyncio.get_running_loop().time())
        self.wake.set()

    def send(self, client: Client, frame: bytes) -> None:
        """Answer a client: now, or after all that it was to get before."""
        if client.closing or client.transport.is_closing():
            return
        if client.live:
            client.write(frame)
            if client.buffered() > WATER_BYTES:
                self._block(client)
        else:
            client.outbox.answer(frame)

    def hold(self, client: Client) -> Hold:
        """Keep the place of an answer that is not known yet; `release` fills it."""
        hold = client.outbox.hold()
        self._fall_behind(client)
        return hold

    def release(self, client: Client, hold: Hold, frame: bytes) -> None:
        """Give the answer whose place was kept; an empty one for none."""
        hold.frame = frame
        self._fall_behind(client)

    def replay(self, client: Client, replay: Replay) -> None:
        """Have a client given a stretch of the log, after all that it was to get before."""
        client.outbox.replay(replay)
        self._fall_behind(client)

    async def room(self, client: Client) -> None:
        """Wait until the client has taken answers enough to be heard again; the pings bound the time."""
        while client.outbox.answers >= _ANSWERS_WAITING and not client.closing:
            client.room = asyncio.get_running_loop().create_future()
            await client.room

    def regroup(self, client: Client) -> None:
        """Put a client where its topics belong, after it has been given what came under its former ones."""
        if client.group is not None:
            matches = client.group.topics.matches
            due = [entry for entry in self._backlog.after(client.position) if matches(entry.subject)]
            if due:
                client.outbox.extend(due)
                self._fall_behind(client)
            self._leave_group(client)
        client.position = self._log.position
        patterns = client.subscription.patterns
        if patterns and not client.closing:
            key = (patterns, client.framing)
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group(topics_of(patterns), client.framing)
            group.clients[client] = None
            client.group = group

    def say_goodbye(self, client: Client, code: int, reason: str) -> None:
        """End a client's connection, saying why."""
        if not client.closing:
            self.close_client(client, client.framing.goodbye(code, reason))

    def close_client(self, client: Client, frame: bytes) -> None:
        """Say goodbye with a last frame; where no answer comes in `close_s`, the connection is cut."""
        if not client.closing:
            self.fence(client)
            if not client.transport.is_closing():
                client.write(frame)
                # Its answer may go unheard: aiohttp drops what comes once it shuts down, or once a frame was broken.
                # The end of the stream, too, has clients close; and they have the close frame by then.
                with contextlib.suppress(OSError):  # it may be gone already, without anybody having been told
                    if client.transport.can_write_eof():
                        client.transport.write_eof()

    def fence(self, client: Client) -> None:
        """Serve this client no more: its connection is ending, and has `close_s` for it. Calling it twice is safe."""
        if not client.closing:
            self.stop(client)
            client.cut_timer = asyncio.get_running_loop().call_later(self._close_s, client.transport.abort)

    def stop(self, client: Client) -> None:
        """Serve this client no more."""
        client.closing = True
        client.live = False
        self._leave_group(client)
        client.outbox.clear()
        self._give_room(client)

    # Rounds

    async def _serve_round(self) -> None:
        """Some of what is pending, to everyone."""
        if not self._backlog:
            return
        first = self._backlog.taken
        batch = self._backlog.take(_SLICE_BYTES)
        last = batch[-1].position
        for group in list(self._groups.values()):
            matched = [entry for entry in batch if group.topics.matches(entry.subject)]
            data = b"".join(map(group.framing.event, matched))
            for number, client in enumerate(list(group.clients)):
                if number % _CLIENTS_PER_LOOK == 0 and perf_counter() - self._step_began > STEP_S:
                    await self._breathe()
                # It may have gone, or asked for something else, since the round began.
                if client.group is group and client.position < last:
                    try:
                        self._give(client, first, last, matched, data)
                    except Exception:
                        self._cut_failed(client)
        self._backlog.end_round()

    def _give(self, client: Client, first: int, last: int, matched: Sequence[Entry], data: bytes) -> None:
        """Serve one client those entries of a round that it has not had: the ones after its position."""
        position = client.position
        client.position = last
        if position < self._backlog.lost:
            self._drop_slow(client)
            return
        if not matched:
            return
        if position != first:
            matched = [entry for entry in matched if entry.position > position]
            data = b"".join(map(client.framing.event, matched))
        if client.live:
            if client.transport.is_closing():
                self.fence(client)
                return
            client.write(data)
            if client.buffered() > WATER_BYTES:
                self._block(client)
        elif client.outbox.extend(matched):
            self._enqueue(client)
        else:
            self._drop_slow(client)

    def _leave_group(self, client: Client) -> None:
        group = client.group
        if group is not None:
            client.group = None
            del group.clients[client]
            if not group.clients:
                del self._groups[group.topics.patterns, group.framing]

    # Clients that are behind

    async def _serve_slices(self) -> None:
        """One slice for every client that is behind and whose transport takes more."""
        for _ in range(len(self._ready)):
            client = self._ready.popleft()
            client.queued = False
            if not client.closing and not client.blocked:
                try:
                    self._give_slice(client)
                except ReplayLost:
                    self._drop_slow(client)
                except Exception:
                    self._cut_failed(client)
            if perf_counter() - self._step_began > STEP_S:
                await self._breathe()

    def _give_slice(self, client: Client) -> None:
        if client.transport.is_closing():
            self.fence(client)
            return
        data = client.outbox.take(_SLICE_BYTES)
        if data:
            client.write(data)
        if client.outbox.answers < _ANSWERS_WAITING:
            self._give_room(client)
        if client.buffered() > WATER_BYTES:
            self._block(client)
        elif client.outbox.empty:
            client.live = True
            if client.beat_due:
                self._owed.append(client)
        elif not client.outbox.held:
            self._enqueue(client)

    def _fall_behind(self, client: Client) -> None:
        client.live = False
        self._enqueue(client)

    def _enqueue(self, client: Client) -> None:
        if not (client.queued or client.blocked or client.closing):
            client.queued = True
            self._ready.append(client)
            self.wake.set()

    def _block(self, client: Client) -> None:
        """The transport is full: write nothing more until it has drained."""
        client.live = False
        client.blocked = True
        client.drain_task = asyncio.get_running_loop().create_task(self._wait_for_drain(client))

    async def _wait_for_drain(self, client: Client) -> None:
        # Ends with the connection at the latest, which the pings bound.
        try:
            await client.drain()
        except ConnectionError:
            return
        client.blocked = False
        # Bytes went out since: the other side reads, if slowly.
        client.pinged = False
        self._enqueue(client)

    # Ends

    def _give_room(self, client: Client) -> None:
        if client.room is not None and not client.room.done():
            client.room.set_result(None)

    def _drop_slow(self, client: Client) -> None:
        self.dropped["slow_consumer"] += not client.closing
        self.say_goodbye(client, SLOW_CONSUMER, "slow consumer; reconnect")

    def _cut_failed(self, client: Client) -> None:
        _log.exception("a client could not be served")
        self.dropped["failed"] += 1
        self.fence(client)
        client.transport.abort()

    # Heartbeats

    async def _serve_beats(self) -> None:
        """Ping every client once in `heartbeat_s`, and tell subscribers how far they have been served."""
        owed, self._owed = self._owed, []
        for client in owed:
            self._heartbeat(client)
        now = asyncio.get_running_loop().time()
        while (due := self._beats.next_due(now)) is not None:
            self._ping(due)
            self._heartbeat(due)
            self._on_beat()
            if perf_counter() - self._step_began > STEP_S:
                await self._breathe()

    def _ping(self, client: Client) -> None:
        if client.transport.is_closing():
            self.fence(client)
            return
        ping = client.framing.ping()
        if client.pinged:
            missed = "no answer to ping" if ping else "nothing is read"
            self.dropped["no_answer"] += not client.closing
            self.say_goodbye(client, NO_ANSWER, f"{missed}; reconnect")
        elif ping:
            client.pinged = True
            client.write(ping)
        else:
            # Who cannot answer shows by taking bytes that it is there.
            client.pinged = client.blocked

    def _heartbeat(self, client: Client) -> None:
        """Never ahead of the events: its seq is one up to which the client has everything, so it may resume there."""
        client.beat_due = False
        if client.group is None:
            return
        if not client.live:
            client.beat_due = True
        elif not self._backlog:
            self._write_heartbeat(client, self._log.head)
        elif client.position <= self._backlog.taken:
            self._write_heartbeat(client, self._backlog.taken_seq)
        else:
            # It was answered with a position that no round has come to; the next ones do.
            self._owed.append(client)

    def _write_heartbeat(self, client: Client, seq: int) -> None:
        client.write(client.framing.message(self._log.heartbeat(seq)))

    async def _breathe(self) -> None:
        await asyncio.sleep(0)
        self._step_began = perf_counter()
