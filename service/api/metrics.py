"""What `/metrics` says, in Prometheus text. Counting costs a dictionary look-up; the rest is done when asked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from service.model.states import PluginState

if TYPE_CHECKING:
    from service.host.plugin import Plugin
    from service.host.statistics.calls import CallCounts

# Upper bounds in seconds; the last bucket is everything above.
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)

_BOUNDS = [*(str(bound) for bound in LATENCY_BUCKETS_S), "+Inf"]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_STATES = tuple(state.value for state in PluginState)


class _Latency:
    """One histogram, not yet cumulated."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.total_s = 0.0


class Facts:
    """What is asked of the other parts when somebody reads the metrics.

    Args:
        plugins: all plugins.
        event_head: the newest event's number.
        clients: how many live clients are connected.
        loop_lag_ms: how late the event loop is.
    """

    def __init__(
        self,
        *,
        plugins: Callable[[], Iterable[Plugin]],
        event_head: Callable[[], int],
        clients: Callable[[], int],
        loop_lag_ms: Callable[[], float],
    ) -> None:
        self.plugins = plugins
        self.event_head = event_head
        self.clients = clients
        self.loop_lag_ms = loop_lag_ms


class Metrics(Collector):
    """Counters of requests, calls and reloads, for one server.

    Args:
        counts: told of every call, too.
    """

    def __init__(self, counts: CallCounts) -> None:
        self.facts: Facts | None = None
        self._counts = counts
        self._requests: dict[tuple[str, str, int], int] = {}
        self._latencies: dict[str, _Latency] = {}
        self._calls: dict[tuple[str, str, str], int] = {}
        self._reloads = {"succeeded": 0, "failed": 0}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note an answered request. `route` is the pattern of the path, never the path itself."""
        key = (route, method if method in _METHODS else "other", status)
        self._requests[key] = self._requests.get(key, 0) + 1
        latency = self._latencies.get(route)
        if latency is None:
            latency = self._latencies[route] = _Latency()
        latency.counts[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        latency.total_s += seconds

    def count_call(self, plugin_id: str, method: str, outcome: str, seconds: float) -> None:
        """Note a call to a plugin that has ended; `outcome` is `ok` or the error's code."""
        key = (plugin_id, method, outcome)
        self._calls[key] = self._calls.get(key, 0) + 1
        self._counts.count(plugin_id, outcome, seconds)

    def count_reloads(self, succeeded: int, failed: int) -> None:
        """Note reloads by request."""
        self._reloads["succeeded"] += succeeded
        self._reloads["failed"] += failed

    def text(self) -> bytes:
        """Everything, in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give prometheus-client the families."""
        requests = CounterMetricFamily(
            "plugbay_http_requests", "Answered requests", labels=["route", "method", "status"]
        )
        for (route, method, status), count in self._requests.items():
            requests.add_metric([route, method, str(status)], count)
        yield requests
        latencies = HistogramMetricFamily(
            "plugbay_http_request_seconds", "Time from a request's head to its answer", labels=["route"]
        )
        for route, latency in self._latencies.items():
            cumulated, buckets = 0, []
            for bound, count in zip(_BOUNDS, latency.counts, strict=True):
                cumulated += count
                buckets.append((bound, float(cumulated)))
            latencies.add_metric([route], buckets=buckets, sum_value=latency.total_s)
        yield latencies
        calls = CounterMetricFamily(
            "plugbay_plugin_calls", "Calls to plugins by outcome", labels=["plugin", "method", "outcome"]
        )
        errors = CounterMetricFamily("plugbay_plugin_errors", "Calls that gave no result", labels=["plugin"])
        failed: dict[str, int] = {}
        for (plugin, called, outcome), count in self._calls.items():
            calls.add_metric([plugin, called, outcome], count)
            failed[plugin] = failed.get(plugin, 0) + (count if outcome != "ok" else 0)
        for plugin, count in failed.items():
            errors.add_metric([plugin], count)
        yield calls
        yield errors
        seconds = SummaryMetricFamily(
            "plugbay_plugin_call_seconds", "Time that calls to a plugin took", labels=["plugin"]
        )
        for plugin in self._counts.ids():
            total = self._counts.total(plugin)
            seconds.add_metric([plugin], count_value=total.calls, sum_value=total.seconds)
        yield seconds
        reloads = CounterMetricFamily("plugbay_reloads", "Reloads by request", labels=["outcome"])
        for outcome, count in self._reloads.items():
            reloads.add_metric([outcome], count)
        yield reloads
        if self.facts is not None:
            yield from _collect_facts(self.facts)


def _collect_facts(facts: Facts) -> Iterator[Metric]:
    states = GaugeMetricFamily("plugbay_plugins", "Plugins by state", labels=["type", "state"])
    generations = CounterMetricFamily(
        "plugbay_plugin_generations", "Generations that a plugin has had", labels=["plugin"]
    )
    running = GaugeMetricFamily("plugbay_plugin_running_calls", "Calls under way", labels=["plugin"])
    count: dict[tuple[str, str], int] = {}
    for plugin in facts.plugins():
        view = plugin.view()
        key = (view.type.value, view.state.value)
        count[key] = count.get(key, 0) + 1
        generations.add_metric([view.id], view.generation)
        running.add_metric([view.id], view.running_calls + sum(one.calls for one in view.draining))
    for type in sorted({type for type, _ in count}):
        for state in _STATES:
            states.add_metric([type, state], count.get((type, state), 0))
    yield states
    yield generations
    yield running
    yield GaugeMetricFamily("plugbay_event_log_head", "Number of the newest event", value=facts.event_head())
    yield GaugeMetricFamily("plugbay_clients", "Connected live clients", value=facts.clients())
    yield GaugeMetricFamily(
        "plugbay_loop_lag_seconds", "How late the event loop is", value=facts.loop_lag_ms() / 1000
    )
