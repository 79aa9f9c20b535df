"""The composition root: the only place that constructs, one `cleanup_ctx` and one key for each resource.

Resources are made in the order below and let go of in reverse.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

from aiohttp import web

from service.api import keys
from service.api.body import BodyLimits
from service.api.door import Door
from service.api.metrics.sources import Sources
from service.api.rotation import Rotation
from service.api.server import add_api
from service.api.task_problems import task_problem
from service.api.token import made_token
from service.home import bundled_plugins
from service.host import descriptors
from service.host.calls import Caller
from service.host.configuration.config_store import ConfigStore
from service.host.database import Database
from service.host.health import Health
from service.host.history.history import History
from service.host.installing.candidates import Candidates, FetchLimits
from service.host.installing.committing import Commits
from service.host.installing.editing import Editing
from service.host.installing.install import Installer
from service.host.installing.placing import Placing
from service.host.installing.planning import Plans
from service.host.installing.plugin_files import PluginFiles
from service.host.installing.revising import Revising
from service.host.installing.sharing import Sharing
from service.host.installing.trial import Trials
from service.host.installing.undoing import Undoing
from service.host.installing.updates import Updates
from service.host.kernel import Kernel
from service.host.plugin_logs import PluginLogs
from service.host.server_process import ServerProcess
from service.host.statistics.statistics import Statistics
from service.host.store import Store
from service.host.thumbnails import Thumbnails
from service.host.workers.sandbox import Sandbox
from service.limiting import kernel_limits
from service.live.event_log import EventLog
from service.live.hub import Hub
from service.live.limits import LiveLimits
from service.logs import lines_dropped
from service.model.events import STATS
from service.settings import Settings
from service.tasks.board import Board
from service.tasks.downloads import Downloads
from service.tasks.following import Following
from service.tasks.listing import Listing
from service.tasks.parsers import Parsers
from service.tasks.runners import Runners
from service.tasks.searches import Searches
from service.tasks.slots import Slots
from service.tasks.store import TaskStore
from service.tasks.tasks import Tasks

DATABASE: web.AppKey[Database] = web.AppKey("database", Database)
STORE: web.AppKey[Store] = web.AppKey("store", Store)
HISTORY: web.AppKey[History] = web.AppKey("history", History)
KERNEL: web.AppKey[Kernel] = web.AppKey("kernel", Kernel)
SANDBOX: web.AppKey[Sandbox] = web.AppKey("sandbox", Sandbox)
CANDIDATES: web.AppKey[Candidates] = web.AppKey("candidates", Candidates)
COMMITS: web.AppKey[Commits] = web.AppKey("commits", Commits)
BOARD: web.AppKey[Board] = web.AppKey("board", Board)

Resource = Callable[[web.Application], AsyncIterator[None]]
_MIB = 1024 * 1024


def build_app(settings: Settings, home: Path, ports: Collection[int] = ()) -> web.Application:
    """The whole server as an application.

    Args:
        settings: as loaded.
        home: the home folder; it must be prepared.
        ports: those that it listens on, which no plugin may connect to.
    """
    app = web.Application(client_max_size=settings.limits.upload_mib * _MIB)
    server = settings.server
    door = Door(
        listen_host=server.host,
        allowed_hosts=list(server.allowed_hosts),
        allowed_origins=list(server.allowed_origins),
        token=server.token or made_token(home, server.host, server.allowed_hosts, server.trusted_proxies),
        trusted_proxies=list(server.trusted_proxies),
    )
    for resource in (
        _sandbox(settings, home, ports),
        _events(settings, home),
        _config(home),
        _store(home),
        _history(settings, home),
        _plugin_logs(settings, home),
        _kernel(settings, home),
        # Right after it, so that no load is missed.
        _statistics(home),
        _tasks(settings),
        _thumbnails(settings),
        _health(),
        _metrics(settings, home),
    ):
        app.cleanup_ctx.append(resource)
    add_api(
        app,
        door=door,
        limits=BodyLimits(
            json_bytes=settings.limits.request_body_kib * 1024,
            upload_bytes=settings.limits.upload_mib * _MIB,
        ),
        installs_a_minute=settings.limits.installs_per_minute,
    )
    return app


def _sandbox(settings: Settings, home: Path, ports: Collection[int]) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        downloads_dir = home / settings.downloads.folder
        sandbox = app[SANDBOX] = await asyncio.to_thread(
            Sandbox.of_this_kernel, home, downloads_dir, own_ports=ports
        )
        app[keys.PEERS] = sandbox.peers
        sandbox.tell_what_is_missing()
        if settings.sandbox.required:
            sandbox.require_all()
        yield

    return context


def _events(settings: Settings, home: Path) -> Resource:
    token_home = home if settings.server.token is None else None

    async def context(app: web.Application) -> AsyncIterator[None]:
        live = settings.live
        events = EventLog(
            max_events=live.log_events, max_bytes=live.log_mib * _MIB, node=socket.gethostname() or "local"
        )
        hub = Hub(
            events,
            LiveLimits(
                client_queue=live.client_queue,
                frame_bytes=live.frame_kib * 1024,
                heartbeat_s=live.heartbeat_s,
                clients_per_address=live.clients_per_address,
            ),
        )
        app[keys.EVENT_LOG], app[keys.HUB] = events, hub
        app[keys.ROTATION] = Rotation(app[keys.DOOR], token_home, hub, events)
        runner = asyncio.create_task(hub.run(), name="live events")
        yield
        await hub.close()
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)

    return context


def _config(home: Path) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        config = app[keys.CONFIG] = ConfigStore(home / "config" / "plugins.json")
        await config.load()
        yield
        await config.close()

    return context


def _store(home: Path) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        database = app[DATABASE] = Database(home / "data" / "plugbay.db")
        await database.open()
        app[STORE] = Store(database)
        yield
        await database.close()

    return context


def _history(settings: Settings, home: Path) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        history = app[HISTORY] = History(
            home,
            app[DATABASE],
            app[keys.CONFIG],
            app[STORE],
            revisions=settings.history.revisions,
            changes=settings.history.changes,
        )
        await history.start()
        yield
        await history.close()

    return context


def _plugin_logs(settings: Settings, home: Path) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        logs = app[keys.PLUGIN_LOGS] = PluginLogs(
            home / "data" / "logs",
            max_bytes=settings.logs.plugin_mib * _MIB,
            line_bytes=settings.logs.line_kib * 1024,
            on_record=lambda key, record: app[KERNEL].announce_log(key, record),
            bounds=(lambda key: app[KERNEL].log_bounds(key)) if settings.limits.plugins else None,
        )
        runner = asyncio.create_task(logs.run(), name="plugin logs")
        yield
        await logs.close()
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)

    return context


def _kernel(settings: Settings, home: Path) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        kernel = app[KERNEL] = Kernel(
            home,
            events=app[keys.EVENT_LOG],
            config=app[keys.CONFIG],
            store=app[STORE],
            history=app[HISTORY],
            logs=app[keys.PLUGIN_LOGS],
            limits=kernel_limits(settings, home),
            sandbox=app[SANDBOX],
            bundled=bundled_plugins(),
        )
        app[keys.REGISTRY] = kernel.registry
        app[keys.OPERATIONS] = kernel.operations
        app[keys.CALLER] = Caller(
            kernel.registry,
            kernel.limits_of_plugins,
            count=app[keys.METRICS].count_call,
        )
        commits = app[COMMITS] = _installing(app, settings)
        # The port is open while plugins load: what they are is told by their state.
        start = asyncio.create_task(kernel.start(), name="start")
        yield
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        await commits.close()
        await kernel.close(settings.server.shutdown_s / 2)

    return context


def _statistics(home: Path) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        kernel, hub = app[KERNEL], app[keys.HUB]
        app[keys.SERVER_PROCESS] = ServerProcess(home, lambda: len(kernel.templates.workers()))
        statistics = app[keys.STATISTICS] = Statistics(
            app[keys.CALL_COUNTS],
            app[keys.EVENT_LOG],
            plugins=lambda: kernel.registry,
            wanted=lambda: hub.is_wanted(STATS),
        )
        runner = asyncio.create_task(statistics.run(), name="statistics")
        yield
        statistics.close()
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)

    return context


def _installing(app: web.Application, settings: Settings) -> Commits:
    """What puts plugins in place, and all that uses it."""
    kernel, history, config = app[KERNEL], app[HISTORY], app[keys.CONFIG]
    max_bytes = settings.limits.plugin_file_kib * 1024
    install = settings.install
    candidates = Candidates(
        app[keys.EVENT_LOG],
        FetchLimits(max_bytes, install.timeout_s, install.redirects, list(install.allowed_hosts)),
    )
    trials = Trials(kernel, config, history.provisional)
    plans = Plans(kernel, trials, kernel.environments)
    commits = Commits()
    placing = Placing(kernel, trials, history.journal, history.revisions, commits)
    files = PluginFiles(kernel)
    sharing = Sharing(kernel, trials, history.journal, history.revisions, files, commits)
    app[keys.INSTALLER] = Installer(kernel, candidates, placing, plans)
    app[keys.EDITING] = Editing(kernel, files, placing, sharing, max_bytes)
    app[keys.REVISING] = Revising(kernel, history.revisions, placing)
    app[keys.UPDATES] = Updates(kernel, candidates, trials, placing, plans)
    app[keys.UNDOING] = Undoing(kernel, history, placing, sharing)
    app[keys.ENVIRONMENTS] = kernel.environments
    app[CANDIDATES] = candidates
    return commits


def _tasks(settings: Settings) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        registry, caller = app[KERNEL].registry, app[keys.CALLER]
        store = TaskStore(app[DATABASE])
        board = app[BOARD] = Board(store, app[keys.EVENT_LOG], task_problem)
        runners = Runners()
        parsers = app[keys.PARSERS] = Parsers(registry, caller)
        searches = app[keys.SEARCHES] = Searches(board, registry, caller, parsers, runners)
        downloads = app[keys.DOWNLOADS] = Downloads(
            board,
            registry,
            caller,
            runners,
            Slots(settings.downloads.at_once, settings.downloads.at_once_per_plugin),
            Following(board, registry, caller),
            prefer=settings.downloads.prefer,
        )
        tasks = app[keys.TASKS] = Tasks(board, store, searches, downloads, runners, registry, caller)
        app[keys.LISTING] = Listing(board, store, tasks, registry, caller)
        await tasks.start()
        yield
        await tasks.close(settings.server.shutdown_s / 2)

    return context


def _thumbnails(settings: Settings) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        thumbnails = app[keys.THUMBNAILS] = Thumbnails(settings.thumbnails.private_hosts)
        yield
        await thumbnails.close()

    return context


def _health() -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        kernel, config, database = app[KERNEL], app[keys.CONFIG], app[DATABASE]
        sandbox = app[SANDBOX]
        journal = app[HISTORY].journal
        health = app[keys.HEALTH] = Health(
            {
                "workers": lambda: kernel.workers_problem,
                "sandbox": lambda: sandbox.problem,
                "watcher": lambda: kernel.watcher.problem,
                "config": lambda: config.problem,
                "store": lambda: database.state,
                "history": lambda: next(iter(journal.problems), None),
                "descriptors": lambda: descriptors.state(len(kernel.registry.all())),
            }
        )
        health.start()
        yield
        await health.close()

    return context


def _metrics(settings: Settings, home: Path) -> Resource:
    async def context(app: web.Application) -> AsyncIterator[None]:
        app[keys.METRIC_SOURCES] = Sources(
            kernel=app[KERNEL],
            database=app[DATABASE],
            journal=app[HISTORY].journal,
            candidates=app[CANDIDATES],
            commits=app[COMMITS],
            board=app[BOARD],
            logs=app[keys.PLUGIN_LOGS],
            process=app[keys.SERVER_PROCESS],
            folders={"data": home / "data", "downloads": home / settings.downloads.folder},
            lines_dropped=lines_dropped,
        )
        yield

    return context
