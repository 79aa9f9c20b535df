"""What the application holds: one typed key for each resource, and those that a request carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from service.api.body import BodyLimits
    from service.api.changes import Changes
    from service.api.door import Door
    from service.api.metrics.counting import Metrics
    from service.api.metrics.sources import Sources
    from service.api.rotation import Rotation
    from service.api.tries import Tries
    from service.host.calls import Caller
    from service.host.configuration.config_store import ConfigStore
    from service.host.dependencies.environments import Environments
    from service.host.health import Health
    from service.host.installing.editing import Editing
    from service.host.installing.install import Installer
    from service.host.installing.revising import Revising
    from service.host.installing.undoing import Undoing
    from service.host.installing.updates import Updates
    from service.host.operations import Operations
    from service.host.plugin_logs import PluginLogs
    from service.host.registry import Registry
    from service.host.server_process import ServerProcess
    from service.host.statistics.calls import CallCounts
    from service.host.statistics.statistics import Statistics
    from service.host.thumbnails import Thumbnails
    from service.host.workers.peers import Peers
    from service.live.event_log import EventLog
    from service.live.hub import Hub
    from service.model.actor import Actor
    from service.tasks.downloads import Downloads
    from service.tasks.listing import Listing
    from service.tasks.parsers import Parsers
    from service.tasks.searches import Searches
    from service.tasks.tasks import Tasks

REGISTRY: web.AppKey[Registry] = web.AppKey("registry")
OPERATIONS: web.AppKey[Operations] = web.AppKey("operations")
CALLER: web.AppKey[Caller] = web.AppKey("caller")
INSTALLER: web.AppKey[Installer] = web.AppKey("installer")
EDITING: web.AppKey[Editing] = web.AppKey("editing")
REVISING: web.AppKey[Revising] = web.AppKey("revising")
UPDATES: web.AppKey[Updates] = web.AppKey("updates")
UNDOING: web.AppKey[Undoing] = web.AppKey("undoing")
ENVIRONMENTS: web.AppKey[Environments] = web.AppKey("environments")
TASKS: web.AppKey[Tasks] = web.AppKey("tasks")
SEARCHES: web.AppKey[Searches] = web.AppKey("searches")
DOWNLOADS: web.AppKey[Downloads] = web.AppKey("downloads")
LISTING: web.AppKey[Listing] = web.AppKey("listing")
THUMBNAILS: web.AppKey[Thumbnails] = web.AppKey("thumbnails")
PARSERS: web.AppKey[Parsers] = web.AppKey("parsers")
CONFIG: web.AppKey[ConfigStore] = web.AppKey("config")
PLUGIN_LOGS: web.AppKey[PluginLogs] = web.AppKey("plugin_logs")
EVENT_LOG: web.AppKey[EventLog] = web.AppKey("event_log")
HUB: web.AppKey[Hub] = web.AppKey("hub")
HEALTH: web.AppKey[Health] = web.AppKey("health")
STATISTICS: web.AppKey[Statistics] = web.AppKey("statistics")
SERVER_PROCESS: web.AppKey[ServerProcess] = web.AppKey("server_process")

DOOR: web.AppKey[Door] = web.AppKey("door")
PEERS: web.AppKey[Peers] = web.AppKey("peers")
ROTATION: web.AppKey[Rotation] = web.AppKey("rotation")
INSTALLS: web.AppKey[Tries] = web.AppKey("installs")
CHECKS: web.AppKey[Tries] = web.AppKey("checks")
BODY_LIMITS: web.AppKey[BodyLimits] = web.AppKey("body_limits")
CHANGES: web.AppKey[Changes] = web.AppKey("changes")
METRICS: web.AppKey[Metrics] = web.AppKey("metrics")
METRIC_SOURCES: web.AppKey[Sources] = web.AppKey("metric_sources")
CALL_COUNTS: web.AppKey[CallCounts] = web.AppKey("call_counts")

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id")
CORS_ORIGIN: web.RequestKey[str] = web.RequestKey("cors_origin")
TOKEN_NEEDED: web.RequestKey[bool] = web.RequestKey("token_needed")
# Who asks; and by which scheme, where a trusted proxy says so of its client.
ACTOR: web.RequestKey[Actor] = web.RequestKey("actor")
SCHEME: web.RequestKey[str] = web.RequestKey("scheme")
PREPARED: web.RequestKey[bool] = web.RequestKey("prepared")
