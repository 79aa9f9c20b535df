"""Tables as text: in the format of Prometheus, or as OpenMetrics where the reader would rather have that.

It takes tens of milliseconds where there are hundreds of plugins, and runs in a thread of its own, which lets go of the
interpreter every few dozen lines: the event loop does not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import cast

from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, exposition
from prometheus_client.core import Metric, Sample
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from service.api.metrics.families import Family, Table
from service.host.statistics.histogram import Buckets

_LINES_AT_ONCE = 32
_OPENMETRICS = "application/openmetrics-text"


def wants_openmetrics(accept: str) -> bool:
    """Whether a reader takes OpenMetrics; Prometheus asks for it first."""
    for one in accept.split(","):
        name, *options = (part.strip().lower() for part in one.split(";"))
        if name == _OPENMETRICS and not any(option in ("q=0", "q=0.0") for option in options):
            return True
    return False


def content_type(*, as_openmetrics: bool) -> str:
    """The media type of what `text` gives."""
    return openmetrics.CONTENT_TYPE_LATEST if as_openmetrics else CONTENT_TYPE_LATEST


def text(tables: Iterable[Table], *, as_openmetrics: bool) -> bytes:
    """All tables, and what there is to say of this process, in the format; to be called in a thread."""
    generate = openmetrics.generate_latest if as_openmetrics else exposition.generate_latest
    return generate(_Collected(tables))


class _Collected(Collector):
    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables = tables

    def collect(self) -> Iterator[Metric]:
        for table in self._tables:
            name = table.family.name
            if table.family.kind == "counter":
                name = name.removesuffix("_total")
            metric = Metric(name, table.family.help, table.family.kind)
            metric.samples = cast("list[Sample]", _Samples(table))
            yield metric
        yield from _process()


class _Samples:
    """The lines of a table, made one by one."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __iter__(self) -> Iterator[Sample]:
        for number, sample in enumerate(self._all()):
            if number % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
                time.sleep(0)
            yield sample

    def _all(self) -> Iterator[Sample]:
        family = self._table.family
        for values, value in self._table.rows:
            labels = dict(zip(family.labels, values, strict=True))
            if isinstance(value, Buckets):
                yield from _lines_of(family, labels, value)
            else:
                yield Sample(family.name, labels, float(value))


def _lines_of(family: Family, labels: dict[str, str], buckets: Buckets) -> Iterator[Sample]:
    cumulated = 0
    bucket = f"{family.name}_bucket"
    for bound, count in zip([*map(str, buckets.bounds), "+Inf"], buckets.counts, strict=True):
        cumulated += count
        yield Sample(bucket, {**labels, "le": bound}, float(cumulated))
    yield Sample(f"{family.name}_count", labels, float(cumulated))
    yield Sample(f"{family.name}_sum", labels, buckets.total_s)


def _process() -> Iterable[Metric]:
    try:
        return list(_collector().collect())
    except ValueError:  # a limit that is none
        return []


@cache
def _collector() -> ProcessCollector:
    return ProcessCollector(registry=None)
