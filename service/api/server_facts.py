"""The server's own figures: calls and loads of plugins, the events of before, and how the server is."""

from __future__ import annotations

from collections import Counter

import msgspec
from aiohttp import web

from service import __version__
from service.api import health
from service.api.events import topics_in_query
from service.api.keys import ENVIRONMENTS, EVENT_LOG, HEALTH, HUB, REGISTRY, SERVER_PROCESS, STATISTICS
from service.api.params import number_in_query
from service.api.responses import json_bytes_response, json_response
from service.api.route import Query
from service.api.server_messages import (
    EnvironmentSizes,
    EventLogView,
    PluginStates,
    Server,
    Stats,
    Workers,
)
from service.host.statistics.calls import STEP_S
from service.live.topics import topics_of

ACTIVITY_DEFAULT = 200
ACTIVITY_MAX = 1000

ACTIVITY_QUERY = (
    Query(
        name="limit",
        schema={"type": "integer", "minimum": 1, "maximum": ACTIVITY_MAX, "default": ACTIVITY_DEFAULT},
        description="How many events.",
        required=False,
    ),
    Query(
        name="topics",
        schema={"type": "string"},
        description="Only what matches these topics, separated by commas.",
        required=False,
    ),
)


async def stats(request: web.Request) -> web.Response:
    """Read how plugins are called: in all, now, and in the last two minutes; and how their last loads went.

    Whoever follows it subscribes to the topic `stats`.
    """
    statistics = request.app[STATISTICS]
    return json_response(
        Stats(
            at=statistics.at,
            step=statistics.step,
            step_s=STEP_S,
            plugins=statistics.plugins(),
            reloads=statistics.loads(),
        )
    )


async def activity(request: web.Request) -> web.Response:
    """Read the newest events of the log, the oldest first, so that whoever comes now has what was before.

    Passing events are not among them. Subscribe from the `epoch` and `seq` of the answer to go on.
    """
    log = request.app[EVENT_LOG]
    limit = number_in_query(request, "limit", default=ACTIVITY_DEFAULT, low=1, high=ACTIVITY_MAX)
    topics = topics_of(topics_in_query(request))
    head = log.head
    events = [msgspec.Raw(entry.payload) for entry in await log.newest(limit, topics.matches)]
    body = msgspec.json.encode({"epoch": log.epoch, "seq": str(head), "events": events})
    return json_bytes_response(body)


async def server(request: web.Request) -> web.Response:
    """Read what the server is and how it is: version, uptime, plugins, workers, memory, events, packages."""
    app = request.app
    process, registry, log = app[SERVER_PROCESS], app[REGISTRY], app[EVENT_LOG]
    environments = await app[ENVIRONMENTS].list()
    memory = await process.memory()
    plugins = registry.all()
    return json_response(
        Server(
            version=__version__,
            started_at=process.started_at,
            uptime_s=round(process.uptime_s, 1),
            python=process.python,
            platform=process.platform,
            home=process.home,
            ready=registry.ready.is_set(),
            parts=health.parts(request),
            plugins=PluginStates(**Counter(plugin.state.value for plugin in plugins)),
            workers=Workers(
                serving=sum(plugin.serving is not None for plugin in plugins),
                draining=sum(len(plugin.draining) for plugin in plugins),
                total=process.workers(),
            ),
            clients=app[HUB].clients,
            events=EventLogView(
                epoch=log.epoch,
                seq=str(log.head),
                events=log.head - log.tail,
                bytes=log.size_bytes,
                max_events=log.max_events,
                max_bytes=log.max_bytes,
            ),
            environments=EnvironmentSizes(
                count=len(environments), size=sum(environment.size for environment in environments)
            ),
            memory=memory,
            loop_lag_ms=round(app[HEALTH].loop_lag_ms, 3),
        )
    )
