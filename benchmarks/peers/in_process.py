"""A server like Plugbay that imports plugins in its own process, as simply as it can be done.

watchdog, read, compile, fresh module, instantiate, WebSocket send. Nothing is isolated, a plugin's import holds the
event loop, and running calls are not told apart from new ones: the least that a reload can cost.

    python -m benchmarks.peers.in_process HOME PORT
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

from aiohttp import web
from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from benchmarks.peers.importing import imported
from service.sdk import SearchPlugin


class Plugins(FileSystemEventHandler):
    """Imports what is saved and tells everybody.

    Args:
        folder: of the plugins.
        loop: of the server.
    """

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._folder = folder
        self._loop = loop
        self._plugins: dict[str, Any] = {}
        self.clients: set[web.WebSocketResponse] = set()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take an event, on watchdog's thread."""
        path = os.fsdecode(event.dest_path or event.src_path)
        if path.endswith("_plugin.py"):
            self._loop.call_soon_threadsafe(self._saved, path)

    def load(self, path: str) -> Any:
        """Import a plugin anew."""
        with open(path, "rb") as file:
            source = file.read()
        name = f"plugins.search.{Path(path).stem}"
        module = ModuleType(name)
        module.__file__ = path
        sys.modules[name] = module
        exec(compile(source, path, "exec"), module.__dict__)
        cls = next(
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, SearchPlugin) and value.__module__ == name
        )
        plugin = cls()
        self._plugins[path] = plugin
        return plugin

    def load_first(self, path: str) -> None:
        """Import a plugin when the server starts: as any module, from its cached bytecode where there is some."""
        self._plugins[path] = imported(path, SearchPlugin)

    def _saved(self, path: str) -> None:
        plugin = self.load(path)
        event = {
            "type": "plugbay.plugin.reloaded",
            "data": {
                "plugin": {
                    "name": plugin.name,
                    "version": plugin.version,
                    "description": plugin.description,
                    "config_schema": [one.model_dump() for one in plugin.get_config_schema()],
                }
            },
        }
        self._loop.create_task(self._tell(json.dumps(event)))

    async def _tell(self, text: str) -> None:
        for client in list(self.clients):
            await client.send_str(text)


_PLUGINS = web.AppKey("plugins", Plugins)


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    clients = request.app[_PLUGINS].clients
    clients.add(websocket)
    try:
        async for _ in websocket:
            pass
    finally:
        clients.discard(websocket)
    return websocket


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({})


def app(home: Path) -> web.Application:
    """The server; it loads every plugin before it listens, as such servers do."""

    async def plugins(app: web.Application) -> AsyncIterator[None]:
        folder = home / "plugins" / "search"
        plugins = app[_PLUGINS] = Plugins(folder, asyncio.get_running_loop())
        for path in sorted(folder.glob("*_plugin.py")):
            plugins.load_first(str(path))
        observer = Observer()
        observer.schedule(plugins, str(folder), event_filter=[FileClosedEvent, FileMovedEvent])
        observer.start()
        yield
        observer.stop()
        await asyncio.to_thread(observer.join)

    app = web.Application()
    app.cleanup_ctx.append(plugins)
    app.router.add_get("/livez", _alive)
    app.router.add_get("/ws", _websocket)
    return app


if __name__ == "__main__":
    web.run_app(app(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), print=None)
