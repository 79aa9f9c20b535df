"""Every family of metrics that there is: its name, its kind, its labels and what it means.

Names and labels stay: dashboards and alerts rely on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from service.host.statistics.histogram import Buckets


class Family(NamedTuple):
    """One family; a counter is named with its `_total`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


# Values of the labels, and the number or the histogram.
Row = tuple[tuple[str, ...], float | Buckets]


class Table(NamedTuple):
    """A family as it is now."""

    family: Family
    rows: Sequence[Row]


_known: list[Family] = []


def _family(kind: Literal["counter", "gauge", "histogram"], name: str, help: str, *labels: str) -> Family:
    family = Family(name, kind, labels, help)
    _known.append(family)
    return family


def _counter(name: str, help: str, *labels: str) -> Family:
    return _family("counter", name, help, *labels)


def _gauge(name: str, help: str, *labels: str) -> Family:
    return _family("gauge", name, help, *labels)


def _histogram(name: str, help: str, *labels: str) -> Family:
    return _family("histogram", name, help, *labels)


HTTP_REQUESTS = _counter("plugbay_http_requests_total", "Answered requests", "route", "method", "status")
HTTP_SECONDS = _histogram("plugbay_http_request_seconds", "Time from a request's head to its answer", "route")
HTTP_RUNNING = _gauge("plugbay_http_requests_running", "Requests that are being answered")

CALLS = _counter(
    "plugbay_plugin_calls_total", "Calls to plugins by outcome: ok or a code", "plugin", "method", "outcome"
)
ERRORS = _counter("plugbay_plugin_errors_total", "Calls that gave no result", "plugin")
CALL_ERRORS = _counter(
    "plugbay_plugin_call_errors_total", "Calls that gave no result, by the error's code", "plugin", "code"
)
CALL_SECONDS = _histogram("plugbay_plugin_call_seconds", "Time that calls to a plugin took", "plugin")
RUNNING_CALLS = _gauge("plugbay_plugin_running_calls", "Calls under way", "plugin")

PLUGINS = _gauge("plugbay_plugins", "Plugins by state", "type", "state")
PLUGIN_STATE = _gauge("plugbay_plugin_state", "1 for the state that the plugin is in", "plugin", "state")
GENERATIONS = _counter("plugbay_plugin_generations_total", "Generations that a plugin has had", "plugin")
DRAINING = _gauge(
    "plugbay_plugin_draining", "Older generations that finish their calls, or are ending", "plugin"
)
CRASHES = _counter(
    "plugbay_plugin_crashes_total", "How often the plugin's process ended of its own", "plugin"
)
RESTARTS = _counter("plugbay_plugin_restarts_total", "How often it was started again for that", "plugin")
LAST_LOAD_SECONDS = _gauge(
    "plugbay_plugin_last_load_seconds", "How long the load of what serves took", "plugin"
)
CHANGE_SECONDS = _histogram(
    "plugbay_change_seconds",
    "Time from a change, a save or a request, until it serves or is known not to load",
    "cause",
    "outcome",
)
LOAD_SECONDS = _histogram(
    "plugbay_load_seconds",
    "Time of a load, dependencies included; those that try an install or an edit count too",
    "outcome",
)
RELOADS = _counter("plugbay_reloads_total", "Reloads by request", "outcome")

WORKERS = _gauge("plugbay_workers", "Processes of plugins, by what they do", "state")
TEMPLATES = _gauge("plugbay_templates", "Processes that workers are forked from", "kind")
TEMPLATE_STARTS = _counter("plugbay_template_starts_total", "Starts of the base template; the first is one")
UNFIT_SETS = _gauge(
    "plugbay_unfit_dependency_sets", "Dependency sets whose libraries cannot be forked, so loads are slower"
)
WORKERS_ENDED = _counter(
    "plugbay_workers_ended_total", "Workers that the server ended for what they did", "reason"
)
WORKER_MEMORY = _gauge(
    "plugbay_worker_resident_bytes", "Memory of a plugin's serving worker and what it started", "plugin"
)
WORKER_CPU = _counter(
    "plugbay_worker_cpu_seconds_total", "Processor time of a plugin's serving worker", "plugin"
)
WORKER_THREADS = _gauge(
    "plugbay_worker_threads", "Threads of a plugin's serving worker and what it started", "plugin"
)
WORKER_PROCESSES = _gauge(
    "plugbay_worker_processes", "A plugin's serving worker and the processes it started", "plugin"
)
WORKER_FILES = _gauge("plugbay_worker_open_fds", "Open files of a plugin's serving worker", "plugin")

LOADS = _gauge("plugbay_loads", "Loads under way, and changes that wait for one", "state")
INSTALLS = _gauge("plugbay_installs", "Installs under way, and changes that wait to be put in place", "state")
INSTALLS_FAILED = _counter("plugbay_installs_failed_total", "Installs that came to nothing")
CHANGES = _counter("plugbay_changes_total", "Changes by request that were made", "kind")
TASKS = _gauge("plugbay_tasks", "Tasks that have not ended", "kind", "status")
TASKS_ENDED = _counter("plugbay_tasks_ended_total", "Tasks that have ended", "kind", "status")
DOWNLOAD_BYTES = _counter("plugbay_download_bytes_total", "Bytes that downloads have reported")
WRITES_WAITING = _gauge("plugbay_database_writes_waiting", "Writes that wait for the database")

EVENT_HEAD = _gauge("plugbay_event_log_head", "Number of the newest event")
EVENT_LOG_EVENTS = _gauge("plugbay_event_log_events", "Events that are kept to resume from")
EVENT_LOG_BYTES = _gauge("plugbay_event_log_bytes", "Memory that they take")
EVENTS = _counter("plugbay_events_published_total", "Events by type", "type")
EVENTS_REPLAYED = _counter("plugbay_events_replayed_total", "Events given once more to clients that resumed")
EVENTS_DROPPED = _counter(
    "plugbay_passing_events_dropped_total", "Progress and log events that came too fast to be handed out"
)
RESUMES = _counter(
    "plugbay_resumes_total", "Subscriptions from a position: recovered, or lost as it is too old", "outcome"
)
EVENT_BACKLOG = _gauge("plugbay_event_backlog", "Events that no client has been given yet")
CLIENTS = _gauge("plugbay_clients", "Connected live clients")
LIVE_CLIENTS = _gauge("plugbay_live_clients", "Connected live clients by transport", "transport")
CLIENTS_CONNECTED = _counter("plugbay_clients_connected_total", "Live clients that have come", "transport")
CLIENTS_DROPPED = _counter("plugbay_clients_dropped_total", "Live clients that were let go of", "reason")
CLIENTS_BEHIND = _gauge("plugbay_clients_behind", "Live clients that have not been given all that is theirs")
QUEUED = _gauge("plugbay_client_queue_events", "Events in the queues of all live clients")
QUEUED_MOST = _gauge("plugbay_client_queue_events_max", "Events in the longest queue of a live client")

LOOP_LAG = _gauge("plugbay_loop_lag_seconds", "How late the event loop is")
LOOP_DELAY = _histogram(
    "plugbay_loop_delay_seconds", "How late the event loop came to its beats, four times a second"
)

READY = _gauge("plugbay_ready", "Whether the first scan is through")
PART_OK = _gauge("plugbay_part_ok", "Whether a part of /readyz is well", "part")
BUILD = _gauge("plugbay_build_info", "1; the labels say what runs", "version", "python")
START = _gauge("plugbay_start_time_seconds", "When the server started, in seconds since 1970")
ENVIRONMENTS = _gauge("plugbay_environments", "Sets of packages that plugins depend on")
ENVIRONMENT_BYTES = _gauge("plugbay_environment_bytes", "What they take on the disk")
DATABASE_BYTES = _gauge("plugbay_database_bytes", "What the database takes on the disk")
DISK_FREE = _gauge("plugbay_disk_free_bytes", "Room on the disk of a folder", "folder")
WATCHES = _gauge("plugbay_inotify_watches", "Folders that are watched")
OVERFLOWS = _counter(
    "plugbay_inotify_overflows_total", "How often events of the file system were lost; all is scanned then"
)
PLUGIN_LINES_DROPPED = _counter(
    "plugbay_plugin_log_lines_dropped_total", "Lines that plugins wrote too fast to be kept"
)
LINES_DROPPED = _counter("plugbay_log_lines_dropped_total", "Lines of the server's log that nobody took")

FAMILIES: tuple[Family, ...] = tuple(_known)
