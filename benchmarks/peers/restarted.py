"""An application for `uvicorn --reload`, which starts all of it anew when a file changes.

`BENCH_HOME` says where the plugin lies; a WebSocket client is told its version when it connects.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

_PATH = Path(os.environ["BENCH_HOME"]) / "plugins" / "search" / "catalogue_plugin.py"
_spec = importlib.util.spec_from_file_location("plugins.search.catalogue_plugin", _PATH)
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _module
_spec.loader.exec_module(_module)
_plugin = _module.CataloguePlugin()


async def _alive(request: Request) -> Response:
    return Response()


async def _version(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"version": _plugin.version})
    await websocket.close()


app = Starlette(routes=[Route("/livez", _alive), WebSocketRoute("/ws", _version)])
