"""A list of tasks as a table, and one task in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from service.cli.language import say
from service.cli.output import GAP, clock
from service.cli.results import ResultTable
from service.cli.task_text import (
    ID_MIN_CHARS,
    KINDS,
    Task,
    age_text,
    failure_lines,
    localised,
    name_of,
    number_of,
    percent_text,
    progress_text,
    readable,
    size_text,
    status_text,
)
from service.client import Position

_TITLE_WIDTH_MIN = 16
_LABEL_WIDTH = 10
# What gives way to the title where the width is short, the first to go first.
_DISPENSABLE = ("age", "speed", "plugin")


def task_table(tasks: Sequence[Task]) -> RenderableType:
    """A row a task, newest first."""
    if not tasks:
        return Text(
            say(
                "没有任务。用 plugbay search 或 plugbay download 开始一个",
                "There are no tasks. Begin one with plugbay search or plugbay download",
            )
        )
    return _TaskTable(tasks)


def id_lengths(ids: Iterable[str]) -> int:
    """How many characters of these ids tell all of them apart."""
    ordered = sorted(set(ids))
    length = ID_MIN_CHARS
    for one, other in pairwise(ordered):
        while length < len(one) and one[:length] == other[:length]:
            length += 1
    return length


class _TaskTable:
    """Lays itself out for the width that there is: titles are cut; columns that say least give way."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        length = id_lengths(str(task["id"]) for task in tasks)
        columns: dict[str, tuple[str, Callable[[Task], Text]]] = {
            "id": (say("编号", "id"), lambda task: Text(str(task["id"])[:length])),
            "kind": (
                say("类型", "kind"),
                lambda task: Text(KINDS.get(str(task.get("kind")), str(task.get("kind")))),
            ),
            "status": (say("状态", "status"), status_text),
            "plugin": (say("插件", "plugin"), lambda task: Text(readable(task.get("plugin_name")))),
            "progress": (say("进度", "done"), lambda task: Text(_done(task))),
            "speed": (say("速度", "speed"), lambda task: Text(_speed(task))),
            "age": (say("多久前", "age"), lambda task: Text(age_text(task))),
        }
        self._titles = [name_of(task) for task in tasks]
        self._heads = {name: head for name, (head, _) in columns.items()}
        self._cells = {name: [cell(task) for task in tasks] for name, (_, cell) in columns.items()}
        if not any(cell.plain for cell in self._cells["speed"]):
            del self._cells["speed"]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = {
            name: max(cell_len(self._heads[name]), *(cell.cell_len for cell in cells))
            for name, cells in self._cells.items()
        }
        for name in _DISPENSABLE:
            if options.max_width - sum(widths.values()) - GAP * len(widths) < _TITLE_WIDTH_MIN:
                widths.pop(name, None)
        left = max(1, options.max_width - sum(widths.values()) - GAP * len(widths))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_edge=False)
        for name in widths:
            if name == "progress":
                table.add_column(say("标题", "title"), no_wrap=True)
            table.add_column(
                self._heads[name],
                justify="right" if name in ("progress", "speed", "age") else "left",
                overflow="fold",
            )
        for number, title in enumerate(self._titles):
            shown = Text(title)
            shown.truncate(left, overflow="ellipsis")
            cells: list[Text] = []
            for name in widths:
                cells += [shown] * (name == "progress") + [self._cells[name][number]]
            table.add_row(*cells)
        yield table


def _done(task: Task) -> str:
    """How far a download is, or how much a search has found."""
    if task.get("kind") == "download":
        return percent_text(task)
    count = int(number_of(task, "result_count") or 0)
    return say(f"{count} 条", f"{count} hit{'' if count == 1 else 's'}")


def _speed(task: Task) -> str:
    speed = number_of(task, "speed")
    return "" if speed is None else f"{size_text(speed)}/s"


def task_lines(task: Task) -> Iterator[RenderableType]:
    """All that is known of one task."""
    task = localised(task)
    kind, generation = str(task.get("kind")), task.get("generation")
    plugins = ", ".join(map(str, task.get("plugins") or []))
    plugin = readable(task.get("plugin_name") or plugins)
    if plugin and generation:
        plugin += say(f"，第 {generation} 代", f", generation {generation}")
    moments = {
        say("创建", "created"): "created_at",
        say("开始", "started"): "started_at",
        say("结束", "ended"): "completed_at",
    }
    facts: dict[str, str | Text] = {
        say("编号", "id"): str(task["id"]),
        say("类型", "kind"): KINDS.get(kind, kind),
        say("状态", "status"): status_text(task),
        say("插件", "plugin"): plugin,
        say("标题", "title"): readable(task.get("title")),
        say("地址", "address"): readable(task.get("url")),
        say("进度", "progress"): progress_text(task).strip() if kind == "download" else _done(task),
        say("说明", "message"): readable(task.get("progress_message")) if kind == "download" else "",
        say("文件", "file"): readable(task.get("save_path")),
        **{label: clock(task.get(name)) for label, name in moments.items()},
    }
    for label, value in facts.items():
        if value:
            yield Text.assemble((label + " " * (_LABEL_WIDTH - cell_len(label)), "dim"), value)
    if error := readable(task.get("error")):
        yield Text.assemble((say("错误：", "Error: "), "bold red"), error)
    problem = task.get("problem") or {}
    if traceback := (problem.get("error") or {}).get("traceback"):
        lines = str(traceback).rstrip().splitlines()
        yield Text("\n".join(f"  {_printable(line)}" for line in lines), style="dim")
    yield from failure_lines(task)
    if results := task.get("results"):
        yield Text("")
        yield ResultTable(results)


def _printable(line: str) -> str:
    """A line of code: its indentation counts."""
    return line[: len(line) - len(line.lstrip())] + readable(line)


class TaskView:
    """The newest tasks as of a position, changed by events; knows no socket.

    Args:
        position: where in the event log they are as of, or a little before.
        tasks: as listed, newest first.
        wanted: whether a task belongs into the list.
        limit: how many are listed at most.
    """

    def __init__(
        self,
        position: Position,
        tasks: Iterable[dict[str, Any]],
        wanted: Callable[[Task], bool],
        limit: int,
    ) -> None:
        self.position = position
        self._tasks = {str(task["id"]): task for task in tasks}
        self._wanted = wanted
        self._limit = limit

    def apply(self, event: Mapping[str, Any]) -> bool:
        """Takes in one event; whether it changed a task of the list."""
        task = (event.get("data") or {}).get("task")
        if not isinstance(task, dict):
            return False
        id = str(task["id"])
        if not self._wanted(task):
            return self._tasks.pop(id, None) is not None
        is_new = id not in self._tasks
        self._tasks[id] = localised(task)
        if is_new:
            newest = sorted(self._tasks.values(), key=lambda one: str(one.get("created_at")), reverse=True)
            self._tasks = {str(one["id"]): one for one in newest[: self._limit]}
        return id in self._tasks

    def ordered(self) -> list[dict[str, Any]]:
        """The tasks, newest first."""
        return list(self._tasks.values())

    def table(self) -> RenderableType:
        """The tasks for people."""
        return task_table(self.ordered())
