"""What the client commands print: tables for people, JSON for programs, errors with cause and remedy."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from service.cli.language import LANGUAGE, say
from service.cli.permissions import permissions_text
from service.cli.remedies import remedy_of, words_of, words_of_failure
from service.client import ClientError, ServerRefused

STATES = {
    "loading": (say("加载中", "loading"), "cyan"),
    "active": (say("运行中", "active"), "green"),
    "degraded": (say("旧版运行", "degraded"), "yellow"),
    "failed": (say("失败", "failed"), "red"),
    "disabled": (say("已停用", "disabled"), "dim"),
}
PLUGIN_TYPES = ("search", "download", "parser")
GAP = 2
# So much of a text in another is no chance.
_TELLING_CHARS = 40
DESCRIPTION_MIN_WIDTH = 12


class Output:
    """Where a command prints to.

    Args:
        as_json: print what the server answered, as JSON, and nothing else to standard output.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=False)
        self.errors = Console(stderr=True, highlight=False)

    def json(self, value: Any, *, lines: bool = False) -> None:
        """Prints JSON, on one line where `lines`."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=None if lines else 2))

    def answer(self, answer: Mapping[str, Any], text: RenderableType | None = None) -> None:
        """Prints an answer of the server: the whole as JSON, else `text`, else its `message`."""
        if self.as_json:
            self.json(answer)
        else:
            self.console.print(escape(str(answer.get("message", ""))) if text is None else text)

    def note(self, text: str) -> None:
        """Prints something that is no part of the result, to standard error."""
        self.errors.print(escape(text), style="dim", soft_wrap=not self.errors.is_terminal)

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Shows in a terminal that something takes its time, until left."""
        return self.errors.status(escape(text)) if self.errors.is_terminal else nullcontext()

    def failure(self, error: ClientError, hint: str = "") -> None:
        """Prints why a command did not do it, to standard error; `hint` for people only."""
        if self.as_json:
            unreached = {"code": "server_unreachable", "detail": words_of_failure(error)}
            told = error.problem if isinstance(error, ServerRefused) else unreached
            click.echo(json.dumps(told, ensure_ascii=False, indent=2), err=True)
            return
        problem = {**error.problem, "status": error.status} if isinstance(error, ServerRefused) else {}
        words = words_of(problem) or words_of_failure(error)
        lines = [Text.assemble((say("错误：", "Error: "), "bold red"), words), *_details(problem)]
        if hint:
            lines.append(Text(f"  {hint}"))
        for line in lines:
            # In a file a line stays one, to be searched in.
            self.errors.print(line, soft_wrap=not self.errors.is_terminal)


def _details(problem: Mapping[str, Any]) -> Iterable[RenderableType]:
    """What a problem object tells besides its text, and what to do."""
    load_error = problem.get("error")
    if isinstance(load_error, dict):
        yield from load_error_lines(load_error)
    for wrong in problem.get("errors") or []:
        if isinstance(wrong, dict):
            yield Text(f"  {wrong.get('field', '?')}: {wrong.get('message', '')}")
    if remedy := remedy_of(problem):
        yield Text(f"  {remedy}")


def message_of(error: Mapping[str, Any]) -> str:
    """The message of a load error; an event, which is addressed to nobody, has it in both languages."""
    messages = error.get("messages") or {}
    return str(messages.get(LANGUAGE) or error.get("message") or "")


def load_error_lines(error: Mapping[str, Any]) -> Iterable[RenderableType]:
    """Place, reason and the plugin's own traceback."""
    place = str(error.get("file") or "")
    for part in ("line", "column"):
        if place and error.get(part) is not None:
            place += f":{error[part]}"
    stage = error.get("stage")
    yield Text(f"  {place}  [{stage}]" if place and stage else f"  {place or f'[{stage}]'}", style="bold")
    if (traceback := error.get("traceback")) and not _is_in(str(traceback), str(error.get("message") or "")):
        yield Text("\n".join(f"  {line}" for line in str(traceback).rstrip().splitlines()), style="dim")


def _is_in(traceback: str, message: str) -> bool:
    """Whether a message has what the package manager says already, however it breaks its lines."""
    said = " ".join(traceback.split())[-_TELLING_CHARS:]
    return len(said) == _TELLING_CHARS and said in " ".join(message.split())


def plugins_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All plugins of a listing, in order."""
    return [plugin for type in PLUGIN_TYPES for plugin in answer.get(type, [])]


def state_text(plugin: Mapping[str, Any]) -> Text:
    """The state of a plugin in words and colour."""
    word, style = STATES.get(str(plugin.get("state")), (str(plugin.get("state")), ""))
    return Text(word, style=style)


def plugin_table(plugins: list[dict[str, Any]], changed: str | None = None) -> RenderableType:
    """A row a plugin, and below them what is wrong with those that did not load.

    Args:
        plugins: as the server gives them.
        changed: the id of the row to be set off.
    """
    if not plugins:
        return Text(
            say(
                "没有插件。把 *_plugin.py 放进 plugins/ 下，或运行 plugbay install",
                "There are no plugins. Put a *_plugin.py below plugins/, or run plugbay install",
            )
        )
    errors = [plugin for plugin in plugins if plugin.get("error")]
    return Group(_PluginTable(plugins, changed), *(_error_line(plugin) for plugin in errors))


class _PluginTable:
    """Lays itself out for the width that there is: descriptions are cut, nothing else is."""

    def __init__(self, plugins: list[dict[str, Any]], changed: str | None) -> None:
        self._plugins = plugins
        self._changed = changed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        heads = [
            say("插件", "plugin"),
            say("状态", "state"),
            say("代", "gen"),
            say("版本", "version"),
            say("加载于", "loaded"),
            "ms",
        ]
        rows = [_cells(plugin) for plugin in self._plugins]
        widths = [
            max(cell_len(head), *(row[column].cell_len for row in rows)) for column, head in enumerate(heads)
        ]
        left = options.max_width - sum(widths) - GAP * len(heads)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_edge=False)
        for head in heads:
            numeric = head in (heads[2], "ms")
            table.add_column(head, justify="right" if numeric else "left", overflow="fold")
        if left >= DESCRIPTION_MIN_WIDTH:
            table.add_column(say("说明", "description"), no_wrap=True)
        for plugin, row in zip(self._plugins, rows, strict=True):
            description = Text(_description(plugin))
            description.truncate(max(left, 0), overflow="ellipsis")
            cells = [*row, description] if left >= DESCRIPTION_MIN_WIDTH else row
            table.add_row(*cells, style="reverse" if plugin["id"] == self._changed else "")
        yield table


def _cells(plugin: Mapping[str, Any]) -> list[Text]:
    load_ms = plugin.get("load_ms")
    return [
        Text(str(plugin["id"])),
        state_text(plugin),
        Text(str(plugin.get("generation") or "")),
        Text(str(plugin.get("version") or "")),
        Text(clock(plugin.get("loaded_at"))),
        Text("" if load_ms is None else f"{load_ms:.0f}"),
    ]


def _description(plugin: Mapping[str, Any]) -> str:
    missing = plugin.get("config_missing")
    if missing:
        return say("缺少配置：", "lacks configuration: ") + ", ".join(missing)
    if lacking := (plugin.get("permissions") or {}).get("lacking"):
        return say("未获准：", "not granted: ") + permissions_text(lacking, all_of_it=True)
    text = str(plugin.get("description") or "")
    # In both languages, as bundled plugins have it: "中文 · English".
    chinese, both, english = text.partition(" · ")
    if both and not chinese.isascii() and english.isascii():
        return say(chinese, english)
    return text


def _error_line(plugin: Mapping[str, Any]) -> Text:
    error = plugin["error"]
    place = ":".join(str(error[part]) for part in ("file", "line") if error.get(part) is not None)
    return Text.assemble(
        (str(plugin["id"]), "red"),
        f" [{error.get('stage')}] {place}: " if place else ": ",
        message_of(error),
    )


def clock(at: object) -> str:
    """The local time of day of a timestamp, or its date where that is not today."""
    if not isinstance(at, str):
        return ""
    try:
        local = datetime.fromisoformat(at).astimezone()
    except ValueError:
        return at
    today = datetime.now(local.tzinfo).date()
    return local.strftime("%H:%M:%S") if local.date() == today else local.strftime("%m-%d %H:%M")


def is_terminal() -> bool:
    """Whether standard output is looked at by somebody."""
    return sys.stdout.isatty()


def can_redraw(console: Console) -> bool:
    """Whether what is shown there can be shown anew in its place: a terminal, whatever the environment forces."""
    return console.file.isatty() and not console.is_dumb_terminal
