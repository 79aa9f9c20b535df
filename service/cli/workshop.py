"""What `plugbay check` and `plugbay try FILE` share: the bench, its limits, and values given for the configuration."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import click
import msgspec
import structlog
from rich.status import Status

from service.cli.language import say, told
from service.cli.output import PLUGIN_TYPES, Output
from service.cli.progress import show_stage
from service.errors import PlugbayError
from service.model.events import InstallProgress
from service.settings_reading import load_settings
from service.workbench.bench import Bench
from service.workbench.targets import Target, Unusable, targets_of

type_option = click.option(
    "--type",
    "type_",
    metavar="T",
    type=click.Choice(PLUGIN_TYPES),
    help=say("插件类型；默认由文件看出：", "What it is, where the file does not tell: ")
    + say("、", ", ").join(PLUGIN_TYPES),
)
set_option = click.option(
    "--set",
    "values",
    metavar="KEY=VALUE",
    multiple=True,
    help=say(
        "配置值，JSON 或文本；可多次给出", "A value of its configuration, JSON or text; may be repeated."
    ),
)


def find_targets(
    paths: Sequence[str], type_: str | None, passed_over: list[Path] | None = None
) -> list[Target]:
    """The plugins that the paths of a command line stand for; anything else is wrong usage.

    Args:
        paths: files and folders.
        type_: their type, where they do not tell.
        passed_over: takes what is only called like a plugin.
    """
    found: dict[str, Target] = {}
    for path in paths:
        if "://" in path:
            kinds = type_ or "|".join(PLUGIN_TYPES)
            raise click.UsageError(
                say(
                    f"{path} 是地址；plugbay install {path} --type {kinds} --plan 可说明它会做什么",
                    f"{path} is an address; plugbay install {path} --type {kinds} --plan tells what it would do",
                )
            )
        try:
            for target in targets_of(Path(path), type_, passed_over):
                found.setdefault(os.path.abspath(target.path), target)
        except Unusable as unusable:
            raise click.UsageError(told(unusable.text)) from None
    return list(found.values())


def config_of(values: Sequence[str]) -> dict[str, str]:
    """The configuration that `--set` gives, as it was typed: the plugin's schema tells what it means."""
    config: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise click.BadParameter(
                say(f"{value} 应写作 名称=值", f"{value} should be KEY=VALUE"), param_hint="--set"
            )
        config[key] = text
    return config


@asynccontextmanager
async def opened_bench(targets: Sequence[Target]) -> AsyncIterator[Bench]:
    """A bench with the limits of the home that the plugins lie in; what the host's parts log is not shown."""
    root = next((one.root for one in targets if one.root is not None), None)
    home = Path(os.environ.get("PLUGBAY_HOME") or (root.parent if root is not None else "."))
    try:
        settings = await asyncio.to_thread(load_settings, home, os.environ)
    except PlugbayError as error:
        raise click.UsageError(told(error.text)) from None
    task, is_ended = asyncio.current_task(), False

    def end() -> None:
        nonlocal is_ended
        is_ended = True
        if task is not None:
            task.cancel()

    # What ends a job in CI leaves nothing behind either. Not by SIGINT: shells have what they start with & ignore that.
    # In a thread there are no signals to be had.
    with suppress(ValueError, RuntimeError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    try:
        with _silence():
            async with Bench(settings) as bench:
                yield bench
    except asyncio.CancelledError:
        if is_ended:
            raise KeyboardInterrupt from None
        raise


@contextmanager
def waiting(output: Output, text: str) -> Iterator[Callable[[InstallProgress], None]]:
    """Shows in a terminal that something takes its time; what it gives is told how far dependencies are."""
    with output.waiting(text) as shown:

        def tell(progress: InstallProgress) -> None:
            if isinstance(shown, Status):
                steps = msgspec.to_builtins(progress)
                show_stage(output, shown, text, {"stage": "dependencies", "progress": steps})

        yield tell


@contextmanager
def _silence() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
