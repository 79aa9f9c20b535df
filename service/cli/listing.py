"""A table that fits: one column takes what the others leave, cut or folded, and nothing else is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from service.cli.output import GAP

_ELASTIC_MIN_WIDTH = 12


class Listing:
    """Lays itself out for the width that there is.

    Args:
        heads: of the columns.
        rows: their cells, which may have several lines.
        elastic: the column that takes what the others leave.
        fold: whether that one is folded; else it is cut, and left out where there is no room.
        right: the columns that are flush right.
    """

    def __init__(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[Text]],
        *,
        elastic: int,
        fold: bool = False,
        right: Sequence[int] = (),
    ) -> None:
        self._heads = heads
        self._rows = rows
        self._elastic = elastic
        self._fold = fold
        self._right = right

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [self._width(column) for column in range(len(self._heads))]
        others = sum(width for column, width in enumerate(widths) if column != self._elastic)
        left = options.max_width - others - GAP * (len(widths) - 1) - 1
        shown = [
            column
            for column in range(len(widths))
            if column != self._elastic or self._fold or left >= _ELASTIC_MIN_WIDTH
        ]
        widths[self._elastic] = min(widths[self._elastic], max(left, _ELASTIC_MIN_WIDTH))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_edge=False)
        for column in shown:
            table.add_column(
                self._heads[column],
                justify="right" if column in self._right else "left",
                width=widths[column],
                no_wrap=column == self._elastic and not self._fold,
                overflow="fold" if column != self._elastic or self._fold else "ellipsis",
            )
        for row in self._rows:
            table.add_row(*(row[column] for column in shown))
        yield table

    def _width(self, column: int) -> int:
        lines = [line for row in self._rows for line in row[column].plain.split("\n")]
        return max(cell_len(self._heads[column]), *map(cell_len, lines), 0)
