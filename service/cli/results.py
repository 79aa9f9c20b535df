"""What searches and parses find, as a table: a line of columns, and the whole address below it, to be copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from service.cli.language import say
from service.cli.output import GAP
from service.cli.task_text import number_of, readable, size_text, span_text

LINES_A_RESULT = 2

# Parts of the width: 16 and 24 of 80 columns.
_PLUGIN_SHARE = 0.2
_DETAIL_SHARE = 0.3
_TITLE_WIDTH_MIN = 16
_INDENT = "  "


class ResultTable:
    """Lays itself out for the width that there is.

    Args:
        results: as the server gives them.
        brief: a title and an address take one line each, cut to fit; else titles are wrapped, and an address goes on
            as far as it reaches, unbroken: print it with `soft_wrap`.
    """

    def __init__(self, results: Sequence[Mapping[str, Any]], *, brief: bool = False) -> None:
        self._rows = [row_of(result) for result in results]
        self._brief = brief

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        heads = (say("标题", "title"), say("插件", "plugin"), say("详情", "details"))
        plugin_width = self._width(1, heads[1], round(console.width * _PLUGIN_SHARE))
        detail_width = self._width(2, heads[2], round(console.width * _DETAIL_SHARE))
        rest = console.width - plugin_width - detail_width - 2 * GAP
        longest = max((cell_len(row[0]) for row in self._rows), default=0)
        title_width = max(_TITLE_WIDTH_MIN, min(rest, longest, options.max_width))
        widths = (title_width, plugin_width, detail_width)
        yield _line(heads, widths, "bold")
        yield Text("─" * min(sum(widths) + 2 * GAP, console.width), style="dim")
        for title, plugin, detail, url in self._rows:
            titles = [Text(title)] if self._brief else list(Text(title).wrap(console, title_width))
            yield _line((titles[0].plain if titles else "", plugin, detail), widths)
            yield from titles[1:]
            yield self._address(url, console.width)

    def _width(self, column: int, head: str, most: int) -> int:
        return min(most, max(cell_len(head), *(cell_len(row[column]) for row in self._rows), 0))

    def _address(self, url: str, width: int) -> Text:
        is_link = url.startswith(("http://", "https://"))
        style = Style(dim=True, link=url if is_link else None)
        text = Text(url, style=style)
        if self._brief:
            text.truncate(width - len(_INDENT), overflow="ellipsis")
        return Text.assemble(_INDENT, text)


def row_of(result: Any) -> tuple[str, str, str, str]:
    """Title, plugin, details and address of a result, each on one line."""
    if not isinstance(result, Mapping):
        return readable(result), "", "", ""
    title = readable(result.get("title") or result.get("name"))
    return title, readable(result.get("plugin")), _detail(result), readable(result.get("url"))


def _detail(result: Mapping[str, Any]) -> str:
    """How long or how big it is, else the plugin's own words."""
    metadata = result.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    parts = []
    if (seconds := number_of(result, "duration")) is not None:
        parts.append(span_text(seconds))
    elif result.get("duration"):
        parts.append(readable(result["duration"]))
    if size := number_of(metadata, "size"):
        parts.append(size_text(size))
    if (seeders := number_of(metadata, "seeders")) is not None:
        parts.append(say(f"做种 {seeders:.0f}", f"{seeders:.0f} seeding"))
    episodes = metadata.get("episodes")
    if isinstance(episodes, list) and len(episodes) > 1:
        parts.append(say(f"{len(episodes)} 集", f"{len(episodes)} episodes"))
    return " · ".join(parts) or readable(result.get("description"))


def _line(cells: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    line = Text(style=style)
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = Text(cell)
        text.truncate(width, overflow="ellipsis", pad=True)
        line.append(" " * GAP if column else "").append_text(text)
    line.rstrip()
    return line
