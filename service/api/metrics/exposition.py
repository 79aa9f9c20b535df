"""Tables as text: in the format of Prometheus, or as OpenMetrics where the reader would rather have that.

With hundreds of plugins it is tens of thousands of lines. They are made in a thread of its own, which lets go of the
interpreter every few dozen lines, so that the event loop does not wait for it; and by hand, since prometheus-client
takes three to five times as long for what it keeps ready: exemplars, timestamps, names with any character in them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.api.metrics.families import Table
from service.host.statistics.histogram import Buckets

_LINES_AT_ONCE = 64
_OPENMETRICS = "application/openmetrics-text"
_BOUND = "le"
# What is written without an exponent.
_SMALL = 1_000_000


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
    lines: list[str] = []
    for table in tables:
        lines += _head(table, as_openmetrics=as_openmetrics)
        for number, line in enumerate(_lines(table)):
            lines.append(line)
            if number % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
                time.sleep(0)
    generate = openmetrics.generate_latest if as_openmetrics else exposition.generate_latest
    # Last, as an OpenMetrics text says where it ends.
    return "".join(lines).encode() + generate(_Process())


def _head(table: Table, *, as_openmetrics: bool) -> Iterator[str]:
    family = table.family
    name = family.name.removesuffix("_total") if as_openmetrics else family.name
    yield f"# HELP {name} {family.help}\n"
    yield f"# TYPE {name} {family.kind}\n"


def _lines(table: Table) -> Iterator[str]:
    family = table.family
    order = sorted(range(len(family.labels)), key=family.labels.__getitem__)
    for values, value in table.rows:
        labels = [f'{family.labels[place]}="{_escaped(values[place])}"' for place in order]
        if isinstance(value, Buckets):
            yield from _lines_of(family.name, labels, value)
        elif labels:
            yield f"{family.name}{{{','.join(labels)}}} {_number(value)}\n"
        else:
            yield f"{family.name} {_number(value)}\n"


def _lines_of(name: str, labels: list[str], buckets: Buckets) -> Iterator[str]:
    before = "".join(f"{one}," for one in labels if one < _BOUND)
    after = "".join(f",{one}" for one in labels if one > _BOUND)
    cumulated = 0
    for bound, count in zip([*buckets.bounds, "+Inf"], buckets.counts, strict=True):
        cumulated += count
        yield f'{name}_bucket{{{before}{_BOUND}="{bound}"{after}}} {_number(cumulated)}\n'
    own = f"{{{','.join(labels)}}}" if labels else ""
    yield f"{name}_count{own} {_number(cumulated)}\n"
    yield f"{name}_sum{own} {_number(buckets.total_s)}\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if isinstance(value, int) and -_SMALL < value < _SMALL:
        return f"{int(value)}.0"
    return str(floatToGoString(float(value)))  # type: ignore[no-untyped-call]


class _Process(Collector):
    """The server's own process, as every program that uses prometheus-client tells of itself."""

    def collect(self) -> Iterable[Metric]:
        try:
            return list(_collector().collect())
        except ValueError:  # a limit that is none
            return []


@cache
def _collector() -> ProcessCollector:
    return ProcessCollector(registry=None)
