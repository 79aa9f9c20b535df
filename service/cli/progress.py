"""What is shown in a terminal while a plugin is installed: the stage, and of its dependencies each step."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from rich.status import Status
from rich.text import Text

from service.cli.language import say
from service.cli.output import Output
from service.cli.task_text import readable
from service.client import Client, ClientError

T = TypeVar("T")

_STAGES = {
    "fetch": say("下载插件", "fetch"),
    "dependencies": say("安装依赖", "dependencies"),
    "load": say("加载并检查", "load and check"),
    "install": say("写入并启用", "put in place"),
}
_STEPS = {
    "resolve": say("解析依赖", "resolving dependencies"),
    "download": say("下载依赖", "downloading dependencies"),
    "install": say("安装依赖", "installing dependencies"),
}
_PACKAGES_NAMED = 3
# The spinner, a space beside it, and one to spare.
_BESIDE = 4


def stage_text(data: Mapping[str, Any]) -> str:
    """How far an install is, by the data of its event: `downloading dependencies 2/5: pandas, numpy`."""
    stage = str(data.get("stage") or "")
    progress = data.get("progress")
    if stage != "dependencies" or not isinstance(progress, Mapping):
        return _STAGES.get(stage, readable(stage))
    text = _STEPS.get(str(progress.get("step")), _STAGES[stage])
    if isinstance(progress.get("done"), int) and isinstance(progress.get("total"), int):
        text += f" {progress['done']}/{progress['total']}"
    packages = [readable(one) for one in progress.get("packages") or [] if one]
    if packages:
        named = say("、", ", ").join(packages[:_PACKAGES_NAMED])
        more = say(" 等", " and more") if len(packages) > _PACKAGES_NAMED else ""
        text += say("：", ": ") + named + more
    return text


def show_stage(output: Output, shown: Status, text: str, data: Mapping[str, Any]) -> None:
    """Has a spinner of `output` say how far an install is, beside the `text` that it began with, on one line."""
    line = Text(f"{text} {stage_text(data)}")
    line.truncate(max(output.errors.width - _BESIDE, 1), overflow="ellipsis")
    shown.update(line)


async def installing(
    client: Client,
    output: Output,
    text: str,
    action: Coroutine[Any, Any, T],
    *,
    plugin: str,
) -> T:
    """Waits for an answer; a terminal is told meanwhile how far the server is.

    Args:
        client: to the server.
        output: where to.
        text: what is shown at first.
        action: gives the answer.
        plugin: whose events those are, such as `search/demo` or `search/*`.
    """
    with output.waiting(text) as shown:
        if not isinstance(shown, Status):
            return await action
        teller = asyncio.create_task(_tell(client, output, shown, text, plugin))
        try:
            return await action
        finally:
            teller.cancel()
            await asyncio.gather(teller, return_exceptions=True)


async def _tell(client: Client, output: Output, shown: Status, text: str, plugin: str) -> None:
    try:
        async with aclosing(client.events([f"plugins/{plugin}"])) as events:
            async for event in events:
                data = event.get("data") or {}
                is_stage = event.get("type") == "plugbay.plugin.installing" and data.get("stage") != "failed"
                if is_stage:
                    show_stage(output, shown, text, data)
    except ClientError:
        return  # whatever it is, the answer that is waited for tells it
