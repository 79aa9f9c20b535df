"""`plugbay outdated` and `update`: what the origins of plugins have by now, and getting it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.arguments import PLUGIN_ID
from service.cli.command import over_api
from service.cli.language import say
from service.cli.listing import Listing
from service.cli.output import Output, load_error_lines
from service.cli.plan import has_failed, origin_lines, plan_text
from service.cli.progress import installing
from service.cli.remedies import remedy_of, words_of
from service.cli.status import REFUSED
from service.cli.task_text import readable
from service.client import Client, ServerRefused

_STATES = {
    "outdated": (say("可更新", "outdated"), "yellow"),
    "current": (say("最新", "current"), "green"),
    "modified": (say("本地已改", "edited here"), "cyan"),
    "unreachable": (say("无法连接", "unreachable"), "red"),
    "unknown": (say("无来源", "no origin"), "dim"),
}
# Nothing to be asked, so nothing to be told of each.
_WITHOUT_ORIGIN = "unknown"
_VERSION_MAX_CHARS = 20
_DOES_NOT_FIT = "origin_changed"


@click.command(
    help=say(
        "询问各插件的来源是否有新版本", "Ask the origins of the plugins whether they have anything newer."
    )
)
@over_api
async def outdated(client: Client, output: Output) -> None:
    """A row a plugin that came from an address."""
    with output.waiting(say("正在询问各来源…", "Asking the origins…")):
        answer = await client.outdated()
    output.answer(answer, _table(answer.get("plugins") or []))


def _table(plugins: Sequence[Mapping[str, Any]]) -> RenderableType:
    shown = [one for one in plugins if one.get("state") != _WITHOUT_ORIGIN]
    others = len(plugins) - len(shown)
    note = Text(
        say(f"另有 {others} 个插件没有来源地址", f"{others} more were not installed from an address"),
        style="dim",
    )
    if not shown:
        return Group(
            Text(say("没有从地址安装的插件", "No plugin was installed from an address")),
            *([note] if others else []),
        )
    heads = [
        say("插件", "plugin"),
        say("状态", "state"),
        say("现有", "here"),
        say("来源处", "there"),
        say("来源", "origin"),
    ]
    table = Listing(heads, [_row(one) for one in shown], elastic=len(heads) - 1)
    problems = [
        Text.assemble(
            (readable(one.get("id")), "red" if one.get("state") == "unreachable" else "yellow"),
            f": {readable(one.get('problem'))}",
        )
        for one in shown
        if one.get("problem")
    ]
    count = sum(one.get("state") == "outdated" for one in shown)
    hint = Text(
        say(f"{count} 个可更新：plugbay update --all", f"{count} to update: plugbay update --all"),
        style="yellow",
    )
    return Group(table, *problems, *([hint] if count else []), *([note] if others else []))


def _row(one: Mapping[str, Any]) -> list[Text]:
    word, style = _STATES.get(str(one.get("state")), (readable(one.get("state")), ""))
    return [
        Text(readable(one.get("id"))),
        Text(word, style=style),
        Text(readable(one.get("version"))[:_VERSION_MAX_CHARS]),
        Text(readable(one.get("latest_version"))[:_VERSION_MAX_CHARS]),
        Text(readable(one.get("url")), style="dim"),
    ]


@click.command(
    short_help=say("从来源更新插件", "Update plugins from their origins."),
    help=say(
        "\b\n从来源更新插件；更新是一个整体：失败则旧版继续服务。\n来源变化时先询问；plugbay undo 可撤销",
        "Update plugins from their origins, each wholly or not at all. Where one would come from elsewhere than "
        "before, it is asked first. plugbay undo brings back what was there.",
    ),
)
@click.argument("plugins", metavar="[T/NAME]...", nargs=-1, type=PLUGIN_ID)
@click.option(
    "--all", "every", is_flag=True, help=say("更新所有可更新的插件", "Update all that are outdated.")
)
@click.option(
    "--plan",
    is_flag=True,
    help=say("只说明会做什么，不做更改", "Only tell what it would do."),
)
@click.option("--replace", is_flag=True, help=say("覆盖在本地做过的修改", "Give up what was edited here."))
@click.option(
    "--accept-origin", is_flag=True, help=say("接受来源的变化", "Accept that it comes from elsewhere.")
)
@over_api
async def update(
    client: Client,
    output: Output,
    *,
    plugins: tuple[tuple[str, str], ...],
    every: bool,
    plan: bool,
    replace: bool,
    accept_origin: bool,
) -> int | None:
    """One after another; a line each where there are several."""
    if every == bool(plugins):
        raise click.UsageError(say("请给出 T/NAME，或 --all", "Give T/NAME, or --all"))
    given = {"dry_run": plan, "replace": replace, "accept_origin": accept_origin}
    updating = _Updating(client, output, {name: True for name, value in given.items() if value})
    if len(plugins) == 1:
        answer = await updating.update(plugins[0])
        output.answer(answer, updating.told(answer))
        return REFUSED if answer.get("status") == "plan" and has_failed(answer) else None
    return await updating.update_several(plugins or await updating.outdated())


class _Updating:
    """What several updates of one command have in common."""

    def __init__(self, client: Client, output: Output, options: Mapping[str, bool]) -> None:
        self._client = client
        self._output = output
        self._options = options
        self._versions: dict[str, str] = {}
        self._results: list[dict[str, Any]] = []
        self._failed = False

    async def outdated(self) -> list[tuple[str, str]]:
        """Those to be updated; of the others the ones that cannot be are told."""
        with self._output.waiting(say("正在询问各来源…", "Asking the origins…")):
            listed = (await self._client.outdated()).get("plugins") or []
        wanted = ("outdated", "modified") if "replace" in self._options else ("outdated",)
        found = []
        for one in listed:
            state, id = one.get("state"), str(one.get("id"))
            if state in wanted and one.get("sha256"):
                type_, _, name = id.partition("/")
                found.append((type_, name))
            elif state == "modified" and one.get("sha256"):
                words = say(
                    "本地已改，跳过（--replace 覆盖）", "edited here, left as it is (--replace updates it)"
                )
                self._say({"id": id, "status": "skipped"}, Text.assemble((id, "cyan"), f"  {words}"))
            elif state == "unreachable":
                self._failed = True
                problem = readable(one.get("problem"))
                self._say(
                    {"id": id, "status": "unreachable", "problem": {"detail": one.get("problem")}},
                    Text.assemble((id, "red"), f"  {problem}"),
                )
        if not found and not self._results and not self._output.as_json:
            self._output.console.print(say("没有可更新的插件", "There is nothing to update"))
        return found

    async def update_several(self, plugins: Any) -> int | None:
        """One after another: what is refused does not keep the others from it."""
        for plugin in dict.fromkeys(plugins):
            id = "/".join(plugin)
            try:
                answer = await self.update(plugin)
            except ServerRefused as error:
                self._failed = True
                problem = {**error.problem, "status": error.status}
                lines: list[RenderableType] = [Text.assemble((id, "red"), f"  {words_of(problem) or error}")]
                if isinstance(load_error := problem.get("error"), dict):
                    lines += load_error_lines(load_error)
                if remedy := remedy_of(problem):
                    lines.append(Text(f"  {remedy}"))
                self._say({"id": id, "status": "refused", "problem": dict(error.problem)}, Group(*lines))
                continue
            self._failed |= answer.get("status") == "plan" and has_failed(answer)
            self._say({"id": id, **answer}, self.told(answer))
        if self._output.as_json:
            self._output.json({"results": self._results})
        return REFUSED if self._failed else None

    async def update(self, plugin: tuple[str, str]) -> dict[str, Any]:
        """Updates one; where it would come from elsewhere, who sits there is asked."""
        id = "/".join(plugin)
        before = await self._client.plugin(*plugin)
        self._versions[str(before.get("id"))] = readable(before.get("version"))
        try:
            return await self._ask(plugin, self._options)
        except ServerRefused as error:
            if error.problem.get("code") != _DOES_NOT_FIT or not await self._accepts(id, error.problem):
                raise
        return await self._ask(plugin, {**self._options, "accept_origin": True})

    async def _ask(self, plugin: tuple[str, str], options: Mapping[str, bool]) -> dict[str, Any]:
        id = "/".join(plugin)
        text = say(f"正在更新 {id}…", f"Updating {id}…")
        return await installing(
            self._client, self._output, text, self._client.update(*plugin, options), plugin=id
        )

    async def _accepts(self, id: str, problem: Mapping[str, Any]) -> bool:
        if self._output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        self._output.errors.print(say(f"{id} 的来源变了：", f"{id} would come from elsewhere than before:"))
        for line in origin_lines(problem):
            self._output.errors.print(line)
        return await asyncio.to_thread(
            click.confirm, say("接受新的来源吗？", "Accept the new origin?"), err=True
        )

    def told(self, answer: Mapping[str, Any]) -> RenderableType:
        """A line, or a plan."""
        if answer.get("status") == "plan":
            return plan_text(answer)
        plugin = answer.get("plugin") or {}
        id, version = str(plugin.get("id")), readable(plugin.get("version"))
        before = self._versions.get(id, "")
        if answer.get("status") == "current":
            return Text.assemble((id, "green"), f"  {say('已是最新', 'current')} ({version})")
        if before == version:
            return Text.assemble((id, "green"), f"  {version} {say('（内容已更新）', '(new content)')}")
        return Text.assemble((id, "green"), f"  {before} → {version}")

    def _say(self, result: dict[str, Any], text: RenderableType) -> None:
        self._results.append(result)
        if not self._output.as_json:
            self._output.console.print(text)
