"""The routes of plugins: what there is, installing, switching, configuring, calling."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack
from urllib.parse import quote

import aiohttp
import msgspec

from service.client.shapes import (
    Config,
    ConfigExport,
    ConfigImported,
    ConfigPlan,
    Deleted,
    Granted,
    Installed,
    InstallOptions,
    LogLine,
    Parsed,
    Plugin,
    Plugins,
    Reloaded,
    SearchResult,
    Template,
    Toggled,
)
from service.client.transport import Transport, plugin_path


class PluginRoutes(Transport):
    """A plugin is named by its type (`search`, `download` or `parser`) and its name."""

    async def plugins(self) -> Plugins:
        """All plugins by type, with the `epoch` and `seq` that they are as of."""
        return await self._look_up(Plugins, "/api/plugins")

    async def plugin(self, type: str, name: str) -> Plugin:
        """One plugin."""
        return await self._ask(Plugin, "GET", plugin_path(type, name))

    async def install_url(self, url: str, type: str, **options: Unpack[InstallOptions]) -> Installed:
        """Installs from an address, wholly or not at all; with `dry_run` it only says what it would do."""
        body = {"url": url, "plugin_type": type, **options}
        return await self._ask(Installed, "POST", "/api/plugins/install", json=body)

    async def install_file(self, file: Path, type: str, **options: Unpack[InstallOptions]) -> Installed:
        """Installs a file of this machine, with the requirements file beside it.

        Raises:
            OSError: it cannot be read.
        """
        form = aiohttp.FormData()
        form.add_field("plugin_type", type)
        for name, value in options.items():
            form.add_field(name, value if isinstance(value, str) else msgspec.json.encode(value).decode())
        content, requirements = await asyncio.to_thread(_read_plugin, file)
        form.add_field("file", content, filename=file.name, content_type="text/x-python")
        if requirements is not None:
            form.add_field(
                "requirements", requirements, filename="requirements.txt", content_type="text/plain"
            )
        return await self._ask(Installed, "POST", "/api/plugins/install", data=form)

    async def template(self, type: str, name: str) -> Template:
        """The text that a new plugin of this name begins with; nothing is written."""
        params = {"plugin_type": type, "name": name}
        return await self._ask(Template, "GET", "/api/plugins/template", params=params)

    async def delete(self, type: str, name: str, *, purge: bool = False) -> Deleted:
        """Deletes a plugin, with `purge` its data too."""
        body: dict[str, Any] = {"plugin_type": type, "plugin_name": name}
        if purge:
            body["purge"] = True
        return await self._ask(Deleted, "POST", "/api/plugins/delete", json=body)

    async def reload(self, type: str | None = None, name: str | None = None) -> Reloaded:
        """Reloads one plugin, or all."""
        body = {"plugin_type": type, "plugin_name": name} if name is not None else None
        return await self._ask(Reloaded, "POST", "/api/plugins/reload", json=body)

    async def toggle(self, type: str, name: str, *, enabled: bool) -> Toggled:
        """Switches a plugin on or off."""
        path = f"{plugin_path(type, name)}/toggle"
        return await self._ask(Toggled, "POST", path, params={"enabled": "true" if enabled else "false"})

    async def logs(self, type: str, name: str, lines: int) -> list[LogLine]:
        """The newest lines of a plugin's log, oldest first."""
        path = f"{plugin_path(type, name)}/logs"
        return (await self._ask(_Logs, "GET", path, params={"lines": str(lines)}))["lines"]

    # -- configuration -------------------------------------------------------------------------------------------

    async def config(self, type: str, name: str) -> Config:
        """The configuration of a plugin, passwords masked."""
        return await self._ask(Config, "GET", f"{plugin_path(type, name)}/config")

    async def set_config(self, type: str, name: str, values: Mapping[str, Any]) -> Config:
        """Replaces the configuration of a plugin; a masked password stays as it is."""
        return await self._ask(Config, "POST", f"{plugin_path(type, name)}/config", json=dict(values))

    async def grant(self, type: str, name: str, wish: bool | Mapping[str, Any]) -> Granted:
        """Grants a plugin what it asks for, or takes it back.

        Args:
            type: of the plugin.
            name: of it.
            wish: true for all, an object of the part that is granted (`network`, `read`, `write`), false for none.
        """
        body = {"grant": wish if isinstance(wish, bool) else dict(wish)}
        return await self._ask(Granted, "POST", f"{plugin_path(type, name)}/grant", json=body)

    async def export_config(self) -> ConfigExport:
        """The configuration of all plugins, passwords as they are."""
        return await self._ask(ConfigExport, "GET", "/api/config/export")

    async def plan_import(self, config: Mapping[str, Any]) -> ConfigPlan:
        """What `import_config` would change, or would be refused for; nothing is changed."""
        body = {"config": dict(config), "dry_run": True}
        return await self._ask(ConfigPlan, "POST", "/api/config/import", json=body)

    async def import_config(self, config: Mapping[str, Any]) -> ConfigImported:
        """Takes over the configuration of all plugins."""
        body = {"config": dict(config)}
        return await self._ask(ConfigImported, "POST", "/api/config/import", json=body)

    # -- calls ---------------------------------------------------------------------------------------------------

    async def search_with(self, plugin: str, keyword: str) -> list[SearchResult]:
        """What one search plugin finds, once it has found it all."""
        path = f"/api/search/{quote(plugin, safe='')}"
        return (await self._ask(_Found, "GET", path, params={"keyword": keyword}))["results"]

    async def parse(self, url: str, plugin: str | None = None) -> Parsed:
        """What the parsers, or one of them, make of an address: `results`, and `errors` where one raised."""
        body: dict[str, Any] = {"url": url} | ({} if plugin is None else {"plugins": [plugin]})
        return await self._ask(Parsed, "POST", "/api/parse", json=body)

    async def video_info(self, url: str, plugin: str) -> SearchResult:
        """What one search plugin says of an address."""
        body = {"url": url, "plugin_name": plugin}
        return await self._ask(SearchResult, "POST", "/api/video-info", json=body)


class _Logs(TypedDict):
    lines: list[LogLine]


class _Found(TypedDict):
    results: list[SearchResult]


def _read_plugin(file: Path) -> tuple[bytes, bytes | None]:
    """A plugin's file, and the requirements file that lies beside it."""
    names = dict.fromkeys((file.stem.removesuffix("_plugin"), file.stem))
    beside = [file.with_name(f"{name}_requirements.txt") for name in names]
    found = next((path for path in beside if path.is_file()), None)
    return file.read_bytes(), found.read_bytes() if found is not None else None
