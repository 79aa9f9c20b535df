"""Arguments that name what a server has; a shell completes them from one that runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from service.cli.language import LANGUAGE, say
from service.cli.output import PLUGIN_TYPES, clock, plugins_of
from service.cli.suggestions import did_you_mean, nearest
from service.cli.task_text import name_of, readable
from service.client import DEFAULT_URL, Client
from service.model.task import ENDED, RUNNING, TaskStatus

# Whoever presses Tab does not wait longer than that.
COMPLETION_DEADLINE_S = 1.0
# So much of a revision is shown.
SHORT_REVISION = 12
_TASKS = 50
_CHANGES = 200

Fetch = Callable[[Client], Awaitable[Iterable[tuple[str, str]]]]

# The tasks that a command can do something with.
_FITTING = {
    "cancel": frozenset(TaskStatus) - ENDED,
    "pause": RUNNING | {TaskStatus.PENDING},
    "resume": frozenset({TaskStatus.PAUSED}),
    "retry": frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED}),
}


def completed(ctx: click.Context, incomplete: str, fetch: Fetch) -> list[CompletionItem]:
    """What a running server has that begins so; nothing, and no word, where none answers in time.

    Args:
        ctx: has `--url` and `--token`, where they were typed.
        incomplete: what is there of the word.
        fetch: asks for the words, each with what it is.
    """
    url = _typed(ctx, "url") or os.environ.get("PLUGBAY_URL") or DEFAULT_URL
    token = _typed(ctx, "token") or os.environ.get("PLUGBAY_TOKEN")

    async def ask() -> list[tuple[str, str]]:
        async with asyncio.timeout(COMPLETION_DEADLINE_S):
            async with Client(url, token, language=LANGUAGE) as client:
                return list(await fetch(client))

    try:
        found = asyncio.run(ask())
    except Exception:
        return []  # whatever it is, it must not be printed into the line that is being typed
    return [
        CompletionItem(word, help=" ".join(meaning.split()) or None)
        for word, meaning in found
        if word.startswith(incomplete)
    ]


def _typed(ctx: click.Context | None, name: str) -> str | None:
    while ctx is not None:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            return str(ctx.params[name])
        ctx = ctx.parent
    return None


class PluginId(click.ParamType[tuple[str, str]]):
    """`TYPE/NAME`, such as `search/demo`."""

    name = "T/NAME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The type and the name."""
        if isinstance(value, tuple):
            return value
        type, slash, name = str(value).partition("/")
        if not slash or not name or type not in PLUGIN_TYPES:
            types = say("、", ", ").join(PLUGIN_TYPES)
            near = nearest(type, PLUGIN_TYPES) if slash and name else []
            hint = did_you_mean(f"{one}/{name}" for one in near)
            self.fail(
                say(
                    f"{value} 应写作 类型/名称，如 search/demo；类型为 {types}",
                    f"{value!r} should be TYPE/NAME, such as search/demo; TYPE is one of {types}",
                )
                + (say("。", ". ") + hint if hint else ""),
                param,
                ctx,
            )
        return type, name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return completed(ctx, incomplete, _plugin_ids)


class PluginName(click.ParamType[str]):
    """The name of a plugin whose type goes without saying."""

    name = "NAME"

    def __init__(self, type: str) -> None:
        self._type = type

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, also where it was given with its type."""
        return str(value).removeprefix(f"{self._type}/")

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        async def fetch(client: Client) -> Iterable[tuple[str, str]]:
            plugins = plugins_of(await client.plugins())
            return [_described(one, "name") for one in plugins if one["type"] == self._type]

        return completed(ctx, incomplete, fetch)


def complete_plugin_or_file(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Plugins of a server, and files where none begins so."""
    return completed(ctx, incomplete, _plugin_ids) or complete_file(ctx, param, incomplete)


def complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, by the shell itself."""
    return [CompletionItem(incomplete, type="file")]


def complete_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the newest tasks that the command can do something with."""
    fitting = _FITTING.get(ctx.info_name or "", frozenset(TaskStatus))

    async def fetch(client: Client) -> Iterable[tuple[str, str]]:
        tasks = (await client.tasks(statuses=sorted(fitting), limit=_TASKS))["tasks"]
        return [(one["id"], f"{one['status']} {name_of(one)}") for one in tasks]

    return completed(ctx, incomplete, fetch)


def complete_change(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the changes that can be undone."""

    async def fetch(client: Client) -> Iterable[tuple[str, str]]:
        changes = (await client.changes(limit=_CHANGES))["changes"]
        return [
            (one["id"], f"{readable(one['plugin'])} {readable(one['summary'])}")
            for one in changes
            if one["undoable"] and not one["undone_by"]
        ]

    return completed(ctx, incomplete, fetch)


def complete_revision(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Revisions of the plugin that is named before."""
    plugin = ctx.params.get("plugin")
    if not isinstance(plugin, tuple):
        return []

    async def fetch(client: Client) -> Iterable[tuple[str, str]]:
        return [
            (one["revision"][:SHORT_REVISION], f"{readable(one['version'])} {clock(one['at'])}")
            for one in await client.revisions(*plugin)
        ]

    return completed(ctx, incomplete, fetch)


async def _plugin_ids(client: Client) -> Iterable[tuple[str, str]]:
    return [_described(one, "id") for one in plugins_of(await client.plugins())]


def _described(plugin: Mapping[str, Any], member: str) -> tuple[str, str]:
    return str(plugin[member]), f"{readable(plugin['state'])} {readable(plugin['description'])}"


PLUGIN_ID = PluginId()
