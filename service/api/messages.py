"""The bodies of requests and responses. The API document is generated from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.model.identity import PluginType
from service.model.plugin import LoadError, PluginView
from service.model.states import PluginState
from service.model.text import Text

Url = Annotated[str, Meta(min_length=1, max_length=4096)]
PluginName = Annotated[str, Meta(min_length=1, max_length=255)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")]

# What the patterns ask for, in words.
FORMATS = {
    "^[0-9a-fA-F]{64}$": Text(zh="必须是 64 位十六进制数", en="must be 64 hexadecimal digits"),
}


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The root of all request bodies: a member that nobody knows is refused by name."""


# Plugins


class PluginList(msgspec.Struct, frozen=True, kw_only=True):
    """All plugins by type, and the position in the event log that they are as of."""

    search: list[PluginView]
    download: list[PluginView]
    parser: list[PluginView]
    epoch: str
    seq: str


class InstallByUrl(Request, frozen=True, kw_only=True):
    """Install a plugin from an address."""

    url: Url
    plugin_type: PluginType
    sha256: Sha256 | None = None
    replace: bool = False
    keep: bool = False
    dry_run: bool = False
    grant: bool = False


class ChangedPlugin(PluginView, frozen=True, kw_only=True):
    """A plugin after it was changed. `change` is what can be undone, `null` where it was as it is already."""

    change: str | None


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin is installed; `hot_loaded` is false where it was kept although it does not load.

    `change` is what can be undone, `null` where it was there already as it is.
    """

    status: Literal["success"] = "success"
    plugin_name: str
    hot_loaded: bool
    message: str
    plugin: PluginView
    change: str | None


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """The text that a new plugin begins with, and the file that it would have, relative to home."""

    file: str
    text: str


class PlannedPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """What an install would put in place."""

    type: PluginType
    name: str | None
    version: str | None
    file: str | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an install would do; nothing was changed.

    `dependencies.add` are packages with version and size in bytes, `satisfied` what is there already. `origin_changes`
    is null, or the origin that is recorded and the one that is offered. `provides` has the methods and more of what the
    plugin is, as far as that is known without running what it depends on. Of an update, `refused` has the code and the
    message of what it would be refused for.
    """

    status: Literal["plan"] = "plan"
    plugin: PlannedPlugin | None
    dependencies: dict[str, Any]
    conflicts: list[Any]
    replaces: Any
    permissions: dict[str, Any]
    error: LoadError | None
    origin_changes: dict[str, Any] | UnsetType | None = UNSET
    provides: dict[str, Any] | UnsetType | None = UNSET
    refused: dict[str, Any] | UnsetType | None = UNSET


class DeletePlugin(Request, frozen=True, kw_only=True):
    """Delete a plugin, and with `purge` its data folder too."""

    plugin_type: PluginType
    plugin_name: PluginName
    purge: bool = False


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin is gone; `running_calls` of it are still finishing. `change` is what can be undone."""

    status: Literal["success"] = "success"
    hot_unloaded: bool = True
    message: str
    running_calls: int
    change: str | None


class ReloadOne(Request, frozen=True, kw_only=True):
    """Reload one plugin. An empty body, or an empty object, reloads all."""

    plugin_type: PluginType | None = None
    plugin_name: PluginName | None = None


class ReloadedPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """How the reload of one plugin ended."""

    id: str
    ok: bool
    state: PluginState
    generation: int
    ms: float
    error: LoadError | UnsetType = UNSET


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """How a reload ended, also where some plugins failed."""

    status: Literal["success"] = "success"
    success_count: int
    fail_count: int
    message: str
    results: list[ReloadedPlugin]


class Toggled(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin is switched on or off. `change` is what can be undone, `null` where it was so already."""

    status: Literal["success"] = "success"
    enabled: bool
    change: str | None


class LogLineView(msgspec.Struct, frozen=True, kw_only=True):
    """One line that a plugin printed or logged; `request` is there where a call of that request had it do so."""

    at: str
    level: str
    generation: int
    message: str
    request: str | msgspec.UnsetType = msgspec.UNSET


class LogLines(msgspec.Struct, frozen=True, kw_only=True):
    """The newest lines of a plugin's log, oldest first."""

    lines: list[LogLineView]


# Configuration


class PluginConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin's configuration: stored values over defaults, passwords masked."""

    config: dict[str, Any]


class PluginConfigured(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration that is stored; `warnings` name what was kept although nothing asks for it.

    `error` is why the plugin does not load with it, `null` where it does. `change` is what can be undone, `null` where
    the configuration was the same already.
    """

    status: Literal["success"] = "success"
    config: dict[str, Any]
    warnings: list[str]
    plugin: PluginView
    error: LoadError | None
    change: str | None


class ConfigExport(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of all plugins, with real values."""

    status: Literal["success"] = "success"
    config: dict[str, dict[str, Any]]
    timestamp: str


class ImportConfig(Request, frozen=True, kw_only=True):
    """Configuration to take over. An export may be sent as it is; with `dry_run` it only says what would change."""

    config: dict[str, dict[str, Any]]
    dry_run: bool = False
    status: str | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET


class ConfigImported(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration is taken over. `change` is what can be undone, `null` where nothing differed."""

    status: Literal["success"] = "success"
    reloaded_count: int
    message: str
    change: str | None


class EnabledChange(msgspec.Struct, frozen=True, kw_only=True, rename={"old": "from", "new": "to"}):
    """Whether a plugin is on, before and after."""

    old: bool
    new: bool


class FieldChange(msgspec.Struct, frozen=True, kw_only=True, rename={"old": "from", "new": "to"}):
    """A setting before and after, `null` where it is not set; passwords read as `********`, also where they differ."""

    field: str
    old: Any
    new: Any


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a setting; `field` is empty where it is with the plugin's whole entry."""

    field: str
    message: str


class PlannedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What an import would change of one plugin's configuration.

    `present` is whether the plugin is there; what is imported for others is kept for later. `enabled` is `null` where
    that stays as it is.
    """

    id: str
    present: bool
    enabled: EnabledChange | None
    fields: list[FieldChange]
    errors: list[FieldError]


class ConfigPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an import would do; nothing was changed.

    `reloaded_count` plugins would get a new generation: none where there are errors, as all of it would be refused
    then. `changes` are in the order of the document, without the entries that are so already.
    """

    status: Literal["plan"] = "plan"
    reloaded_count: int
    changes: list[PlannedConfig]


# Calls


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a search plugin found."""

    title: str
    url: str
    thumbnail: str | None = None
    duration: str | float | None = None
    platform: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None


class SearchResults(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin found."""

    results: list[SearchResult]


class VideoInfo(Request, frozen=True, kw_only=True):
    """Ask a search plugin what is behind an address."""

    url: Url
    plugin_name: PluginName


class Parse(Request, frozen=True, kw_only=True):
    """Take an address apart, by the named parsers or by all that can."""

    url: Url
    plugins: Annotated[list[PluginName], Meta(max_length=100)] | None = None


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """One result of one parser; it may have more members."""

    plugin: str
    name: str
    url: str


class ParseFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A parser that gave no results."""

    plugin: str
    code: str
    message: str


class ParseResults(msgspec.Struct, frozen=True, kw_only=True):
    """What the parsers gave, in the order of their names, and which of them failed."""

    results: list[Parsed]
    errors: list[ParseFailure]
    task_id: str


# Health


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers; `loop_lag_ms` is how late its event loop is."""

    status: Literal["ok"] = "ok"
    loop_lag_ms: float


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the server."""

    ok: bool
    message: str


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Plugins are served; `degraded` where some part is not as it should be."""

    status: Literal["ready", "degraded"]
    parts: dict[str, PartView]


# Errors


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error (RFC 9457). `code` never changes with the language; some codes add members of their own.

    `request_id` is what the lines of the server's log about this request have, too.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
