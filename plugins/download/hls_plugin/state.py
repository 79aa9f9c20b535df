"""How far a track is: what a checkpoint keeps of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.shared.saved_files import publish


@dataclass(slots=True)
class TrackState:
    """What a checkpoint says of one track.

    Args:
        part: the part file.
        target: the name at the end.
        inode: of the part file, which tells it from a later one of that name.
        size: how many bytes of the part file are right.
        segments: how many segments they are.
        plan: of the list of segments that they are from; None for a live one.
        init: identity of the initialisation section written last.
        live: of the `Follower`, for a live one.
        lost: how many segments of a live one came and went unseen.
        seconds: how long it plays.
        finished: all of it is there.
    """

    part: Path
    target: Path
    inode: int
    size: int = 0
    segments: int = 0
    plan: str | None = None
    init: str | None = None
    live: dict[str, Any] | None = None
    lost: int = 0
    seconds: float = 0.0
    finished: bool = False

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "part": str(self.part),
            "target": str(self.target),
            "inode": self.inode,
            "size": self.size,
            "segments": self.segments,
            "plan": self.plan,
            "init": self.init,
            "live": self.live,
            "lost": self.lost,
            "seconds": round(self.seconds, 3),
            "finished": self.finished,
        }

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> TrackState:
        """From JSON.

        Raises:
            KeyError: it is not one.
            TypeError, ValueError: likewise.
        """
        part, target = Path(saved["part"]), Path(saved["target"])
        if part != target.with_name(f"{target.name}.part"):
            raise ValueError(f"{part} is no part file of {target}")
        return cls(
            part=part,
            target=target,
            inode=int(saved["inode"]),
            size=int(saved["size"]),
            segments=int(saved["segments"]),
            plan=saved["plan"],
            init=saved["init"],
            live=saved["live"],
            lost=int(saved["lost"]),
            seconds=float(saved["seconds"]),
            finished=bool(saved["finished"]),
        )


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """When the recording of a live stream ends by itself, in seconds; 0 for never.

    Args:
        record_s: after so much of it has been recorded.
        idle_s: when nothing new came for so long.
    """

    record_s: float = 0.0
    idle_s: float = 600.0


def is_own(state: TrackState, path: Path | None = None) -> bool:
    """Whether the part file, or another path, is the file that was made for this track, not another's of that name."""
    try:
        found = os.stat(path or state.part, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_ino == state.inode


def is_published(state: TrackState) -> bool:
    """Whether the process was killed between the renaming and the news of it."""
    return state.finished and not state.part.exists() and is_own(state, state.target)


def published(state: TrackState) -> Path:
    """Give the finished file its name, unless it has it."""
    return state.target if is_published(state) else publish(state.part, state.target)


def remove(state: TrackState) -> None:
    """Remove the part file."""
    if is_own(state):
        state.part.unlink(missing_ok=True)
