"""The server of the other tests of the command line, with tasks: a test plays what happens to them."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from tests.unit.cli.conftest import FakeServer

ID = "0123456789abcdef0123456789abcdef"


def task(kind: str = "download", id: str = ID, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "kind": kind,
        "status": "pending",
        "plugin_name": "http" if kind == "download" else None,
        "generation": None,
        "title": "",
        "url": None,
        "keyword": None,
        "progress": 0.0,
        "progress_message": "",
        "downloaded": None,
        "total": None,
        "speed": None,
        "eta": None,
        "error": None,
        "problem": None,
        "results": None,
        "result_count": 0,
        "failures": [],
        "searching": [],
        "save_path": None,
        "created_at": "2026-11-22T12:00:00.000Z",
        "started_at": None,
        "completed_at": None,
    } | more


def results(count: int, found: list[Any]) -> dict[str, Any]:
    """An event of results after which there are `count`."""
    return {
        "type": "plugbay.task.results",
        "data": {"task": task("search", result_count=count), "results": found},
    }


def failure(plugin: str, reason: str) -> dict[str, Any]:
    return {
        "plugin": plugin,
        "code": "plugin_error",
        "message": f"出错：{reason}",
        "messages": {"zh": f"出错：{reason}", "en": f"raised {reason}"},
    }


def problem(code: str, zh: str, en: str, **more: Any) -> dict[str, Any]:
    return {
        "type": f"urn:plugbay:problem:{code}",
        "title": zh,
        "status": 502,
        "detail": zh,
        "code": code,
        "titles": {"zh": zh, "en": en},
        "messages": {"zh": zh, "en": en},
        "error": None,
    } | more


class TaskServer(FakeServer):
    """Holds tasks too: `asked` is set when a task has been asked for, and `answers` may refuse a change of one."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: dict[str, dict[str, Any]] = {}
        self.results: dict[str, list[Any]] = {}
        self.asked = asyncio.Event()
        self.begun = asyncio.Event()
        self.refused_changes: dict[str, dict[str, Any]] = {}
        self.page_max = 500

    def add(self, one: dict[str, Any]) -> dict[str, Any]:
        self.tasks[one["id"]] = one
        self.results.setdefault(one["id"], [])
        self.begun.set()
        return one

    def result(self, request: web.Request, body: Any) -> dict[str, Any]:
        match [part for part in request.path.split("/") if part]:
            case ["api", "search"]:
                self.add(task("search", keyword=body["keyword"], title=body["keyword"]))
                return {"task_id": ID, "status": "pending", "message": "begun"}
            case ["api", "download"]:
                return {"status": "success", "task": self.add(task(url=body["url"], title=body["title"]))}
            case ["api", "tasks"]:
                wanted = {name: request.query.get(name, "").split(",") for name in ("kind", "status")}
                found = [
                    one
                    for one in reversed(self.tasks.values())
                    if all(values == [""] or one[name] in values for name, values in wanted.items())
                ]
                begin = int(request.query.get("cursor") or 0)
                end = begin + min(int(request.query["limit"]), self.page_max)
                return {
                    "tasks": found[begin:end],
                    "next_cursor": str(end) if end < len(found) else None,
                }
            case ["api", "tasks", id] if id in self.tasks:
                self.asked.set()
                return self.tasks[id] | {"results": list(self.results[id])}
            case ["api", "tasks", id, verb]:
                if refusal := self.refused_changes.get(id):
                    raise web.HTTPConflict(
                        text=web.json_response(refusal).text, content_type="application/json"
                    )
                status = {"cancel": "cancelled", "pause": "paused", "resume": "pending", "retry": "pending"}
                self.tasks[id] |= {"status": status[verb]}
                return self.tasks[id] | {"results": list(self.results[id])}
        return super().result(request, body)

    async def tell(self, verb: str, *, results: list[Any] | None = None, id: str = ID, **facts: Any) -> None:
        """Changes a task and publishes the event of it, with a place in the log or, for progress, without."""
        self.results[id] += results or []
        self.tasks[id] = one = self.tasks[id] | facts | {"result_count": len(self.results[id])}
        event = {
            "specversion": "1.0",
            "type": f"plugbay.task.{verb}",
            "subject": f"tasks/{id}",
            "time": "2026-11-22T12:00:00.123456Z",
            "epoch": self.epoch,
            "data": {"task": one} | ({} if results is None else {"results": results}),
        }
        if verb != "progress":
            self.seq += 1
            event |= {"seq": str(self.seq), "id": f"{self.epoch}-{self.seq}"}
            self.log.append(event)
        for socket in list(self.sockets):
            await socket.send_json(event)

    async def followed(self) -> None:
        """Until somebody follows the task and has asked how it stands."""
        async with asyncio.timeout(20):
            await self.subscriptions.get()
            await self.asked.wait()
            self.asked.clear()
