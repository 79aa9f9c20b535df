"""One download of a stream, from its playlist to files under their own names."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugins.download.hls_plugin.fetch import Fetcher, FetchFailed
from plugins.download.hls_plugin.options import Options, audio_label, audio_of, choose, stem_of, suffix_of
from plugins.download.hls_plugin.spool import CannotWrite, HlsFailed, first_of, in_thread
from plugins.download.hls_plugin.state import TrackState, is_own, is_published, remove
from plugins.download.hls_plugin.track import RELOAD_MIN_S, Track
from plugins.shared.hls_playlist import MasterPlaylist, MediaPlaylist, PlaylistRefused, read_playlist
from plugins.shared.saved_files import free_target
from service.sdk import DownloadTask

REPORT_INTERVAL_S = 0.25
SPEED_WINDOW = 20  # reports
MASTER_DEPTH = 3


@dataclass
class Job:
    """One download: finds out what belongs to it, has it joined, tells how far it is, and names the files.

    Args:
        task: the server's.
        options: what the user wants.
        fetcher: its connections.
        folder: where to.
        log: the plugin's.
    """

    task: DownloadTask
    options: Options
    fetcher: Fetcher
    folder: Path
    log: logging.Logger
    tracks: dict[str, Track] = field(default_factory=dict)
    _claimed: list[TrackState] = field(default_factory=list)
    _speeds: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SPEED_WINDOW))
    _variables: Mapping[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Do all of it.

        Raises:
            HlsFailed: the message says what; what there is is kept for another attempt.
            PlaylistRefused: another attempt would end the same.
        """
        states = saved_states(self.task.resume)
        await self._prepare(states)
        try:
            async with asyncio.TaskGroup() as group:
                teller = group.create_task(self._tell())
                async with asyncio.TaskGroup() as work:
                    for track in self.tracks.values():
                        work.create_task(track.run())
                teller.cancel()
        except BaseExceptionGroup as failures:
            raise first_of(failures) from failures
        await self._publish()

    async def leave(self, *, everything: bool) -> None:
        """Remove the part files: all, or those without anything in them, which help nobody."""
        if everything:
            useless = [*saved_states(self.task.resume).values(), *self._claimed]
        else:
            filled = {track.state.part for track in self.tracks.values() if track.state.segments}
            useless = [state for state in self._claimed if state.part not in filled]
            gone = {state.part for state in useless}
            # First forgotten, then removed: another download may have that name next.
            self.tracks = {
                label: track for label, track in self.tracks.items() if track.state.part not in gone
            }
            if useless:
                await self._checkpoint()
        for state in useless:
            await in_thread(remove, state)

    async def _prepare(self, states: Mapping[str, TrackState]) -> None:
        """Find the playlists to download and a part file for each."""
        url, playlist, sounds = await self._resolve()
        wanted: list[tuple[str, str, MediaPlaylist]] = [("video", url, playlist)]
        for label, sound_url in sounds:
            address, sound = await self._playlist(sound_url)
            if isinstance(sound, MasterPlaylist):
                raise PlaylistRefused(f"{address} is a master playlist where an audio track belongs")
            wanted.append((label, address, await self._begun(address, sound)))
        stem = stem_of(self.task.title, self.task.url)
        for label, address, media in wanted:
            state = states.get(label)
            suffix = suffix_of(media)
            if state is None or state.target.suffix != suffix or not await in_thread(_usable, state):
                state = await self._claim(f"{stem}{'' if label == 'video' else f'.{label}'}{suffix}")
            if label == "video":
                stem = state.target.stem
                self.task.save_path = str(state.target)
            track = Track(
                address,
                media,
                state,
                self.fetcher,
                window=2 * self.options.parallel,
                log=self.log,
                durable=self._checkpoint,
                label="" if label == "video" else f"{label} ",
                limits=self.options.live,
                variables=self._variables,
            )
            await track.begin()
            self.tracks[label] = track
            self.log.info("%s → %s", address, state.target)
        await self._checkpoint()
        used = {track.state.part for track in self.tracks.values()}
        for state in states.values():
            if state.part not in used:
                await in_thread(remove, state)

    async def _resolve(self) -> tuple[str, MediaPlaylist, list[tuple[str, str]]]:
        """The media playlist behind the task's address, and the audio playlists to save beside it."""
        address, playlist = await self._playlist(self.task.url)
        sounds: list[tuple[str, str]] = []
        for _ in range(MASTER_DEPTH):
            if isinstance(playlist, MediaPlaylist):
                return address, await self._begun(address, playlist), sounds
            self._variables = {**self._variables, **playlist.variables}
            variants = choose(playlist.variants, self.options.max_height, self.options.max_bandwidth)
            for number, variant in enumerate(variants, 1):
                try:
                    address, found = await self._playlist(variant.url)
                    break
                except FetchFailed as error:
                    if number == len(variants):
                        raise
                    self.log.warning("%s; trying another of the same quality", error)
            chosen = audio_of(playlist, variant, self.options.audio)
            sounds = [(audio_label(one, index), one.url or "") for index, one in enumerate(chosen)] or sounds
            self.log.info("%s: %s of %d", self.task.url, variant.label, len(playlist.variants))
            self.task.metadata["variant"] = {
                "url": variant.url,
                "name": variant.label,
                "bandwidth": variant.bandwidth,
                "width": variant.width,
                "height": variant.height,
            }
            playlist = found
        if isinstance(playlist, MasterPlaylist):
            raise PlaylistRefused(f"{self.task.url}: master playlists that lead to each other")
        return address, await self._begun(address, playlist), sounds

    async def _playlist(self, url: str) -> tuple[str, MasterPlaylist | MediaPlaylist]:
        address, text = await self.fetcher.playlist(url)
        return address, read_playlist(text, address, self._variables)

    async def _begun(self, url: str, playlist: MediaPlaylist) -> MediaPlaylist:
        """A live stream may have no segment yet; what they are tells the file's name."""
        began = time.monotonic()
        while not playlist.segments:
            idle_s = self.options.live.idle_s
            if 0 < idle_s <= time.monotonic() - began:
                raise HlsFailed(f"{url}: the live stream has not begun within {idle_s:.0f} s")
            await self.task.report(message="waiting for the live stream to begin")
            await asyncio.sleep(max(RELOAD_MIN_S, playlist.target_s / 2))
            _, again = await self._playlist(url)
            if isinstance(again, MasterPlaylist):
                raise PlaylistRefused(f"{url} has become a master playlist")
            playlist = again
        return playlist

    async def _claim(self, name: str) -> TrackState:
        def claim() -> TrackState:
            target, part = free_target(self.folder, name)
            state = TrackState(part, target, part.stat().st_ino)
            self._claimed.append(state)  # here, so that it is known also when nobody waits for it any more
            return state

        try:
            return await in_thread(claim)
        except OSError as error:
            raise CannotWrite(self.folder, error) from error

    async def _checkpoint(self) -> None:
        await self.task.checkpoint(
            {"version": 1, "tracks": {label: track.saved for label, track in self.tracks.items()}}
        )

    async def _tell(self) -> None:
        began = time.monotonic()
        before = sum(track.state.segments for track in self.tracks.values())
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            now = time.monotonic()
            self._speeds.append((now, self.fetcher.received))
            then, received = self._speeds[0]
            speed = (self.fetcher.received - received) / (now - then) if now > then else None
            states = [track.state for track in self.tracks.values()]
            done, size = sum(state.segments for state in states), sum(state.size for state in states)
            totals = [track.total for track in self.tracks.values()]
            if None in totals:
                lost = sum(state.lost for state in states)
                message = f"live: {done} segments, {max(state.seconds for state in states):.0f} s" + (
                    f", {lost} lost" if lost else ""
                )
                await self.task.report(downloaded=size, speed=speed, message=message)
                continue
            total = sum(number or 0 for number in totals)
            fresh = done - before
            await self.task.report(
                progress=100 * done / total,
                downloaded=size,
                speed=speed,
                eta=(total - done) * (now - began) / fresh if fresh else None,
                message=f"segment {done} of {total}",
            )

    async def _publish(self) -> None:
        """The video comes last: where it is, all is."""
        files: dict[str, str] = {}
        for label, track in reversed(self.tracks.items()):
            files[label] = str(await track.publish())
        self.task.save_path = files.pop("video")
        states = [track.state for track in self.tracks.values()]
        size = sum(state.size for state in states)
        notes = [note for track in self.tracks.values() for note in track.notes]
        if files:
            self.task.metadata["audio_files"] = files
            notes.append(f"separate audio saved beside it: {', '.join(files.values())}")
            self.log.info("%s: audio saved beside it: %s", self.task.url, ", ".join(files.values()))
        if lost := sum(state.lost for state in states):
            self.task.metadata["lost_segments"] = lost
        if notes:
            self.task.metadata["notes"] = notes
        await self.task.report(
            progress=100, downloaded=size, total=size, eta=0, message="; ".join(notes) or None
        )


def saved_states(resume: Mapping[str, Any] | None) -> dict[str, TrackState]:
    """Each track's state in a checkpoint; one that cannot be read counts as none."""
    try:
        return {
            str(label): TrackState.load(saved) for label, saved in (resume or {}).get("tracks", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def _usable(state: TrackState) -> bool:
    return is_own(state) or is_published(state)
