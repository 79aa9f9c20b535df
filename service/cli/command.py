"""What the client commands share: where the server is, how they print, what status they end with."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from service.cli.language import LANGUAGE, say
from service.cli.output import Output
from service.cli.status import DONE, INTERRUPTED, REFUSED
from service.cli.suggestions import plugin_meant
from service.client import DEFAULT_URL, Client, ClientError, ServerRefused

T = TypeVar("T")
Action = Callable[..., Coroutine[Any, Any, int | None]]


def over_api(action: Action) -> Callable[..., None]:
    """Makes a click command body of `action(client, output, **arguments)`, which may return an exit status.

    Adds `--url`, `--token` and `--json`, which may also stand with the group that the command is in. A `ClientError` is
    printed and ends the command with 1. On a group the action is for when no command of it is named.
    """

    @click.option(
        "--url",
        metavar="URL",
        envvar="PLUGBAY_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help=say("服务器", "Where the server is."),
    )
    @click.option(
        "--token",
        metavar="TOKEN",
        envvar="PLUGBAY_TOKEN",
        show_envvar=True,
        help=say("访问令牌", "The token, where it asks for one."),
    )
    @click.option("--json", "as_json", is_flag=True, help=say("输出 JSON", "Print JSON."))
    @functools.wraps(action)
    def command(url: str, token: str | None, as_json: bool, **arguments: Any) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is not None:
            return
        url = _shared(context, "url", url)
        token = _shared(context, "token", token)
        output = Output(_shared(context, "as_json", as_json))

        async def run() -> int | None:
            async with Client(url, token, language=LANGUAGE) as client:
                try:
                    return await action(client, output, **arguments)
                except ClientError as error:
                    is_unknown = isinstance(error, ServerRefused) and error.code == "plugin_not_found"
                    hint = await plugin_meant(client, arguments, context.info_name) if is_unknown else ""
                    output.failure(error, hint)
                    return REFUSED

        try:
            status = asyncio.run(run())
        except KeyboardInterrupt:
            status = INTERRUPTED
        sys.exit(status or DONE)

    return command


def _shared(context: click.Context, name: str, value: T) -> T:
    """The value of an option, or the one that was typed with the group: `plugbay tasks --json show ID`."""
    typed, group = ParameterSource.COMMANDLINE, context.parent
    if context.get_parameter_source(name) is typed or group is None:
        return value
    return cast(T, group.params[name]) if group.get_parameter_source(name) is typed else value
