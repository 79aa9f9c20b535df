"""The `plugbay` command with all that it can do."""

from __future__ import annotations

import click

from service import __version__
from service.cli.config import config
from service.cli.events import events
from service.cli.install import install
from service.cli.language import say
from service.cli.plugins import delete, disable, enable, list_plugins, reload
from service.cli.serve import serve


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    help=say(
        "Plugbay：承载搜索、下载和解析插件，并在运行中更换它们。",
        "Plugbay hosts search, download and parser plugins and changes them while it runs.",
    ),
    epilog=say(
        "退出状态：0 完成，1 服务器拒绝或无法连接，2 用法有误。PLUGBAY_LANG=en 显示英文。",
        "Exit status: 0 done, 1 refused by the server or not reached, 2 wrong usage. PLUGBAY_LANG=zh: 中文.",
    ),
)
@click.version_option(__version__, prog_name="plugbay")
def plugbay() -> None:
    """Holds the commands together."""


for command in (serve, list_plugins, install, delete, reload, enable, disable, config, events):
    plugbay.add_command(command)


def main() -> None:
    """Runs the command line of this process; does not return."""
    plugbay(prog_name="plugbay")
