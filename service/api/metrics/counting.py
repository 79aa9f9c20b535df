"""What is counted where it happens: requests and calls. It costs a look-up each; the rest is done when asked."""

from __future__ import annotations

import asyncio

from service.api.metrics import families
from service.api.metrics.families import Table
from service.host.statistics.calls import CallCounts
from service.host.statistics.histogram import LATENCY_S, Histograms

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Metrics:
    """Counters of requests, calls and reloads, for one server.

    Args:
        counts: where calls are counted.

    Attributes:
        running: how many requests are being answered.
        one_reader: held by whoever reads all of the metrics: one at a time.
    """

    def __init__(self, counts: CallCounts) -> None:
        self.running = 0
        self.one_reader = asyncio.Lock()
        # Told of every call: the plugin's id, the method, `ok` or the error's code, and the seconds that it took.
        self.count_call = counts.count
        self._requests: dict[tuple[str, str, int], int] = {}
        self._latencies = Histograms(LATENCY_S)
        self._reloads = {"succeeded": 0, "failed": 0}

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note an answered request. `route` is the pattern of the path, never the path itself."""
        key = (route, method if method in _METHODS else "other", status)
        self._requests[key] = self._requests.get(key, 0) + 1
        self._latencies.count(route, seconds)

    def count_reloads(self, succeeded: int, failed: int) -> None:
        """Note reloads by request."""
        self._reloads["succeeded"] += succeeded
        self._reloads["failed"] += failed

    def tables(self) -> list[Table]:
        """What was counted here."""
        requests = [
            ((route, method, str(status)), count) for (route, method, status), count in self._requests.items()
        ]
        latencies = [((route,), buckets) for route, buckets in self._latencies.buckets().items()]
        return [
            Table(families.HTTP_REQUESTS, requests),
            Table(families.HTTP_SECONDS, latencies),
            Table(families.HTTP_RUNNING, [((), self.running)]),
            Table(families.RELOADS, [((outcome,), count) for outcome, count in self._reloads.items()]),
        ]
