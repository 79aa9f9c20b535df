"""Plugins, their configuration and their logs."""

# Annotations are evaluated here: only so is it known at run time which members are `NotRequired`.
from typing import Any, Literal, NotRequired, TypedDict

PluginState = Literal["loading", "active", "degraded", "failed", "disabled"]


class LoadError(TypedDict):
    """Why a plugin did not load; `file` is relative to the server's home, `messages` has both languages."""

    stage: str
    code: str
    type: str
    message: str
    file: str | None
    line: int | None
    column: int | None
    traceback: str | None
    generation: int | None
    messages: NotRequired[dict[str, str]]


class ConfigField(TypedDict):
    """One field of a plugin's configuration form."""

    name: str
    label: str
    type: str
    default: Any
    required: bool
    options: list[Any] | None
    description: str
    fields: "list[ConfigField] | None"


class Origin(TypedDict):
    """Where a plugin came from: `file`, `url`, `upload` or `bundled`.

    Of an address, `host` is where redirects led to, `etag` and `modified` what its server said of the file, and
    `requirements` the SHA-256 of the requirements file that came with it.
    """

    kind: str
    sha256: str
    url: str | None
    host: NotRequired[str]
    etag: NotRequired[str]
    modified: NotRequired[str]
    requirements: NotRequired[str]


class Draining(TypedDict):
    """A retired generation that still has calls to finish."""

    generation: int
    calls: int


class Permissions(TypedDict):
    """What a plugin asked for, what it was granted, and what it asked for in vain."""

    asked: dict[str, Any]
    granted: dict[str, Any]
    lacking: dict[str, Any]


class Plugin(TypedDict):
    """A plugin and how it is."""

    id: str
    type: str
    name: str
    version: str
    description: str
    config_schema: list[ConfigField]
    enabled: bool
    state: PluginState
    generation: int
    revision: str | None
    file: str
    loaded_at: str | None
    load_ms: float | None
    error: LoadError | None
    running_calls: int
    draining: list[Draining]
    origin: Origin
    permissions: Permissions
    config_missing: list[str]
    config_json_schema: NotRequired[dict[str, Any]]
    supported_protocols: NotRequired[list[str]]


class ChangedPlugin(Plugin):
    """A plugin after it was changed; `change` is what can be undone, if anything differed."""

    change: str | None


class Plugins(TypedDict):
    """All plugins by type, as of a place in the event log."""

    search: list[Plugin]
    download: list[Plugin]
    parser: list[Plugin]
    epoch: str
    seq: str


class Installed(TypedDict):
    """What an install came to: `status` is `success`, or `plan` where nothing was changed.

    A success has `plugin_name`, `hot_loaded` (false where it was kept although it does not load), `message`, and
    `change`, which can be undone; a plan has the members behind them. `error` is why it would not load.

    `plugin` is the plugin as it is then, of a plan what of it is known: `type`, `name`, `version` and `file`.
    """

    status: str
    plugin: dict[str, Any] | None
    plugin_name: NotRequired[str]
    hot_loaded: NotRequired[bool]
    message: NotRequired[str]
    change: NotRequired[str | None]
    dependencies: NotRequired[dict[str, Any]]
    conflicts: NotRequired[list[Any]]
    replaces: NotRequired[Any]
    permissions: NotRequired[dict[str, Any]]
    error: NotRequired[LoadError | None]
    origin_changes: NotRequired[dict[str, Any] | None]
    provides: NotRequired[dict[str, Any] | None]
    refused: NotRequired[dict[str, Any] | None]


class InstallOptions(TypedDict, total=False):
    """What may be asked of an install.

    `dry_run` only plans; `replace` lets it take the place of one that is there; `keep` keeps what does not load, for
    editing; `sha256` is the hash that the content must have; `grant` gives it what the plan says that it asks for.
    """

    dry_run: bool
    replace: bool
    keep: bool
    sha256: str
    grant: bool


class Deleted(TypedDict):
    """What a delete came to; `running_calls` finish first, `change` can be undone."""

    status: str
    hot_unloaded: bool
    message: str
    running_calls: int
    change: str | None


class ReloadResult(TypedDict):
    """How the reload of one plugin went."""

    id: str
    ok: bool
    state: str
    generation: int
    ms: float
    error: NotRequired[LoadError]


class Reloaded(TypedDict):
    """How a reload went."""

    status: str
    success_count: int
    fail_count: int
    message: str
    results: list[ReloadResult]


class Toggled(TypedDict):
    """A plugin that was switched on or off; `change` can be undone, if anything differed."""

    status: str
    enabled: bool
    change: str | None


class Template(TypedDict):
    """The text that a new plugin begins with, and the file that it would have, relative to the server's home."""

    file: str
    text: str


class Config(TypedDict):
    """The configuration of a plugin.

    Where it was just set, `warnings` names the keys that no field has, `plugin` is the plugin as it is then, `error`
    why it does not load with it, and `change` what can be undone.
    """

    config: dict[str, Any]
    status: NotRequired[str]
    warnings: NotRequired[list[str]]
    plugin: NotRequired[Plugin]
    error: NotRequired[LoadError | None]
    change: NotRequired[str | None]


class Granted(TypedDict):
    """A plugin with what it was granted; `error` is why it does not load with that, `change` can be undone."""

    status: str
    plugin: Plugin
    error: LoadError | None
    change: str | None


class ConfigExport(TypedDict):
    """The configuration of all plugins by `type:name`, passwords as they are."""

    status: str
    config: dict[str, dict[str, Any]]
    timestamp: str


class ConfigImported(TypedDict):
    """What an import of configuration came to; `change` can be undone, if anything differed."""

    status: str
    reloaded_count: int
    message: str
    change: str | None


# By this way of writing it, as `from` is a word of the language.
EnabledChange = TypedDict("EnabledChange", {"from": bool, "to": bool})
FieldChange = TypedDict("FieldChange", {"field": str, "from": Any, "to": Any})


class FieldError(TypedDict):
    """What is wrong with a setting; `field` is empty where it is with the plugin's whole entry."""

    field: str
    message: str


class PlannedConfig(TypedDict):
    """What an import would change of one plugin's configuration, passwords masked; `present` is whether it is there."""

    id: str
    present: bool
    enabled: EnabledChange | None
    fields: list[FieldChange]
    errors: list[FieldError]


class ConfigPlan(TypedDict):
    """What an import of configuration would change, and how many plugins would be loaded anew for it."""

    status: str
    reloaded_count: int
    changes: list[PlannedConfig]


class LogLine(TypedDict):
    """A line of a plugin's log; `request` is there where a call of that request had it written."""

    at: str
    level: str
    generation: int
    message: str
    request: NotRequired[str]
