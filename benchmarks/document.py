"""`docs/benchmarks.md`: the figures with their plots, and around them the prose of `benchmarks/prose/`.

Each file of prose is named after a benchmark and has two parts: how it is measured, and, below a line with the mark,
what it falls short of and why. `index.md` stands around them all. Only figures are made here, so prose is never lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import plots
from benchmarks.figures import Figure, Row, number
from benchmarks.results import Circumstances, Failure, Result

PROSE = Path(__file__).with_name("prose")
_MARK = "<!-- figures -->\n"
_HEADINGS = ("figure", "Plugbay", "p99", "beside it", "its figure", "its p99", "ratio", "asked")
_ALIGNED = ("---", "---:", "---:", "---", "---:", "---:", "---:", "---:")


def write(docs: Path, results: Sequence[Result]) -> None:
    """Write the document and its plots.

    Args:
        docs: the folder of documents; plots lie in its `benchmarks/`, beside the results.
        results: in the order in which they are shown.
    """
    pictures = docs / "benchmarks"
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    before, after = _prose("index")
    parts = [before, *_summary(pictures, results)]
    newest = _newest(results)
    for result in results:
        parts += _chapter(pictures, result, newest)
    text = "\n\n".join(part.strip("\n") for part in (*parts, after) if part.strip("\n"))
    (docs / "benchmarks.md").write_text(f"{text}\n", encoding="utf-8")


def _prose(name: str) -> tuple[str, str]:
    try:
        text = (PROSE / f"{name}.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        return "", ""
    before, _, after = text.partition(_MARK)
    return before, after


def _summary(pictures: Path, results: Sequence[Result]) -> Iterator[str]:
    """What was measured where, and all ratios at once."""
    known = [one for one in results if one.figure is not None and one.circumstances is not None]
    newest = _newest(results)
    if newest is None:
        return
    yield "## The machine and the versions"
    yield f"{newest.machine}."
    yield " · ".join(f"{name} {version}" for name, version in newest.versions.items())
    yield "That is as of the newest figure; one that was measured with others says so below it."
    rows = [row for one in known if one.figure for row in one.figure.rows]
    judged = [row for row in rows if row.met is not None]
    missed = [(one.name, row) for one in known if one.figure for row in one.figure.rows if row.met is False]
    yield "## All of it"
    yield f"Of {len(judged)} figures of which something is asked, {len(judged) - len(missed)} are as asked."
    if missed:
        yield "Short of it are:\n\n" + "\n".join(
            f"* [`{name}`](#{name}): {row.what.en}, beside {row.peer.en}" if row.peer
            else f"* [`{name}`](#{name}): {row.what.en}"
            for name, row in missed
        )  # fmt: skip
    if absent := [(one.name, row) for one in known if one.figure for row in one.figure.rows if row.absent]:
        yield "Peers that could not be run here:\n\n" + "\n".join(
            f"* [`{name}`](#{name}): {row.peer.en if row.peer else ''}: {row.absent.en}"
            for name, row in absent
            if row.absent
        )
    if failed := [one for one in results if one.failure]:
        yield "Benchmarks that did not come to their end: " + ", ".join(
            f"[`{one.name}`](#{one.name})" for one in failed
        )
    if drawn := plots.overview([(one.name, one.figure) for one in known if one.figure]):
        yield _picture(pictures, "overview", drawn, plots.OVERVIEW)
        yield (
            "To the left of 1 it is ahead of its peer, which stands behind the stroke of each name; rates are turned "
            "over. A bar is the ratio that is asked, and orange is what falls short of it. What is asked of a p99, or "
            "of the figure itself, is in the tables."
        )


def _newest(results: Iterable[Result]) -> Circumstances | None:
    found = [one.circumstances for one in results if one.circumstances is not None]
    return max(found, key=lambda one: one.at, default=None)


def _chapter(pictures: Path, result: Result, newest: Circumstances | None) -> Iterator[str]:
    how, short = _prose(result.name)
    yield f"## {result.name}"
    if result.figure is not None:
        yield f"**{result.figure.title.en}**"
    yield how
    if result.failure is not None:
        yield _failed(result.failure, earlier=result.figure is not None)
    if result.figure is not None and result.circumstances is not None:
        yield figure_table(result.figure.rows)
        yield from _plots(pictures, result.name, result.figure)
        yield "\n".join(f"* {note.en}" for note in result.figure.notes)
        yield _measured(result, result.circumstances, newest)
    elif result.failure is None:
        yield "Not measured yet."
    yield short


def _plots(pictures: Path, name: str, figure: Figure) -> Iterator[str]:
    drawn = [(plot.title.en, plots.spread(plot)) for plot in figure.spreads]
    drawn += [(plot.title.en, plots.lines(plot)) for plot in figure.lines]
    for place, (title, text) in enumerate(drawn, 1):
        yield _picture(pictures, name if len(drawn) == 1 else f"{name}-{place}", text, title)


def _picture(pictures: Path, name: str, drawn: str, title: str) -> str:
    (pictures / f"{name}.svg").write_text(drawn, encoding="utf-8")
    return f"![{title}](benchmarks/{name}.svg)"


def _failed(failure: Failure, *, earlier: bool) -> str:
    there = failure.circumstances
    text = f"It did not come to its end on {there.day} UTC, at `{there.commit or '?'}`:"
    text += f"\n\n```text\n{failure.message.strip()}\n```"
    return f"{text}\n\nWhat follows is the last that did." if earlier else text


def _measured(result: Result, there: Circumstances, newest: Circumstances | None) -> str:
    text = (
        f"Measured {there.day} UTC at `{there.commit or '?'}`, size `{there.size}`, in {result.took_s:.0f} s. "
        f"Before it: {there.noise.said.en}."
    )
    if newest is not None:
        others = [] if there.machine == newest.machine else [there.machine]
        others += [
            f"{name} {version}"
            for name, version in there.versions.items()
            if newest.versions.get(name) != version
        ]
        text += f" With {', '.join(others)}." if others else ""
    return f"<sub>{text}</sub>"


def figure_table(rows: Sequence[Row]) -> str:
    """Rows as a table; those of the same figure that follow each other name it once."""
    lines = [list(_HEADINGS), list(_ALIGNED)]
    before: Row | None = None
    for row in rows:
        same = before is not None and (before.what, before.value) == (row.what, row.value)
        lines.append(_cells(row, same=same))
        before = row
    return _table(lines)


def _cells(row: Row, *, same: bool) -> list[str]:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{number(value)} {row.unit}"

    ratio = "" if row.ratio is None else f"{number(row.ratio)} ×"
    if row.p99_ratio is not None:
        ratio += f" (p99 {number(row.p99_ratio)})"
    peer = row.peer.en if row.peer else ""
    if row.absent is not None:
        peer += f": not measured, {row.absent.en}"
    return [
        "″" if same else row.what.en,
        "″" if same else shown(row.value),
        "″" if same and row.p99 is not None else shown(row.p99),
        peer,
        shown(row.peer_value),
        shown(row.peer_p99),
        ratio,
        row.asked,
    ]


def _table(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
