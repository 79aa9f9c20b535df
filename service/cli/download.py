"""`plugbay download`: a download from its start to its end, with its progress."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Self

import click
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from service.cli.arguments import PluginName
from service.cli.command import over_api
from service.cli.language import say
from service.cli.output import GAP, Output, can_redraw
from service.cli.status import DONE, INTERRUPTED, REFUSED
from service.cli.task_feed import Screen, View, see_through
from service.cli.task_text import (
    STATUSES,
    Task,
    name_of,
    number_of,
    progress_text,
    readable,
    short_id,
    size_text,
    status_text,
    took_s,
    took_text,
)
from service.client import Client

_REDRAWS_A_SECOND = 8
_LINE_INTERVAL_S = 5.0
_BAR_WIDTH_MIN = 8
_DONE_STATUSES = ("completed", "handed_over")


@click.command(
    short_help=say("下载一个地址", "Download an address."),
    help=say(
        "下载一个地址：http、magnet、m3u8 等，取决于已启用的下载插件。"
        "\n\n完成后输出文件路径。Ctrl-C 取消下载；要让它在后台继续，用 --detach",
        "Download an address: http, magnet, m3u8 and whatever else the enabled download plugins support.\n\n"
        "Prints the path when it is there. Ctrl-C cancels it; --detach leaves it running.",
    ),
)
# Named `address`, since `url` is that of the server, as with every command.
@click.argument("address", metavar="URL")
@click.option(
    "--plugin",
    metavar="NAME",
    type=PluginName("download"),
    help=say("用这个插件", "Download with this plugin."),
)
@click.option("--title", metavar="TEXT", default="", help=say("标题", "What to call it."))
@click.option(
    "--detach", is_flag=True, help=say("只开始，让它在后台继续", "Only begin; it goes on by itself.")
)
@over_api
async def download(
    client: Client, output: Output, *, address: str, plugin: str | None, title: str, detach: bool
) -> int:
    """Downloads to the end, or only begins."""

    async def start() -> Mapping[str, Any]:
        return (await client.start_download(address, title, plugin))["task"]

    if detach:
        task = await start()
        output.answer(task, Text(_begun(task)))
        if not output.as_json:
            output.note(
                say(f"查看：plugbay tasks show {short_id(task)}", f"see: plugbay tasks show {short_id(task)}")
            )
        return DONE
    view, interrupted = await see_through(client, output, start(), _screen(output))
    if output.as_json:
        output.json(view.whole())
    else:
        _conclude(output, view.whole(), interrupted)
    if interrupted:
        return INTERRUPTED
    return DONE if view.task["status"] in _DONE_STATUSES else REFUSED


def _screen(output: Output) -> Screen:
    if output.as_json:
        return Screen()
    return _Bar(output) if can_redraw(output.errors) else _Lines(output)


def _conclude(output: Output, task: Task, interrupted: bool) -> None:
    """The path to standard output, all else to standard error."""
    status, id = str(task["status"]), short_id(task)
    name = name_of(task)
    if status == "completed":
        output.note(f"{STATUSES[status][0]} {name}{_figures(task)}")
        if task.get("save_path"):
            output.console.print(Text(readable(task["save_path"])), soft_wrap=True)
    elif status == "handed_over":
        output.note(
            say(
                f"已交给插件 {task.get('plugin_name')} 背后的程序下载，此处无法跟踪进度：{name}",
                f"Handed over to the program behind plugin {task.get('plugin_name')}, "
                f"which does not tell how far it is: {name}",
            )
        )
    elif status == "failed":
        words = readable(task.get("error")) or say("未说明原因", "no reason is given")
        output.errors.print(
            Text.assemble((say("下载失败：", "The download failed: "), "bold red"), words),
            soft_wrap=not output.errors.is_terminal,
        )
        output.note(
            say(
                f"详情：plugbay tasks show {id}；重试：plugbay tasks retry {id}",
                f"details: plugbay tasks show {id}; again: plugbay tasks retry {id}",
            )
        )
    elif status == "cancelled":
        advice = say("。要让它在后台继续，用 --detach", ". With --detach it would have gone on by itself")
        output.note(say("下载已取消", "The download was cancelled") + (advice if interrupted else ""))
    else:
        output.note(
            say(
                f"任务 {id} 尚未停止（{STATUSES.get(status, (status,))[0]}）；用 plugbay tasks show {id} 查看",
                f"Task {id} has not stopped yet ({STATUSES.get(status, (status,))[0]}); see: plugbay tasks show {id}",
            )
        )


def _figures(task: Task) -> str:
    size, seconds = number_of(task, "total") or number_of(task, "downloaded"), took_s(task)
    parts = [size_text(size) if size else "", took_text(task)]
    if size and seconds:
        parts.append(f"{size_text(size / seconds)}/s")
    return "".join(f" · {part}" for part in parts if part)


def _begun(task: Task) -> str:
    return say(
        f"已开始下载 {name_of(task)}（插件 {task.get('plugin_name')}，任务 {short_id(task)}）",
        f"Downloading {name_of(task)} (plugin {task.get('plugin_name')}, task {short_id(task)})",
    )


def _hint(task: Task) -> str:
    if task.get("status") == "paused":
        id = short_id(task)
        return say(f"plugbay tasks resume {id} 继续", f"plugbay tasks resume {id} goes on")
    return say("Ctrl-C 取消", "Ctrl-C cancels")


def _cancelling() -> str:
    return say("正在取消…（再按 Ctrl-C 立即退出）", "Cancelling… (Ctrl-C again leaves at once)")


class _Lines(Screen):
    """A line at the start, one every few seconds, and one whenever the status changes."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown = ("", "")
        self._next_at = 0.0
        self._last = ""

    def show(self, view: View, trouble: str) -> None:
        task, now = view.task, time.monotonic()
        if not self._next_at:
            self._next_at = now + _LINE_INTERVAL_S
            self._shown = (str(task.get("status")), "")
            self._output.note(_begun(task))
            return
        status = str(task.get("status"))
        if view.has_ended:
            return
        if (status, trouble) != self._shown:
            begins = self._shown == ("pending", "") and status == "downloading"
            self._shown = (status, trouble)
            if begins:
                return  # that it has begun is said already
            said = trouble or STATUSES.get(status, (status, ""))[0]
            self._output.note(f"{said} · {_hint(task)}" if status == "paused" and not trouble else said)
        elif now >= self._next_at:
            line = "  ".join(filter(None, (progress_text(task), readable(task.get("progress_message")))))
            if line and line != self._last:
                self._next_at, self._last = now + _LINE_INTERVAL_S, line
                self._output.note(line)

    def cancelling(self) -> None:
        self._output.note(_cancelling())


class _Bar(Screen):
    """Title, bar and figures, and what is going on, in three lines."""

    def __init__(self, output: Output) -> None:
        self._console = output.errors
        self._task: Task = {}
        self._status = ""
        self._live = Live(
            console=output.errors,
            get_renderable=self._draw,
            refresh_per_second=_REDRAWS_A_SECOND,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, view: View, trouble: str) -> None:
        self._task, self._status = view.task, trouble

    def cancelling(self) -> None:
        self._status = _cancelling()

    def _draw(self) -> RenderableType:
        task, width = self._task, self._console.width
        if not task:
            return Text(self._status, style="yellow")
        title = Text(name_of(task), style="bold")
        title.truncate(width, overflow="ellipsis")
        hint = Text(self._status or _hint(task), style="yellow" if self._status else "dim")
        last = status_text(task)
        if message := readable(task.get("progress_message")):
            last.append(f" · {message}", style="default")
        last.truncate(max(0, width - hint.cell_len - 3), overflow="ellipsis")
        return Group(title, self._bar(task, width), Text.assemble(last, " · ", hint))

    def _bar(self, task: Task, width: int) -> RenderableType:
        figures = progress_text(task)
        progress = number_of(task, "progress") or 0.0
        room = width - (cell_len(figures) + GAP if figures else 0)
        if room < _BAR_WIDTH_MIN:
            return Text(figures, no_wrap=True, overflow="ellipsis")
        is_vague = not progress and not number_of(task, "total") and task.get("status") == "downloading"
        bar = ProgressBar(total=100, completed=progress, width=room, pulse=is_vague)
        line = Table.grid(padding=(0, GAP))
        line.add_row(bar, Text(figures, no_wrap=True)) if figures else line.add_row(bar)
        return line
