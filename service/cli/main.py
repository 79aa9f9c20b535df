"""The `plugbay` command with all that it can do."""

from __future__ import annotations

from importlib import import_module

import click

from service import __version__
from service.cli.language import LANGUAGE, say

if LANGUAGE == "zh":
    # Before any command is made: help texts are put together at once.
    from service.cli.click_words import speak_chinese

    speak_chinese()

# The module that has each command, and its name there. Only the one that is asked for is loaded: the server starts
# sooner without its clients, and a client without the server.
_COMMANDS = {
    "check": ("service.cli.check", "check"),
    "completion": ("service.cli.completion", "completion"),
    "config": ("service.cli.config", "config"),
    "delete": ("service.cli.plugins", "delete"),
    "diff": ("service.cli.revisions", "diff"),
    "disable": ("service.cli.plugins", "disable"),
    "download": ("service.cli.download", "download"),
    "enable": ("service.cli.plugins", "enable"),
    "env": ("service.cli.environments", "env"),
    "events": ("service.cli.events", "events"),
    "grant": ("service.cli.granting", "grant"),
    "history": ("service.cli.history", "history"),
    "install": ("service.cli.install", "install"),
    "list": ("service.cli.plugins", "list_plugins"),
    "new": ("service.cli.new", "new"),
    "outdated": ("service.cli.updates", "outdated"),
    "reload": ("service.cli.plugins", "reload"),
    "revisions": ("service.cli.revisions", "revisions"),
    "rollback": ("service.cli.revisions", "rollback"),
    "search": ("service.cli.search", "search"),
    "serve": ("service.cli.serve", "serve"),
    "source": ("service.cli.revisions", "source"),
    "tasks": ("service.cli.tasks", "tasks"),
    "token": ("service.cli.token", "token"),
    "try": ("service.cli.trying", "try_plugin"),
    "undo": ("service.cli.history", "undo"),
    "update": ("service.cli.updates", "update"),
}
# What the client commands take, and the program by itself does not.
_OF_COMMANDS = ("--url", "--token", "--json")


class Commands(click.Group):
    """Finds the commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=_COMMANDS, ctx=ctx) from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in _OF_COMMANDS:
                raise
            option = error.option_name
            raise click.UsageError(
                say(
                    f"{option} 写在命令之后：plugbay list {option}",
                    f"{option} goes behind the command: plugbay list {option}",
                ),
                ctx,
            ) from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    help=say(
        "Plugbay：承载搜索、下载和解析插件，并在运行中更换它们。",
        "Plugbay hosts search, download and parser plugins and changes them while it runs.",
    ),
    epilog=say(
        "\b\n退出状态：0 完成，1 服务器拒绝或无法连接，2 用法有误。\nPLUGBAY_LANG=en 显示英文。",
        "Exit status: 0 done, 1 refused by the server or not reached, 2 wrong usage. PLUGBAY_LANG=zh: 中文.",
    ),
)
@click.version_option(__version__, prog_name="plugbay")
def plugbay() -> None:
    """Holds the commands together."""


def main() -> None:
    """Runs the command line of this process; does not return."""
    plugbay(prog_name="plugbay")
