"""Rows as a table: for the terminal, and for the README in both languages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, Row, number
from benchmarks.results import Result
from service.model.text import Text

Language = Literal["zh", "en"]

_HEADINGS = (
    Text(zh="测量", en="figure"),
    Text(zh="Plugbay", en="Plugbay"),
    Text(zh="对照", en="beside it"),
    Text(zh="比值", en="ratio"),
    Text(zh="要求", en="asked"),
)
_ABSENT = Text(zh="{}：未测，{}", en="{}: not measured, {}")
_READMES: dict[Language, str] = {"en": "README.md", "zh": "README.zh.md"}
_BEGIN, _END = "<!-- benchmarks:begin -->\n", "<!-- benchmarks:end -->"


def print_figure(console: Console, figure: Figure) -> None:
    """Show one benchmark's rows and notes."""
    table = Table(box=box.SIMPLE_HEAD, title=figure.title.en, title_justify="left", pad_edge=False)
    for place, heading in enumerate(_HEADINGS):
        table.add_column(heading.en, justify="left" if place in (0, 2) else "right")
    for row in figure.rows:
        style = {None: "", True: "green", False: "red"}[row.met]
        *cells, asked = _cells(row, "en")
        table.add_row(*cells, f"[{style}]{asked}[/]" if style else asked)
    console.print(table)
    for note in figure.notes:
        console.print(f"  {note.en}", style="dim", highlight=False, soft_wrap=True)


def markdown(figures: Iterable[Figure], language: Language, below: str) -> str:
    """The figures of which something is asked as one table, each beside its first peer, with a line below it."""
    lines = [
        "| " + " | ".join(heading.in_language(language) for heading in _HEADINGS) + " |",
        "|---|---:|---|---:|---:|",
    ]
    lines += ["| " + " | ".join(_cells(row, language)) + " |" for one in figures for row in _asked_of(one)]
    return "\n".join([*lines, "", below, ""])


def write_readmes(root: Path, results: Sequence[Result]) -> None:
    """Put the table between the marks of both READMEs, where there are any."""
    figures = [one.figure for one in results if one.figure is not None]
    there = [one.circumstances for one in results if one.circumstances is not None]
    if not there:
        return
    days = sorted({f"{one.at:%Y-%m-%d}" for one in there})
    day = days[0] if len(days) == 1 else f"{days[0]} – {days[-1]}"
    newest = max(there, key=lambda one: one.at)
    below = f"{day}; {newest.machine}; Python {newest.versions['Python']}"
    for language, name in _READMES.items():
        path = root / name
        if not path.exists():
            continue
        before, begin, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
        _, end, after = rest.partition(_END)
        table = markdown(figures, language, below)
        path.write_text(f"{before}{begin}{table}{end}{after}", encoding="utf-8")


def _asked_of(figure: Figure) -> Iterator[Row]:
    what: Text | None = None
    for row in figure.rows:
        if (row.goal or row.p99_goal) and row.what != what:
            yield row
            what = row.what


def _cells(row: Row, language: Language) -> tuple[str, ...]:
    own = f"{number(row.value)} {row.unit}"
    if row.p99 is not None:
        own += f" (p99 {number(row.p99)})"
    peer = ""
    if row.peer is not None:
        peer = row.peer.in_language(language)
        if row.absent is not None:
            peer = _ABSENT.in_language(language).format(peer, row.absent.in_language(language))
        elif row.peer_value is not None:
            high = f" (p99 {number(row.peer_p99)})" if row.peer_p99 is not None else ""
            peer = f"{number(row.peer_value)} {row.unit}{high}, {peer}"
    return (
        row.what.in_language(language),
        own,
        peer,
        f"{row.ratio:.2f} ×" if row.ratio is not None else "",
        row.asked,
    )
