"""The text of the metrics, beside what prometheus-client makes of the same."""

from __future__ import annotations

import pytest
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from service.api.metrics.exposition import text, wants_openmetrics
from service.api.metrics.families import FAMILIES, Family, Table
from service.host.statistics.histogram import Histogram

NUMBERS = [0, 1, 999_999, 1_000_000, -3, 0.1, 1e-9, 123456789.25, 2**60, float("inf"), True]
LABELS = ["plain", 'quo"te', "back\\slash", "two\nlines", "中文 🎈", ""]


def times() -> Histogram:
    histogram = Histogram((0.5, 1.0, 30.0))
    for seconds in (0.5, 0.75, 29.0, 31.0, 1e6):
        histogram.count(seconds)
    return histogram


@pytest.mark.parametrize("as_openmetrics", [False, True])
def test_it_is_what_the_library_writes(as_openmetrics: bool) -> None:
    counter = CounterMetricFamily("a", "counts", labels=["z", "a"])
    gauge = GaugeMetricFamily("b", "is")
    histogram = HistogramMetricFamily("c", "takes", labels=["plugin", "cause"])
    buckets = times().buckets()
    cumulated = [
        (str(bound), float(sum(buckets.counts[: place + 1]))) for place, bound in enumerate(buckets.bounds)
    ]
    for number in NUMBERS:
        counter.add_metric([LABELS[NUMBERS.index(number) % len(LABELS)], str(number)], float(number))
    gauge.add_metric([], 0.25)
    histogram.add_metric(["search/demo", "api"], [*cumulated, ("+Inf", 5.0)], buckets.total_s)

    class Known(Collector):
        def collect(self) -> list[Metric]:
            return [counter, gauge, histogram]

    registry = CollectorRegistry()
    registry.register(Known())
    theirs = (generate_openmetrics if as_openmetrics else generate_latest)(registry).decode()
    rows = [((LABELS[NUMBERS.index(number) % len(LABELS)], str(number)), number) for number in NUMBERS]
    ours = text(
        [
            Table(Family("a_total", "counter", ("z", "a"), "counts"), rows),
            Table(Family("b", "gauge", (), "is"), [((), 0.25)]),
            Table(
                Family("c", "histogram", ("plugin", "cause"), "takes"), [(("search/demo", "api"), buckets)]
            ),
        ],
        as_openmetrics=as_openmetrics,
    ).decode()
    assert ours.startswith(theirs.removesuffix("# EOF\n"))
    assert ours.endswith("# EOF\n") is as_openmetrics


def test_no_family_needs_what_is_not_escaped() -> None:
    for family in FAMILIES:
        assert not set(family.help) & {"\\", "\n", '"'}, family
        assert family.name.endswith("_total") is (family.kind == "counter"), family
        assert "le" not in family.labels


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/openmetrics-text", True),
        ("text/plain;q=0.5, Application/OpenMetrics-Text ; version=1.0.0;q=0.8", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-textual", False),
        (";;,,;", False),
    ],
)
def test_what_a_reader_asks_for(accept: str, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted
