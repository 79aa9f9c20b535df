"""`plugbay completion`: what makes a shell complete the command's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from service.cli.language import say

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_PLUGBAY_COMPLETE"


@click.command(
    short_help=say("输出 Shell 补全脚本", "Print the script that completes words in a shell."),
    help=say(
        "输出 Shell 补全脚本：命令、选项，以及运行中的服务器的插件、任务和更改。\n\n"
        '\b\nbash  eval "$(plugbay completion bash)"\n'
        'zsh   eval "$(plugbay completion zsh)"\n'
        "fish  plugbay completion fish | source\n\n"
        "\b\n写入 ~/.bashrc、~/.zshrc（compinit 之后）或\n~/.config/fish/config.fish 即长期有效",
        "Print the script that completes words in a shell: commands and options, and plugins, tasks and changes of a "
        "running server.\n\n"
        '\b\nbash  eval "$(plugbay completion bash)"\n'
        'zsh   eval "$(plugbay completion zsh)"\n'
        "fish  plugbay completion fish | source\n\n"
        "To keep it, put that line into ~/.bashrc, ~/.zshrc (behind compinit) or ~/.config/fish/config.fish.",
    ),
)
@click.argument("shell", metavar="SHELL", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """The script is click's own."""
    command = click.get_current_context().find_root().command
    shell_class = get_completion_class(shell)
    assert shell_class is not None, "click knows these shells"
    click.echo(shell_class(command, {}, "plugbay", _VARIABLE).source())
