"""Rows as a table: for the terminal, and for the README in both languages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, Row
from service.model.text import Text

Language = Literal["zh", "en"]

_HEADINGS = (
    Text(zh="测量", en="figure"),
    Text(zh="Plugbay", en="Plugbay"),
    Text(zh="对照", en="beside it"),
    Text(zh="比值", en="ratio"),
    Text(zh="要求", en="asked"),
)
_READMES: dict[Language, str] = {"en": "README.md", "zh": "README.zh.md"}
_BEGIN, _END = "<!-- benchmarks:begin -->\n", "<!-- benchmarks:end -->"


def print_figure(console: Console, figure: Figure) -> None:
    """Show one benchmark's rows and notes."""
    table = Table(box=box.SIMPLE_HEAD, title=figure.title.en, title_justify="left", pad_edge=False)
    for number, heading in enumerate(_HEADINGS):
        table.add_column(heading.en, justify="left" if number in (0, 2) else "right")
    for row in figure.rows:
        style = {None: "", True: "green", False: "red"}[row.met]
        *cells, asked = _cells(row, "en")
        table.add_row(*cells, f"[{style}]{asked}[/]" if style else asked)
    console.print(table)
    for note in figure.notes:
        console.print(f"  {note.en}", style="dim", highlight=False, soft_wrap=True)


def markdown(figures: Iterable[Figure], language: Language, below: str) -> str:
    """All figures as one table, with a line below it."""
    lines = [
        "| " + " | ".join(heading.in_language(language) for heading in _HEADINGS) + " |",
        "|---|---:|---|---:|---:|",
    ]
    lines += ["| " + " | ".join(_cells(row, language)) + " |" for one in figures for row in one.rows]
    return "\n".join([*lines, "", below, ""])


def write_readmes(root: Path, figures: list[Figure], below: str) -> None:
    """Put the table between the marks of both READMEs."""
    for language, name in _READMES.items():
        path = root / name
        before, begin, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
        _, end, after = rest.partition(_END)
        table = markdown(figures, language, below)
        path.write_text(f"{before}{begin}{table}{end}{after}", encoding="utf-8")


def _cells(row: Row, language: Language) -> tuple[str, ...]:
    peer = ""
    if row.peer is not None:
        peer = row.peer.in_language(language)
        if row.peer_value is not None:
            peer = f"{_number(row.peer_value)} {row.unit}, {peer}"
    asked = ""
    if row.goal is not None:
        asked = f"{row.goal.shown(row.unit)} {'✓' if row.met else '✗'}"
    return (
        row.what.in_language(language),
        f"{_number(row.value)} {row.unit}",
        peer,
        f"{row.ratio:.2f} ×" if row.ratio is not None else "",
        asked,
    )


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
