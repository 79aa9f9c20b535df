"""The bodies of the requests and responses of searches, downloads and tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.messages import PluginName, Request
from service.model.task import Task, TaskStatus

Keyword = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S")]
# A magnet link names its trackers.
DownloadUrl = Annotated[str, Meta(min_length=1, max_length=32_768)]
DownloadId = Annotated[str, Meta(min_length=1, max_length=1024)]


class StartSearch(Request, frozen=True, kw_only=True):
    """Search with the named plugins, or with all that are enabled; `limit` results in all, as they arrive."""

    keyword: Keyword
    plugins: Annotated[list[PluginName], Meta(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100_000)] | None = None


class SearchStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The search is under way; its results come as events, and with the task."""

    task_id: str
    status: Literal["pending"] = "pending"
    message: str


class SearchTask(msgspec.Struct, frozen=True, kw_only=True):
    """A search as clients of the original application know it."""

    id: str
    plugin_name: str | None
    keyword: str | None
    status: TaskStatus
    created_at: str
    started_at: str | None
    completed_at: str | None
    results: list[dict[str, Any]]
    error: str | None
    progress: float
    progress_message: str


class StartDownload(Request, frozen=True, kw_only=True):
    """Download an address, with the named plugin or with the one that fits best."""

    url: DownloadUrl
    title: Annotated[str, Meta(max_length=1000)] = ""
    plugin_name: PluginName | None = None
    metadata: dict[str, Any] | None = None


class DownloadStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The download is under way, or waits for its turn."""

    status: Literal["success"] = "success"
    task: Task


class PlatformDownloads(msgspec.Struct, frozen=True, kw_only=True):
    """The downloads of one plugin; `error` says why they are not all there."""

    name: str
    web_ui_url: str | None
    downloads: list[dict[str, Any]]
    error: str | UnsetType = UNSET


class AllDownloads(msgspec.Struct, frozen=True, kw_only=True):
    """The downloads of all enabled plugins; `total` is how many there are."""

    platform: Literal["all"] = "all"
    platforms: list[PlatformDownloads]
    total: int


class OneDownloads(msgspec.Struct, frozen=True, kw_only=True):
    """The downloads of the plugin that was asked for."""

    platform: str
    web_ui_url: str | None
    downloads: list[dict[str, Any]]
    error: str | UnsetType = UNSET


class CancelDownload(Request, frozen=True, kw_only=True):
    """Stop a download, by the task's id or by what its plugin calls it."""

    platform: PluginName
    download_id: DownloadId


class DownloadCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """The download is stopped."""

    status: Literal["success"] = "success"


class TaskList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest tasks without their results; `next_cursor` asks for the ones before them."""

    tasks: list[Task]
    next_cursor: str | None
