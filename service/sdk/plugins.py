"""The base classes of plugins. A method may be plain or `async`; a plain one runs in a thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.sdk.models import ConfigField, DownloadTask, SearchResult


class Plugin:
    """What all plugins have.

    `config`, `log`, `data_dir` (a folder of the plugin's own) and `downloads_dir` (where files are downloaded to) are
    there before `__init__` runs. `start()` runs before the generation serves, `stop()` once after its last call.
    """

    name: str
    version: str
    description: str
    config_schema: Mapping[str, Any]
    exclusive: bool = False

    config: dict[str, Any]
    log: logging.Logger
    data_dir: Path
    downloads_dir: Path

    def get_config_schema(self) -> list[ConfigField]:
        """The fields of the configuration form."""
        return []

    def set_config(self, config: dict[str, Any]) -> None:
        """Take the stored values over the schema's defaults."""
        self.config = config

    async def start(self) -> None:
        """Get ready; runs before the first call."""

    async def stop(self) -> None:
        """Let go of what `start` took; runs once, after the last call."""

    async def self_check(self) -> None:
        """Raise where the plugin could not work; the older generation then goes on serving."""


class SearchPlugin(Plugin):
    """Finds things: `async search(keyword, **kwargs)` gives a list, or yields results as they come."""

    async def get_video_info(self, url: str) -> SearchResult:
        """What is behind one address."""
        raise NotImplementedError


class DownloadPlugin(Plugin):
    """Gets things: `async download(task) -> bool`, for the URL schemes in `supported_protocols`.

    True completes the task; false or an exception fails it. When the user cancels or pauses, an `async` method is
    cancelled, and `task.cancelled` says so to a plain one; see `DownloadTask.paused`.

    It may have, besides: `get_progress(id)` (a number, or a dictionary with `progress`, `status`, `downloaded`,
    `total`, `speed`, `eta`, `save_path`, `error`), `cancel(id)`, `pause(id)`, `resume(id)` and `get_downloads()`, all
    with the task's id, or the `external_id` of one that another program works on; and `discard(task)`, see below.
    """

    supported_protocols: list[str]
    resumable: bool = False

    def get_web_ui_url(self) -> str | None:
        """The page of the program behind this plugin, where there is one."""
        return None

    async def discard(self, task: DownloadTask) -> None:
        """Throw away what a download left behind that was paused, failed or killed, and is cancelled now.

        `task.resume` is its last checkpoint.
        """


class ParserPlugin(Plugin):
    """Takes addresses apart: `parse_url(url)` gives a list of `{"name", "url", …}`."""

    def can_parse(self, url: str) -> bool:
        """Whether this parser knows what to do with the address."""
        return True
