"""`plugbay search`: results as the plugins find them."""

from __future__ import annotations

import time
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
from service.cli.results import LINES_A_RESULT, ResultTable, row_of
from service.cli.status import DONE, INTERRUPTED, REFUSED
from service.cli.task_feed import Screen, View, see_through
from service.cli.task_text import failure_lines, short_id, span_text, took_text
from service.client import Client

_REDRAWS_A_SECOND = 8
_BAR_WIDTH = 24
# The head of the table, what is hidden, the bar and the line below it, and one to spare.
_LINES_BESIDE = 6


@click.command(
    short_help=say("用全部插件搜索", "Search with all plugins at once."),
    help=say(
        "用全部已启用的搜索插件同时搜索，结果找到即显示；Ctrl-C 取消。\n\n"
        "输出不是终端时，每个结果一行，以制表符分隔：标题、插件、详情、地址",
        "Search with all enabled search plugins at once; results are shown as they are found.\n\nCtrl-C cancels it. "
        "Where the output is no terminal, each result is a line of title, plugin, details and address, separated by "
        "tabs.",
    ),
)
@click.argument("words", metavar="WORDS...", nargs=-1, required=True)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="NAME",
    type=PluginName("search"),
    help=say("只用这个插件，可多次给出", "Only with this plugin; may be given more than once."),
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 100_000),
    help=say("找到 N 个结果即止", "Stop when N results are found."),
)
@over_api
async def search(
    client: Client, output: Output, *, words: tuple[str, ...], plugins: tuple[str, ...], limit: int | None
) -> int:
    """Searches to the end and shows what was found, and who failed."""
    keyword = " ".join(words).strip()
    if not keyword:
        raise click.UsageError(say("请给出要搜索的词", "Name what is to be searched for"))

    async def start() -> dict[str, Any]:
        answer = await client.start_search(keyword, plugins, limit)
        return {"id": answer["task_id"], "kind": "search", "status": "pending", "keyword": keyword}

    view, interrupted = await see_through(client, output, start(), _screen(output, keyword))
    if output.as_json:
        output.json(view.whole())
    else:
        await _conclude(client, output, view)
    if interrupted:
        return INTERRUPTED
    return DONE if view.task["status"] == "completed" else REFUSED


def _screen(output: Output, keyword: str) -> Screen:
    if output.as_json:
        return Screen()
    return _Table(output, keyword) if can_redraw(output.console) else _Rows(output)


async def _conclude(client: Client, output: Output, view: View) -> None:
    """The results in a terminal, and to standard error how it ended."""
    task, count = view.whole(), len(view.results)
    if count and can_redraw(output.console):
        output.console.print(ResultTable(view.results), soft_wrap=True)
    problem = task.get("problem") or {}
    all_failed = problem.get("code") == "search_failed"
    if task["status"] != "failed" or all_failed:
        for line in failure_lines(task):
            output.errors.print(line, soft_wrap=not output.errors.is_terminal)
    if task["status"] == "failed":
        reason = say("所有插件都失败了", "Every plugin failed") if all_failed else str(task.get("error"))
        output.errors.print(
            Text.assemble((say("错误：", "Error: "), "bold red"), reason),
            soft_wrap=not output.errors.is_terminal,
        )
        return
    said = [say(f"{count} 个结果", f"{count} result{'' if count == 1 else 's'}")]
    if took := took_text(task):
        said.append(took)
    if task["status"] == "cancelled":
        said.insert(0, say("搜索已取消", "The search was cancelled"))
    elif task["status"] != "completed":
        said.insert(0, say(f"任务 {short_id(task)} 尚未停止", f"task {short_id(task)} has not stopped yet"))
    elif not count and not await _any_enabled(client):
        said.append(
            say("没有启用的搜索插件，见 plugbay list", "no search plugin is enabled, see plugbay list")
        )
    elif count and can_redraw(output.console):
        said.append(say("下载：plugbay download URL", "to download: plugbay download URL"))
    output.note(" · ".join(said))


async def _any_enabled(client: Client) -> bool:
    return any(plugin.get("enabled") for plugin in (await client.plugins()).get("search", []))


class _Rows(Screen):
    """A line a result, as it comes: for pipes and files."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown = 0
        self._trouble = ""

    def show(self, view: View, trouble: str) -> None:
        for result in view.results[self._shown :]:
            click.echo("\t".join(row_of(result)))
        self._shown = len(view.results)
        if trouble and trouble != self._trouble:
            self._output.note(trouble)
        self._trouble = trouble

    def cancelling(self) -> None:
        self._output.note(_cancelling())


class _Table(Screen):
    """The newest results, as many as fit, and below them who is still searching."""

    def __init__(self, output: Output, keyword: str) -> None:
        self._console = output.console
        self._keyword = keyword
        self._view = View()
        self._status = ""
        self._began = time.monotonic()
        self._live = Live(
            console=output.console,
            get_renderable=self._draw,
            refresh_per_second=_REDRAWS_A_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, view: View, trouble: str) -> None:
        self._view, self._status = view, trouble

    def cancelling(self) -> None:
        self._status = _cancelling()

    def _draw(self) -> RenderableType:
        results, width = self._view.results, self._console.width
        room = max(1, (self._console.height - _LINES_BESIDE) // LINES_A_RESULT)
        parts: list[RenderableType] = []
        if (hidden := len(results) - room) > 0:
            said = say(f"较早的 {hidden} 个结束后一并列出", f"{hidden} earlier ones are listed at the end")
            parts.append(Text(said, style="dim"))
        if results:
            parts.append(ResultTable(results[-room:], brief=True))
        parts.append(self._progress(width))
        seconds = span_text(time.monotonic() - self._began)
        count = say(f"{len(results)} 个结果", f"{len(results)} results")
        hint = self._status or f"{count} · {seconds} · {say('Ctrl-C 取消', 'Ctrl-C cancels')}"
        parts.append(_fitting(hint, width, "yellow" if self._status else "dim"))
        return Group(*parts)

    def _progress(self, width: int) -> RenderableType:
        task = self._view.task
        searching = task.get("searching") or []
        if searching:
            who = say("正在搜索：", "searching: ") + say("、", ", ").join(map(str, searching))
            who = f"{task['progress_message']}  {who}" if task.get("progress_message") else who
        else:
            who = say(f"搜索“{self._keyword}”…", f"searching for {self._keyword} …")
        bar = ProgressBar(
            total=100,
            completed=float(task.get("progress") or 0),
            width=min(_BAR_WIDTH, width // 3),
            pulse=not task.get("progress"),
        )
        line = Table.grid(padding=(0, GAP))
        line.add_row(bar, _fitting(who, width - min(_BAR_WIDTH, width // 3) - GAP))
        return line


def _cancelling() -> str:
    return say("正在取消…（再按 Ctrl-C 立即退出）", "Cancelling… (Ctrl-C again leaves at once)")


def _fitting(text: str, width: int, style: str = "") -> Text:
    line = Text(text, style=style)
    if cell_len(text) > width:
        line.truncate(width, overflow="ellipsis")
    return line
