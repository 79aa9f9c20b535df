"""The host as the API sees it, without processes: everything behind the border is told what to answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.log import web_logger
from aiohttp.test_utils import TestClient, TestServer

from service.api import keys
from service.api.body import BodyLimits
from service.api.door import Door
from service.api.protocol import Runner
from service.api.rotation import Rotation
from service.api.server import add_api
from service.api.task_problems import task_problem
from service.errors import PlugbayError, PluginDisabled, PluginNotFound
from service.host.configuration.import_plan import EntryPlan, ImportPlan
from service.host.database import Database
from service.host.operations import Deleted, Granted, Imported, Switched
from service.host.server_process import ServerProcess
from service.host.statistics.histogram import LAG_S, Buckets, Histogram
from service.host.statistics.statistics import Statistics
from service.live.event_log import EventLog
from service.live.hub import Hub
from service.live.limits import LiveLimits
from service.model.events import STATS
from service.model.identity import Identity, PluginType
from service.model.plugin import LoadError, Manifest, Origin, Permissions, PluginView, Stage
from service.model.states import PluginState
from service.model.text import Text
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
from tests.unit.api.version_fakes import FakeEditing, FakeEnvironments, FakeRevising, FakeUndoing, FakeUpdates

TOKEN = "correct-horse-battery-staple"

LOAD_ERROR = LoadError(
    stage=Stage.IMPORT,
    code="import_failed",
    type="ValueError",
    message="坏了",
    file="plugins/search/broken_plugin.py",
    line=3,
    column=None,
    traceback="Traceback…",
    generation=2,
    messages=Text(zh="坏了", en="It broke"),
)


@dataclass
class FakePlugin:
    identity: Identity
    stem: str
    manifest: Manifest | None
    enabled: bool = True
    error: LoadError | None = None
    running: int = 0
    draining_calls: int = 0
    serving: None = None
    draining: tuple[()] = ()
    generation_count: int = 1

    @property
    def state(self) -> PluginState:
        return self.view().state

    @property
    def file(self) -> str:
        return f"plugins/{self.identity.type}/{self.stem}.py"

    def view(self) -> PluginView:
        return PluginView(
            id=str(self.identity),
            type=self.identity.type,
            name=self.identity.name,
            version="1.0",
            description="",
            config_schema=[],
            enabled=self.enabled,
            state=PluginState.ACTIVE if self.enabled else PluginState.DISABLED,
            generation=1,
            revision=None,
            file=self.file,
            loaded_at=None,
            load_ms=None,
            error=self.error,
            running_calls=0,
            draining=[],
            origin=Origin(kind="file", sha256="0" * 64),
            permissions=Permissions({}, {}, {}),
            config_missing=[],
        )


def plugin(type: PluginType, name: str, *methods: str, **more: Any) -> FakePlugin:
    return FakePlugin(
        Identity(type, name), f"{name}_plugin", Manifest(type=type, name=name, methods=list(methods)), **more
    )


class FakeRegistry:
    def __init__(self, *plugins: FakePlugin) -> None:
        self.plugins = list(plugins)
        self.ready = asyncio.Event()
        self.ready.set()

    def all(self) -> list[FakePlugin]:
        return sorted(self.plugins, key=lambda one: one.identity)

    def find(self, type: PluginType, name: str) -> FakePlugin:
        for one in self.plugins:
            if one.identity.type is type and name in (one.identity.name, one.stem):
                return one
        raise PluginNotFound(type.value, name)


class FakeCaller:
    """Answers by plugin and method; an exception is raised, a function is called with the parameters."""

    def seconds(self, plugin: Any, method: str) -> float:
        return 30.0

    def __init__(self) -> None:
        self.count: Callable[[str, str, str, float], None] = lambda *_: None
        self.answers: dict[tuple[str, str], Any] = {}
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    async def call(
        self, plugin: FakePlugin, method: str, params: dict[str, Any], *, timeout_s: float | None = None
    ) -> msgspec.Raw:
        self.calls.append((plugin.identity.name, method, params))
        try:
            answer = self._answer(plugin, method, params)
        except PlugbayError as error:
            self.count(str(plugin.identity), method, error.code, 0.25)
            raise
        self.count(str(plugin.identity), method, "ok", 0.25)
        return answer

    async def stream(
        self, plugin: FakePlugin, method: str, params: dict[str, Any], on_item: Any, *, timeout_s: float
    ) -> bytes:
        return bytes(await self.call(plugin, method, params))

    def _answer(self, plugin: FakePlugin, method: str, params: dict[str, Any]) -> msgspec.Raw:
        if not plugin.enabled:
            raise PluginDisabled(str(plugin.identity))
        answer = self.answers[plugin.identity.name, method]
        if callable(answer):
            answer = answer(**params)
        if isinstance(answer, Exception):
            raise answer
        return msgspec.Raw(answer)


@dataclass
class Result:
    id: str
    ok: bool
    state: PluginState = PluginState.ACTIVE
    generation: int = 2
    ms: float = 4.5
    error: LoadError | None = None


@dataclass
class Stored:
    config: dict[str, Any]
    warnings: list[str]
    plugin: PluginView
    error: LoadError | None = None
    change: str | None = "c1"


class FakeOperations:
    def __init__(self, registry: FakeRegistry) -> None:
        self.registry = registry
        self.raises: Exception | None = None
        self.results: list[Result] = []
        self.done: list[tuple[Any, ...]] = []

    def _do(self, *what: Any) -> None:
        if self.raises is not None:
            raise self.raises
        self.done.append(what)

    async def reload(self, plugin: FakePlugin) -> Result:
        self._do("reload", plugin.identity)
        return Result(str(plugin.identity), True)

    async def reload_all(self) -> list[Result]:
        self._do("reload_all")
        return self.results

    async def delete(self, plugin: FakePlugin, *, purge: bool) -> Deleted:
        self._do("delete", plugin.identity, purge)
        return Deleted(3, "c1")

    async def set_enabled(self, plugin: FakePlugin, enabled: bool) -> Switched:
        self._do("enable", plugin.identity, enabled)
        plugin.enabled = enabled
        return Switched(plugin.view(), "c1")

    async def put_config(self, plugin: FakePlugin, values: dict[str, Any]) -> Stored:
        self._do("config", plugin.identity, values)
        return Stored(values, ["extra"], plugin.view())

    async def grant(self, plugin: FakePlugin, wish: Any) -> Granted:
        self._do("grant", plugin.identity, wish)
        return Granted(plugin.view(), None, "c1")

    def get_config(self, plugin: FakePlugin) -> dict[str, Any]:
        return {"key": "********"}

    async def import_config(self, entries: dict[str, Any]) -> Imported:
        self._do("import", entries)
        return Imported(len(entries), "c1")

    async def plan_import(self, entries: dict[str, Any]) -> ImportPlan:
        self._do("plan", entries)
        wrong = Text(zh="应为数字", en="has to be a number")
        return ImportPlan(
            0, [EntryPlan("search/demo", True, (True, False), [("key", "********", None)], [("size", wrong)])]
        )

    def export_config(self) -> dict[str, Any]:
        return {"search:demo": {"key": "secret"}}


@dataclass
class Installed:
    plugin: PluginView
    hot_loaded: bool = True
    change: str | None = "c1"


class FakeInstaller:
    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.raises: PlugbayError | None = None
        self.hot_loaded = True

    async def install(self, request: Any) -> Installed:
        self.requests.append(request)
        if self.raises is not None:
            raise self.raises
        return Installed(plugin(request.plugin_type, "new").view(), self.hot_loaded)

    async def plan(self, request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"plugin": None, "conflicts": [], "error": None}

    async def check(self, request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {
            "plugin": {
                "type": "search",
                "name": "new",
                "version": "1",
                "file": "plugins/search/new_plugin.py",
            },
            "dependencies": {"add": [{"name": "six", "version": "1.17", "size": 11050}], "satisfied": []},
            "conflicts": [],
            "replaces": None,
            "permissions": {"asked": {"network": True}},
            "error": LOAD_ERROR,
            "origin_changes": None,
            "loads": False,
            "load_ms": None,
            "provides": None,
        }


@dataclass
class Record:
    at: str
    level: str
    generation: int
    message: str
    request: str | None = None


class FakeLogs:
    async def tail(self, key: tuple[str, str], lines: int) -> list[Record]:
        return [Record("2026-01-01T00:00:00Z", "info", 1, f"{key[0]}/{key[1]} {lines}")]


@dataclass
class Part:
    ok: bool
    text: Text


@dataclass
class FakeHealth:
    loop_lag_ms: float = 0.25
    all_parts: dict[str, Part] = field(
        default_factory=lambda: {"plugins": Part(True, Text(zh="已扫描", en="scanned"))}
    )

    def parts(self) -> dict[str, Part]:
        return self.all_parts

    def lags(self) -> Buckets:
        return Histogram(LAG_S).buckets()


class ApiServer(TestServer):
    """Has the connections of the real server."""

    async def _make_runner(self, **settings: Any) -> Runner:
        return Runner(self.app, **settings)


@dataclass
class Api:
    """A server of the API on a free loopback port, with everything behind it in reach."""

    client: TestClient[web.Request, web.Application]
    app: web.Application
    registry: FakeRegistry
    caller: FakeCaller
    operations: FakeOperations
    installer: FakeInstaller
    health: FakeHealth
    port: int


def door(**changes: Any) -> Door:
    settings: dict[str, Any] = {
        "listen_host": "127.0.0.1",
        "allowed_hosts": [],
        "allowed_origins": [],
        "token": TOKEN,
    }
    return Door(**settings | changes)


@asynccontextmanager
async def running_api(
    front_end: Path,
    *,
    json_bytes: int = 64 * 1024,
    upload_bytes: int = 256 * 1024,
    logger: logging.Logger = web_logger,
    token_is_set: bool = False,
    installs_a_minute: int = 60,
    **door_changes: Any,
) -> AsyncIterator[Api]:
    app = web.Application()
    registry = FakeRegistry(
        plugin(PluginType.SEARCH, "demo", "search", "get_video_info"),
        plugin(PluginType.SEARCH, "broken", "search", error=LOAD_ERROR),
        plugin(PluginType.DOWNLOAD, "http", "download"),
        plugin(PluginType.PARSER, "page", "parse_url", "can_parse"),
        plugin(PluginType.PARSER, "plain", "parse_url"),
        plugin(PluginType.PARSER, "off", "parse_url", enabled=False),
    )
    log = EventLog(max_events=10, max_bytes=1 << 20, node="test")
    caller = FakeCaller()
    database = Database(front_end / "plugbay.db")
    await database.open()
    fakes: dict[Any, Any] = {
        keys.REGISTRY: registry,
        keys.CALLER: caller,
        keys.OPERATIONS: FakeOperations(registry),
        keys.INSTALLER: FakeInstaller(),
        keys.PLUGIN_LOGS: FakeLogs(),
        keys.HEALTH: FakeHealth(),
        keys.HUB: Hub(log, LiveLimits()),
        keys.EVENT_LOG: log,
        keys.EDITING: FakeEditing(),
        keys.REVISING: FakeRevising(),
        keys.UPDATES: FakeUpdates(),
        keys.UNDOING: FakeUndoing(),
        keys.ENVIRONMENTS: FakeEnvironments(),
        **tasks_of(registry, caller, database, log),
    }
    for key, fake in fakes.items():
        app[key] = fake
    add_api(
        app,
        door=door(**door_changes),
        limits=BodyLimits(json_bytes=json_bytes, upload_bytes=upload_bytes),
        front_end=front_end,
        installs_a_minute=installs_a_minute,
    )
    app[keys.ROTATION] = Rotation(app[keys.DOOR], None if token_is_set else front_end, app[keys.HUB], log)
    caller.count = app[keys.METRICS].count_call
    plugins: Any = registry
    app[keys.STATISTICS] = Statistics(
        app[keys.CALL_COUNTS], log, plugins=plugins.all, wanted=lambda: app[keys.HUB].is_wanted(STATS)
    )
    app[keys.SERVER_PROCESS] = ServerProcess(front_end, lambda: 7)
    server = ApiServer(app)
    await server.start_server(logger=logger)
    async with TestClient(server) as client:
        assert client.port is not None
        yield Api(
            client,
            app,
            registry,
            fakes[keys.CALLER],
            fakes[keys.OPERATIONS],
            fakes[keys.INSTALLER],
            fakes[keys.HEALTH],
            client.port,
        )
    await database.close()


def tasks_of(registry: Any, caller: Any, database: Database, log: EventLog) -> dict[Any, Any]:
    """The real tasks, over a registry and a caller that are none."""
    store, runners, parsers = TaskStore(database), Runners(), Parsers(registry, caller)
    board = Board(store, log, task_problem)
    searches = Searches(board, registry, caller, parsers, runners)
    following = Following(board, registry, caller)
    downloads = Downloads(board, registry, caller, runners, Slots(4, 4), following, prefer=[])
    tasks = Tasks(board, store, searches, downloads, runners, registry, caller)
    return {
        keys.PARSERS: parsers,
        keys.SEARCHES: searches,
        keys.DOWNLOADS: downloads,
        keys.TASKS: tasks,
        keys.LISTING: Listing(board, store, tasks, registry, caller),
    }
