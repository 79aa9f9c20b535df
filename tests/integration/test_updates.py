"""Whether plugins have changed where they came from, and taking over what has: a whole server and real origins."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.integration.live import Answer, Live, live_server, only, save, search_plugin, without_passing

pytestmark = pytest.mark.asyncio(loop_scope="module")
ID = "search/demo"
API = f"/api/plugins/{ID}"
FILE = "search/demo_plugin.py"
ONE, TWO = search_plugin(), search_plugin(says="2")


class Origin:
    """A web server with plugins, that knows whether a client has its newest file.

    Attributes:
        files: content by path; a number is an answer with that status, `None` one that does not come, an address one
            that is redirected to.
        validates: how it tells a file from an older one: `etag`, `modified`, or not at all.
        answers: path and status of each answer.
    """

    def __init__(self) -> None:
        self.files: dict[str, str | int | None] = {}
        self.validates = "etag"
        self.password = ""
        self.answers: list[tuple[str, int]] = []
        self._changed: dict[str, tuple[str, float]] = {}
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    def url(self, path: str = "demo_plugin.py", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server.port}/{path}"

    async def _answer(self, request: web.Request) -> web.Response:
        response = await self._respond(request)
        self.answers.append((request.match_info["path"], response.status))
        return response

    async def _respond(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if self.password and self.password not in request.headers.get("Authorization", ""):
            return web.Response(status=401)
        content = self.files.get(path, 404)
        if content is None:
            await asyncio.sleep(30)
            return web.Response(status=500)
        if isinstance(content, int):
            return web.Response(status=content)
        if content.startswith("http"):
            return web.Response(status=302, headers={"Location": content})
        tag, modified = self._state_of(path, content)
        headers = {"etag": {"ETag": tag}, "modified": {"Last-Modified": modified}}.get(self.validates, {})
        asked = {"If-None-Match": tag, "If-Modified-Since": modified}
        if headers and any(request.headers.get(name) == value for name, value in asked.items()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=content.encode(), headers=headers)

    def _state_of(self, path: str, content: str) -> tuple[str, str]:
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        known, at = self._changed.get(path, ("", 1.7e9))
        if known != digest:
            self._changed[path] = (digest, at := at + 60)
        return f'W/"{digest}"', formatdate(at, usegmt=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("updates") / "home"
    async with live_server(home, PLUGBAY_INSTALL__TIMEOUT_S="3") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def origins() -> AsyncIterator[list[Origin]]:
    origins = [Origin(), Origin()]
    for origin in origins:
        await origin.server.start_server()
    yield origins
    for origin in origins:
        await origin.server.close()


@pytest.fixture
def origin(origins: list[Origin]) -> Origin:
    for one in origins:
        one.files.clear()
        one.answers.clear()
        one.validates, one.password = "etag", ""
    return origins[0]


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> AsyncIterator[Live]:
    for id in await server.listed():
        type_, _, name = id.partition("/")
        await server.post("/api/plugins/delete", {"plugin_type": type_, "plugin_name": name, "purge": True})
    shutil.rmtree(server.plugins)
    (server.plugins / "search").mkdir(parents=True)
    await server.until(lambda _: not server.mirror())
    server.events.clear()
    yield server


async def install(live: Live, url: str, **fields: Any) -> dict[str, Any]:
    answer = await live.post("/api/plugins/install", {"url": url, "plugin_type": "search", **fields})
    assert answer.status == 200, answer
    plugin: dict[str, Any] = answer.body["plugin"]
    return plugin


async def outdated(live: Live) -> dict[str, dict[str, Any]]:
    answer = await live.get("/api/plugins/outdated")
    assert answer.status == 200, answer
    return {one["id"]: one for one in answer.body["plugins"]}


async def state(live: Live) -> str:
    found: str = (await outdated(live))[ID]["state"]
    return found


async def update(live: Live, id: str = ID, **fields: Any) -> Answer:
    return await live.post(f"/api/plugins/{id}/update", fields)


def held(live: Live) -> dict[str, str]:
    return {
        str(path.relative_to(live.plugins)): path.read_text()
        for path in live.plugins.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


async def refused(live: Live, answer: Answer, status: int, code: str, files: dict[str, str]) -> None:
    """It was refused so, nothing was changed, and the old code serves."""
    assert (answer.status, answer.body["code"]) == (status, code), answer
    assert held(live) == files
    assert await live.answer("demo") == "1"
    await live.quiet(0.1)
    assert live.final() == []


@pytest.mark.parametrize("validates", ["etag", "modified", ""])
async def test_an_update(live: Live, origin: Origin, validates: str) -> None:
    origin.validates = validates
    origin.files = {"demo_plugin.py": ONE}
    await install(live, origin.url())
    origin.answers.clear()
    assert (await outdated(live))[ID] == {
        "id": ID, "version": "1", "latest_version": None, "url": origin.url(), "state": "current",
        "sha256": None, "problem": None,
    }  # fmt: skip
    assert origin.answers[0] == ("demo_plugin.py", 304 if validates else 200)
    live.events.clear()
    answer = await update(live)
    assert (answer.status, answer.body["status"], answer.body["plugin"]["version"]) == (200, "current", "1")
    await live.quiet(0.1)
    assert live.final() == []
    origin.files["demo_plugin.py"] = TWO
    told = (await outdated(live))[ID]
    assert (told["state"], told["version"], told["latest_version"]) == ("outdated", "1", "2")
    assert told["sha256"] == hashlib.sha256(TWO.encode()).hexdigest()
    answer = await update(live, dry_run=True)
    assert (answer.body["status"], answer.body["plugin"]["version"], answer.body["replaces"]) == (
        "plan",
        "2",
        ID,
    )
    assert answer.body["origin_changes"] is None
    assert held(live) == {FILE: ONE}
    answer = await update(live)
    assert (answer.status, answer.body["status"], answer.body["plugin"]["version"]) == (200, "success", "2")
    assert answer.body["plugin"]["origin"]["url"] == origin.url()
    assert held(live) == {FILE: TWO}
    assert await live.answer("demo") == "2"
    await only(live, f"reloaded {ID}")
    assert await state(live) == "current"
    # It can be gone back on; then it is outdated again, and can be updated again.
    [newest, *_] = (await live.get("/api/changes")).body["changes"]
    assert (newest["kind"], newest["plugin"]) == ("update", ID)
    assert (await live.post(f"/api/changes/{newest['id']}/undo")).status == 200
    assert held(live) == {FILE: ONE}
    assert await state(live) == "outdated"
    assert (await update(live)).body["status"] == "success"
    first = (await live.get(f"{API}/revisions")).body["revisions"][1]
    assert first["origin"]["url"] == origin.url()
    assert (await live.post(f"{API}/rollback", {"revision": first["revision"]})).status == 200
    assert await state(live) == "outdated"
    assert without_passing(await live.listed()) == without_passing(live.mirror())


async def test_one_that_was_edited_here(live: Live, origin: Origin) -> None:
    origin.files = {"demo_plugin.py": ONE}
    await install(live, origin.url())
    edited = ONE + "# edited\n"
    save(live.plugins / FILE, edited)
    await live.event("reloaded", ID)
    live.events.clear()
    for content, latest in ((ONE, None), (TWO, "2")):
        origin.files["demo_plugin.py"] = content
        told = (await outdated(live))[ID]
        assert (told["state"], told["latest_version"]) == ("modified", latest)
        await refused(live, await update(live), 409, "locally_modified", {FILE: edited})
    plan = (await update(live, dry_run=True)).body
    assert (plan["plugin"]["version"], plan["refused"]["code"]) == ("2", "locally_modified")
    assert (await update(live, dry_run=True, replace=True)).body["refused"] is None
    assert (await update(live, replace=True)).body["status"] == "success"
    assert (held(live), await state(live)) == ({FILE: TWO}, "current")
    # What was edited is kept: going back brings it again. So does `replace` where the origin has nothing newer.
    [_, second, *_] = (await live.get(f"{API}/revisions")).body["revisions"]
    assert (await live.post(f"{API}/rollback", {"revision": second["revision"]})).status == 200
    assert held(live) == {FILE: edited}
    assert await state(live) == "modified"
    assert (await update(live, replace=True)).body["status"] == "success"
    assert held(live) == {FILE: TWO}


async def test_requirements_that_changed_only(live: Live, origin: Origin) -> None:
    beside = "search/demo_requirements.txt"
    origin.files = {"demo_plugin.py": ONE}
    await install(live, origin.url())
    for text, name in (("msgspec\n", "demo_requirements.txt"), ("aiohttp\n", "demo_plugin_requirements.txt")):
        origin.files = {"demo_plugin.py": ONE, name: text}
        assert await state(live) == "outdated"
        assert (await update(live)).body["status"] == "success"
        assert held(live) == {FILE: ONE, beside: text}
        assert await state(live) == "current"
    save(live.plugins / beside, "msgspec\n")
    await live.quiet(0.3)
    assert await state(live) == "modified"
    assert (await update(live)).body["code"] == "locally_modified"
    assert (await update(live, replace=True)).status == 200
    assert held(live) == {FILE: ONE, beside: "aiohttp\n"}
    origin.files = {"demo_plugin.py": ONE, "demo_requirements.txt": "no-such-thing-at-all\n"}
    answer = await update(live)
    assert (answer.status, answer.body["error"]["stage"]) == (422, "dependencies"), answer
    assert held(live) == {FILE: ONE, beside: "aiohttp\n"}
    origin.files = {"demo_plugin.py": TWO}
    assert (await update(live)).status == 200
    assert held(live) == {FILE: TWO}
    # Of one that came under another name than it has here, the requirements are still those beside its address.
    origin.files = {"other_plugin.py": ONE, "other_requirements.txt": "msgspec\n"}
    await install(live, origin.url("other_plugin.py"), replace=True)
    assert held(live) == {FILE: ONE, beside: "msgspec\n"}
    assert await state(live) == "current"
    origin.files["other_plugin.py"] = TWO
    assert (await update(live)).status == 200
    assert held(live) == {FILE: TWO, beside: "msgspec\n"}


async def test_one_that_came_without_a_name(live: Live, origin: Origin) -> None:
    origin.files = {"get.py": ONE, "get_requirements.txt": "msgspec\n"}
    await install(live, origin.url("get.py?version=1"))
    assert held(live) == {FILE: ONE, "search/demo_requirements.txt": "msgspec\n"}
    assert await state(live) == "current"
    origin.files = {"get.py": TWO}
    assert (await update(live)).status == 200
    assert held(live) == {FILE: TWO}


async def test_one_whose_address_only_leads_to_its_name(live: Live, origin: Origin) -> None:
    origin.files = {
        "get": origin.url("demo_plugin.py"),
        "demo_plugin.py": ONE,
        "demo_requirements.txt": "msgspec\n",
    }
    await install(live, origin.url("get"))
    files = {FILE: ONE, "search/demo_requirements.txt": "msgspec\n"}
    assert held(live) == files
    assert await state(live) == "current"
    assert (await update(live)).body["status"] == "current"
    assert held(live) == files


async def test_a_plan_is_nobodys_news_but_whose_it_is(live: Live, origin: Origin) -> None:
    for at, fields in (("install", {"dry_run": True}), ("check", {})):
        live.events.clear()
        asked = {"url": origin.url("none_plugin.py"), "plugin_type": "search", **fields}
        assert (await live.post(f"/api/plugins/{at}", asked)).status == 502
    # What is told comes in order, so that what comes now has nothing before it.
    save(live.plugins / FILE, ONE)
    await live.event("loaded", ID)
    assert [event for event in live.events if event.kind == "installing"] == []


async def test_an_origin_that_is_elsewhere_now(live: Live, origin: Origin, origins: list[Origin]) -> None:
    other = origins[1]
    origin.files = {"demo_plugin.py": ONE}
    other.files = {"x_plugin.py": TWO}
    await install(live, origin.url())
    live.events.clear()
    recorded = f"127.0.0.1:{origin.server.port}"
    for target, host in (
        (origin.url("moved.py", "localhost"), f"localhost:{origin.server.port}"),
        (other.url("x_plugin.py"), f"127.0.0.1:{other.server.port}"),
    ):
        origin.files = {"demo_plugin.py": target, "moved.py": TWO}
        told = (await outdated(live))[ID]
        assert told["state"] == "outdated" and host in told["problem"]
        answer = await update(live)
        await refused(live, answer, 409, "origin_changed", {FILE: ONE})
        assert (answer.body["recorded"], answer.body["offered"]) == (recorded, host)
        plan = (await update(live, dry_run=True)).body
        assert plan["origin_changes"] == {"recorded": recorded, "offered": host}
        assert plan["refused"]["code"] == "origin_changed"
    answer = await update(live, accept_origin=True)
    assert (answer.status, answer.body["plugin"]["version"]) == (200, "2"), answer
    assert answer.body["plugin"]["origin"]["url"] == origin.url()
    assert held(live) == {FILE: TWO}
    # From now on that is where it comes from.
    other.files = {"x_plugin.py": search_plugin(says="3")}
    assert (await outdated(live))[ID]["problem"] is None
    assert (await update(live)).body["plugin"]["version"] == "3"
    # Back at the old place it is asked about as well; an older version is told of.
    origin.files = {"demo_plugin.py": ONE}
    assert (await update(live)).body["code"] == "origin_changed"


async def test_what_does_not_deliver_or_does_not_do(live: Live, origin: Origin) -> None:
    origin.files = {"demo_plugin.py": ONE}
    await install(live, origin.url())
    live.events.clear()
    for content, status, code in (
        (404, 502, "fetch_failed"),
        (500, 502, "fetch_failed"),
        (None, 504, "fetch_timeout"),
        (origin.url(), 502, "fetch_failed"),
        ("http://169.254.169.254/x_plugin.py", 400, "url_refused"),
        ("#" * 6_000_000, 413, "too_large"),
    ):
        origin.files["demo_plugin.py"] = content
        told = (await outdated(live))[ID]
        assert (told["state"], told["latest_version"]) == ("unreachable", None) and told["problem"]
        await refused(live, await update(live), status, code, {FILE: ONE})
    for text, code, shown in (
        ("broken(", "plugin_invalid", "outdated"),
        ("x = 1", "plugin_invalid", "outdated"),
        ("\0", "plugin_invalid", "unreachable"),
        (TWO + "\n    async def start(self):\n        raise ValueError\n", "plugin_invalid", "outdated"),
        (search_plugin("another"), "name_changed", "outdated"),
    ):
        origin.files["demo_plugin.py"] = text
        assert await state(live) == shown
        answer = await update(live)
        assert answer.status == 422 and answer.body["code"] in (code, "syntax_error", "not_text"), answer
        await refused(live, answer, 422, answer.body["code"], {FILE: ONE})
    assert (await live.get("/api/changes")).body["changes"][0]["kind"] == "install"
    # It is as it was, so what comes next is taken.
    origin.files["demo_plugin.py"] = TWO
    assert (await update(live)).status == 200
    assert held(live) == {FILE: TWO}


async def test_those_without_an_address(live: Live, origin: Origin) -> None:
    save(live.plugins / FILE, ONE)
    await live.event("loaded", ID)
    assert await outdated(live) == {}
    await refused_so(live, "no_origin")
    # One that was kept though it does not load is mended by an update, disabled ones are updated too.
    origin.files = {"late_plugin.py": "broken("}
    await install(live, origin.url("late_plugin.py"), keep=True)
    origin.files = {"late_plugin.py": search_plugin("lately")}
    assert (await outdated(live))["search/late"]["latest_version"] == "1"
    answer = await update(live, "search/late")
    assert (answer.status, answer.body["plugin"]["id"]) == (200, "search/lately"), answer
    await live.post("/api/plugins/search/lately/toggle?enabled=false")
    origin.files = {"late_plugin.py": search_plugin("lately", "2")}
    answer = await update(live, "search/lately")
    assert (answer.body["plugin"]["state"], answer.body["plugin"]["version"]) == ("disabled", "2"), answer
    await live.post("/api/plugins/search/lately/toggle?enabled=true")
    assert await live.answer("lately") == "2"
    await live.quiet(0.2)
    assert without_passing(await live.listed()) == without_passing(live.mirror())


async def refused_so(live: Live, code: str) -> None:
    answer = await update(live)
    assert (answer.status, answer.body["code"]) == (409, code), answer


async def test_many_at_once(live: Live, origin: Origin) -> None:
    names = [f"many{number}" for number in range(8)]
    origin.files = {f"{name}_plugin.py": search_plugin(name) for name in names}
    await asyncio.gather(*(install(live, origin.url(f"{name}_plugin.py")) for name in names))
    origin.files |= {f"{name}_plugin.py": search_plugin(name, "2") for name in names[:6]}
    origin.files["many6_plugin.py"] = 500
    states = {id: one["state"] for id, one in (await outdated(live)).items()}
    assert states == {
        f"search/{name}": "unreachable" if name == "many6" else "current" if name == "many7" else "outdated"
        for name in names
    }
    answers = await asyncio.gather(*(update(live, f"search/{name}") for name in names for _ in range(2)))
    told = {answer.status for answer in answers[:12]}
    assert told <= {200, 409} and answers[12].status == 502 and answers[14].body["status"] == "current"
    assert [await live.answer(name) for name in names] == ["2"] * 6 + ["1"] * 2
    await live.quiet(0.2)
    assert without_passing(await live.listed()) == without_passing(live.mirror())
    assert {id: one["state"] for id, one in (await outdated(live)).items()}["search/many0"] == "current"


async def test_a_password_in_an_address_is_told_nobody(live: Live, origin: Origin) -> None:
    origin.password = "dXNlcjpzM2NyZXQ="  # user:s3cret, as it is sent
    origin.files = {"demo_plugin.py": ONE, "demo_requirements.txt": "msgspec\n"}
    url = origin.url(host="user:s3cret@127.0.0.1")
    plugin = await install(live, url)
    assert plugin["origin"]["url"] == origin.url()
    assert held(live) == {FILE: ONE, "search/demo_requirements.txt": "msgspec\n"}
    answers = [
        await live.post("/api/plugins/install", {"url": url, "plugin_type": "search", **fields})
        for fields in ({}, {"dry_run": True}, {"replace": True}, {"sha256": "0" * 64, "replace": True})
    ]
    assert [answer.status for answer in answers] == [409, 200, 200, 422]
    answers += [await update(live), await update(live, dry_run=True)]
    for path in ("/api/plugins", "/api/plugins/outdated", "/api/changes", f"{API}/revisions", f"{API}/logs"):
        answers.append(await live.get(path))
    told = json.dumps([answer.body for answer in answers]) + json.dumps([one.data for one in live.events])
    assert "installing" in {one.kind for one in live.events}
    assert "s3cret" not in told + live.server.printed
    home = [path for path in live.home.rglob("*") if path.is_file() and not path.is_relative_to(live.plugins)]
    assert not [path for path in home if b"s3cret" in path.read_bytes()]
