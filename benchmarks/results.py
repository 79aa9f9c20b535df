"""What was measured, kept as one JSON file a benchmark, so that one can be measured again and the report rewritten."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.figures import Figure, Size
from benchmarks.machine import Noise

_MOST_VALUES = 400
_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """When, of what and where something was measured.

    Args:
        at: when it was begun, in UTC.
        commit: of Plugbay, with `+` where files were changed since; empty outside a checkout.
        size: how much was measured.
        machine: its processor, memory and kernel.
        noise: what the machine did just before.
        versions: of Plugbay, Python, and everything that was measured beside, by name.
    """

    at: datetime
    commit: str
    size: Size
    machine: str
    noise: Noise
    versions: dict[str, str]

    @property
    def day(self) -> str:
        """Such as `2026-11-28 13:40`."""
        return f"{self.at:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A benchmark that did not come to its end.

    Args:
        circumstances: of the attempt.
        message: what went wrong.
    """

    circumstances: Circumstances
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is known of one benchmark.

    Args:
        name: of the benchmark.
        figure: what was measured last, if anything ever was.
        circumstances: of that.
        took_s: how long it took.
        failure: of a later attempt.
    """

    name: str
    figure: Figure | None = None
    circumstances: Circumstances | None = None
    took_s: float = 0.0
    failure: Failure | None = None


class Results:
    """The files.

    Args:
        folder: where they lie, made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, name: str) -> Result:
        """What is known of a benchmark; nothing where there is no file."""
        try:
            return msgspec.json.decode((self._folder / f"{name}.json").read_bytes(), type=Result)
        except FileNotFoundError:
            return Result(name=name)

    def keep(self, result: Result) -> None:
        """Write the file of a benchmark."""
        if result.figure is not None:
            result = replace(result, figure=_thinned(result.figure))
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{result.name}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")


def now() -> datetime:
    """This second."""
    return datetime.now(UTC).replace(microsecond=0)


def commit(root: Path) -> str:
    """The checkout's commit, with `+` where its files differ from it."""
    try:
        name = _git(root, "rev-parse", "--short=10", "HEAD")
        changed = _git(
            root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs", ":!README*"
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{name}+" if changed else name


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _thinned(figure: Figure) -> Figure:
    """The figure with no more values than its plots need."""
    spreads = [
        replace(one, series=[replace(series, values=_few(series.values)) for series in one.series])
        for one in figure.spreads
    ]
    return replace(figure, spreads=spreads)


def _few(values: Sequence[float | None]) -> list[float | None]:
    """Values that are spread as these are, in order of size."""
    ordered = sorted(float(f"{value:.{_DIGITS}g}") for value in values if value is not None)
    if len(ordered) <= _MOST_VALUES:
        return list(ordered)
    last = len(ordered) - 1
    return [ordered[round(number * last / (_MOST_VALUES - 1))] for number in range(_MOST_VALUES)]
