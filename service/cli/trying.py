"""`plugbay try`: one call of a plugin, with its result, its log and how long it took."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from service.cli.arguments import PLUGIN_ID, complete_plugin_or_file
from service.cli.command import over_api
from service.cli.diagnostics import log_line, log_lines, problem_lines, report_json, span
from service.cli.language import say
from service.cli.output import PLUGIN_TYPES, Output
from service.cli.results import ResultTable, row_of
from service.cli.status import DONE, REFUSED
from service.cli.task_text import readable, size_text
from service.cli.workshop import config_of, find_targets, opened_bench, set_option, type_option, waiting
from service.client import Client, ClientError
from service.client.shapes import LogLine
from service.workbench.examination import Examiner
from service.workbench.report import Report

# What is typed, the method that it means, and the type of plugin that has it.
_ACTIONS = {
    "search": ("search", "search"),
    "video-info": ("get_video_info", "search"),
    "parse": ("parse_url", "parser"),
    "download": ("download", "download"),
}
_LOG_LINES = 500
# A line that is printed last thing in a call may come after its result.
_LOG_WAIT_SECONDS = 0.5
_LOG_POLL_SECONDS = 0.05


@click.command(
    name="try",
    short_help=say("调用一次插件，显示结果、日志和用时", "Call a plugin once."),
    help=say(
        "调用一次插件，显示结果、这次调用的日志和用时。\n\n"
        "T/NAME 由运行中的服务器调用；FILE 在本机用后即弃的进程中加载，不需要服务器。\n\n"
        "download 只用于 FILE；服务器上的下载用 plugbay download。\n\n"
        "\b\nplugbay try search/demo search 词语\n"
        "plugbay try search/demo video-info URL\n"
        "plugbay try parser/demo parse URL\n"
        "plugbay try demo_plugin.py download URL\n"
        "plugbay try demo_plugin.py search 词语",
        "Call a plugin once and show its result, what it logged meanwhile, and how long it took.\n\n"
        "T/NAME is called by a running server; a FILE is loaded here, in a process that is thrown away, and needs "
        "none. A download is tried with a FILE only; a server downloads with plugbay download.\n\n"
        "\b\nplugbay try search/demo search WORDS\n"
        "plugbay try search/demo video-info URL\n"
        "plugbay try parser/demo parse URL\n"
        "plugbay try demo_plugin.py download URL\n"
        "plugbay try demo_plugin.py search WORDS",
    ),
)
@click.argument("plugin", metavar="T/NAME|FILE", shell_complete=complete_plugin_or_file)
@click.argument("action", metavar="ACTION", type=click.Choice(list(_ACTIONS)))
@click.argument("words", metavar="WORDS|URL...", nargs=-1, required=True)
@type_option
@set_option
@over_api
async def try_plugin(
    client: Client,
    output: Output,
    *,
    plugin: str,
    action: str,
    words: tuple[str, ...],
    type_: str | None,
    values: tuple[str, ...],
) -> int:
    """Calls it, here or there."""
    argument = " ".join(words).strip()
    if not argument:
        raise click.UsageError(say("请给出词语或地址", "Give it words, or an address"))
    if _is_file(plugin):
        return await _locally(output, plugin, action, argument, type_, values)
    if values or type_:
        raise click.UsageError(
            say(
                "--set 和 --type 只用于文件；服务器上的插件用 plugbay config set",
                "--set and --type are for files; a server's plugin is configured with plugbay config set",
            )
        )
    type, name = PLUGIN_ID.convert(plugin, None, click.get_current_context())
    _require_type(action, type)
    if action == "download":
        raise click.UsageError(
            say(
                f"在服务器上下载：plugbay download {argument} --plugin {name}",
                f"A server downloads with: plugbay download {argument} --plugin {name}",
            )
        )
    return await _on_server(client, output, type, name, action, argument)


def _is_file(plugin: str) -> bool:
    if os.path.lexists(plugin):
        return True
    type, slash, name = plugin.partition("/")
    is_id = bool(slash) and type in PLUGIN_TYPES and "/" not in name and not name.endswith(".py")
    return not is_id


def _require_type(action: str, type: str) -> None:
    wanted = _ACTIONS[action][1]
    if type != wanted:
        fitting = say("、", ", ").join(one for one, (_, kind) in _ACTIONS.items() if kind == type)
        raise click.UsageError(
            say(
                f"{action} 用于 {wanted} 插件；{type} 插件可用 {fitting}",
                f"{action} is for {wanted} plugins; a {type} plugin takes {fitting}",
            )
        )


# -- here -----------------------------------------------------------------------------------------------------------


async def _locally(
    output: Output, plugin: str, action: str, argument: str, type_: str | None, values: Sequence[str]
) -> int:
    targets = await asyncio.to_thread(find_targets, [plugin], type_)
    if len(targets) != 1:
        raise click.UsageError(
            say(
                f"{plugin} 中有 {len(targets)} 个插件，请指定一个",
                f"{plugin} holds {len(targets)} plugins; name one",
            )
        )
    _require_type(action, targets[0].unit.type.value)
    method = _ACTIONS[action][0]
    async with opened_bench(targets) as bench:
        with waiting(output, say("正在调用…", "Calling…")) as tell:
            examiner = Examiner(bench, config_of(values))
            report = await examiner.examine(targets[0], call=(method, argument), on_progress=tell)
    has_failed = bool(report.errors)
    if output.as_json:
        told = report_json(report)
        output.json(
            {key: told[key] for key in ("id", "version", "called", "result", "timings", "log", "problems")}
        )
        return REFUSED if has_failed else DONE
    for problem in report.problems:
        for line in problem_lines(problem, verbose=problem.severity == "error"):
            output.errors.print(line, soft_wrap=not output.errors.is_terminal)
        output.errors.print()
    if report.called is not None and not has_failed:
        _print_result(output, action, report.result)
    if report.log:
        for line in log_lines(report):
            output.errors.print(line, soft_wrap=not output.errors.is_terminal)
    output.note(" · ".join(_conclusion(report, action)))
    return REFUSED if has_failed else DONE


def _conclusion(report: Report, action: str) -> list[str]:
    said = [] if report.called is None or report.errors else [_count(action, report.result)]
    if report.called in report.timings:
        said.append(span(report.timings[report.called]))
    loading = sum(ms for stage, ms in report.timings.items() if stage != report.called)
    if report.loads:
        said.append(say(f"加载用时 {span(loading)}", f"{span(loading)} to load"))
    return [*said, f"{report.id} {report.version}".rstrip()]


# -- on a server ----------------------------------------------------------------------------------------------------


async def _on_server(client: Client, output: Output, type: str, name: str, action: str, argument: str) -> int:
    view = await client.plugin(type, name)
    before = await client.logs(type, name, _LOG_LINES)
    began = time.perf_counter()
    failure: ClientError | None = None
    result: Any = None
    try:
        with output.waiting(say("正在调用…", "Calling…")):
            if action == "search":
                result = await client.search_with(name, argument)
            elif action == "video-info":
                result = await client.video_info(argument, name)
            else:
                result = await client.parse(argument, name)
    except ClientError as error:
        failure = error
    ms = (time.perf_counter() - began) * 1000
    log = await _new_lines(client, type, name, before)
    errors = result.get("errors") if action == "parse" and isinstance(result, dict) else None
    if output.as_json and failure is None:
        told = {"id": view.get("id"), "version": view.get("version"), "generation": view.get("generation")}
        output.json({**told, "called": _ACTIONS[action][0], "result": result, "ms": round(ms, 2), "log": log})
        return REFUSED if errors else DONE
    if failure is not None:
        output.failure(failure)
    else:
        _print_result(output, action, result)
    for one in errors or ():
        output.errors.print(
            Text.assemble((say("错误：", "Error: "), "bold red"), readable(one.get("message"))),
            soft_wrap=not output.errors.is_terminal,
        )
    if output.as_json:
        return REFUSED
    if log:
        output.errors.print(Text(say("日志：", "log:"), "dim"))
        for one in log:
            line = log_line(str(one.get("level", "")), readable(one.get("message")))
            output.errors.print(line, soft_wrap=not output.errors.is_terminal)
    generation = say(f"第 {view.get('generation')} 代", f"generation {view.get('generation')}")
    said = [] if failure is not None else [_count(action, result)]
    output.note(
        " · ".join([*said, span(ms), f"{view.get('id')} {view.get('version') or ''}".rstrip(), generation])
    )
    return REFUSED if failure is not None or errors else DONE


async def _new_lines(client: Client, type: str, name: str, before: list[LogLine]) -> list[LogLine]:
    """The lines of the log that were not there before, once no more come."""
    deadline = time.monotonic() + _LOG_WAIT_SECONDS
    found: list[LogLine] = []
    while True:
        try:
            now = await client.logs(type, name, _LOG_LINES)
        except ClientError:
            return found
        newer = _after(before, now)
        if (newer == found and found) or time.monotonic() > deadline:
            return newer
        found = newer
        await asyncio.sleep(_LOG_POLL_SECONDS)


def _after(before: list[LogLine], now: list[LogLine]) -> list[LogLine]:
    """What follows the last line of `before` in `now`."""
    if not before:
        return now
    for index in range(len(now) - 1, -1, -1):
        if now[index] == before[-1]:
            return now[index + 1 :]
    return now


# -- results --------------------------------------------------------------------------------------------------------


def _print_result(output: Output, action: str, result: Any) -> None:
    if action == "download":
        for one in result["files"]:
            click.echo(f"{readable(one['name'])}\t{size_text(one['size'])}")
        return
    rows = _rows(action, result)
    if not rows:
        return
    if not all(isinstance(row, dict) for row in rows):
        output.json(result)
        return
    if output.console.is_terminal:
        shown: RenderableType = ResultTable(rows)
        output.console.print(shown, soft_wrap=True)
    else:
        for row in rows:
            click.echo("\t".join(row_of(row)))


def _rows(action: str, result: Any) -> list[Any]:
    if action == "parse" and isinstance(result, dict):
        return list(result.get("results") or [])
    if action == "video-info":
        return [result] if result else []
    return list(result) if isinstance(result, list) else [] if result is None else [result]


def _count(action: str, result: Any) -> str:
    if action == "download":
        return say("已完成", "completed")
    count = len(_rows(action, result))
    return say(f"{count} 个结果", f"{count} result{'' if count == 1 else 's'}")
