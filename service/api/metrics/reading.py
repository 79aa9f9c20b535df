"""Reading all of the metrics once."""

from __future__ import annotations

import asyncio

from aiohttp import web

from service.api.keys import (
    CALL_COUNTS,
    EVENT_LOG,
    HEALTH,
    HUB,
    METRIC_SOURCES,
    METRICS,
    REGISTRY,
    STATISTICS,
)
from service.api.metrics.exposition import text
from service.api.metrics.sources import health_tables, host_tables, live_tables, plugin_tables


async def read_metrics(app: web.Application, *, as_openmetrics: bool) -> bytes:
    """All that there is to say of this moment, as text; one reader at a time."""
    metrics, registry, statistics = app[METRICS], app[REGISTRY], app[STATISTICS]
    async with metrics.one_reader:
        tables = [
            *metrics.tables(),
            *[table async for table in plugin_tables(registry.all(), app[CALL_COUNTS], statistics)],
            *await live_tables(app[EVENT_LOG], app[HUB], statistics),
            *health_tables(app[HEALTH], ready=registry.ready.is_set()),
        ]
        if (sources := app.get(METRIC_SOURCES)) is not None:
            tables += await host_tables(sources, statistics)
        return await asyncio.to_thread(text, tables, as_openmetrics=as_openmetrics)
