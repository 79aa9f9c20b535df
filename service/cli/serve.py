"""`plugbay serve`: reads the settings, prepares the home, says where it is, runs the server."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from service import __version__
from service.api.authority import is_loopback_name
from service.api.token import made_token
from service.cli.language import say, told
from service.cli.status import REFUSED, WRONG_USAGE
from service.errors import PlugbayError
from service.home import locked_home, prepare_home
from service.listening import listening_sockets
from service.logs import logging_to
from service.model.text import Text as Sentence
from service.settings import Settings
from service.settings_reading import SettingsError, load_settings


@click.command(
    short_help=say("运行服务器", "Run the server."),
    help=say(
        "运行服务器。\n\n设置见 config/service.toml，也可用环境变量 PLUGBAY_节__名 覆盖",
        "Run the server. Settings are in config/service.toml, or in PLUGBAY_SECTION__KEY.",
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
    help=say("主目录", "Where plugins/, config/ and data/ are."),
)
@click.option("--host", metavar="H", help=say("监听地址", "The address to listen on."))
@click.option(
    "--port",
    metavar="P",
    type=click.IntRange(0, 65535),
    help=say("端口，0 为任意空闲端口", "The port; 0 takes any free one."),
)
def serve(home: Path, host: str | None, port: int | None) -> None:
    """Runs until SIGINT or SIGTERM."""
    console = Console(stderr=True, highlight=False)
    given = {"PLUGBAY_SERVER__HOST": host, "PLUGBAY_SERVER__PORT": None if port is None else str(port)}
    environ = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
    home = home.expanduser().resolve()
    try:
        settings = load_settings(home, environ)
        server = settings.server
        with ExitStack() as held:
            sockets = [held.enter_context(one) for one in listening_sockets(server.host, server.port)]
            fresh = prepare_home(home)
            held.enter_context(locked_home(home))
            token = None
            if server.token is None:
                token = made_token(home, server.host, server.allowed_hosts, server.trusted_proxies)
            console.print(banner(settings, home, fresh=fresh, token=token), soft_wrap=True)
            held.enter_context(logging_to(level=settings.logs.level, format=settings.logs.format))
            _run(settings, home, sockets)
    except SettingsError as error:
        _fail(console, told(error.text), WRONG_USAGE)
    except PlugbayError as error:
        _fail(console, told(error.text), REFUSED)
    except OSError as error:
        _fail(console, _cannot_listen(error, settings), REFUSED)
    except KeyboardInterrupt:
        pass


def _run(settings: Settings, home: Path, sockets: Sequence[socket.socket]) -> None:
    # What the import makes stays for good. Frozen, it is spared by full collections: with it, each held the event loop
    # for 25 ms.
    gc.disable()
    # Only here, so that a client command does not load the server.
    from service.serving import serve as run_server

    gc.freeze()
    gc.enable()
    with asyncio.Runner(loop_factory=_loop_factory(settings)) as runner:
        runner.run(run_server(settings, home, sockets))


def _loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop]:
    """The maker of the loop that the settings name."""
    if settings.server.event_loop == "asyncio":
        from service.live.selector import new_event_loop as new_fair_event_loop

        return new_fair_event_loop
    try:
        import uvloop
    except ImportError as error:
        raise SettingsError(
            Sentence(
                zh='server.event_loop 是 "uvloop"，但没有安装它：pip install "plugbay[uvloop]"，或改为 "asyncio"',
                en='server.event_loop is "uvloop", which is not installed: pip install "plugbay[uvloop]", '
                'or set it to "asyncio"',
            )
        ) from error
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_event_loop


def address(settings: Settings) -> str:
    """The address for a browser on this machine, or by the first name that the server may be called by."""
    server = settings.server
    names = [name for name in server.allowed_hosts if not name.startswith("*")]
    host = server.host
    if host in ("0.0.0.0", "::", "[::]") or not is_loopback_name(host.strip("[]").lower()):
        host = names[0] if names else "127.0.0.1"
    elif ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}" if ":" in host.rpartition("]")[2] else f"http://{host}:{server.port}"


def banner(settings: Settings, home: Path, *, fresh: bool, token: str | None) -> Text:
    """What is printed at the start.

    Args:
        settings: as they are in force.
        home: the home folder.
        fresh: whether the bundled plugins were put there just now.
        token: the token that the server made, to sign in with.
    """
    url = address(settings)
    text = Text.assemble(("Plugbay", "bold"), f" {__version__}  ")
    if settings.server.port:
        text.append(url, style="cyan underline")
    else:
        text.append(say("（任意空闲端口，见下方日志）", "(any free port; the log below says which)"))
    text.append(say(f"\n  主目录  {home}", f"\n  home    {home}"))
    if fresh:
        text.append(say("（新建，已放入自带插件）", " (new, with the bundled plugins)"))
    if token is not None:
        text.append(say("\n  登录    ", "\n  sign in "))
        text.append(f"{url}/?token={token}", style="cyan")
    if not is_loopback_name(settings.server.host.strip("[]").lower()) and not settings.server.allowed_hosts:
        text.append(
            say(
                "\n  从其他机器访问前，请把所用的主机名加入 server.allowed_hosts",
                "\n  To be reached by another name, it has to be in server.allowed_hosts",
            ),
            style="yellow",
        )
    text.append(say("\n  停止    Ctrl-C", "\n  stop    Ctrl-C"), style="dim")
    return text


def _cannot_listen(error: OSError, settings: Settings) -> str:
    place = f"{settings.server.host}:{settings.server.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return say(
                f"{place} 已被占用：可能已有服务器在运行；停止它，或用 --port 换一个端口",
                f"{place} is in use, perhaps by another server: stop that one, or choose another with --port",
            )
        case errno.EADDRNOTAVAIL:
            return say(
                f"本机没有地址 {settings.server.host}；请修改 server.host 或 --host",
                f"This machine has no address {settings.server.host}; change server.host or --host",
            )
        case errno.EACCES if settings.server.port < 1024:
            return say(
                f"没有权限监听 {place}；请用 1024 以上的端口",
                f"There is no permission to listen on {place}; use a port above 1023",
            )
    return str(error)


def _fail(console: Console, text: str, status: int) -> None:
    console.print(f"[bold red]{say('错误：', 'Error: ')}[/]{escape(text)}", soft_wrap=True)
    sys.exit(status)
