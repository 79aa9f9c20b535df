"""Whether the server lives, whether it is ready, and its figures."""

from __future__ import annotations

from aiohttp import web

from service.api.keys import HEALTH, REGISTRY
from service.api.language import say
from service.api.messages import Live, PartView, Ready
from service.api.metrics.exposition import content_type, wants_openmetrics
from service.api.metrics.reading import read_metrics
from service.api.responses import json_response
from service.errors import PlugbayError
from service.model.text import Text


class NotReady(PlugbayError):
    """The first scan of the plugins is not through."""

    code = "not_ready"


async def livez(request: web.Request) -> web.Response:
    """Say that the process answers, and how late its event loop is."""
    return json_response(Live(loop_lag_ms=round(request.app[HEALTH].loop_lag_ms, 3)))


async def readyz(request: web.Request) -> web.Response:
    """Say whether plugins are served, and how each part of the server is.

    503 until the first scan of the plugins is through.
    """
    found = parts(request)
    if not request.app[REGISTRY].ready.is_set():
        raise NotReady(
            Text(
                zh="插件首次扫描尚未完成，请稍候",
                en="The first scan of the plugins is not through; wait a moment",
            ),
            parts=found,
        )
    whole = all(part.ok for part in found.values())
    return json_response(Ready(status="ready" if whole else "degraded", parts=found))


def parts(request: web.Request) -> dict[str, PartView]:
    """Every part of the server, by name, in the language of the request."""
    return {
        name: PartView(ok=part.ok, message=say(request, part.text))
        for name, part in request.app[HEALTH].parts().items()
    }


async def metrics(request: web.Request) -> web.Response:
    """Read the server's figures as Prometheus text, or as OpenMetrics where `Accept` asks for it."""
    as_openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
    body = await read_metrics(request.app, as_openmetrics=as_openmetrics)
    headers = {"Content-Type": content_type(as_openmetrics=as_openmetrics), "Vary": "Accept"}
    return web.Response(body=body, headers=headers)
