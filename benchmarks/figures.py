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


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure.

    Args:
        what: what was measured.
        value: of Plugbay, in `unit`.
        peer: what it was measured beside, if anything, and its value in the same unit.
        goal: what is asked.
    """

    what: Text
    value: float
    unit: str
    peer: Text | None = None
    peer_value: float | None = None
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Plugbay's value over the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool | None:
        """Whether it is as asked; None where nothing is."""
        if self.goal is None:
            return None
        judged = self.ratio if self.goal.ratio else self.value
        return judged is not None and self.goal.is_met(judged)


@dataclass(slots=True)
class Figure:
    """The rows of one benchmark, with notes on how they came about."""

    title: Text
    rows: list[Row] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    """What 99 of 100 are not above; of fewer than 100 values, the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
