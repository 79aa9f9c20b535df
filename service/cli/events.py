"""`plugbay events`, and how an event reads in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from service.cli.client import Client, Connected, Disconnected
from service.cli.command import over_api
from service.cli.language import say
from service.cli.output import Output, clock, message_of

_STYLES = {
    "loaded": "green",
    "reloaded": "green",
    "enabled": "green",
    "configured": "green",
    "failed": "red",
    "crashed": "red",
    "unloaded": "yellow",
    "disabled": "yellow",
}


@click.command(
    help=say(
        "实时显示事件，断线自动续接；Ctrl-C 结束。主题如 plugins/**、logs/search/demo",
        "Print events as they happen, over cuts too, until Ctrl-C. Topics are such as plugins/** or logs/search/demo.",
    )
)
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="T",
    help=say("只看这些主题，可多次给出", "Only these topics; may be given more than once.")
    + "  [default: **]",
)
@over_api
async def events(client: Client, output: Output, *, topics: tuple[str, ...]) -> None:
    """One line an event; with `--json` the event as it came."""
    async for item in client.follow(list(topics) or ["**"]):
        match item:
            case Connected(recovered=False):
                output.note(
                    say(
                        "有事件未能补齐：服务器已重启，或断线过久",
                        "Events were missed: the server has restarted, or the cut was long",
                    )
                )
            case Connected():
                output.note(say("已连接", "connected"))
            case Disconnected(reason):
                output.note(say(f"连接中断（{reason}），正在重连…", f"cut ({reason}), coming back…"))
            case _ if output.as_json:
                output.json(item.event, lines=True)
            case _ if item.event.get("type") != "plugbay.heartbeat":
                output.console.print(event_line(item.event), soft_wrap=True)


def event_line(event: Mapping[str, Any]) -> Text:
    """`12:00:00 search/demo reloaded, generation 3, 4.9 ms (file)`."""
    kind = str(event.get("type", "")).removeprefix("plugbay.")
    subject = str(event.get("subject", ""))
    data = event.get("data") or {}
    noun, _, verb = kind.partition(".")
    if noun == "log":
        level, message = data.get("level", ""), data.get("message", "")
        return Text.assemble(
            (clock(data.get("at")), "dim"), f" {subject.removeprefix('logs/')} {level}: {message}"
        )
    head = Text.assemble(
        (clock(event.get("time")), "dim"),
        f" {subject.removeprefix('plugins/')} ",
        (verb or kind, _STYLES.get(verb, "cyan")),
    )
    return head.append(_detail(noun, verb, data))


def _detail(noun: str, verb: str, data: Mapping[str, Any]) -> str:
    plugin = data.get("plugin")
    if noun == "plugin" and isinstance(plugin, dict):
        parts = []
        if plugin.get("generation"):
            parts.append(say(f"第 {plugin['generation']} 代", f"generation {plugin['generation']}"))
        if timings := data.get("timings"):
            parts.append(f"{timings.get('total_ms', 0):.1f} ms")
        detail = "".join(f", {part}" for part in parts) + f" ({data.get('cause', '?')})"
        error = plugin.get("error")
        if verb in ("failed", "crashed") and error:
            place = ":".join(str(error[part]) for part in ("file", "line") if error.get(part) is not None)
            detail += f": {place + ' ' if place else ''}{message_of(error)}"
        return detail
    if verb == "drained":
        return say(
            f"，第 {data.get('generation')} 代收尾完成，{data.get('drain_ms', 0):.0f} ms",
            f", generation {data.get('generation')} finished, {data.get('drain_ms', 0):.0f} ms",
        )
    plain = {key: value for key, value in data.items() if isinstance(value, str | int | float)}
    return "".join(f" {key}={value}" for key, value in plain.items())
