"""An application for `uvicorn --reload`, which starts all of it anew when a file changes.

`BENCH_HOME` says where the plugin lies; a WebSocket client is told its version when it connects.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.peers.plugin_of_home import imported

_plugin = imported()


async def _alive(request: Request) -> Response:
    return Response()


async def _version(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"version": _plugin.version})
    await websocket.close()


app = Starlette(routes=[Route("/livez", _alive), WebSocketRoute("/ws", _version)])
