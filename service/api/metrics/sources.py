"""Where the figures are read: the parts of the server, each asked on the event loop for what it has at hand."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service import __version__
from service.api.metrics import families
from service.api.metrics.families import Row, Table
from service.host.database import Database
from service.host.health import Health
from service.host.history.journal import Journal
from service.host.installing.candidates import Candidates
from service.host.installing.committing import Commits
from service.host.kernel import Kernel
from service.host.plugin import Plugin
from service.host.plugin_logs import PluginLogs
from service.host.server_process import ServerProcess
from service.host.statistics.calls import CallCounts
from service.host.statistics.statistics import Statistics
from service.host.workers.readings import Reading, read_worker
from service.live.event_log import EventLog
from service.live.hub import Hub
from service.model.states import PluginState
from service.tasks.board import Board

_PLUGINS_AT_ONCE = 100
_STATES = tuple(state.value for state in PluginState)


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts that only a whole server has.

    Attributes:
        folders: whose disks are looked at, by the name that they are told by.
        lines_dropped: how many lines of the server's log nobody took.
    """

    kernel: Kernel
    database: Database
    journal: Journal
    candidates: Candidates
    commits: Commits
    board: Board
    logs: PluginLogs
    process: ServerProcess
    folders: Mapping[str, Path]
    lines_dropped: Callable[[], int]


async def plugin_tables(
    plugins: Iterable[Plugin], counts: CallCounts, statistics: Statistics
) -> AsyncIterator[Table]:
    """How plugins are, and how they are called; of hundreds, the loop is not kept busy in one go."""
    tallies = statistics.tallies
    by_state: Counter[tuple[str, str]] = Counter()
    states: list[Row] = []
    generations: list[Row] = []
    running: list[Row] = []
    draining: list[Row] = []
    crashes: list[Row] = []
    restarts: list[Row] = []
    loads: list[Row] = []
    known = list(plugins)
    for number, plugin in enumerate(known):
        if number % _PLUGINS_AT_ONCE == _PLUGINS_AT_ONCE - 1:
            await asyncio.sleep(0)
        id, state, serving = str(plugin.identity), plugin.state.value, plugin.serving
        key = (id,)
        by_state[plugin.identity.type.value, state] += 1
        states.append(((id, state), 1))
        generations.append((key, plugin.generation_count if serving is None else serving.number))
        running.append((key, plugin.running + plugin.draining_calls))
        draining.append((key, len(plugin.draining)))
        crashes.append((key, tallies.crashes[id]))
        restarts.append((key, tallies.restarts[id]))
        if serving is not None:
            loads.append((key, serving.load_ms / 1000))
    types = sorted({type for type, _ in by_state})
    yield Table(
        families.PLUGINS, [((type, state), by_state[type, state]) for type in types for state in _STATES]
    )
    yield Table(families.PLUGIN_STATE, states)
    yield Table(families.GENERATIONS, generations)
    yield Table(families.RUNNING_CALLS, running)
    yield Table(families.DRAINING, draining)
    yield Table(families.CRASHES, crashes)
    yield Table(families.RESTARTS, restarts)
    yield Table(families.LAST_LOAD_SECONDS, loads)
    counts.forget_all_but({str(plugin.identity) for plugin in known})
    for table in await _call_tables(counts):
        yield table


async def _call_tables(counts: CallCounts) -> list[Table]:
    calls: list[Row] = []
    errors: list[Row] = []
    codes: list[Row] = []
    seconds: list[Row] = []
    for number, id in enumerate(counts.asked_for()):
        if number % _PLUGINS_AT_ONCE == _PLUGINS_AT_ONCE - 1:
            await asyncio.sleep(0)
        if (found := counts.outcomes(id)) is None:
            continue
        by_code: Counter[str] = Counter()
        for (method, outcome), count in found.counts.items():
            calls.append(((id, method, outcome), count))
            if outcome != "ok":
                by_code[outcome] += count
        errors.append(((id,), by_code.total()))
        codes += [((id, code), count) for code, count in by_code.items()]
        seconds.append(((id,), found.latency))
    return [
        Table(families.CALLS, calls),
        Table(families.ERRORS, errors),
        Table(families.CALL_ERRORS, codes),
        Table(families.CALL_SECONDS, seconds),
    ]


async def live_tables(log: EventLog, hub: Hub, statistics: Statistics) -> list[Table]:
    """The event log, and those who follow it."""
    figures, counts = await hub.figures(), hub.counts
    return [
        _one(families.EVENT_HEAD, log.head),
        _one(families.EVENT_LOG_EVENTS, log.head - log.tail),
        _one(families.EVENT_LOG_BYTES, log.size_bytes),
        _many(families.EVENTS, statistics.tallies.published),
        _one(families.EVENTS_REPLAYED, counts.replayed),
        _one(families.EVENTS_DROPPED, hub.passing_dropped),
        _many(families.RESUMES, counts.resumed, "recovered", "lost"),
        _one(families.EVENT_BACKLOG, figures.backlog),
        _one(families.CLIENTS, hub.clients),
        _many(families.LIVE_CLIENTS, figures.connected),
        _many(families.CLIENTS_CONNECTED, counts.came, "websocket", "sse"),
        _many(families.CLIENTS_DROPPED, hub.dropped, "slow_consumer", "no_answer", "failed"),
        _one(families.CLIENTS_BEHIND, figures.behind),
        _one(families.QUEUED, figures.queued),
        _one(families.QUEUED_MOST, figures.queued_most),
    ]


def health_tables(health: Health, *, ready: bool) -> list[Table]:
    """How the server is."""
    return [
        _one(families.LOOP_LAG, health.loop_lag_ms / 1000),
        Table(families.LOOP_DELAY, [((), health.lags())]),
        _one(families.READY, ready),
        Table(families.PART_OK, [((name,), part.ok) for name, part in health.parts().items()]),
    ]


async def host_tables(sources: Sources, statistics: Statistics) -> list[Table]:
    """What makes plugins run, what waits, and what all of it takes of the machine."""
    environments = await sources.kernel.environments.list()
    serving = [
        (str(plugin.identity), plugin.serving.worker.pid)
        for plugin in sources.kernel.registry
        if plugin.serving is not None
    ]
    process = sources.process
    return [
        *_load_tables(sources, statistics),
        *_worker_tables(sources),
        *_queue_tables(sources),
        Table(families.BUILD, [((__version__, process.python), 1)]),
        _one(families.START, process.started_s),
        _one(families.ENVIRONMENTS, len(environments)),
        _one(families.ENVIRONMENT_BYTES, sum(one.size for one in environments)),
        _one(families.WATCHES, sources.kernel.watcher.watches),
        _one(families.OVERFLOWS, sources.kernel.watcher.overflows),
        _one(families.PLUGIN_LINES_DROPPED, sources.logs.dropped),
        _one(families.LINES_DROPPED, sources.lines_dropped()),
        *await asyncio.to_thread(_read_machine, sources, serving),
    ]


def _load_tables(sources: Sources, statistics: Statistics) -> Iterator[Table]:
    kernel = sources.kernel
    loads = kernel.loader.under_way
    changes: list[Row] = []
    for outcome, histograms in (
        ("succeeded", statistics.tallies.changes),
        ("failed", kernel.reconciler.failures),
    ):
        changes += [((cause, outcome), buckets) for cause, buckets in histograms.buckets().items()]
    yield Table(families.CHANGE_SECONDS, changes)
    yield Table(
        families.LOAD_SECONDS, [((outcome,), buckets) for outcome, buckets in loads.times.buckets().items()]
    )
    waiting = loads.waiting + kernel.reconciler.waiting
    yield _many(families.LOADS, {"running": loads.running - loads.waiting, "waiting": waiting})


def _worker_tables(sources: Sources) -> Iterator[Table]:
    kernel = sources.kernel
    figures = kernel.templates.figures()
    plugins = list(kernel.registry)
    states = {
        "serving": sum(plugin.serving is not None for plugin in plugins),
        "draining": sum(len(plugin.draining) for plugin in plugins),
        "spare": figures.spares,
    }
    # What is loading, tried for an install, or just ending.
    states["other"] = max(0, len(kernel.templates.workers()) - sum(states.values()))
    yield _many(families.WORKERS, states)
    yield _many(families.TEMPLATES, {"base": figures.base, "dependencies": figures.of_sets})
    yield _one(families.TEMPLATE_STARTS, figures.starts)
    yield _one(families.UNFIT_SETS, figures.unfit)
    ended = {
        "memory": kernel.weights.ended,
        "processes": kernel.census.ended,
        "stuck": kernel.reconciler.stuck,
    }
    yield _many(families.WORKERS_ENDED, ended)


def _queue_tables(sources: Sources) -> Iterator[Table]:
    board = sources.board
    yield _many(
        families.INSTALLS, {"running": sources.candidates.installs, "waiting": sources.commits.waiting}
    )
    yield _one(families.INSTALLS_FAILED, sources.candidates.failed)
    yield _many(families.CHANGES, sources.journal.recorded)
    tasks = Counter((live.task.kind.value, live.task.status.value) for live in board.all())
    yield Table(families.TASKS, list(tasks.items()))
    yield Table(families.TASKS_ENDED, list(board.ended.items()))
    yield _one(families.DOWNLOAD_BYTES, board.downloaded_bytes)
    yield _one(families.WRITES_WAITING, sources.database.writes_waiting)


def _read_machine(sources: Sources, serving: Iterable[tuple[str, int]]) -> list[Table]:
    """In a thread: what workers, the database and the disks are."""
    readings: list[tuple[str, Reading]] = []
    for id, pid in serving:
        if (found := read_worker(pid, sources.kernel.census.below(pid))) is not None:
            readings.append((id, found))
        time.sleep(0)  # the event loop may want the interpreter
    return [
        Table(families.WORKER_MEMORY, [((id,), one.resident_bytes) for id, one in readings]),
        Table(families.WORKER_CPU, [((id,), one.cpu_s) for id, one in readings]),
        Table(families.WORKER_THREADS, [((id,), one.threads) for id, one in readings]),
        Table(families.WORKER_PROCESSES, [((id,), one.processes) for id, one in readings]),
        Table(
            families.WORKER_FILES,
            [((id,), one.open_files) for id, one in readings if one.open_files is not None],
        ),
        _one(families.DATABASE_BYTES, sources.database.size_bytes()),
        Table(
            families.DISK_FREE,
            [
                ((name,), free)
                for name, folder in sources.folders.items()
                if (free := _free_bytes(folder)) is not None
            ],
        ),
    ]


def _free_bytes(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _one(family: families.Family, value: float) -> Table:
    return Table(family, [((), value)])


def _many(family: families.Family, values: Mapping[str, float], *always: str) -> Table:
    """By one label; `always` are those that there is a line for from the beginning."""
    return Table(
        family, [((label,), value) for label, value in {**dict.fromkeys(always, 0), **values}.items()]
    )
