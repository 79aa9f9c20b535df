"""The routes of what was: sources, revisions, updates, changes and the packages of plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import quote

from service.client.shapes import (
    ChangedPlugin,
    Changes,
    Difference,
    Environments,
    File,
    OutdatedPlugins,
    Pruned,
    Revision,
    RevisionFiles,
    Undone,
)
from service.client.transport import Transport, plugin_path


class VersionRoutes(Transport):
    """See the module."""

    async def files(self, type: str, name: str) -> list[File]:
        """The files of a plugin, and the helpers that it imports."""
        return (await self._ask(_Files, "GET", f"{plugin_path(type, name)}/files"))["files"]

    async def source(self, type: str, name: str, path: str | None = None) -> tuple[bytes, str]:
        """A file of a plugin, by a path that `files` lists or else its own, and the SHA-256 of it."""
        status, content, headers = await self._send(
            "GET", f"{plugin_path(type, name)}/source", params={} if path is None else {"path": path}
        )
        if status != 200:
            self._answer(status, content)
        return content, headers.get("ETag", "").strip('"')

    async def put_source(
        self, type: str, name: str, content: bytes, *, path: str | None = None, over: str | None = None
    ) -> ChangedPlugin:
        """Writes a file of a plugin, with `over` only where it has this SHA-256; the plugin as it is then."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if over is not None:
            headers["If-Match"] = f'"{over}"'
        params = {} if path is None else {"path": path}
        where = f"{plugin_path(type, name)}/source"
        return await self._ask(ChangedPlugin, "PUT", where, data=content, params=params, headers=headers)

    async def revisions(self, type: str, name: str) -> list[Revision]:
        """The revisions of a plugin, newest first."""
        answer = await self._ask(_Revisions, "GET", f"{plugin_path(type, name)}/revisions")
        return list(answer["revisions"])

    async def revision(self, type: str, name: str, revision: str) -> RevisionFiles:
        """What the files of a plugin held in a revision."""
        path = f"{plugin_path(type, name)}/revisions/{quote(revision, safe='')}"
        return await self._ask(RevisionFiles, "GET", path)

    async def diff(self, type: str, name: str, old: str, new: str | None = None) -> Difference:
        """What differs between two revisions, or between one and what the files hold now."""
        params = {"from": old} | ({} if new is None else {"to": new})
        return await self._ask(Difference, "GET", f"{plugin_path(type, name)}/diff", params=params)

    async def roll_back(self, type: str, name: str, revision: str) -> ChangedPlugin:
        """Puts a revision in place again; the plugin as it is then. The first 6 digits of it will do."""
        path = f"{plugin_path(type, name)}/rollback"
        return await self._ask(ChangedPlugin, "POST", path, json={"revision": revision})

    async def outdated(self) -> OutdatedPlugins:
        """All plugins that came from an address, beside what that has now."""
        return await self._ask(OutdatedPlugins, "GET", "/api/plugins/outdated")

    async def update(self, type: str, name: str, options: Mapping[str, bool] | None = None) -> dict[str, Any]:
        """Updates a plugin from its origin.

        Args:
            type: of the plugin.
            name: of the plugin.
            options: `dry_run`, `replace` what was edited here, `accept_origin` where that has changed.
        """
        path = f"{plugin_path(type, name)}/update"
        return await self._ask(dict[str, Any], "POST", path, json=dict(options or {}))

    async def changes(self, *, plugin: str | None = None, limit: int = 100) -> Changes:
        """What was done, newest first, to all plugins or to one, such as `search/demo`; `limit` is 1,000 at most."""
        params = {"limit": str(limit)} | ({} if plugin is None else {"plugin": plugin})
        return await self._ask(Changes, "GET", "/api/changes", params=params)

    async def undo(self, id: str) -> Undone:
        """Undoes a change."""
        return await self._ask(Undone, "POST", f"/api/changes/{quote(id, safe='')}/undo")

    async def environments(self) -> Environments:
        """The sets of packages that plugins depend on."""
        return await self._ask(Environments, "GET", "/api/environments")

    async def prune_environments(self) -> Pruned:
        """Removes the sets that nobody uses."""
        return await self._ask(Pruned, "POST", "/api/environments/prune")


class _Files(TypedDict):
    files: list[File]


class _Revisions(TypedDict):
    revisions: list[Revision]
