"""`plugbay check`: plugins loaded in a throw-away worker, and what is wrong with them, as a compiler tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import click

from service.cli.arguments import complete_file
from service.cli.command import over_api
from service.cli.diagnostics import as_json, conclusion, report_text
from service.cli.language import say
from service.cli.output import Output
from service.cli.saves import saves
from service.cli.status import DONE, REFUSED
from service.cli.workshop import config_of, find_targets, opened_bench, set_option, type_option, waiting
from service.client import Client, ClientError
from service.host.files.sources import ROOT_PACKAGE
from service.model.text import Text
from service.workbench.bench import Bench
from service.workbench.examination import Examiner
from service.workbench.report import Report
from service.workbench.targets import Target

# A server that is there answers a listing at once; one that does not is not asked any more.
_PROBE_SECONDS = 2.0
_PLAN_SECONDS = 60.0


@click.command(
    short_help=say("检查插件，不需要服务器", "Check plugins; no server is needed."),
    help=say(
        "\b\n在用后即弃的进程中加载插件（文件，或目录下的全部插件），\n逐一指出问题的文件、行和办法，"
        "以及它提供什么、用时和占用；\n什么都不留下。\n\n"
        "退出状态：0 没有错误，1 有错误，2 用法有误",
        "Load plugins (a file, or all below a folder) in a process that is thrown away, and tell every problem with "
        "file, line and what to do, besides what they provide, how long it took and what it used. Nothing stays "
        "behind.\n\nExit status: 0 no errors, 1 errors, 2 wrong usage.",
    ),
)
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True, shell_complete=complete_file)
@type_option
@click.option(
    "--run",
    metavar="WORDS",
    help=say(
        "加载后再用它调用一次：搜索的词、要解析或下载的地址",
        "Then call it once: with words to search for, or an address to parse or to download.",
    ),
)
@set_option
@click.option("--watch", is_flag=True, help=say("每次保存后重新检查", "Check again at every save."))
@click.option(
    "--strict",
    is_flag=True,
    help=say("警告也算问题", "Take warnings for problems."),
)
@click.option("--verbose", is_flag=True, help=say("显示回溯和日志", "Show tracebacks and the plugin's log."))
@over_api
async def check(
    client: Client,
    output: Output,
    *,
    paths: tuple[str, ...],
    type_: str | None,
    run: str | None,
    values: tuple[str, ...],
    watch: bool,
    strict: bool,
    verbose: bool,
) -> int:
    """Checks once, or again and again."""
    passed_over: list[Path] = []
    targets = await asyncio.to_thread(find_targets, paths, type_, passed_over)
    for path in passed_over:
        output.note(
            say(
                f"略过 {path}：其中没有从 SearchPlugin、DownloadPlugin 或 ParserPlugin 派生的类",
                f"{path} is left out: no class in it is derived from SearchPlugin, DownloadPlugin or ParserPlugin",
            )
        )
    config = config_of(values)

    async def once(bench: Bench, targets: Sequence[Target]) -> int:
        examiner = Examiner(bench, config)
        reports: list[Report] = []
        server: Mapping[str, Any] | None = None
        for target in targets:
            text = say(f"正在检查 {target.path}…", f"Checking {target.path}…")
            with waiting(output, text) as tell:
                call = ("", run) if run is not None else None
                report = await examiner.examine(target, call=call, on_progress=tell)
                if not reports:
                    server = await _listing(client)
                if server is not None and report.loads:
                    report.server = await _on_server(client, server, target, report, examiner)
            reports.append(report)
            if not output.as_json:
                output.console.print(report_text(report, verbose=verbose), soft_wrap=_is_piped(output))
                output.console.print()
        if output.as_json:
            output.json(as_json(reports), lines=watch)
        else:
            output.console.print(conclusion(reports))
        problems = sum(len(one.problems) if strict else one.errors for one in reports)
        return REFUSED if problems else DONE

    async with opened_bench(targets) as bench:
        if not watch:
            return await once(bench, targets)
        status = DONE
        try:
            async with aclosing(saves(_watched(targets))) as rounds:
                async for _ in rounds:
                    if not output.as_json and output.console.is_terminal:
                        output.console.clear()
                    try:
                        targets = await asyncio.to_thread(find_targets, paths, type_)
                    except click.UsageError as error:
                        output.note(error.message)
                        continue
                    status = await once(bench, targets)
                    output.note(say("等待保存；Ctrl-C 结束", "Waiting for a save; Ctrl-C ends it"))
        except asyncio.CancelledError:
            # Ctrl-C is the way to end it.
            pass
        return status


def _is_piped(output: Output) -> bool:
    return not output.console.is_terminal


def _watched(targets: Sequence[Target]) -> set[Path]:
    """The plugin folders, as helpers lie there too, and the folders of plugins outside of any."""
    return {one.root if one.root is not None else one.path.absolute().parent for one in targets}


async def _listing(client: Client) -> Mapping[str, Any] | None:
    """The plugins of the server, where one answers."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            return await client.plugins()
    except (ClientError, TimeoutError):
        return None


async def _on_server(
    client: Client, listing: Mapping[str, Any], target: Target, report: Report, examiner: Examiner
) -> dict[str, Any]:
    """What the server has by its name, and what installing it there would meet; a clash is added to the report."""
    held = [
        {"id": one.get("id"), "file": one.get("file")}
        for one in listing.get(report.type, [])
        if one.get("name") == report.name
    ]
    told: dict[str, Any] = {"url": client.url, "conflicts": held, "replaces": held[0]["id"] if held else None}
    if target.root is not None and not target.is_misnamed:
        own = (f"{ROOT_PACKAGE}/{target.unit.path}", f"{ROOT_PACKAGE}/{target.unit.main_file}")
        if any(one["file"] in own for one in held):
            return {**told, "conflicts": [], "replaces": None, "serves": held[0]["file"]}
        beside = [path for one in held if (path := target.root.parent / str(one["file"])).exists()]
        if beside:
            text = Text(
                zh=f"{report.id} 已由 {beside[0]} 使用，{client.url} 正在运行它，因此不会加载 {target.file}",
                en=f"{report.id} is the identity of {beside[0]} already, which {client.url} serves; it does not load "
                f"{target.file} beside it",
            )
            examiner.clash(report, text, is_error=True)
            return {**told, "replaces": None}
    if not target.unit.is_package:  # what is uploaded is one file; for a package the names tell as much
        with suppress(ClientError, TimeoutError, OSError):
            async with asyncio.timeout(_PLAN_SECONDS):
                plan = await client.install_file(target.file, report.type, dry_run=True)
            told |= {
                "conflicts": plan.get("conflicts") or [],
                "replaces": plan.get("replaces"),
                "file": (plan.get("plugin") or {}).get("file"),
            }
    # One by the same file name and the same name is meant to be newer than what is there.
    others = [
        one
        for one in told["conflicts"]
        if one.get("id") != report.id or Path(str(one.get("file"))).name != target.path.name
    ]
    if others:
        one = others[0]
        text = Text(
            zh=f"{client.url} 上已有 {one.get('id')}（{one.get('file')}），与 {target.file} 冲突",
            en=f"{client.url} has {one.get('id')} already, {one.get('file')}, so {target.file} clashes with it",
        )
        remedy = Text(
            zh="换一个 name 和文件名；若要覆盖它，安装时加 --replace",
            en="give it and its file another name, or install it with --replace",
        )
        examiner.clash(report, text, help=remedy, is_error=False)
    return told
