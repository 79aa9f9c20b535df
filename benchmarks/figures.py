"""What a benchmark gives: rows of figures, each with its peer and with what is asked of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from service.model.text import Text

_T = TypeVar("_T")


class Size(StrEnum):
    """How much is measured: just enough to see that it runs, a few minutes, or everything at full length."""

    SMOKE = "smoke"
    NORMAL = "normal"
    FULL = "full"

    def of(self, smoke: _T, normal: _T, full: _T) -> _T:
        """The count that goes with it."""
        return {Size.SMOKE: smoke, Size.NORMAL: normal, Size.FULL: full}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is asked: of the ratio to the peer where `ratio` is set, else of the value itself."""

    at_most: float | None = None
    at_least: float | None = None
    ratio: bool = False

    def is_met(self, value: float) -> bool:
        """Whether the value, or the ratio, is as asked."""
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )

    def shown(self, unit: str) -> str:
        """Such as `≤ 1.4 ×`."""
        sign, bound = ("≤", self.at_most) if self.at_most is not None else ("≥", self.at_least)
        return f"{sign} {bound:g} {'×' if self.ratio else unit}"


def _is_met(goal: Goal, value: float | None) -> bool:
    return value is not None and goal.is_met(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: the median of what was measured and, where there are many, its p99.

    `Row.of` makes one of all that was measured. Rows of one `what` that follow each other are the same figure beside
    several peers.

    Args:
        what: what was measured.
        value: of Plugbay, in `unit`.
        peer: what it was measured beside, if anything, and its value in the same unit.
        goal: what is asked.
        p99: what 99 of 100 are no worse than (see `worst`), in `unit`; None where it means nothing.
        peer_p99: the same of the peer.
        p99_goal: what is asked of it, or of its ratio.
        absent: why the peer could not be measured here; then it has no value.
        more_is_better: as of rates.
    """

    what: Text
    value: float
    unit: str
    peer: Text | None = None
    peer_value: float | None = None
    goal: Goal | None = None
    p99: float | None = None
    peer_p99: float | None = None
    p99_goal: Goal | None = None
    absent: Text | None = None
    more_is_better: bool = False

    @classmethod
    def of(
        cls,
        what: Text,
        unit: str,
        values: Sequence[float],
        *,
        peer: Text | None = None,
        peer_values: Sequence[float] = (),
        goal: Goal | None = None,
        p99_goal: Goal | None = None,
        absent: Text | None = None,
        more_is_better: bool = False,
    ) -> Row:
        """A row of all that was measured of Plugbay and of the peer, in `unit`."""
        return cls(
            what=what,
            unit=unit,
            value=median(values),
            p99=worst(values, more_is_better=more_is_better),
            peer=peer,
            peer_value=median(peer_values) if peer_values else None,
            peer_p99=worst(peer_values, more_is_better=more_is_better) if peer_values else None,
            goal=goal,
            p99_goal=p99_goal,
            absent=absent,
            more_is_better=more_is_better,
        )

    @property
    def ratio(self) -> float | None:
        """Plugbay's value over the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def p99_ratio(self) -> float | None:
        """The same of the p99."""
        return self.p99 / self.peer_p99 if self.p99 is not None and self.peer_p99 else None

    @property
    def met(self) -> bool | None:
        """Whether it is as asked, in both where both are; None where nothing is, or where its peer was not there."""
        if self.absent is not None or (self.goal is None and self.p99_goal is None):
            return None
        both = ((self.goal, self.value, self.ratio), (self.p99_goal, self.p99, self.p99_ratio))
        return all(_is_met(goal, ratio if goal.ratio else value) for goal, value, ratio in both if goal)

    @property
    def asked(self) -> str:
        """What is asked and whether it is so, such as `≤ 1.4 ×, p99 ≤ 10 ms ✓`; empty where nothing is."""
        goals = [self.goal.shown(self.unit)] if self.goal else []
        goals += [f"p99 {self.p99_goal.shown(self.unit)}"] if self.p99_goal else []
        mark = {True: " ✓", False: " ✗", None: ""}[self.met]
        return ", ".join(goals) + mark


class Scale(StrEnum):
    """How the values of a plot are spaced."""

    LINEAR = "linear"
    LOG = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One thing in a plot.

    Args:
        label: its name.
        values: in a `Lines` plot one for each x (None where there is none), in a `Spread` all that was measured.
        upper: in a `Lines` plot the p99 of each; the space up to it is shaded.
        ours: whether it is Plugbay's, which is drawn in front.
    """

    label: Text
    values: Sequence[float | None]
    upper: Sequence[float | None] | None = None
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A plot of medians over a size, such as the number of clients.

    Args:
        title: what it shows.
        x: the sizes.
        x_label: what they count.
        unit: of the values.
        series: the lines.
    """

    title: Text
    x: list[float]
    x_label: Text
    unit: str
    series: list[Series]
    x_scale: Scale = Scale.LOG
    scale: Scale = Scale.LOG


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A plot of all that was measured, one row for each: from the least to the p99, the median and the p99 marked.

    Args:
        title: what it shows.
        unit: of the values.
        series: the rows, from above.
    """

    title: Text
    unit: str
    series: list[Series]
    scale: Scale = Scale.LOG


@dataclass(slots=True)
class Figure:
    """The rows of one benchmark, with notes on how they came about, and plots; the report shows all of them."""

    title: Text
    rows: list[Row] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)
    lines: list[Lines] = field(default_factory=list)
    spreads: list[Spread] = field(default_factory=list)


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    """What 99 of 100 are not above; of fewer than 100 values, the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def worst(values: Sequence[float], *, more_is_better: bool = False) -> float:
    """What 99 of 100 are no worse than: the p99 of times, the p1 of rates."""
    return -p99([-value for value in values]) if more_is_better else p99(values)


def number(value: float) -> str:
    """A figure as it is read: three digits or so."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.01:
        return f"{value:.1g}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
