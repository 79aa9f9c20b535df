"""The base classes of plugins. A method may be plain or `async`; a plain one runs in a thread."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.sdk.models import DONE, ConfigField, DownloadTask, SearchResult

# What the methods of plugins may give; mappings need the keys of the model that they stand for.
_Result = SearchResult | Mapping[str, Any]
_Results = Iterable[_Result] | AsyncIterable[_Result] | Awaitable[Iterable[_Result] | None] | None
_Links = Iterable[Mapping[str, Any]] | Awaitable[Iterable[Mapping[str, Any]] | None] | None
_Done = bool | Awaitable[bool]
_Nothing = Awaitable[None] | None


class Plugin:
    """What all plugins have. Derive from `SearchPlugin`, `DownloadPlugin` or `ParserPlugin`, not from this.

    What the plugin says of itself, each an attribute of the class or a property:

    Attributes:
        name: what requests call it by: 1 to 64 letters of any script, digits, `_` or `-`.
        version: its version, as text.
        description: what it does, in one line.
        config_schema: a JSON Schema of its configuration, in place of `get_config_schema`.
        exclusive: true where two generations must not be alive at once, since it binds a port or locks a file; then
            the older one stops before the newer one loads, and calls wait.

    What it is given, before `__init__` runs:

    Attributes:
        config: the stored configuration over the schema's defaults; complete from `set_config` on, empty before.
        log: its log; `plugbay events` and the page show it.
        data_dir: a folder of its own, shared by its generations.
        downloads_dir: the folder that files are downloaded to; make it where it is not there yet.
    """

    if TYPE_CHECKING:
        # Read-only here, so that a plugin may have an attribute or a property.
        @property
        def name(self) -> str: ...
        @property
        def version(self) -> str: ...
        @property
        def description(self) -> str: ...
        @property
        def config_schema(self) -> Mapping[str, Any]: ...

    else:
        name: str
        version: str
        description: str
        config_schema: Mapping[str, Any]
    exclusive: bool = False

    config: dict[str, Any]
    log: logging.Logger
    data_dir: Path
    downloads_dir: Path

    def get_config_schema(self) -> Sequence[ConfigField] | Mapping[str, Any]:
        """The fields of the configuration form, or a JSON Schema. Plain; asked once for each load."""
        return []

    def set_config(self, config: dict[str, Any]) -> _Nothing:
        """Take the stored values over the schema's defaults. Runs once, before `start`.

        A changed configuration makes a new generation, so this is never called on one that serves.
        """
        self.config = config
        return None

    def start(self) -> _Nothing:
        """Get ready; runs once, before the first call. What it raises fails the load.

        Tasks that it begins are cancelled when the generation begins to drain.
        """
        return DONE

    def stop(self) -> _Nothing:
        """Let go of what `start` took; runs once, after the last call."""
        return DONE

    def self_check(self) -> Awaitable[bool | None] | bool | None:
        """Raise, or return false, where the plugin could not work; the older generation then goes on serving."""
        return DONE


class SearchPlugin(Plugin):
    """Finds things.

    A plugin has `search(keyword, **kwargs)`, which gives a list of `SearchResult` or yields them as they come.
    """

    if TYPE_CHECKING:
        search: Callable[..., _Results]

    def get_video_info(self, url: str) -> Awaitable[_Result] | _Result:
        """What is behind one address. A plugin without it is answered for with `method_not_supported`."""
        raise NotImplementedError


class DownloadPlugin(Plugin):
    """Gets things: a plugin has `download(task) -> bool`, for what is in `supported_protocols`.

    True completes the task; false or an exception fails it. When the user cancels or pauses, an `async` method is
    cancelled, and `task.cancelled` says so to a plain one; see `DownloadTask.paused`.

    It may have, besides: `get_progress(id)` (a number, or a dictionary with `progress`, `status`, `downloaded`,
    `total`, `speed`, `eta`, `save_path`, `error`), `cancel(id)`, `pause(id)`, `resume(id)` and `get_downloads()`, all
    with the task's id, or the `external_id` of one that another program works on; and `discard(task)`, see below.

    Attributes:
        supported_protocols: URL schemes such as `https`, and `magnet`, `torrent`, `m3u8`.
        resumable: true where a download that was cut off can go on from `task.resume`.
    """

    if TYPE_CHECKING:

        @property
        def supported_protocols(self) -> Collection[str]: ...

        download: Callable[..., _Done]

    else:
        supported_protocols: Collection[str]
    resumable: bool = False

    def get_web_ui_url(self) -> Awaitable[str | None] | str | None:
        """The page of the program behind this plugin, where there is one."""
        return None

    def discard(self, task: DownloadTask) -> _Nothing:
        """Throw away what a download left behind that was paused, failed or killed, and is cancelled now.

        `task.resume` is its last checkpoint.
        """
        return DONE


class ParserPlugin(Plugin):
    """Takes addresses apart: a plugin has `parse_url(url)`, which gives a list of `{"name", "url", …}`."""

    if TYPE_CHECKING:
        parse_url: Callable[..., _Links]

    def can_parse(self, url: str) -> Awaitable[bool] | bool:
        """Whether this parser knows what to do with the address; quick, and without the network."""
        return True
