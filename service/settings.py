"""Every setting of the server, with its default and its bounds; `service.settings_reading` reads them."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.model.text import Text

Seconds = Annotated[float, Meta(ge=0.05, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
MemoryMib = Annotated[int, Meta(ge=16, le=1_048_576)]
OpenFiles = Annotated[int, Meta(ge=32, le=1_048_576)]
Processes = Annotated[int, Meta(ge=1, le=65_536)]
LogMib = Annotated[int, Meta(ge=1, le=1024)]
LineKib = Annotated[int, Meta(ge=1, le=1024)]
HostPattern = r"^[A-Za-z0-9._:%-]+$|^\[[0-9A-Fa-f:.]+\]$"
Host = Annotated[str, Meta(pattern=HostPattern, max_length=253)]
HostName = Annotated[
    str, Meta(pattern=r"^(\*\.)?[A-Za-z0-9._-]+(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$")
]
Origin = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9+.-]*://[^/\s@]+$")]
Network = Annotated[str, Meta(pattern=r"^[0-9a-fA-F:.]+(/[0-9]{1,3})?$")]
Folder = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~+/=-]+$", min_length=16, max_length=512)]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the server listens and whom it lets in. Port 0 takes any free port."""

    host: Host = "127.0.0.1"
    port: Port = 8000
    allowed_hosts: list[HostName] = []
    allowed_origins: list[Origin] = []
    trusted_proxies: list[Network] = []
    token: Token | None = None
    event_loop: Literal["asyncio", "uvloop"] = "asyncio"
    shutdown_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, "********" if name == "token" and value else value) for name, value in shown]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"ServerSettings({shown})"


class PluginLimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one plugin, where they are not those of `[limits]` and `[logs]`."""

    call_s: Seconds | None = None
    search_s: Seconds | None = None
    memory_mib: MemoryMib | None = None
    open_files: OpenFiles | None = None
    processes: Processes | None = None
    plugin_mib: LogMib | None = None
    line_kib: LineKib | None = None


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long and how large things may be."""

    load_s: Seconds = 20.0
    start_s: Seconds = 10.0
    self_check_s: Seconds = 10.0
    stop_s: Seconds = 5.0
    call_s: Seconds = 60.0
    search_s: Seconds = 30.0
    draining_generations: Annotated[int, Meta(ge=1, le=1000)] = 8
    memory_mib: MemoryMib = 1024
    threads: Annotated[int, Meta(ge=1, le=1024)] = 32
    open_files: OpenFiles = 256
    processes: Processes = 64
    plugin_file_kib: Annotated[int, Meta(ge=1, le=1_048_576)] = 5120
    upload_mib: Annotated[int, Meta(ge=1, le=10_240)] = 20
    request_body_kib: Annotated[int, Meta(ge=1, le=1_048_576)] = 1024
    installs_per_minute: Count = 60
    frame_mib: Annotated[int, Meta(ge=1, le=1024)] = 16
    crash_backoff_min_s: Annotated[float, Meta(ge=0.01, le=3600)] = 0.1
    crash_backoff_max_s: Annotated[float, Meta(ge=0.01, le=3600)] = 30.0
    crashes_before_failed: Annotated[int, Meta(ge=1, le=1000)] = 5
    crash_window_s: Seconds = 60.0
    plugins: dict[str, PluginLimitSettings] = {}


class WatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How changes on disk are noticed."""

    settle_ms: Annotated[int, Meta(ge=0, le=60_000)] = 150
    scan_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0


class LiveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event log and the connections that read it."""

    log_events: Count = 10_000
    log_mib: Annotated[int, Meta(ge=1, le=10_240)] = 32
    client_queue: Count = 1000
    frame_kib: Annotated[int, Meta(ge=1, le=16_384)] = 64
    heartbeat_s: Annotated[float, Meta(ge=0.05, le=3600)] = 15.0
    clients_per_address: Count = 1000


class InstallSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where plugins may be installed."""

    allowed_hosts: list[HostName] = []
    timeout_s: Seconds = 60.0
    redirects: Annotated[int, Meta(ge=0, le=50)] = 5


class ThumbnailSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pictures of search results, which the server fetches for the page."""

    private_hosts: list[HostName] = []


class DependencySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How plugins' dependencies are installed."""

    timeout_s: Seconds = 300.0
    allow_builds: bool = False


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How plugins are confined."""

    required: bool = False


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much can be gone back to."""

    revisions: Annotated[int, Meta(ge=1, le=10_000)] = 50
    changes: Annotated[int, Meta(ge=1, le=100_000)] = 500


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server's own log and the plugins' logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"
    plugin_mib: LogMib = 4
    line_kib: LineKib = 8


class DownloadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Downloads: where to, how many at once, and which plugin first. `folder` is relative to home."""

    folder: Folder = "data/downloads"
    at_once: Annotated[int, Meta(ge=1, le=10_000)] = 8
    at_once_per_plugin: Annotated[int, Meta(ge=1, le=10_000)] = 4
    prefer: list[str] = msgspec.field(default_factory=lambda: ["http"])


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The processes that plugins run in."""

    spares: Annotated[int, Meta(ge=0, le=64)] = 2


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, by section."""

    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    watch: WatchSettings = WatchSettings()
    live: LiveSettings = LiveSettings()
    install: InstallSettings = InstallSettings()
    dependencies: DependencySettings = DependencySettings()
    sandbox: SandboxSettings = SandboxSettings()
    history: HistorySettings = HistorySettings()
    downloads: DownloadSettings = DownloadSettings()
    thumbnails: ThumbnailSettings = ThumbnailSettings()
    logs: LogSettings = LogSettings()
    workers: WorkerSettings = WorkerSettings()


class Described(typing.NamedTuple):
    """What is to be said of one setting: its section and key, its default, and what it may be."""

    section: str
    key: str
    default: Any
    allowed: Text


def describe_settings() -> list[Described]:
    """All settings in their order, for documents."""
    defaults = Settings()
    return [
        Described(section, key, getattr(getattr(defaults, section), key), allowed_for(kind))
        for section, struct in sections_by_name().items()
        for key, kind in types_of(struct).items()
        if key in struct.__struct_fields__
    ]


def sections_by_name() -> dict[str, type[msgspec.Struct]]:
    """The struct of each section."""
    return typing.get_type_hints(Settings)


def types_of(section: type[msgspec.Struct]) -> dict[str, Any]:
    """The annotated type of each setting of a section."""
    return typing.get_type_hints(section, include_extras=True)


def is_optional(kind: Any) -> bool:
    """Whether it may also be left empty."""
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def is_list(kind: Any) -> bool:
    """Whether it is a list of values."""
    return typing.get_origin(kind) is list


def table_of(kind: Any) -> type[msgspec.Struct] | None:
    """What each of the tables is that a setting consists of; `None` where it is a plain value."""
    return typing.get_args(kind)[1] if typing.get_origin(kind) is dict else None


def plain_type(kind: Any) -> Any:
    """The type without its bounds."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def allowed_for(kind: Any) -> Text:
    """What a setting of this type may be, in words."""
    if typing.get_origin(kind) is Literal:
        options = ", ".join(f'"{option}"' for option in typing.get_args(kind))
        return Text(zh=options, en=options)
    if is_list(kind):
        inner = allowed_for(typing.get_args(kind)[0])
        return Text(zh=f"列表，每项为{inner.zh}", en=f"a list, each of it {inner.en}")
    if is_optional(kind):
        return allowed_for(typing.get_args(kind)[0])
    if (table := table_of(kind)) is not None:
        keys = ", ".join(table.__struct_fields__)
        return Text(
            zh=f'每个插件一个表，如 [limits.plugins."search/demo"]，其中可有 {keys}',
            en=f'a table for each plugin, such as [limits.plugins."search/demo"], of {keys}',
        )
    plain = plain_type(kind)
    if plain is str:
        return _STRINGS[kind]
    if plain is bool:
        return Text(zh="true 或 false", en="true or false")
    low, high = kind.__metadata__[0].ge, kind.__metadata__[0].le
    if plain is int:
        return Text(zh=f"{low} 到 {high} 的整数", en=f"a whole number from {low} to {high}")
    return Text(zh=f"{low:g} 到 {high:g} 的数", en=f"a number from {low:g} to {high:g}")


_STRINGS: dict[Any, Text] = {
    str: Text(zh="名称", en="a name"),
    Folder: Text(zh='文件夹，如 "data/downloads"', en='a folder such as "data/downloads"'),
    Host: Text(
        zh='要监听的地址，如 "127.0.0.1" 或 "0.0.0.0"（端口另设）',
        en='the address to listen on, such as "127.0.0.1" or "0.0.0.0" (the port has its own setting)',
    ),
    HostName: Text(
        zh='主机名，如 "plugbay.example.org"（不带协议和路径）',
        en='a host name such as "plugbay.example.org", with no scheme and no path',
    ),
    Origin: Text(
        zh='来源，如 "https://plugbay.example.org"（不带末尾的 /）',
        en='an origin such as "https://plugbay.example.org", with no slash at its end',
    ),
    Network: Text(
        zh='地址或网段，如 "127.0.0.1" 或 "10.0.0.0/8"',
        en='an address or a network, such as "127.0.0.1" or "10.0.0.0/8"',
    ),
    Token: Text(
        zh="16 到 512 个字符，可用字母、数字和 . _ ~ + / = -",
        en="16 to 512 letters, digits or any of . _ ~ + / = -",
    ),
}
