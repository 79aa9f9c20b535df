"""One playlist, joined into one file: segments are fetched side by side and appended in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugins.download.hls_plugin.fetch import Fetcher, FetchFailed
from plugins.download.hls_plugin.live import Follower
from plugins.download.hls_plugin.spool import CannotWrite, HlsFailed, PartFile, Spool, first_of, in_thread
from plugins.download.hls_plugin.state import LiveLimits, TrackState, is_published, published
from plugins.shared.hls_playlist import (
    MasterPlaylist,
    MediaPlaylist,
    PlaylistRefused,
    Segment,
    read_playlist,
)

CHECKPOINT_INTERVAL_S = 1.0
CHECKPOINT_BYTES = 64 * 1024 * 1024
RELOAD_MIN_S = 0.5
RELOAD_MAX_S = 30.0


class SegmentFailed(HlsFailed):
    """A segment could not be had, so the file cannot be right; the message names it."""


@dataclass
class Track:
    """A media playlist on its way to a file.

    Args:
        url: the playlist's address.
        playlist: what it said just now.
        state: where to write, and what is there already.
        fetcher: gets the pieces.
        window: how many segments are on their way or wait for an earlier one.
        log: told what the user should know.
        durable: called when `saved` has changed; once awaited it outlives the process.
        label: for messages, such as `audio `.
        limits: for a live one.
        variables: of the master playlist.

    Attributes:
        saved: the state that is on the disk for sure.
        total: how many segments there are; None while a live one goes on.
        notes: what the user should know in the end.
    """

    url: str
    playlist: MediaPlaylist
    state: TrackState
    fetcher: Fetcher
    window: int
    log: logging.Logger
    durable: Callable[[], Awaitable[None]]
    label: str = ""
    limits: LiveLimits = field(default_factory=LiveLimits)
    variables: Mapping[str, str] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)
    total: int | None = None
    notes: list[str] = field(default_factory=list)
    _spools: set[Spool] = field(default_factory=set)

    async def begin(self) -> None:
        """Decide whether what is in the part file can be gone on from, before anything is written.

        Raises:
            CannotWrite
        """
        if await in_thread(is_published, self.state):
            self.total = self.state.segments
            return
        state, playlist = self.state, self.playlist
        plan = playlist.plan if playlist.ended else None
        followed = state.live is not None
        if state.segments and not followed and state.plan != plan:
            self.log.warning("%s: the list of segments has changed; starting anew", self.url)
            self._forget()
        state = self.state
        if not state.segments:
            state.plan = plan
            state.live = None if plan else {}
        self.total = len(playlist.segments) if state.live is None else None
        try:
            size = (await in_thread(state.part.stat)).st_size
        except OSError as error:
            raise CannotWrite(state.part, error) from error
        if size < state.size:
            self.log.warning("%s has become shorter; starting anew", state.part)
            self._forget(keep_plan=True)
        self.saved = self.state.dump()

    async def run(self) -> None:
        """Fetch and join all that is missing.

        Raises:
            SegmentFailed: the first segment that could not be had.
            FetchFailed: the playlist of a live stream could not be had any more.
            PlaylistRefused: it has become one that is not downloaded.
            CannotWrite
        """
        if self.state.finished:
            return
        part = await self._opened()
        try:
            await self._join(part)
            await self._save(part)
        except BaseException:
            # Failed or paused: the next attempt need not fetch these again.
            try:
                await self._save(part)
            except CannotWrite as error:
                self.log.warning("%s", error)
            raise
        finally:
            for spool in self._spools:
                spool.close()
            part.close()

    async def _opened(self) -> PartFile:
        opened: list[PartFile] = []
        try:
            await in_thread(lambda: opened.append(PartFile(self.state.part, self.state.size)))
        except OSError as error:
            raise CannotWrite(self.state.part, error) from error
        except BaseException:  # cancelled when the thread had opened it already
            for part in opened:
                part.close()
            raise
        return opened[0]

    async def publish(self) -> Path:
        """Give the file its name.

        Raises:
            CannotWrite
        """
        try:
            self.state.target = await in_thread(published, self.state)
        except OSError as error:
            raise CannotWrite(self.state.target, error) from error
        self.saved = self.state.dump()
        await self.durable()
        return self.state.target

    def _forget(self, *, keep_plan: bool = False) -> None:
        state = self.state
        plan, live = (state.plan, state.live) if keep_plan else (None, None)
        self.state = TrackState(
            state.part, state.target, state.inode, plan=plan, live={} if live is not None else None
        )

    async def _join(self, part: PartFile) -> None:
        window = asyncio.Semaphore(self.window)
        queue: asyncio.Queue[tuple[Segment, asyncio.Task[list[Spool]]] | None] = asyncio.Queue()
        joined = Follower(self.state.live)
        saved_at, saved_size = time.monotonic(), part.size
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._produce(group, window, queue))
                while (item := await queue.get()) is not None:
                    segment, fetching = item
                    spools = await fetching
                    await in_thread(part.append, spools)
                    self._joined(segment, part.size, joined)
                    for spool in spools:
                        spool.close()
                    self._spools.difference_update(spools)
                    window.release()
                    now = time.monotonic()
                    if now - saved_at >= CHECKPOINT_INTERVAL_S or part.size - saved_size >= CHECKPOINT_BYTES:
                        await self._save(part)
                        saved_at, saved_size = time.monotonic(), part.size
        except BaseExceptionGroup as group_error:
            raise first_of(group_error) from group_error
        self.state.finished = True

    def _joined(self, segment: Segment, size: int, joined: Follower) -> None:
        state = self.state
        if state.live is not None:
            state.lost += joined.missed(segment)
            joined.took(segment)
            state.live = joined.state
        state.size = size
        state.segments += 1
        state.seconds += segment.duration
        state.init = segment.init.identity if segment.init else None

    async def _save(self, part: PartFile) -> None:
        """Claim only what is on the disk."""
        claimed = self.state.dump()
        if claimed == self.saved:
            return
        await in_thread(part.sync)
        self.saved = claimed
        await self.durable()

    async def _produce(
        self,
        group: asyncio.TaskGroup,
        window: asyncio.Semaphore,
        queue: asyncio.Queue[tuple[Segment, asyncio.Task[list[Spool]]] | None],
    ) -> None:
        init = self.state.init
        segments = self._listed() if self.state.live is None else self._followed()
        async with aclosing(segments):
            async for segment in segments:
                await window.acquire()
                wanted = segment.init.identity if segment.init else None
                fetching = group.create_task(self._fetch(segment, with_init=wanted not in (None, init)))
                init = wanted
                queue.put_nowait((segment, fetching))
        queue.put_nowait(None)

    async def _fetch(self, segment: Segment, *, with_init: bool) -> list[Spool]:
        folder = self.state.part.parent
        spools = []
        pieces = [segment.init, segment.piece] if with_init else [segment.piece]
        for piece in pieces:
            if piece is None:
                continue
            try:
                spool = await self.fetcher.piece(piece, folder)
            except CannotWrite:
                raise
            except HlsFailed as error:
                raise SegmentFailed(self._failure(segment, error)) from error
            self._spools.add(spool)
            spools.append(spool)
        return spools

    def _failure(self, segment: Segment, error: HlsFailed) -> str:
        # People count from one; the playlist's own number tells it apart in a live stream.
        index = segment.sequence - self.playlist.segments[0].sequence if self.total else None
        place = f"{index + 1} of {self.total}" if index is not None else f"number {segment.sequence}"
        about = f"{self.label}segment {place} (media sequence {segment.sequence}) {segment.piece.url[:2000]}"
        if isinstance(error, FetchFailed):
            tries = f" after {error.attempts} attempts" if error.attempts > 1 else ""
            where = "" if error.url == segment.piece.url else f", needed for it: {error.url}"
            return f"{about} failed{tries}{where}: {error.reason}; retry goes on from here"
        return f"{about} failed: {error}"

    async def _listed(self) -> AsyncGenerator[Segment, None]:
        for segment in self.playlist.segments:
            if segment.gap:
                raise SegmentFailed(
                    f"{self.label}segment (media sequence {segment.sequence}) {segment.piece.url}: "
                    "the playlist itself says that it is missing (EXT-X-GAP)"
                )
        for segment in self.playlist.segments[self.state.segments :]:
            yield segment

    async def _followed(self) -> AsyncGenerator[Segment, None]:
        """The segments of a live stream as they come, until its end."""
        follower = Follower(self.state.live)
        playlist = self.playlist
        recorded_s = self.state.seconds
        news_at = time.monotonic()
        while True:
            news = follower.look(playlist.segments, numbered=playlist.numbered)
            self._tell_lost(news.lost + sum(segment.gap for segment in news.fresh), news.restarted)
            for segment in news.fresh:
                if segment.gap:
                    continue
                yield segment
                recorded_s += segment.duration
                if 0 < self.limits.record_s <= recorded_s:
                    self._note(f"recorded for {recorded_s:.0f} s, as configured")
                    return
            if playlist.ended:
                return
            now = time.monotonic()
            if news.fresh:
                news_at = now
            elif 0 < self.limits.idle_s <= now - news_at:
                self._note(f"nothing new for {now - news_at:.0f} s; taken for the end of the stream")
                return
            # RFC 8216, 6.3.4: a target duration after a change, half of one after none.
            wait_s = playlist.target_s if news.fresh else playlist.target_s / 2
            await asyncio.sleep(min(RELOAD_MAX_S, max(RELOAD_MIN_S, wait_s)))
            again = await self._again()
            if again is None:
                return
            playlist = again

    async def _again(self) -> MediaPlaylist | None:
        """The playlist as it is now; None where it has gone, which ends many streams."""
        try:
            address, text = await self.fetcher.playlist(self.url)
        except FetchFailed as error:
            if error.status in (404, 410) and self.state.segments:
                self._note(f"the playlist has gone (HTTP {error.status}); taken for the end of the stream")
                return None
            raise
        playlist = read_playlist(text, address, self.variables)
        if isinstance(playlist, MasterPlaylist):
            raise PlaylistRefused(f"{address} has become a master playlist")
        return playlist

    def _tell_lost(self, lost: int, restarted: bool) -> None:
        if lost:
            self._note(
                f"{self.label}{lost} segments are lost: they came and went before they could be fetched"
            )
        if restarted:
            self._note(f"{self.label}the stream began to count anew; something may be missing")

    def _note(self, text: str) -> None:
        self.log.warning("%s: %s", self.url, text)
        self.notes = [*self.notes[-19:], text]
