"""`plugbay list --watch` and `tasks --watch`: the table, kept equal to the server's own view."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from service.cli.events import event_line
from service.cli.language import say
from service.cli.output import PLUGIN_TYPES, Output, is_terminal, plugin_table
from service.cli.remedies import words_of_failure
from service.client import (
    RECONNECT_MIN_S,
    Client,
    ClientError,
    Connected,
    Disconnected,
    Position,
    ServerUnreachable,
)

_FEED_LINES = 8
_PAUSE_MAX_S = 5.0
# These do not pass by themselves; whatever else is wrong with a listing that was given before does.
_TOKEN_WANTED = (401, 403)


class Listed(Protocol):
    """What is listed, as of a position, and changed by events."""

    position: Position

    def apply(self, event: Mapping[str, Any]) -> bool:
        """Takes in one event; whether it changed anything."""

    def ordered(self) -> list[dict[str, Any]]:
        """All of it in order, for programs."""

    def table(self) -> RenderableType:
        """All of it for people."""


class View:
    """The plugins as of a position, changed by events; knows no socket."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.position = Position(str(answer["epoch"]), str(answer["seq"]))
        self.plugins: dict[str, dict[str, Any]] = {
            plugin["id"]: plugin for type in PLUGIN_TYPES for plugin in answer.get(type, [])
        }
        self.changed: str | None = None

    def apply(self, event: Mapping[str, Any]) -> bool:
        """Takes in one event; whether it changed a plugin."""
        plugin = (event.get("data") or {}).get("plugin")
        kind = str(event.get("type", ""))
        if not kind.startswith("plugbay.plugin.") or not isinstance(plugin, dict):
            return False
        self.changed = plugin["id"]
        if kind == "plugbay.plugin.unloaded":
            self.plugins.pop(plugin["id"], None)
        else:
            self.plugins[plugin["id"]] = plugin
        return True

    def ordered(self) -> list[dict[str, Any]]:
        """The plugins in the order of a listing."""
        return sorted(self.plugins.values(), key=lambda one: (PLUGIN_TYPES.index(one["type"]), one["name"]))

    def table(self) -> RenderableType:
        """The plugins for people, the newest change set off."""
        return plugin_table(self.ordered(), self.changed)


async def watch(
    client: Client, output: Output, topics: list[str], fetch: Callable[[], Awaitable[Listed]]
) -> None:
    """Runs until it is interrupted; takes up after a cut, from a new listing where the log does not reach back.

    Args:
        client: to the server.
        output: where to.
        topics: whose events change what is listed.
        fetch: the listing as it is now.
    """
    shown = _Screen(output)
    with shown:
        view = await fetch()
        was_connected = False
        while True:
            shown.start(view)
            try:
                async with aclosing(client.follow(topics, since=view.position)) as feed:
                    async for item in feed:
                        match item:
                            case Connected(recovered=False):
                                break  # what happened in between cannot be told: list anew
                            case Connected():
                                was_connected = True
                                shown.status("")
                            case Disconnected(reason):
                                shown.status(
                                    say(f"连接中断（{reason}），正在重连…", f"cut ({reason}), coming back…")
                                )
                            case _ if view.apply(item.event):
                                shown.update(view, item.event)
            except ServerUnreachable as error:
                # A server that has just been listing may be gone again.
                if not was_connected:
                    raise
                shown.status(words_of_failure(error))
            view = await _fetch_again(fetch, shown)


async def _fetch_again(fetch: Callable[[], Awaitable[Listed]], shown: _Screen) -> Listed:
    """The listing, asked for until it is given: the server may be on its way down or up."""
    pause_s = RECONNECT_MIN_S
    while True:
        try:
            return await fetch()
        except ClientError as error:
            if error.status in _TOKEN_WANTED:
                raise
            shown.status(words_of_failure(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)


class _Screen:
    """A live table in a terminal; else the table once and a line an event; or a JSON listing after each change."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._feed: list[Text] = []
        self._status = ""
        self._view: Listed | None = None
        self._live = (
            Live(console=output.console, auto_refresh=False, screen=False)
            if is_terminal() and not output.as_json
            else None
        )

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def start(self, view: Listed) -> None:
        self._view = view
        if self._live is not None:
            self._draw()
        elif self._output.as_json:
            self._output.json(view.ordered(), lines=True)
        else:
            self._output.console.print(view.table())

    def status(self, text: str) -> None:
        self._status = text
        if self._live is not None:
            self._draw()
        elif text:
            self._output.note(text)

    def update(self, view: Listed, event: Mapping[str, Any]) -> None:
        line = event_line(event)
        is_passing = "seq" not in event  # such as progress, which the table shows
        if not is_passing:
            self._feed = [*self._feed, line][-_FEED_LINES:]
        if self._live is not None:
            self._draw()
        elif self._output.as_json:
            self._output.json(view.ordered(), lines=True)
        elif not is_passing:
            self._output.console.print(line, soft_wrap=True)

    def _draw(self) -> None:
        assert self._live is not None
        assert self._view is not None
        parts: list[RenderableType] = [self._view.table(), Text("")]
        parts.extend(self._feed)
        hint = self._status or say("Ctrl-C 结束", "Ctrl-C ends it")
        self._live.update(Group(*parts, Text(hint, style="yellow" if self._status else "dim")), refresh=True)
