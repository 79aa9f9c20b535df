"""A text that goes on below itself."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_WIDTH_MIN = 20
_HEADLESS_INDENT = 4


class Hanging:
    """Text whose further lines begin below where its first goes on behind the head; it takes the width that there is.

    Args:
        head: what the first line begins with; without one, further lines begin four cells to the right.
        body: the text.
        is_one_line: whether it stays on its line where it goes into a file, for whoever reads it by lines.
    """

    def __init__(self, head: Text | str, body: Text, *, is_one_line: bool = False) -> None:
        self._head = Text(head) if isinstance(head, str) else head
        self._body = body
        self._is_one_line = is_one_line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._is_one_line and not console.is_terminal:
            yield Text.assemble(self._head, self._body, overflow="ignore", no_wrap=True)
            return
        indent = self._head.cell_len or _HEADLESS_INDENT
        wrapped = self._body.wrap(console, max(options.max_width - indent, _WIDTH_MIN))
        for index, line in enumerate(wrapped or [Text("")]):
            line.rstrip()
            yield Text.assemble(self._head if index == 0 else " " * indent, line)
