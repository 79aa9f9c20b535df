"""`plugbay token show` and `rotate`: the token that browsers and other machines sign in with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Group
from rich.text import Text

from service.cli.command import over_api
from service.cli.language import LANGUAGE, say
from service.cli.output import Output
from service.cli.status import REFUSED, WRONG_USAGE
from service.client import Client
from service.errors import PlugbayError


@click.group(
    help=say(
        "查看和更换访问令牌", "Show and replace the token that browsers and other machines sign in with."
    )
)
def token() -> None:
    """The noun of the commands below."""


@token.command(
    "show",
    help=say(
        "输出访问令牌：取自主目录的设置，否则取自 data/token",
        "Print the token, from a home's settings or data/token.",
    ),
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PLUGBAY_HOME",
    default=".",
    show_default=say("当前目录", "the working directory"),
    show_envvar=True,
    metavar="DIR",
    help=say("主目录", "The home of the server."),
)
def show(home: Path) -> None:
    """Reads it where the server does; no server need run."""
    # Commands that ask a server do without its modules.
    from service.api.token import read_token
    from service.settings_reading import SettingsError, load_settings

    home = home.expanduser().resolve()
    try:
        kept = load_settings(home, os.environ).server.token or read_token(home)
    except SettingsError as error:
        _fail(error.text.in_language(LANGUAGE), WRONG_USAGE)
    except PlugbayError as error:
        _fail(error.text.in_language(LANGUAGE), REFUSED)
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(
            say(f"无法读取 data/token（{reason}）", f"data/token cannot be read ({reason})"),
            REFUSED,
        )
    if kept is None:
        _fail(
            say(
                f"{home} 还没有令牌：服务器需要时会自动生成；只接受本机访问时不需要",
                f"{home} has no token: a server makes one where it needs one, which it does not for this machine only",
            ),
            REFUSED,
        )
    click.echo(kept)


@token.command(
    "rotate",
    help=say(
        "更换访问令牌：旧令牌和所有登录即刻失效",
        "Replace the token: the old one and all sign-ins are void at once.",
    ),
)
@over_api
async def rotate(client: Client, output: Output) -> None:
    """Says the new one, which nobody is told again, and where to sign in with it."""
    answer = await client.rotate_token()
    kept = answer["token"]
    lines = [
        Text(answer["message"]),
        Text.assemble(say("  令牌  ", "  token    "), (kept, "bold")),
        Text.assemble(say("  登录  ", "  sign in  "), (f"{client.url}/?token={kept}", "cyan")),
    ]
    output.answer(answer, Group(*lines))


def _fail(text: str, status: int) -> NoReturn:
    click.echo(say("错误：", "Error: ") + text, err=True)
    sys.exit(status)
