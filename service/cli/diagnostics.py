"""What an examination found, as a compiler tells it: place, code, message, the line with a caret, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from service.cli.hanging import Hanging
from service.cli.language import say, told
from service.cli.permissions import permissions_text
from service.cli.task_text import readable, size_text
from service.workbench.problems import Problem
from service.workbench.report import Report

_STYLES = {"error": "bold red", "warning": "bold yellow"}
# Editors know a problem by these words, so they are the same in every language.
_HELP = "help"
_COMMA = say("、", ", ")
_COLON = say("：", ": ")
_LOG_LINES_SHOWN = 10
_WIDTH_MIN = 40
_TAB = "    "
# A log tells more of these than the error itself.
_TOLD_BY_LOG = ("worker_exited", "start_", "self_check_", "call_", "stop_failed")


def report_text(report: Report, *, verbose: bool = False) -> RenderableType:
    """Everything about one plugin."""
    parts: list[RenderableType] = []
    for problem in report.problems:
        parts.extend(problem_lines(problem, verbose=verbose))
        parts.append("")
    told_by_log = any(one.code.startswith(_TOLD_BY_LOG) for one in report.problems)
    if report.log and (verbose or told_by_log):
        parts.extend([*log_lines(report), ""])
    parts.extend(_summary(report))
    return Group(*parts)


def problem_lines(problem: Problem, *, verbose: bool = False) -> Iterator[RenderableType]:
    """One problem."""
    place = ":".join(str(one) for one in (problem.file, problem.line, problem.column) if one is not None)
    yield Hanging(
        "",
        Text.assemble(
            (readable(place), "bold"),
            ": ",
            (f"{problem.severity}[{problem.code}]", _STYLES[problem.severity]),
            ": ",
            (_printable(told(problem.message)), "bold"),
        ),
        is_one_line=True,
    )
    if problem.source is not None and problem.source.strip() and problem.line is not None:
        yield _Excerpt(problem)
    first, *more = told(problem.help).split("\n")
    yield Hanging("", Text.assemble((f"{_HELP}: ", "bold cyan"), _printable(first)), is_one_line=True)
    for line in more:
        yield Text(f"    {line}", "cyan")
    if verbose and problem.traceback:
        for line in problem.traceback.rstrip().splitlines():
            yield Text(f"  {_printable(line)}", "dim")


def log_lines(report: Report) -> Iterator[RenderableType]:
    """The newest lines that the plugin logged or printed."""
    shown = report.log[-_LOG_LINES_SHOWN:]
    yield Text(say("日志：", "log:"), "dim")
    for one in shown:
        yield log_line(one.level, _printable(one.message))


def log_line(level: str, message: str) -> RenderableType:
    """One of them."""
    return Hanging("  ", Text(f"{level:<8} {message}", "dim"), is_one_line=True)


def conclusion(reports: Sequence[Report]) -> Text:
    """How many problems there are, in a line."""
    errors, warnings = sum(one.errors for one in reports), sum(one.warnings for one in reports)
    count = len(reports)
    plugins = say(f"{count} 个插件", f"{count} plugin{'' if count == 1 else 's'}")
    if not errors and not warnings:
        return Text(f"{plugins}{say('，没有问题', ', no problems')}", "bold green")
    parts = []
    if errors:
        parts.append(say(f"{errors} 个错误", f"{errors} error{'' if errors == 1 else 's'}"))
    if warnings:
        parts.append(say(f"{warnings} 个警告", f"{warnings} warning{'' if warnings == 1 else 's'}"))
    return Text(f"{plugins}{_COLON}{_COMMA.join(parts)}", "bold red" if errors else "bold yellow")


def as_json(reports: Sequence[Report]) -> dict[str, Any]:
    """The same for programs; sentences in the language of this run."""
    errors, warnings = sum(one.errors for one in reports), sum(one.warnings for one in reports)
    return {
        "plugins": [report_json(one) for one in reports],
        "errors": errors,
        "warnings": warnings,
    }


def report_json(report: Report) -> dict[str, Any]:
    """One plugin for programs."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    for plain_problem, problem in zip(plain["problems"], report.problems, strict=True):
        plain_problem["message"] = told(problem.message)
        plain_problem["help"] = told(problem.help)
    plain["ok"] = not report.problems
    return plain


def _summary(report: Report) -> Iterator[RenderableType]:
    head = Text(report.id, "bold")
    if report.version:
        head.append(f" {readable(report.version)}", "bold")
    verdict = say("可以加载", "loads") if report.loads else say("无法加载", "does not load")
    head.append(f"  {readable(report.file)}  ", "dim")
    head.append(verdict, "green" if report.loads else "red")
    yield head
    for label, text in _facts(report):
        if text:
            padding = " " * (_LABEL_WIDTH - cell_len(label))
            yield Hanging(f"  {label}{padding}", Text(text), is_one_line=True)


_LABELS = [
    say("提供", "provides"),
    say("配置", "settings"),
    say("协议", "protocols"),
    say("权限", "asks for"),
    say("用时", "time"),
    say("占用", "uses"),
    say("依赖", "packages"),
    say("已有", "there"),
    say("服务器", "server"),
]
_LABEL_WIDTH = max(cell_len(one) for one in _LABELS) + 2


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    provides, usage = report.provides, report.usage
    if provides is not None:
        yield _LABELS[0], _COMMA.join(provides.methods)
        yield (
            _LABELS[1],
            _COMMA.join(_field(one.name, provides.config_missing) for one in provides.config_schema),
        )
        yield _LABELS[2], _COMMA.join(readable(one) for one in provides.supported_protocols or ())
        yield _LABELS[3], permissions_text(provides.permissions)
    yield (
        _LABELS[4],
        " · ".join(f"{_STAGES.get(name, name)} {span(ms)}" for name, ms in report.timings.items()),
    )
    if usage is not None:
        own = say(f"其中独占 {size_text(usage.private)}", f"{size_text(usage.private)} of it its own")
        processes = say(
            f"{usage.processes} 个进程", f"{usage.processes} process{'' if usage.processes == 1 else 'es'}"
        )
        threads = say(f"{usage.threads} 个线程", f"{usage.threads} thread{'' if usage.threads == 1 else 's'}")
        yield _LABELS[5], f"{size_text(usage.pss)}{say('，', ', ')}{own} · {processes} · {threads}"
    yield _LABELS[6], _COMMA.join(_package(one.name, one.version, one.size) for one in report.packages)
    yield _LABELS[7], _COMMA.join(report.satisfied)
    if report.server is not None:
        yield _LABELS[8], f"{report.server['url']}{_COLON}{_server(report)}"


_STAGES = {
    "dependencies": say("依赖", "dependencies"),
    "import": say("导入", "import"),
    "start": "start",
    "self_check": "self_check",
}


def _field(name: str, missing: Iterable[str]) -> str:
    return f"{readable(name)}{say('（必填）', ' (required)')}" if name in missing else readable(name)


def _package(name: str, version: str, size: int | None) -> str:
    return f"{name} {version}" + (f" ({size_text(size)})" if size is not None else "")


def span(ms: float) -> str:
    """Milliseconds: `1234` as `1.2 s`."""
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def _server(report: Report) -> str:
    server = report.server or {}
    if server.get("serves"):
        return say(f"正在运行 {server['serves']}", f"serves {server['serves']}")
    taken = server.get("conflicts") or []
    if taken:
        one = taken[0]
        return say(
            f"已有 {one.get('id')}（{one.get('file')}）",
            f"{one.get('id')} is there already ({one.get('file')})",
        )
    return say(f"没有名为 {report.id} 的插件，可以安装", f"has no {report.id} yet, so it can be installed")


class _Excerpt:
    """The line of a problem, with a caret below it; of a long line the part around it."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        problem = self._problem
        source = (problem.source or "").rstrip()
        begin = min((problem.column or 1) - 1, len(source))
        end = min(max((problem.end_column or begin + 2) - 1, begin + 1), max(len(source), begin + 1))
        before, marked, after = source[:begin], source[begin:end], source[end:]
        before, marked, after = (_printable(one) for one in (before, marked, after))
        number = str(problem.line)
        room = max(options.max_width - len(number) - 4, _WIDTH_MIN)
        if console.is_terminal and cell_len(before + marked + after) > room:
            before, marked, after = _fitted(before, marked, after, room)
        carets = "^" * max(cell_len(marked), 1)
        bar = (" │ ", "blue")
        style = _STYLES[problem.severity]
        yield Text.assemble(
            (f" {number}", "blue"), bar, before, marked, after, overflow="ignore", no_wrap=True
        )
        yield Text.assemble(
            " " * (len(number) + 1),
            bar,
            " " * cell_len(before),
            (carets, style),
            overflow="ignore",
            no_wrap=True,
        )


def _fitted(before: str, marked: str, after: str, room: int) -> tuple[str, str, str]:
    """The marked part, with as much around it as there is room for."""
    kept = Text(marked)
    kept.truncate(room - 2, overflow="ellipsis")
    marked, left = kept.plain, room - kept.cell_len
    if cell_len(before) > left // 2:
        before = "…" + before[-max(left // 2 - 1, 0) :] if left > 3 else ""
    tail = Text(after)
    tail.truncate(max(left - cell_len(before), 1), overflow="ellipsis")
    return before, marked, tail.plain


def _printable(text: str) -> str:
    """Without what would move the cursor; tabs as spaces, so that a caret stands where it should."""
    shown = text.replace("\t", _TAB).replace("\n", " ")
    return "".join(char if char.isprintable() or char == " " else "�" for char in shown)
