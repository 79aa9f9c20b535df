"""The server of the other tests of the command line, with revisions, updates, changes and dependencies."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from aiohttp import web

from tests.unit.cli.conftest import FakeServer, plugin

OLD, NEW, OLDEST = "b" * 64, "ab" * 32, "c" * 64
URL = "https://plugins.example.org/a/rather/long/path/to/the/file/of/demo_plugin.py"


def revision(revision: str, version: str, *, current: bool = False, url: str | None = URL) -> dict[str, Any]:
    return {
        "revision": revision,
        "version": version,
        "at": "2026-11-22T12:00:00.000000Z",
        "origin": {"kind": "file" if url is None else "url", "sha256": "0" * 64, "url": url},
        "current": current,
    }


def change(id: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "at": "2026-11-22T12:00:00.000000Z",
        "kind": kind,
        "plugin": "search/demo",
        "summary": f"{kind} of 1.1",
        "undoable": True,
        "undone_by": None,
        "by": None,
    } | more


PLAN: dict[str, Any] = {
    "status": "plan",
    "plugin": {"type": "search", "name": "demo", "version": "1.1", "file": "plugins/search/demo_plugin.py"},
    "dependencies": {
        "add": [
            {"name": "httpx", "version": "0.28.1", "size": 73517},
            {"name": "anyio", "version": "4.11.0", "size": 109097},
            {"name": "odd", "version": "1", "size": None},
        ],
        "satisfied": [{"name": "msgspec>=0.18", "version": "0.19.0"}],
    },
    "conflicts": [],
    "replaces": "search/demo",
    "origin_changes": {"recorded": URL, "offered": "upload"},
    "permissions": {"asked": {"network": [443], "read": ["/srv/media"]}},
    "provides": {
        "methods": ["search", "get_video_info"],
        "config_schema": [{"name": "api_key", "required": True}, {"name": "limit"}],
    },
    "error": None,
}
UNRESOLVED = {
    "stage": "dependencies",
    "code": "dependencies_unresolvable",
    "type": "",
    "message": "The dependencies contradict each other: six",
    "file": "plugins/search/demo_plugin.py",
    "line": None,
    "column": None,
    "traceback": "Because you require six==1.16.0 and six==1.17.0,\nwe can conclude that your requirements are "
    "unsatisfiable.",
    "generation": None,
}


class VersionServer(FakeServer):
    """What is asked for is recorded; `refusals` are given once each, by a plugin's id."""

    def __init__(self) -> None:
        super().__init__()
        self.content = b"x = 1\r\n# \xff\n"
        self.revisions = [revision(NEW, "1.1", current=True), revision(OLD, "1.0", url=None)]
        self.changes = [
            change("f00dfeed1", "undo"),
            change("f00dbeef2", "config", undone_by="f00dfeed1"),
            change("abcdef003", "delete", plugin="parser/a_plugin_with_a_long_name"),
            change("abcdef104", "install", undoable=False),
        ]
        self.outdated: list[dict[str, Any]] = []
        self.refusals: dict[str, tuple[int, dict[str, Any]]] = {}
        self.plan: dict[str, Any] = PLAN
        self.gate: asyncio.Event | None = None
        self.environments: list[dict[str, Any]] = [
            {
                "id": "e" * 64,
                "packages": [
                    {"name": "httpx", "version": "0.28.1", "size": 1},
                    {"name": "six", "version": "1.17.0"},
                ],
                "size": 3_500_000,
                "used_by": ["search/demo"],
                "created_at": "2026-11-22T12:00:00Z",
            },
            {
                "id": "d" * 64,
                "packages": [],
                "size": 1024,
                "used_by": [],
                "created_at": "2026-11-22T12:00:00Z",
            },
        ]

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/api/plugins/install" and self.gate is not None:
            await self.gate.wait()
        if not request.path.endswith("/source"):
            return await super().answer(request)
        sha256 = hashlib.sha256(self.content).hexdigest()
        if request.method == "GET":
            self.requests.append(("GET", request.path_qs, None))
            return web.Response(body=self.content, content_type="text/plain", headers={"ETag": f'"{sha256}"'})
        content = await request.read()
        self.requests.append(("PUT", request.path_qs, content))
        if request.headers.get("If-Match") not in (None, f'"{sha256}"'):
            problem = {
                "title": "changed",
                "detail": "It has changed",
                "code": "source_changed",
                "status": 412,
            }
            return web.json_response(problem, status=412)
        if self.refusal is not None:
            return web.json_response(self.refusal[1], status=self.refusal[0])
        self.content = content
        return web.json_response(self.plugins["search/demo"])

    def result(self, request: web.Request, body: Any) -> dict[str, Any]:
        match [part for part in request.path.split("/") if part]:
            case ["api", "plugins", "install"] if body.get("dry_run"):
                return self.plan
            case ["api", "plugins", "outdated"]:
                return {"plugins": self.outdated}
            case ["api", "plugins", type, name, "update"]:
                return self.updated(f"{type}/{name}", body)
            case ["api", "plugins", _, _, "revisions"]:
                return {"revisions": self.revisions}
            case ["api", "plugins", _, _, "revisions", asked]:
                files = [
                    {"path": "plugins/search/demo_plugin/__init__.py", "text": f"# {asked}\n"},
                    {"path": "plugins/search/demo_plugin/part.py", "text": "# a part\n"},
                ]
                return {"revision": NEW, "files": files}
            case ["api", "plugins", _, _, "diff"]:
                same = request.query["from"] == request.query.get("to")
                return {"diff": "" if same else "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x = 1\n+x = [bold]2\n"}
            case ["api", "plugins", _, _, "rollback"]:
                return self.plugins["search/demo"] | {"revision": body["revision"]}
            case ["api", "changes"]:
                return {"changes": self.changes}
            case ["api", "changes", id, "undo"]:
                return {
                    "status": "success",
                    "message": "Undone",
                    "change": change("new000005", "undo"),
                    "plugin": self.plugins["search/demo"] if id.startswith("abc") else None,
                }
            case ["api", "token", "rotate"]:
                return {"status": "success", "message": "replaced", "token": "n3w-t0ken"}
            case ["api", "environments"]:
                return {"environments": self.environments, "size": 3_501_024}
            case ["api", "environments", "prune"]:
                return {
                    "status": "success",
                    "message": "1 set removed",
                    "removed": [one for one in self.environments if not one["used_by"]],
                    "freed": 1024,
                }
        return super().result(request, body)

    def updated(self, id: str, body: dict[str, Any]) -> dict[str, Any]:
        refusal = self.refusals.get(id)
        wants = {"origin_changed": "accept_origin", "locally_modified": "replace"}
        if refusal is not None and not body.get(wants.get(refusal[1]["code"], "")):
            raise web.HTTPBadRequest(text=json.dumps(refusal[1]), content_type="application/problem+json")
        if body.get("dry_run"):
            return self.plan
        one = self.plugins.setdefault(id, plugin(*id.split("/")))
        if one["version"] == "1.1":
            return {"status": "current", "message": "current", "plugin": one}
        self.plugins[id] = one | {"version": "1.1"}
        return {"status": "success", "message": "updated", "plugin": self.plugins[id]}
