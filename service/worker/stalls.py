"""Tells an author which call of the plugin held up the event loop, while it is held up.

Only where the server asks for it, as `plugbay check` does: a thread looks at where the main thread stands whenever the
loop has not turned for too long. What it sees goes out as a line of the plugin's log.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NamedTuple

# Begins what is written; the rest of the line is a JSON object.
MARK = b"\x1fplugbay-stall "
_TURN_SECONDS = 0.02
_SAMPLE_SECONDS = 0.01
_SAMPLES = 5
_ERROR_OUTPUT_FD = 2


class _Place(NamedTuple):
    file: str
    function: str
    line: int | None
    end_line: int | None
    column: int | None
    end_column: int | None


class _Held:
    """For how long the loop has stood still at a place."""

    def __init__(self, place: _Place) -> None:
        self.place = place
        self.seconds = 0.0
        self.told_seconds = 0.0


class StallWatch:
    """Watches one loop.

    Args:
        loop: of the main thread.
        root: the folder of plugin-side code; of what stands in the way, the innermost place in it is told.
        stall_s: seconds without a turn of the loop that are too long.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, root: str, stall_s: float) -> None:
        self._loop = loop
        self._root = root.rstrip(os.sep) + os.sep
        self._stall_s = stall_s
        self._turned = time.monotonic()
        self._busy_before = time.process_time()
        self._is_its_own = False
        self._main = threading.main_thread().ident or 0

    def start(self) -> None:
        """Watch from now on, until the process ends."""
        self._loop.call_later(_TURN_SECONDS, self._turn)
        threading.Thread(target=self._watch, name="stall watch", daemon=True).start()

    def _turn(self) -> None:
        self._note_turn()
        self._loop.call_later(_TURN_SECONDS, self._turn)

    def _note_turn(self) -> None:
        self._turned = time.monotonic()
        self._busy_before = time.process_time()

    def _watch(self) -> None:
        samples, since, before = 0, self._turned, time.monotonic()
        held: dict[tuple[str, int | None], _Held] = {}
        while True:
            time.sleep(_SAMPLE_SECONDS)
            before, passed = time.monotonic(), time.monotonic() - before
            if not self._loop.is_running():
                # Nothing waits for it then.
                self._note_turn()
            if self._turned != since:
                # It turns again: now it is known for how long it did not.
                self._tell_all(held)
                samples, since = 0, self._turned
                held.clear()
            late = before - since
            if late <= 2 * _TURN_SECONDS:
                continue
            samples += 1
            place = self._place(sys._current_frames().get(self._main))
            if place is None:
                continue
            one = held.setdefault((place.file, place.line), _Held(place))
            one.seconds += late if samples == 1 else passed
            # A process that is kept from running has no samples and no time of the processor.
            self._is_its_own = samples >= _SAMPLES or time.process_time() - self._busy_before >= self._stall_s
            if self._is_its_own and one.seconds >= max(self._stall_s, 2 * one.told_seconds):
                # At once, and again from time to time, as it may be that the loop never turns again.
                self._tell(one)

    def _tell_all(self, held: dict[tuple[str, int | None], _Held]) -> None:
        told = [one for one in held.values() if one.told_seconds]
        if not told and held and self._is_its_own:
            # Many lines, each of them soon done.
            longest = max(held.values(), key=lambda one: one.seconds)
            longest.seconds = sum(one.seconds for one in held.values())
            told = [longest] if longest.seconds >= self._stall_s else []
        for one in told:
            self._tell(one)
        self._is_its_own = False

    def _place(self, frame: FrameType | None) -> _Place | None:
        """The innermost plugin-side place, and the function of the plugin that was called first."""
        frames = [one for one in _outward(frame) if one.f_code.co_filename.startswith(self._root)]
        if not frames:
            return None
        code = frames[0].f_code
        return _Place(code.co_filename, frames[-1].f_code.co_name, *_span(frames[0]))

    def _tell(self, held: _Held) -> None:
        held.told_seconds = held.seconds
        told = json.dumps({**held.place._asdict(), "ms": round(held.seconds * 1000)})
        os.write(_ERROR_OUTPUT_FD, b"\n<7>" + MARK + told.encode() + b"\n")


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _span(frame: FrameType) -> tuple[int | None, int | None, int | None, int | None]:
    """The first and last line, from 1, and the columns in bytes of UTF-8, from 0, of what runs in a frame."""
    positions = list(frame.f_code.co_positions())
    index = frame.f_lasti // 2
    if 0 <= index < len(positions):
        return positions[index]
    return frame.f_lineno, None, None, None
