"""The routes of downloads: beginning one, and all there are, by plugin."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web
from msgspec import UNSET

from service.api.body import read_json
from service.api.changes import carry_through
from service.api.keys import DOWNLOADS, LISTING
from service.api.language import language_of, say
from service.api.params import find_plugin
from service.api.problems import RequestInvalid
from service.api.responses import json_response
from service.api.task_messages import (
    AllDownloads,
    CancelDownload,
    DownloadCancelled,
    DownloadStarted,
    OneDownloads,
    PlatformDownloads,
    StartDownload,
)
from service.errors import PluginDisabled
from service.model.identity import PluginType
from service.model.text import Text
from service.tasks.listing import Platform


async def start_download(request: web.Request) -> web.Response:
    """Begin a download. It is kept when this answers, and goes on by itself."""
    body = await read_json(request, StartDownload)
    _check_address(body.url)
    downloads = request.app[DOWNLOADS]
    if body.plugin_name is None:
        plugin = downloads.choose(body.url)
    else:
        plugin = find_plugin(request.app, PluginType.DOWNLOAD, body.plugin_name)
        if not plugin.enabled:
            raise PluginDisabled(str(plugin.identity))
    live = await carry_through(request, downloads.start(plugin, body.url, body.title, body.metadata or {}))
    return json_response(DownloadStarted(task=live.task.in_language(language_of(request))))


async def list_downloads(request: web.Request) -> web.Response:
    """List what the plugins, the programs behind them and the tasks know of downloads; 5 s at most."""
    platform = request.query.get("platform", "all")
    listing = request.app[LISTING]
    if platform == "all":
        platforms = [_platform(request, one) for one in await listing.all()]
        total = sum(len(one.downloads) for one in platforms)
        return json_response(AllDownloads(platforms=platforms, total=total))
    plugin = find_plugin(request.app, PluginType.DOWNLOAD, platform)
    if not plugin.enabled:
        raise PluginDisabled(str(plugin.identity))
    one = _platform(request, await listing.of(plugin))
    return json_response(
        OneDownloads(platform=one.name, web_ui_url=one.web_ui_url, downloads=one.downloads, error=one.error)
    )


async def cancel_download(request: web.Request) -> web.Response:
    """Stop a download, by the task's id or by what its plugin calls it."""
    body = await read_json(request, CancelDownload)
    plugin = find_plugin(request.app, PluginType.DOWNLOAD, body.platform)
    await carry_through(request, request.app[LISTING].cancel(plugin, body.download_id))
    return json_response(DownloadCancelled())


def _platform(request: web.Request, platform: Platform) -> PlatformDownloads:
    return PlatformDownloads(
        name=platform.plugin.identity.name,
        web_ui_url=platform.web_ui_url,
        downloads=platform.downloads,
        error=UNSET if platform.error is None else say(request, platform.error.text),
    )


def _check_address(url: str) -> None:
    """An address has a scheme, and nothing in it that would break a line of a log."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if not scheme or not url.isprintable():
        raise RequestInvalid(
            Text(
                zh="url 必须是完整的地址，例如 https://… 或 magnet:?…",
                en="url has to be a whole address, such as https://… or magnet:?…",
            ),
            field="url",
        )
