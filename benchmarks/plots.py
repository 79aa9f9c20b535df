"""Plots of figures as SVG: words stay words, and the colours follow the reader's light or dark theme."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.figures import Figure, Lines, Row, Scale, Spread, median, number, p99

# Colours on light paper, and what stands for them on dark paper.
_PAPER, _INK, _QUIET, _GRID, _OURS = "#ffffff", "#15171c", "#626979", "#e5e7ec", "#5050c8"
_DARK = {_PAPER: "#15171c", _INK: "#eef0f4", _QUIET: "#939aa9", _GRID: "#2f343f", _OURS: "#8f8ff7"}
_PEERS = ("#c26a12", "#17855b", "#b23a72", "#3f7fbf", "#7a6a00", "#7d53a8", "#5f6b7a")
_PEERS_DARK = ("#e9a355", "#53c796", "#ee85b3", "#7fb6ee", "#cdbb45", "#bd98e6", "#a3afbe")
_DARK |= dict(zip(_PEERS, _PEERS_DARK, strict=True))
_WIDTH = 9.2
_WHAT_CHARS, _PEER_CHARS = 46, 34
OVERVIEW = "Plugbay's cost over its peer's, medians"
_POINTS = 300
_STYLE: Any = {
    "svg.fonttype": "none",
    # Names inside the file do not change from run to run.
    "svg.hashsalt": "plugbay",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "figure.facecolor": _PAPER,
    "axes.facecolor": _PAPER,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _QUIET,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "grid.color": _GRID,
    "text.color": _INK,
}


def spread(plot: Spread) -> str:
    """All that was measured, a row for each: points, from the least to the p99 a bar, the median on it."""
    with matplotlib.rc_context(_STYLE):
        rows = [(one, [value for value in one.values if value is not None]) for one in plot.series]
        rows = [(one, values) for one, values in rows if values]
        canvas, axes = _canvas(1.0 + 0.46 * len(rows), plot.title.en)
        colours = itertools.cycle(_PEERS)
        for place, (one, values) in enumerate(rows):
            colour = _OURS if one.ours else next(colours)
            least, middle, high = min(values), median(values), p99(values)
            points = _thinned(values)
            lanes = [place + 0.26 * _scattered(number) for number in range(len(points))]
            axes.scatter(points, lanes, s=7, color=colour, alpha=0.28, linewidths=0, zorder=2)
            axes.plot([least, high], [place, place], color=colour, linewidth=2, zorder=3)
            axes.plot([high, high], [place - 0.14, place + 0.14], color=colour, linewidth=2, zorder=3)
            axes.plot([middle], [place], "o", color=colour, markersize=8, markeredgecolor=_PAPER, zorder=4)
            axes.annotate(
                f"{number(middle)} {plot.unit} · p99 {number(high)}",
                (1.012, place),
                xycoords=("axes fraction", "data"),
                color=_INK if one.ours else _QUIET,
                fontweight="bold" if one.ours else "normal",
                va="center",
                annotation_clip=False,
            )
        axes.set_yticks(range(len(rows)), [one.label.en for one, _ in rows], color=_INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        _scaled(axes, "x", plot.scale)
        axes.set_xlabel(plot.unit)
        axes.grid(axis="x", linewidth=0.8)
        return _svg(canvas, plot.title.en)


def lines(plot: Lines) -> str:
    """Medians over a size, the space up to the p99 shaded."""
    with matplotlib.rc_context(_STYLE):
        canvas, axes = _canvas(4.6, plot.title.en)
        ours = itertools.cycle(("-", (0, (4, 1.5)), (0, (1, 1))))
        colours = itertools.cycle(_PEERS)
        for one in plot.series:
            colour = _OURS if one.ours else next(colours)
            values = [math.nan if value is None else value for value in one.values]
            front = 4 if one.ours else 3
            axes.plot(
                plot.x,
                values,
                marker="o",
                linestyle=next(ours) if one.ours else "-",
                color=colour,
                linewidth=2.4 if one.ours else 1.6,
                markersize=6 if one.ours else 5,
                zorder=front,
                label=one.label.en,
            )
            if one.upper is not None:
                upper = [math.nan if value is None else value for value in one.upper]
                axes.fill_between(
                    plot.x, values, upper, color=colour, alpha=0.13, linewidth=0, zorder=front - 2
                )
        _scaled(axes, "x", plot.x_scale)
        axes.set_xticks(plot.x, [number(one) if one % 1 else f"{one:,.0f}" for one in plot.x])
        axes.xaxis.set_minor_formatter(NullFormatter())
        _scaled(axes, "y", plot.scale)
        if plot.scale is Scale.LINEAR:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(plot.x_label.en)
        axes.set_ylabel(plot.unit)
        axes.grid(linewidth=0.8)
        canvas.legend(loc="outside lower left", ncols=2, frameon=False, labelcolor=_INK, handlelength=2.4)
        return _svg(canvas, plot.title.en)


def overview(figures: Sequence[tuple[str, Figure]]) -> str | None:
    """Each figure beside its peer on one scale: what lies to the left of 1 is ahead of it; rates are turned over.

    Args:
        figures: by name of the benchmark.

    Returns:
        None where nothing was measured beside anything.
    """
    rows = [(name, row) for name, figure in figures for row in figure.rows if row.ratio]
    if not rows:
        return None
    with matplotlib.rc_context(_STYLE):
        canvas, axes = _canvas(0.8 + 0.28 * len(rows), OVERVIEW)
        axes.axvline(1, color=_QUIET, linewidth=1.2, zorder=1)
        for place, (_, row) in enumerate(rows):
            cost = _cost(row, row.ratio or 1)
            bound = _bound(row)
            colour = _OURS if bound is None or cost <= bound else _PEERS[0]
            axes.plot([1, cost], [place, place], color=colour, linewidth=2, alpha=0.45, zorder=2)
            axes.plot([cost], [place], "o", color=colour, markersize=7, markeredgecolor=_PAPER, zorder=4)
            if bound is not None:
                axes.plot([bound], [place], "|", color=_INK, markersize=10, markeredgewidth=1.6, zorder=3)
            axes.annotate(
                f"{number(cost)} ×",
                (1.012, place),
                xycoords=("axes fraction", "data"),
                color=_INK,
                va="center",
                fontsize=9,
                annotation_clip=False,
            )
        names = [
            _named(
                name,
                row,
                same=place > 0 and (rows[place - 1][0], rows[place - 1][1].what) == (name, row.what),
            )
            for place, (name, row) in enumerate(rows)
        ]
        axes.set_yticks(range(len(rows)), names, color=_INK, fontsize=8.5)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        _scaled(axes, "x", Scale.LOG)
        axes.grid(axis="x", linewidth=0.8)
        return _svg(canvas, OVERVIEW)


def _cost(row: Row, ratio: float) -> float:
    return 1 / ratio if row.more_is_better or (row.goal and row.goal.at_least is not None) else ratio


def _bound(row: Row) -> float | None:
    goal = row.goal
    if goal is None or not goal.ratio:
        return None
    return goal.at_most if goal.at_most is not None else 1 / (goal.at_least or 1)


def _named(name: str, row: Row, *, same: bool) -> str:
    """What is in a row: the benchmark and the figure, named once of several beside each other, and the peer."""
    peer = _cut(row.peer.en if row.peer else "", _PEER_CHARS)
    return f"″ / {peer}" if same else f"{_cut(f'{name}: {row.what.en}', _WHAT_CHARS)} / {peer}"


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1].rstrip()}…"


def _scattered(place: int) -> float:
    """Where a point lies across its row, -1 to 1: evenly, and alike from run to run."""
    return 2 * (place * 0.6180339887 % 1) - 1


def _thinned(values: list[float]) -> list[float]:
    """No more of them than can be told apart, evenly by rank; with thousands the file would be of megabytes."""
    step = max(1, -(-len(values) // _POINTS))
    ordered = sorted(values)
    return [*ordered[:-1:step], ordered[-1]]


def _canvas(height: float, title: str) -> tuple[Canvas, Axes]:
    """Inches high, with the title over the whole width."""
    canvas = Canvas(figsize=(_WIDTH, height), layout="constrained")
    canvas.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    axes = canvas.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return canvas, axes


def _scaled(axes: Axes, which: str, scale: Scale) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    if scale is Scale.LOG:
        axes.set(**{f"{which}scale": "log"})
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        # Where there are few powers of ten, what lies between them is named, too.
        subs = (1.0,) if high / low > 1000 else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def _svg(canvas: Canvas, title: str) -> str:
    drawn = io.StringIO()
    canvas.savefig(drawn, format="svg", metadata={"Date": None, "Title": title})
    text = drawn.getvalue()
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in _DARK.items()
        for what in ("fill", "stroke")
    )
    themed = f"<style>@media(prefers-color-scheme:dark){{{rules}}}</style>"
    text = re.sub(r"(<svg [^>]*>)", lambda found: found[1] + themed, text, count=1)
    # The reader has another font than the one that was measured with.
    return text.replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', Verdana, sans-serif")
