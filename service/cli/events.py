"""`plugbay events`, and how an event reads in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from service.cli.command import over_api
from service.cli.language import LANGUAGE, say
from service.cli.output import Output, clock, message_of
from service.cli.progress import stage_text
from service.cli.task_text import event_detail
from service.client import Client, Connected, Disconnected

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
# English says them as they are.
_WORDS = (
    {
        "loading": "正在加载",
        "loaded": "已加载",
        "reloaded": "已更新",
        "failed": "失败",
        "unloaded": "已卸载",
        "enabled": "已启用",
        "disabled": "已停用",
        "configured": "配置已生效",
        "crashed": "进程意外退出",
        "installing": "正在安装",
        "drained": "旧版退出",
        "imported": "已导入",
        "created": "已创建",
        "queued": "排队中",
        "paused": "已暂停",
        "started": "已开始",
        "progress": "进度",
        "results": "有新结果",
        "completed": "已完成",
        "cancelled": "已取消",
    }
    if LANGUAGE == "zh"
    else {}
)
_CAUSES = {
    "startup": "启动",
    "file": "文件",
    "api": "接口",
    "config": "配置",
    "rollback": "回滚",
    "crash": "崩溃",
}


# What comes all the time is no line of its own; how often plugins are called, only where that was asked for.
_HEARTBEAT = frozenset({"plugbay.heartbeat"})
_UNASKED = _HEARTBEAT | {"plugbay.stats"}


@click.command(
    short_help=say("实时显示事件", "Print events as they happen."),
    help=say(
        "实时显示事件，断线自动续接，Ctrl-C 结束。\n\n主题如 plugins/**、logs/search/demo",
        "Print events as they happen, over cuts too, until Ctrl-C. Topics are such as plugins/** or logs/search/demo.",
    ),
)
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="T",
    help=say("只看这些主题，可多次给出", "Only these topics; may be given more than once.")
    + say("  [默认：**]", "  [default: **]"),
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
            case _ if item.event.get("type") not in (_HEARTBEAT if topics else _UNASKED):
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
    if noun == "stats":
        calls = (_calls(id, told) for id, told in (data.get("plugins") or {}).items())
        return Text.assemble((clock(event.get("time")), "dim"), " ", say("；", "; ").join(calls))
    refused = verb == "installing" and data.get("stage") == "failed"
    head = Text.assemble(
        (clock(event.get("time")), "dim"),
        f" {subject.removeprefix('plugins/')} ",
        (_WORDS.get(verb, verb or kind), "red" if refused else _STYLES.get(verb, "cyan")),
    )
    return head.append(_detail(noun, verb, data))


def _detail(noun: str, verb: str, data: Mapping[str, Any]) -> str:
    plugin = data.get("plugin")
    if noun == "plugin" and isinstance(plugin, dict):
        return _change(verb, plugin, data)
    if verb == "installing":
        return _install(data)
    if noun == "task" and isinstance(data.get("task"), dict):
        return event_detail(data)
    if verb == "drained":
        return say(
            f"，第 {data.get('generation')} 代收尾完成，{data.get('drain_ms', 0):.0f} ms",
            f", generation {data.get('generation')} finished, {data.get('drain_ms', 0):.0f} ms",
        )
    plain = {key: value for key, value in data.items() if isinstance(value, str | int | float)}
    return "".join(f" {key}={value}" for key, value in plain.items())


def _calls(id: str, told: Mapping[str, Any]) -> str:
    calls, errors, running = (told.get(name, 0) for name in ("calls", "errors", "running"))
    return say(
        f"{id} 调用 {calls} 次，失败 {errors} 次，进行中 {running} 次",
        f"{id} {calls} calls, {errors} failed, {running} running",
    )


def _change(verb: str, plugin: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    parts = []
    if generation := plugin.get("generation"):
        serves = plugin.get("state") == "degraded"
        parts.append(
            say(
                f"第 {generation} 代{'仍在服务' if serves else ''}",
                f"generation {generation}{' serves on' if serves else ''}",
            )
        )
    if timings := data.get("timings"):
        parts.append(f"{timings.get('total_ms', 0):.1f} ms")
    cause = str(data.get("cause", "?"))
    detail = "".join(f"{say('，', ', ')}{part}" for part in parts)
    detail += say(f"（{_CAUSES.get(cause, cause)}）", f" ({cause})")
    error = plugin.get("error")
    if verb in ("failed", "crashed") and error:
        place = ":".join(str(error[part]) for part in ("file", "line") if error.get(part) is not None)
        detail += f"{say('：', ': ')}{place + ' ' if place else ''}{message_of(error)}"
    return detail


def _install(data: Mapping[str, Any]) -> str:
    stage = str(data.get("stage", ""))
    if stage == "failed":
        return say("失败：", " failed: ") + message_of(data.get("error") or {})
    url = data.get("url")
    return say("：", ": ") + stage_text(data) + (f" {url}" if url else "")
