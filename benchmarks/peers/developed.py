"""An application for `adev runserver`, which starts all of it anew when a file changes.

`BENCH_HOME` says where the plugin lies; a WebSocket client is told its version when it connects.
"""

from __future__ import annotations

from aiohttp import web

from benchmarks.peers.plugin_of_home import imported


async def _alive(request: web.Request) -> web.Response:
    return web.Response()


async def _version(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    await websocket.send_json({"version": request.app[_VERSION]})
    await websocket.close()
    return websocket


_VERSION = web.AppKey("version", str)


def create_app() -> web.Application:
    """The application, with the plugin imported."""
    app = web.Application()
    app[_VERSION] = imported().version
    app.router.add_get("/livez", _alive)
    app.router.add_get("/ws", _version)
    return app
