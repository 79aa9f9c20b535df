"""Searches and parses as tasks: many plugins at once, results as they come, each failing on its own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.live import UNTIL_S, Live, Seen, live_server, ready, write

pytestmark = pytest.mark.timeout(120)

INSTANT = """\
from service.sdk import SearchPlugin, SearchResult

class Instant(SearchPlugin):
    name = "{name}"
    version = "1"
    description = "answers at once"

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=f"{name} {{keyword}} {{n}}", url=f"u{{n}}") for n in range(3)]
"""

GATED = """\
import asyncio
from service.sdk import SearchPlugin, SearchResult

class Gated(SearchPlugin):
    name = "{name}"
    version = "1"
    description = "gives one, then waits for its gate"

    async def search(self, keyword, **kwargs):
        yield SearchResult(title=f"{name} first", url="u")
        while not (self.data_dir / "gate").exists():
            await asyncio.sleep(0.02)
        yield SearchResult(title=f"{name} last", url="u")
"""

RAISING = """\
from service.sdk import SearchPlugin

class Raising(SearchPlugin):
    name = "{name}"
    version = "1"
    description = "raises"

    async def search(self, keyword, **kwargs):
        raise RuntimeError("no luck with " + keyword)
"""


def put(home: Path, name: str, text: str, kind: str = "search") -> None:
    write(home / "plugins" / kind / f"{name}_plugin.py", text.format(name=name))


def open_gate(home: Path, name: str, kind: str = "search") -> None:
    write(home / "data" / "plugins" / kind / name / "gate", "")


async def task(live: Live, id: str) -> dict[str, Any]:
    answer = await live.get(f"/api/tasks/{id}")
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


def of(live: Live, id: str, kind: str) -> list[dict[str, Any]]:
    """The data of the events of a task of one kind."""
    return [one.data for one in live.events if one.type == f"plugbay.task.{kind}" and one.id == f"tasks/{id}"]


def sent(live: Live, id: str) -> list[dict[str, Any]]:
    """The results that came as events."""
    return [one for data in of(live, id, "results") for one in data["results"]]


async def told(live: Live, id: str, kind: str, count: int = 1) -> list[dict[str, Any]]:
    found = await live.until(lambda _: data if len(data := of(live, id, kind)) >= count else None)
    assert found is not None
    return found


async def ended(live: Live, id: str, timeout: float = UNTIL_S) -> dict[str, Any]:
    """The task when it has ended."""
    await live.until(
        lambda _: of(live, id, "completed") or of(live, id, "failed") or of(live, id, "cancelled"), timeout
    )
    return await task(live, id)


async def test_results_come_as_they_are_found_and_failures_are_named(tmp_path: Path) -> None:
    for name, text in (("one", INSTANT), ("two", INSTANT), ("slow", GATED), ("bad", RAISING)):
        put(tmp_path, name, text)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        started = await live.post("/api/search", {"keyword": "斗罗大陆"})
        assert started.status == 202
        id = started.body["task_id"]
        await live.until(lambda _: len(sent(live, id)) >= 7)
        assert {one["plugin"] for one in sent(live, id)} == {"one", "two", "slow"}
        under_way = await task(live, id)
        assert under_way["status"] == "running"
        assert under_way["searching"] == ["slow"]
        assert under_way["result_count"] == 7
        open_gate(tmp_path, "slow")
        done = await ended(live, id)
        assert done["status"] == "completed"
        assert done["progress"] == 100
        assert [one["title"] for one in done["results"] if one["plugin"] == "slow"] == [
            "slow first",
            "slow last",
        ]
        assert [one["title"] for one in done["results"] if one["plugin"] == "one"] == [
            f"one 斗罗大陆 {n}" for n in range(3)
        ]
        [failure] = done["failures"]
        assert (failure["plugin"], failure["code"]) == ("bad", "plugin_error")
        assert "no luck with" in failure["message"]
        assert failure["file"] == "plugins/search/bad_plugin.py"
        assert f"{failure['file']}:{failure['line']}" in failure["message"]
        assert sent(live, id) == done["results"]
        for kind in ("created", "started", "completed"):
            assert len(of(live, id, kind)) == 1
        assert of(live, id, "completed")[0]["task"]["results"] is None
        old = (await live.get(f"/api/search/task/{id}")).body
        assert set(old) == {
            "id", "plugin_name", "keyword", "status", "created_at", "started_at", "completed_at", "results",
            "error", "progress", "progress_message",
        }  # fmt: skip
        assert len(old["results"]) == 8


async def test_one_plugin_as_clients_of_the_original_ask(tmp_path: Path) -> None:
    put(tmp_path, "one", INSTANT)
    put(tmp_path, "bad", RAISING)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        query = {"plugin_name": "one", "keyword": "x"}
        started = await live.request("POST", "/api/search/async", params=query)
        assert (started.status, started.body["status"]) == (200, "pending")
        done = await ended(live, started.body["task_id"])
        assert (done["status"], done["plugin_name"], len(done["results"])) == ("completed", "one", 3)
        query["plugin_name"] = "bad"
        failed = await ended(
            live, (await live.request("POST", "/api/search/async", params=query)).body["task_id"]
        )
        assert failed["status"] == "failed"
        assert "RuntimeError: no luck with x" in failed["error"]
        assert failed["problem"]["code"] == "plugin_error"
        assert failed["problem"]["status"] == 502
        assert failed["problem"]["error"]["line"] == 9
        query["plugin_name"] = "none"
        assert (await live.request("POST", "/api/search/async", params=query)).status == 404


async def test_a_limit_ends_the_search_when_it_is_reached(tmp_path: Path) -> None:
    put(tmp_path, "one", INSTANT)
    put(tmp_path, "slow", GATED)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = (await live.post("/api/search", {"keyword": "x", "limit": 4})).body["task_id"]
        done = await ended(live, id)
        assert (done["status"], len(done["results"])) == ("completed", 4)


async def test_a_cancelled_search_keeps_what_it_found(tmp_path: Path) -> None:
    put(tmp_path, "slow", GATED)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = (await live.post("/api/search", {"keyword": "x"})).body["task_id"]
        await told(live, id, "results")
        cancelled = await live.post(f"/api/tasks/{id}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        assert [one["title"] for one in (await task(live, id))["results"]] == ["slow first"]
        async with asyncio.timeout(10):
            while (await live.plugin("search/slow"))["running_calls"]:
                await asyncio.sleep(0.02)
        again = await live.post(f"/api/tasks/{id}/cancel")
        assert (again.status, again.body["code"]) == (409, "task_conflict")
        open_gate(tmp_path, "slow")
        retried = await live.post(f"/api/tasks/{id}/retry")
        assert (retried.status, retried.body["id"]) == (200, id)
        await told(live, id, "completed")
        assert [one["title"] for one in (await task(live, id))["results"]] == ["slow first", "slow last"]


async def test_tasks_are_listed_in_pages_and_survive_a_restart(tmp_path: Path) -> None:
    put(tmp_path, "one", INSTANT)
    put(tmp_path, "slow", GATED)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        ids = []
        for number in range(5):
            id = (await live.post("/api/search", {"keyword": f"k{number}", "plugins": ["one"]})).body[
                "task_id"
            ]
            await ended(live, id)
            ids.append(id)
        hanging = (await live.post("/api/search", {"keyword": "x", "plugins": ["slow"]})).body["task_id"]
        await told(live, hanging, "results")
        page = (await live.get("/api/tasks", params={"limit": "2", "status": "completed"})).body
        assert [one["id"] for one in page["tasks"]] == ids[:2:-1]
        assert page["tasks"][0]["results"] is None
        rest = (
            await live.get(
                "/api/tasks", params={"limit": "9", "cursor": page["next_cursor"], "kind": "search"}
            )
        ).body
        assert [one["id"] for one in rest["tasks"]] == ids[2::-1]
        assert rest["next_cursor"] is None
        found = (await live.get("/api/tasks", params={"q": "K3 one", "kind": "search"})).body
        assert [one["id"] for one in found["tasks"]] == [ids[3]]
        assert (await live.get("/api/tasks", params={"q": "nowhere"})).body["tasks"] == []
        assert (await live.get("/api/tasks", params={"q": "a" * 256})).body["field"] == "q"
        assert (await live.get("/api/tasks", params={"status": "no"})).status == 400
        assert (await live.get("/api/tasks/none")).body["code"] == "task_not_found"
        await live.server.kill()
    async with live_server(tmp_path) as live:
        await ready(live)
        assert len((await task(live, ids[0]))["results"]) == 3
        lost = await task(live, hanging)
        assert (lost["status"], lost["problem"]["code"]) == ("failed", "server_stopped")
        assert [one["title"] for one in lost["results"]] == ["slow first"]


PARSER = """\
from service.sdk import ParserPlugin

class Parser(ParserPlugin):
    name = "{name}"
    version = "1"
    description = "parses"

    def can_parse(self, url):
        return "{name}" in url

    def parse_url(self, url):
        return [{{"name": "{name}", "url": url + "?parsed"}}]
"""

EPISODES = """\
from service.sdk import SearchPlugin, SearchResult

class Episodes(SearchPlugin):
    name = "{name}"
    version = "1"
    description = "has episodes"

    async def search(self, keyword):
        for n in range(2):
            yield SearchResult(
                title=f"{{n}}", url="u",
                metadata={{"episodes": [{{"title": "1", "play_url": f"http://site/alpha/{{n}}"}}, {{"title": "2"}}]}},
            )
"""


async def test_episodes_gain_parsed_addresses_also_in_a_task(tmp_path: Path) -> None:
    put(tmp_path, "alpha", PARSER, "parser")
    put(tmp_path, "beta", PARSER, "parser")
    put(tmp_path, "episodes", EPISODES)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        done = await ended(live, (await live.post("/api/search", {"keyword": "x"})).body["task_id"])
        episodes = [one["metadata"]["episodes"] for one in done["results"]]
        assert [one[0]["parsed_urls"] for one in episodes] == [
            [{"plugin": "alpha", "name": "alpha", "url": f"http://site/alpha/{n}?parsed"}] for n in range(2)
        ]
        parsed = (await live.post("/api/parse", {"url": "http://site/beta"})).body
        assert [one["plugin"] for one in parsed["results"]] == ["beta"]
        kept = await task(live, parsed["task_id"])
        assert (kept["kind"], kept["status"], kept["result_count"]) == ("parse", "completed", 1)
        assert kept["results"] == parsed["results"]


COUNTED = """\
from service.sdk import SearchPlugin, SearchResult

class Counted(SearchPlugin):
    name = "{name}"
    version = "1"
    description = "answers with the keyword, one after the other"

    async def search(self, keyword, **kwargs):
        for n in range(5):
            yield SearchResult(title=f"{{keyword}} {{n}}", url="{name}")
"""


async def test_two_hundred_searches_at_once(tmp_path: Path) -> None:
    """Ten plugins, two of them slow and one raising: nobody waits for the slow ones who did not ask for them."""
    quick = [f"quick{n}" for n in range(7)]
    for name in quick:
        put(tmp_path, name, COUNTED)
    for name, text in (("slow0", GATED), ("slow1", GATED), ("bad", RAISING)):
        put(tmp_path, name, text)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")

        async def search(number: int) -> str:
            body: dict[str, Any] = {"keyword": f"k{number}"}
            if number % 2:
                body["plugins"] = [*quick, "bad"]
            answer = await live.post("/api/search", body)
            assert answer.status == 202, answer
            id: str = answer.body["task_id"]
            return id

        ids = await asyncio.gather(*(search(number) for number in range(200)))
        await all_ended(live, ids[1::2])
        few = [await task(live, id) for id in ids[1::2]]
        # All of these are over while the slow plugins still wait.
        for number, done in zip(range(1, 200, 2), few, strict=True):
            assert done["status"] == "completed"
            assert len(done["results"]) == 35
            check(live, done, f"k{number}", quick)
        assert [(await task(live, id))["status"] for id in ids[::2]] == ["running"] * 100
        for name in ("slow0", "slow1"):
            open_gate(tmp_path, name)
        await all_ended(live, ids[::2])
        for number, id in zip(range(0, 200, 2), ids[::2], strict=True):
            done = await task(live, id)
            assert (done["status"], len(done["results"])) == ("completed", 39)
            check(live, done, f"k{number}", quick)


async def all_ended(live: Live, ids: list[str]) -> None:
    """Wait for the ends of many tasks, looking at each event once."""
    left = {f"tasks/{id}" for id in ids}
    seen = 0

    def look(events: Sequence[Seen]) -> bool:
        nonlocal seen
        left.difference_update(one.id for one in events[seen:] if one.kind in ("completed", "failed"))
        seen = len(events)
        return not left

    await live.until(look, timeout=60)


def check(live: Live, done: dict[str, Any], keyword: str, quick: list[str]) -> None:
    """Everybody's own results, each plugin's in its order, all in the order in which clients were told of them."""
    for name in quick:
        own = [one["title"] for one in done["results"] if one["plugin"] == name]
        assert own == [f"{keyword} {n}" for n in range(5)]
    assert sent(live, done["id"]) == done["results"]
    assert [failure["plugin"] for failure in done["failures"]] == ["bad"]


HANGING_PARSER = """\
import asyncio
from service.sdk import ParserPlugin

class Hanging(ParserPlugin):
    name = "{name}"
    version = "1"
    description = "never answers"

    async def parse_url(self, url):
        await asyncio.sleep(1000)
"""


@pytest.mark.parametrize("listed", [False, True])
async def test_a_search_is_cancelled_while_a_parser_hangs_and_keeps_what_it_found(
    tmp_path: Path, listed: bool
) -> None:
    put(tmp_path, "hanging", HANGING_PARSER, "parser")
    text = EPISODES
    if listed:
        text = text.replace(
            "        for n in range(2):\n            yield ", "        return [\n            "
        )
        text = text.replace("            )\n", "            ) for n in range(2)]\n")
    put(tmp_path, "episodes", text)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = (await live.post("/api/search", {"keyword": "x"})).body["task_id"]
        async with asyncio.timeout(10):
            while not (await live.plugin("parser/hanging"))["running_calls"]:
                await asyncio.sleep(0.02)
        async with asyncio.timeout(8):
            cancelled = await live.post(f"/api/tasks/{id}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        assert [one["title"] for one in cancelled.body["results"]] == ["0", "1"]
        async with asyncio.timeout(10):
            while (await live.plugin("parser/hanging"))["running_calls"]:
                await asyncio.sleep(0.02)
        kinds = [one.kind for one in live.events if one.id == f"tasks/{id}" and one.kind != "progress"]
        assert kinds == ["created", "started", "results", "cancelled"]


ENDLESS = """\
from service.sdk import SearchPlugin, SearchResult

class Endless(SearchPlugin):
    name = "{name}"
    version = "1"
    description = "yields for ever"

    async def search(self, keyword, **kwargs):
        while True:
            yield SearchResult(title="x" * 20_000, url="u")
"""


async def test_a_plugin_that_yields_for_ever_is_stopped_and_costs_only_its_own_part(tmp_path: Path) -> None:
    put(tmp_path, "one", INSTANT)
    put(tmp_path, "endless", ENDLESS)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = (await live.post("/api/search", {"keyword": "x"})).body["task_id"]
        # Sixteen mebibytes of results, each told.
        done = await ended(live, id, 45)
        assert done["status"] == "completed"
        assert [(one["plugin"], one["code"]) for one in done["failures"]] == [("endless", "too_many_results")]
        assert len([one for one in done["results"] if one["plugin"] == "one"]) == 3
        assert 500 < done["result_count"] <= 16 * 1024 * 1024 // 20_000 + 3
        async with asyncio.timeout(10):
            while (await live.plugin("search/endless"))["running_calls"]:
                await asyncio.sleep(0.02)


async def test_a_row_that_was_damaged_costs_its_own_task_only(tmp_path: Path) -> None:
    put(tmp_path, "one", INSTANT)
    put(tmp_path, "slow", GATED)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        kept = (await live.post("/api/search", {"keyword": "x", "plugins": ["one"]})).body["task_id"]
        await ended(live, kept)
        damaged = (await live.post("/api/search", {"keyword": "x", "plugins": ["slow"]})).body["task_id"]
        await told(live, damaged, "results")
        await live.server.kill()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "plugbay.db")) as database:
        database.execute("UPDATE tasks SET task = x'7bff' WHERE id = ?", (damaged,))
        database.commit()
    async with live_server(tmp_path) as live:
        listed = (await live.get("/api/tasks")).body["tasks"]
        assert [one["id"] for one in listed] == [kept]
        assert (await live.get(f"/api/tasks/{damaged}")).status == 404
        assert len((await task(live, kept))["results"]) == 3


async def test_a_client_that_goes_away_leaves_no_parse_behind(tmp_path: Path) -> None:
    put(tmp_path, "hanging", HANGING_PARSER, "parser")
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        for delay in (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.1, 0.2):
            request = asyncio.create_task(live.post("/api/parse", {"url": "http://x/y"}))
            await asyncio.sleep(delay)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
        # What was asked for last may be begun only now.
        async with asyncio.timeout(20):
            while not (await live.get("/api/tasks")).body["tasks"]:
                await asyncio.sleep(0.02)
        await live.quiet()
        for one in (await live.get("/api/tasks")).body["tasks"]:
            if one["status"] in ("pending", "running"):
                # Where the client went before the parse had begun, it goes on, and can be cancelled.
                answer = await live.post(f"/api/tasks/{one['id']}/cancel")
                assert answer.status == 200 or answer.body["task_status"] == "cancelled", answer
        listed = (await live.get("/api/tasks")).body["tasks"]
        assert {one["status"] for one in listed} == {"cancelled"}
