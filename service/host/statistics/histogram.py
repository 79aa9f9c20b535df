"""Times, counted by how long they were: one look-up and an addition for each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

# Upper bounds in seconds; what is above the last is counted beyond it.
LATENCY_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
LOAD_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Buckets(NamedTuple):
    """A histogram as it was at some moment: how many are in each bucket alone, and the sum of all, in seconds."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total_s: float


class Histogram:
    """One histogram.

    Args:
        bounds: upper bounds in seconds, ascending; one that is a value belongs to it.
    """

    __slots__ = ("_bounds", "_counts", "_total_s")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total_s = 0.0

    def count(self, seconds: float) -> None:
        """Count one that took so long."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._total_s += seconds

    def buckets(self) -> Buckets:
        """All that was counted so far; it does not change any more."""
        return Buckets(self._bounds, tuple(self._counts), self._total_s)


class Histograms:
    """Histograms of the same bounds, each by a label of which there are few.

    Args:
        bounds: as for `Histogram`.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._by_label: dict[str, Histogram] = {}

    def count(self, label: str, seconds: float) -> None:
        """Count one that took so long."""
        one = self._by_label.get(label)
        if one is None:
            one = self._by_label[label] = Histogram(self._bounds)
        one.count(seconds)

    def buckets(self) -> dict[str, Buckets]:
        """All that was counted so far, by label."""
        return {label: one.buckets() for label, one in self._by_label.items()}
