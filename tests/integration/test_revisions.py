"""Reading and writing a plugin's source, what served before, going back, and undoing: through a whole server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.live import (
    Answer,
    Live,
    Seen,
    connected,
    live_server,
    only,
    save,
    search_plugin,
    without_passing,
    write,
)
from tests.integration.server_process import running_server
from tests.registry import Registry

pytestmark = pytest.mark.asyncio(loop_scope="module")
ID = "search/demo"
began = [""]
API = f"/api/plugins/{ID}"
FILE = "search/demo_plugin.py"
PACKAGE = "search/demo_plugin"
BROKEN = "broken("
IN_PACKAGE = search_plugin(imports="from .part import VALUE", expression="VALUE")
CONFIGURED = (
    search_plugin(expression="self.config.get('word', 'none')")
    + "\n    def get_config_schema(self):\n"
    + "        from service.sdk import ConfigField\n"
    + "        return [ConfigField(name='word', type='text'), ConfigField(name='secret', type='password')]\n"
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("revisions") / "home"
    settings = {"PLUGBAY_HISTORY__REVISIONS": "5", "PLUGBAY_LIMITS__PLUGIN_FILE_KIB": "64"}
    async with live_server(home, **settings) as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> AsyncIterator[Live]:
    """The server without any plugin; the revisions of earlier tests are told apart by when they served."""
    await server.post("/api/config/import", {"config": {}})
    for id in await server.listed():
        await delete(server, id, purge=True)
    shutil.rmtree(server.plugins)
    (server.plugins / "search").mkdir(parents=True)
    await server.until(lambda _: not server.mirror())
    server.events.clear()
    began[0] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield server


async def delete(live: Live, id: str = ID, **fields: Any) -> Answer:
    type_, _, name = id.partition("/")
    answer = await live.post("/api/plugins/delete", {"plugin_type": type_, "plugin_name": name, **fields})
    assert answer.status == 200, answer
    return answer


async def upload(live: Live, text: str, name: str = "demo_plugin.py", **fields: Any) -> Answer:
    form = aiohttp.FormData()
    form.add_field("plugin_type", "search")
    for key, value in fields.items():
        form.add_field(key, str(value).lower())
    form.add_field("file", text.encode(), filename=name, content_type="text/x-python")
    answer = await live.request("POST", "/api/plugins/install", data=form)
    assert answer.status == 200, answer
    return answer


async def put(live: Live, text: str | bytes, path: str | None = None, match: str | None = None) -> Answer:
    return await live.request(
        "PUT",
        f"{API}/source",
        data=text,
        params={"path": path} if path is not None else {},
        headers={"Content-Type": "text/plain; charset=utf-8"} | ({"If-Match": match} if match else {}),
    )


async def source(live: Live, path: str | None = None) -> Answer:
    return await live.get(f"{API}/source", params={"path": path} if path is not None else {})


async def revisions(live: Live, id: str = ID) -> list[dict[str, Any]]:
    answer = await live.get(f"/api/plugins/{id}/revisions")
    assert answer.status == 200, answer
    return [one for one in answer.body["revisions"] if one["at"] >= began[0]]


async def changes(live: Live, **params: str) -> list[dict[str, Any]]:
    answer = await live.get("/api/changes", params=params)
    assert answer.status == 200, answer
    return [one for one in answer.body["changes"] if one["at"] >= began[0]]


async def undo(live: Live, id: str | None = None) -> Answer:
    return await live.post(f"/api/changes/{id or (await changes(live))[0]['id']}/undo")


async def saved(live: Live, text: str, path: str = FILE, kind: str = "reloaded", id: str = ID) -> None:
    seen = len(live.events)
    save(live.plugins / path, text)
    await live.event(kind, id, after=seen)


def held(live: Live) -> dict[str, str]:
    """What the plugin folder holds."""
    return {
        str(path.relative_to(live.plugins)): path.read_text()
        for path in live.plugins.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def etag(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()}"'


def last(live: Live) -> Seen:
    return [one for one in live.events if one.type.startswith("plugbay.plugin.")][-1]


def tag_of(answer: Answer) -> str:
    return {name.lower(): value for name, value in answer.headers.items()}["etag"]


async def same_view(live: Live) -> None:
    """The server is as its events say."""
    await live.quiet(0.2)
    assert without_passing(await live.listed()) == without_passing(live.mirror())


# -- source ------------------------------------------------------------------------------------------------------


async def test_source_is_read_and_written(live: Live) -> None:
    await saved(live, search_plugin(), kind="loaded")
    answer = await source(live)
    assert (answer.status, answer.body) == (200, search_plugin())
    assert tag_of(answer) == etag(search_plugin())
    live.events.clear()
    two = search_plugin(says="2")
    answer = await put(live, two, match=tag_of(answer))
    assert (answer.status, answer.body["version"], answer.body["state"]) == (200, "2", "active"), answer
    assert tag_of(answer) == etag(two)
    assert await live.answer("demo") == "2"
    assert held(live) == {FILE: two}
    await only(live, f"reloaded {ID}")
    assert last(live).data["cause"] == "api"
    # The tag of before is that of another content now.
    answer = await put(live, search_plugin(says="3"), match=etag(search_plugin()))
    assert (answer.status, answer.body["code"]) == (412, "source_changed")
    assert answer.body["sha256"] == hashlib.sha256(two.encode()).hexdigest()
    for broken in (BROKEN, "x = 1", "raise ValueError", search_plugin(name="another")):
        answer = await put(live, broken, match=etag(two))
        assert answer.status == 422, answer
    answer = await put(live, "x = 1\nimport nothing_like_it\n", match=etag(two))
    assert (answer.body["error"]["stage"], answer.body["error"]["line"]) == ("import", 2)
    assert held(live) == {FILE: two}
    assert await live.answer("demo") == "2"
    # Unchanged bytes reload nothing.
    answer = await put(live, two, match=etag(two))
    assert (answer.status, answer.body["generation"]) == (200, 2)
    await live.quiet()
    assert live.final() == [f"reloaded {ID}"]
    assert (await put(live, b"\x80\x81")).status in (400, 422)
    assert (await put(live, "#" * 70_000)).status == 413
    assert held(live) == {FILE: two}


async def test_a_hand_edit_between_get_and_put_is_not_lost(live: Live) -> None:
    await saved(live, search_plugin(), kind="loaded")
    tag = tag_of(await source(live))
    by_hand = search_plugin(says="hand")
    save(live.plugins / FILE, by_hand)
    answer = await put(live, search_plugin(says="2"), match=tag)
    assert answer.status == 412
    assert held(live) == {FILE: by_hand}
    await live.until(lambda _: live.mirror().get(ID, {}).get("version") == "hand")


async def test_one_of_two_writers_of_one_content_wins(live: Live) -> None:
    await saved(live, search_plugin(), kind="loaded")
    texts = [search_plugin(says=str(number)) for number in range(2, 6)]
    answers = await asyncio.gather(*(put(live, text, match=etag(search_plugin())) for text in texts))
    assert sorted(answer.status for answer in answers) == [200, 412, 412, 412]
    [winner] = [number for number, answer in enumerate(answers) if answer.status == 200]
    assert held(live) == {FILE: texts[winner]}
    await same_view(live)
    # While one loads, somebody saves by hand.
    slow = search_plugin(says="slow", imports="import time\ntime.sleep(0.6)")
    putting = asyncio.create_task(put(live, slow, match=etag(texts[winner])))
    await asyncio.sleep(0.2)
    await saved(live, search_plugin(says="hand"))
    assert (await putting).status == 412
    assert held(live) == {FILE: search_plugin(says="hand")}
    assert await live.answer("demo") == "hand"


async def test_two_files_of_a_package_at_once(live: Live) -> None:
    write(live.plugins / PACKAGE / "part.py", "VALUE = 'part'\n")
    write(live.plugins / PACKAGE / "__init__.py", IN_PACKAGE)
    await live.event("loaded", ID)
    first, second = await asyncio.gather(
        put(live, "VALUE = 'part 2'\n", "part.py"), put(live, IN_PACKAGE + "# changed\n")
    )
    assert (first.status, second.status) == (200, 200), (first, second)
    assert held(live) == {
        f"{PACKAGE}/part.py": "VALUE = 'part 2'\n",
        f"{PACKAGE}/__init__.py": IN_PACKAGE + "# changed\n",
    }
    assert await live.answer("demo") == "part 2"
    await same_view(live)
    [newest, *_] = await revisions(live)
    assert newest["current"] and newest["revision"] == (await live.plugin(ID))["revision"]


async def test_files_of_a_package(live: Live, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    write(live.plugins / PACKAGE / "part.py", "VALUE = 'part'\n")
    write(live.plugins / PACKAGE / "__init__.py", IN_PACKAGE)
    await live.event("loaded", ID)
    assert (await source(live, "part.py")).body == "VALUE = 'part'\n"
    assert (await source(live, f"plugins/{PACKAGE}/part.py")).body == "VALUE = 'part'\n"
    assert (await source(live)).body == IN_PACKAGE
    assert (await source(live, "none.py")).body["code"] == "source_not_found"
    assert (await put(live, "VALUE = 'more'\n", "deep/more.py")).status == 200
    answer = await put(live, "from .deep.more import VALUE\n", "part.py", etag("VALUE = 'part'\n"))
    assert answer.status == 200, answer
    assert await live.answer("demo") == "more"
    assert (await put(live, '{"a": 1}', "data.json")).status == 200
    assert (await put(live, BROKEN, "part.py")).status == 422
    assert (await put(live, "x", "new.py", etag("x"))).status == 412
    (live.plugins / PACKAGE / "out").symlink_to(outside)
    before = held(live)
    for path in (
        "../evil_plugin.py", "../../../evil.py", "/etc/passwd", "plugins/search/evil_plugin.py", "a/../../b.py",
        "deep", "part.py/x.py", "out/x.py", ".hidden.py", "x\0.py", "__pycache__/x.py", "n" * 250 + ".py",
    ):  # fmt: skip
        answer = await put(live, "x = 1\n", path)
        assert answer.status in (400, 404), (path, answer)
    assert (await source(live, "../../../config/plugins.json")).status == 404
    assert held(live) == before and not list(outside.iterdir())
    assert await live.answer("demo") == "more"


async def test_the_requirements_file(live: Live) -> None:
    await saved(live, search_plugin(), kind="loaded")
    live.events.clear()
    assert (await source(live, "demo_requirements.txt")).status == 404
    answer = await put(live, "no-such-thing-at-all\n", "demo_requirements.txt")
    assert (answer.status, answer.body["error"]["stage"]) == (422, "dependencies")
    assert held(live) == {FILE: search_plugin()}
    assert (await put(live, "msgspec\n", "demo_requirements.txt")).status == 200
    assert (await source(live, "plugins/search/demo_requirements.txt")).body == "msgspec\n"
    await only(live, f"reloaded {ID}")
    [with_it, without] = await revisions(live)
    answer = await live.post(f"{API}/rollback", {"revision": without["revision"]})
    assert (answer.status, answer.body["revision"]) == (200, without["revision"]), answer
    assert held(live) == {FILE: search_plugin()}
    answer = await live.post(f"{API}/rollback", {"revision": with_it["revision"]})
    assert held(live) == {FILE: search_plugin(), "search/demo_requirements.txt": "msgspec\n"}
    assert (await undo(live)).status == 200
    assert held(live) == {FILE: search_plugin()}
    await same_view(live)


async def test_source_of_one_that_is_off_or_failed(live: Live) -> None:
    await saved(live, search_plugin(), kind="loaded")
    await live.post(f"{API}/toggle?enabled=false")
    answer = await put(live, search_plugin(says="2"))
    assert (answer.status, answer.body["state"], answer.body["version"]) == (200, "disabled", "2"), answer
    assert (await put(live, BROKEN)).status == 422
    assert held(live) == {FILE: search_plugin(says="2")}
    await live.post(f"{API}/toggle?enabled=true")
    assert await live.answer("demo") == "2"
    await same_view(live)
    # One that never loaded has no name but its file's, and gets its own when it is mended.
    await saved(live, BROKEN, "search/other_plugin.py", "failed", "search/other")
    live.events.clear()
    answer = await live.request(
        "PUT", "/api/plugins/search/other/source", data=BROKEN, headers={"Content-Type": "text/plain"}
    )
    assert answer.status == 422
    answer = await live.request(
        "PUT", "/api/plugins/search/other/source", data=search_plugin("mended"),
        headers={"Content-Type": "text/plain", "If-Match": etag(BROKEN)},
    )  # fmt: skip
    assert (answer.status, answer.body["id"], answer.body["state"]) == (200, "search/mended", "active"), (
        answer
    )
    await only(live, "loaded search/mended", "unloaded search/other")
    # Nor may it take the place of another.
    await saved(live, BROKEN, "search/third_plugin.py", "failed", "search/third")
    answer = await live.request(
        "PUT",
        "/api/plugins/search/third/source",
        data=search_plugin(),
        headers={"Content-Type": "text/plain"},
    )
    assert answer.status in (409, 422), answer
    assert held(live)[FILE] == search_plugin(says="2") and held(live)["search/third_plugin.py"] == BROKEN
    # And one that is degraded is mended.
    await saved(live, BROKEN, kind="failed")
    answer = await put(live, search_plugin(says="3"))
    assert (answer.status, answer.body["state"]) == (200, "active")
    await saved(live, "#" * 70_000, kind="failed")
    assert (await source(live)).status == 404
    assert (await put(live, search_plugin(says="4"), match=etag("#" * 70_000))).status == 412
    answer = await put(live, search_plugin(says="4"))
    assert (answer.status, answer.body["state"]) == (200, "active"), answer


async def test_source_of_one_that_was_off_by_the_name_of_its_file(live: Live) -> None:
    save(live.plugins / "search/demo_plugin.py", "x = (")
    await live.event("failed", ID)
    await live.post(f"{API}/toggle?enabled=false")
    assert (await put(live, search_plugin("other"))).body["state"] == "active"
    assert await live.answer("other") == "1"
    await same_view(live)
    # That of the name which nobody has now is no plugin's, and would stay for the tests to come.
    await live.post("/api/config/import", {"config": {"search:demo": {"_enabled": True}}})


async def test_source_of_one_that_runs_alone(live: Live, unused_tcp_port: int) -> None:
    def alone(says: str, then: str = "pass") -> str:
        return search_plugin(says=says, imports="import socket") + (
            "\n    exclusive = True\n\n    async def start(self):\n        self.socket = socket.socket()\n"
            f"        self.socket.bind(('127.0.0.1', {unused_tcp_port}))\n        {then}\n"
        )

    await saved(live, alone("1"), kind="loaded")
    answer = await put(live, alone("2"), match=etag(alone("1")))
    assert (answer.status, answer.body["version"]) == (200, "2"), answer
    assert (await put(live, alone("3", "raise ValueError"))).status == 422
    assert (await put(live, alone("3").replace('"demo"', '"another"'))).body["code"] == "name_changed"
    assert list(await live.listed()) == [ID]
    assert held(live) == {FILE: alone("2")}
    assert await live.answer("demo") == "2"
    [_, first] = await revisions(live)
    live.events.clear()
    answer = await live.post(f"{API}/rollback", {"revision": first["revision"]})
    assert (answer.status, answer.body["version"]) == (200, "1"), answer
    await live.quiet()
    assert live.final() == [f"reloaded {ID}"]
    assert last(live).data["cause"] == "rollback"
    assert (await undo(live)).status == 200
    assert await live.answer("demo") == "2"
    await same_view(live)


# -- revisions ---------------------------------------------------------------------------------------------------


async def test_every_revision_that_served_is_listed_once(live: Live) -> None:
    await upload(live, search_plugin())
    await saved(live, search_plugin(says="2"))
    await saved(live, BROKEN, kind="failed")
    assert not any(one["current"] for one in await revisions(live))
    await put(live, search_plugin(says="3"))
    told = [(one["version"], one["origin"]["kind"], one["current"]) for one in await revisions(live)]
    assert told == [("3", "file", True), ("2", "file", False), ("1", "upload", False)]
    newest = (await revisions(live))[0]
    assert newest["revision"] == (await live.plugin(ID))["revision"]
    # A reload serves the same one again; an older one moves to the top.
    await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": "demo"})
    assert [one["version"] for one in await revisions(live)] == ["3", "2", "1"]
    await saved(live, search_plugin())
    told = [(one["version"], one["origin"]["kind"], one["current"]) for one in await revisions(live)]
    assert told == [("1", "upload", True), ("3", "file", False), ("2", "file", False)]
    # A renamed file is the same plugin still.
    (live.plugins / FILE).rename(live.plugins / "search/renamed_plugin.py")
    await live.until(lambda _: live.mirror()[ID]["file"] == "plugins/search/renamed_plugin.py")
    listed = await revisions(live)
    assert [one["version"] for one in listed] == ["1", "1", "3", "2"]
    assert [one["current"] for one in listed] == [True, False, False, False]
    live.events.clear()
    answer = await live.post(f"{API}/rollback", {"revision": listed[2]["revision"]})
    assert (answer.status, answer.body["revision"]) == (200, listed[2]["revision"]), answer
    assert held(live) == {FILE: search_plugin(says="3")}
    await only(live, f"reloaded {ID}")
    assert [one["version"] for one in await revisions(live)] == ["3", "1", "1", "2"]
    assert (await undo(live)).status == 200
    assert held(live) == {"search/renamed_plugin.py": search_plugin()}
    await same_view(live)
    for number in range(4, 8):
        await saved(live, search_plugin(says=str(number)), "search/renamed_plugin.py")
    assert [one["version"] for one in await revisions(live)] == ["7", "6", "5", "4", "1"]


async def test_going_back_by_the_beginning_of_a_revision(live: Live) -> None:
    await upload(live, search_plugin())
    await put(live, search_plugin(says="2"))
    [_, first] = await revisions(live)
    name = first["revision"]
    files = (await live.get(f"{API}/revisions/{name[:8]}")).body
    assert files == {"revision": name, "files": [{"path": f"plugins/{FILE}", "text": search_plugin()}]}
    diff = (await live.get(f"{API}/diff", params={"from": name[:6]})).body["diff"]
    assert '-    version = "1"\n' in diff and '+    version = "2"\n' in diff
    for wrong in (name[:5], "0" * 64, "%" * 8, "no such revision"):
        answer = await live.post(f"{API}/rollback", {"revision": wrong})
        assert (answer.status, answer.body["code"]) == (404, "revision_not_found"), answer
    live.events.clear()
    answer = await live.post(f"{API}/rollback", {"revision": name[:6].upper()})
    assert (answer.status, answer.body["revision"]) == (200, name), answer
    assert answer.body["origin"]["kind"] == "upload"
    assert held(live) == {FILE: search_plugin()}
    await only(live, f"reloaded {ID}")
    assert last(live).data["cause"] == "rollback"
    assert last(live).plugin["origin"]["kind"] == "upload"
    [newest, *_] = await changes(live)
    assert (newest["kind"], newest["plugin"], newest["undoable"]) == ("rollback", ID, True)


async def test_going_back_to_another_set_of_files(live: Live) -> None:
    await saved(live, search_plugin(), kind="loaded")
    await upload(live, search_plugin(says="up"), replace=True)
    (live.plugins / FILE).unlink()
    await live.event("unloaded", ID)
    write(live.plugins / PACKAGE / "part.py", "VALUE = 'part'\n")
    write(live.plugins / PACKAGE / "__init__.py", IN_PACKAGE)
    await live.event("loaded", ID, after=len(live.events) - 1)
    package = (await revisions(live))[0]
    assert (await put(live, "VALUE = 'new'\n", "sub/new.py")).status == 200
    assert (await put(live, "from .sub.new import VALUE\n", "part.py")).status == 200
    assert await live.answer("demo") == "new"
    live.events.clear()
    answer = await live.post(f"{API}/rollback", {"revision": package["revision"]})
    assert (answer.status, answer.body["revision"]) == (200, package["revision"]), answer
    assert held(live) == {f"{PACKAGE}/part.py": "VALUE = 'part'\n", f"{PACKAGE}/__init__.py": IN_PACKAGE}
    assert not (live.plugins / PACKAGE / "sub").exists()
    await only(live, f"reloaded {ID}")
    live.events.clear()
    single = (await revisions(live))[-1]
    answer = await live.post(f"{API}/rollback", {"revision": single["revision"]})
    assert (answer.status, answer.body["revision"]) == (200, single["revision"]), answer
    assert held(live) == {FILE: search_plugin()}
    await only(live, f"reloaded {ID}")
    live.events.clear()
    assert (await undo(live)).status == 200
    assert held(live) == {f"{PACKAGE}/part.py": "VALUE = 'part'\n", f"{PACKAGE}/__init__.py": IN_PACKAGE}
    assert await live.answer("demo") == "part"
    await only(live, f"reloaded {ID}")


async def test_going_back_to_what_does_not_load_any_more(live: Live) -> None:
    write(live.plugins / "search/common.py", "VALUE = 'old'\n")
    needs = search_plugin(imports="from plugins.search.common import VALUE", expression="VALUE")
    await saved(live, needs, kind="loaded")
    await put(live, search_plugin(says="2"))
    (live.plugins / "search/common.py").unlink()
    [_, first] = await revisions(live)
    await live.quiet(0.2)
    before = (held(live), await live.plugin(ID), len(await changes(live)))
    live.events.clear()
    answer = await live.post(f"{API}/rollback", {"revision": first["revision"]})
    assert (answer.status, answer.body["error"]["stage"]) == (422, "import"), answer
    assert (held(live), await live.plugin(ID), len(await changes(live))) == before
    assert await live.answer("demo") == "2"
    await live.quiet(0.2)
    assert live.final() == []


async def test_going_back_to_other_dependencies(tmp_path: Path) -> None:
    def needs(version: str) -> str:
        block = f'# /// script\n# dependencies = ["greeting=={version}"]\n# ///\n'
        return block + search_plugin(says=version, imports="import greeting", expression="greeting.VERSION")

    with Registry() as registry:
        registry.add("greeting", "1.0")
        registry.add("greeting", "2.0")
        environ = {**registry.environment(tmp_path / "uv"), "UV_NO_INDEX": "0", "UV_OFFLINE": "0"}
        async with live_server(tmp_path / "home", **environ) as live:
            await saved(live, needs("1.0"), kind="loaded")
            assert (await put(live, needs("2.0"))).status == 200
            assert await live.answer("demo") == "2.0"
            newer, older = [one["revision"] for one in await revisions(live)]
            # What a revision came to is remembered, so going back asks nobody.
            registry.close()
            assert (await put(live, needs("3.0"))).status == 504
            live.events.clear()
            for revision, answer in ((older, "1.0"), (newer, "2.0")):
                assert (await live.post(f"{API}/rollback", {"revision": revision})).status == 200
                assert await live.answer("demo") == answer
            await only(live, *[f"reloaded {ID}"] * 2)
        write(tmp_path / "home/plugins" / FILE, needs("3.0"))
        async with live_server(tmp_path / "home", **environ) as live:
            await live.event("failed", ID)
            plugin = await live.plugin(ID)
            assert (plugin["state"], plugin["error"]["code"]) == ("degraded", "registry_unreachable")
            assert await live.answer("demo") == "2.0"


async def test_one_that_is_off_by_the_name_that_only_its_last_good_code_gives_stays_off(
    tmp_path: Path,
) -> None:
    home, path = tmp_path / "home", "search/odd_plugin.py"
    async with live_server(home) as live:
        await saved(live, search_plugin("named"), path, "loaded", "search/named")
        await live.post("/api/plugins/search/named/toggle?enabled=false")
    write(home / "plugins" / path, BROKEN)
    async with live_server(home) as live:
        await live.event("disabled", "search/named")
        await live.quiet()
        assert live.final() == ["disabled search/named", "unloaded search/odd"]
        assert {id: one["state"] for id, one in (await live.listed()).items()} == {"search/named": "disabled"}
        assert (await live.search("named")).status == 409


async def test_the_last_good_revision_serves_though_a_reload_is_asked_for_at_the_start(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    async with live_server(home) as live:
        await saved(live, search_plugin(), kind="loaded")
    begun = home / "data" / "plugins" / "search" / "demo" / "begun"
    slow = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(1.5)\nraise ValueError\n"
    write(home / "plugins" / FILE, slow)
    async with running_server(home) as server, connected(server, "plugins/**") as live:
        async with asyncio.timeout(10):
            while not begun.exists():
                await asyncio.sleep(0.02)
        answer = await live.post("/api/plugins/reload")
        assert (answer.status, answer.body["fail_count"]) == (200, 1), answer
        assert (await live.plugin(ID))["state"] == "degraded"
        assert await live.answer("demo") == "1"


async def test_a_file_of_a_package_whose_main_file_cannot_be_read(live: Live) -> None:
    write(live.plugins / PACKAGE / "part.py", "VALUE = 'part'\n")
    await saved(live, IN_PACKAGE, f"{PACKAGE}/__init__.py", "loaded")
    main = live.plugins / PACKAGE / "__init__.py"
    seen = len(live.events)
    main.rename(main.with_name("away"))
    main.symlink_to("nowhere")
    await live.event("failed", ID, after=seen)
    answer = await put(live, "VALUE = 'other'\n", "part.py")
    assert (answer.status, answer.body["error"]["code"]) == (422, "file_dangling_link"), answer
    assert (live.plugins / PACKAGE / "part.py").read_text() == "VALUE = 'part'\n"


async def test_going_back_while_it_is_off(live: Live) -> None:
    await upload(live, search_plugin())
    await put(live, search_plugin(says="2"))
    await live.post(f"{API}/toggle?enabled=false")
    [_, first] = await revisions(live)
    plugin = (await live.post(f"{API}/rollback", {"revision": first["revision"]})).body
    assert (plugin["state"], plugin["version"], plugin["origin"]["kind"]) == ("disabled", "1", "upload")
    assert (await undo(live)).body["plugin"]["version"] == "2"
    await delete(live)
    plugin = (await undo(live)).body["plugin"]
    assert (plugin["state"], plugin["version"]) == ("disabled", "2")
    await live.post(f"{API}/toggle?enabled=true")
    assert await live.answer("demo") == "2"
    await same_view(live)


async def test_going_back_to_what_ran_last_while_it_is_off(live: Live) -> None:
    await upload(live, search_plugin())
    await live.post(f"{API}/toggle?enabled=false")
    save(live.plugins / "search/demo_plugin.py", search_plugin(says="2"))
    await live.until(lambda _: live.final().count(f"disabled {ID}") == 2)
    [first] = await revisions(live)
    assert (await live.post(f"{API}/rollback", {"revision": first["revision"]})).status == 200
    await same_view(live)


# -- undo --------------------------------------------------------------------------------------------------------


async def test_undoing_what_changed_the_code(live: Live) -> None:
    await live.post("/api/config/import", {"config": {"search:demo": {"word": "w"}}})
    await upload(live, CONFIGURED)
    assert await live.answer("demo") == "w"
    kinds = []
    await upload(live, search_plugin(says="replaced"), replace=True)
    await put(live, search_plugin(says="edited"))
    first = (await revisions(live))[-1]
    assert (await live.post(f"{API}/rollback", {"revision": first["revision"]})).status == 200
    for expected, origin in ((search_plugin(says="edited"), "file"), (search_plugin(says="replaced"), "upload"),
                             (CONFIGURED, "upload")):  # fmt: skip
        live.events.clear()
        [newest, *_] = [
            one for one in await changes(live, plugin=ID) if one["kind"] != "undo" and one["undoable"]
        ]
        kinds.append(newest["kind"])
        answer = await undo(live, newest["id"])
        assert answer.status == 200, answer
        assert (answer.body["change"]["kind"], answer.body["plugin"]["origin"]["kind"]) == ("undo", origin)
        assert held(live) == {FILE: expected}
        await only(live, f"reloaded {ID}")
        assert last(live).plugin["origin"]["kind"] == origin
        by = {one["id"]: one["undone_by"] for one in await changes(live)}
        assert by[newest["id"]] == answer.body["change"]["id"]
        assert (await undo(live, newest["id"])).body["code"] == "change_superseded"
    assert kinds == ["rollback", "edit", "install"]
    # Undoing that undo brings the replacement again, and that one can be undone once more.
    assert (await undo(live)).status == 200
    assert (held(live), (await live.plugin(ID))["origin"]["kind"]) == (
        {FILE: search_plugin(says="replaced")},
        "upload",
    )
    assert (await undo(live)).status == 200
    assert held(live) == {FILE: CONFIGURED}
    # Nothing of an install is left when that is undone.
    live.events.clear()
    installed = [one for one in await changes(live, plugin=ID) if one["kind"] == "install"][-1]
    answer = await undo(live, installed["id"])
    assert (answer.status, answer.body["plugin"]) == (200, None), answer
    assert held(live) == {}
    await only(live, f"unloaded {ID}")
    live.events.clear()
    assert (await undo(live)).body["plugin"]["origin"]["kind"] == "upload"
    await only(live, f"loaded {ID}")
    assert await live.answer("demo") == "w"
    assert (await undo(live, "0" * 20)).status == 404


async def test_undoing_brings_back_what_did_not_load(live: Live) -> None:
    """What was given up of a file that was being edited is not lost, and what serves goes on."""
    good = search_plugin(says="good")
    await upload(live, good)
    await saved(live, BROKEN, kind="failed")
    [kept, *_] = await revisions(live)
    assert (await live.post(f"{API}/rollback", {"revision": kept["revision"]})).status == 200
    assert held(live) == {FILE: good}
    live.events.clear()
    answer = await undo(live)
    assert (answer.status, answer.body["plugin"]["state"]) == (200, "degraded"), answer
    assert held(live) == {FILE: BROKEN}
    await only(live, f"failed {ID}")
    assert await live.answer("demo") == "good"
    # So it is where it is deleted meanwhile: its last good code serves again.
    await delete(live)
    live.events.clear()
    answer = await undo(live)
    assert (answer.status, answer.body["plugin"]["state"]) == (200, "degraded"), answer
    await only(live, f"failed {ID}")
    assert (held(live), await live.answer("demo")) == ({FILE: BROKEN}, "good")


async def test_undo_is_refused_where_something_was_changed_since(live: Live) -> None:
    await upload(live, search_plugin())
    await put(live, search_plugin(says="2"))
    [edit, install, *_] = await changes(live, plugin=ID)
    answer = await undo(live, install["id"])
    assert (answer.status, answer.body["code"]) == (409, "change_superseded"), answer
    await saved(live, search_plugin(says="hand"))
    assert (await undo(live, edit["id"])).status == 409
    assert held(live) == {FILE: search_plugin(says="hand")}
    await delete(live)
    await saved(live, search_plugin(says="another"), "search/other_plugin.py", kind="loaded")
    assert (await undo(live)).status == 409
    assert held(live) == {"search/other_plugin.py": search_plugin(says="another")}
    (live.plugins / "search/other_plugin.py").rename(live.plugins / FILE)
    await live.until(lambda _: live.mirror()[ID]["file"] == f"plugins/{FILE}")
    assert (await undo(live)).status == 409
    assert held(live) == {FILE: search_plugin(says="another")}
    assert await live.answer("demo") == "another"


async def test_what_is_wanted_at_the_same_time(live: Live) -> None:
    await upload(live, search_plugin())
    await put(live, search_plugin(says="2"))
    for _ in range(2):
        [newest, *_] = await changes(live)
        answers = await asyncio.gather(*(undo(live, newest["id"]) for _ in range(3)))
        assert sorted(answer.status for answer in answers) == [200, 409, 409]
        await delete(live)
    assert (await undo(live)).status == 200
    # Nobody brings back by an edit what was deleted while the edit was loaded.
    slow = search_plugin(says="slow", imports="import time\ntime.sleep(0.4)")
    puts = [asyncio.create_task(put(live, slow, match=match)) for match in (None, tag_of(await source(live)))]
    await asyncio.sleep(0.15)
    await delete(live)
    assert {(await one).status for one in puts} <= {404, 412}
    assert held(live) == {}
    await same_view(live)


SLOW = search_plugin(imports="import asyncio, pathlib") + (
    "\n    async def get_video_info(self, url):\n"
    "        pathlib.Path(url).touch()\n"
    "        while pathlib.Path(url).exists():\n            await asyncio.sleep(0.01)\n"
    "        return SearchResult(title=(self.data_dir / 'kept').read_text(), url=url)\n"
)


@pytest.mark.parametrize("running", [False, True])
async def test_undoing_a_delete(live: Live, running: bool) -> None:
    await upload(live, CONFIGURED if not running else SLOW)
    await put(live, "msgspec\n", "demo_requirements.txt")
    if not running:
        answer = await live.post(f"{API}/config", {"word": "kept", "secret": "s3cret"})
        assert answer.status == 200, answer
    write(live.home / "data/plugins/search/demo/kept", "kept")
    before = (held(live), await live.plugin(ID), json.loads(config_of(live)))
    signal = live.home / "data/plugins/search/demo/signal"
    call = None
    if running:
        call = asyncio.create_task(live.post("/api/video-info", {"url": str(signal), "plugin_name": "demo"}))
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(signal.exists):
                await asyncio.sleep(0.01)
    live.events.clear()
    answer = await delete(live, purge=True)
    assert (held(live), answer.body["running_calls"]) == ({}, int(running))
    assert ID not in await live.listed()
    if not running:
        async with asyncio.timeout(5):
            while await asyncio.to_thread((live.home / "data/plugins/search/demo").exists):
                await asyncio.sleep(0.01)
    answer = await undo(live)
    assert (answer.status, answer.body["plugin"]["state"]) == (200, "active"), answer
    if call is not None:
        await asyncio.to_thread(signal.unlink)
        assert (await call).body["title"] == "kept"
    after = await live.plugin(ID)
    assert (held(live), json.loads(config_of(live))) == (before[0], before[2])
    assert after["origin"] == before[1]["origin"] and after["origin"]["kind"] == "upload"
    assert after["revision"] == before[1]["revision"]
    assert await live.answer("demo") == ("1" if running else "kept")
    await live.until(lambda _: len(live.final()) >= 2)
    await live.quiet()
    drained = [one for one in live.final() if not one.startswith("drained")]
    assert drained == [f"loaded {ID}", f"unloaded {ID}"]
    assert (live.home / "data/plugins/search/demo/kept").read_text() == "kept"
    # What was undone can be done again.
    assert (await undo(live)).status == 200
    assert held(live) == {}
    await live.until(lambda _: ID not in live.mirror())


def config_of(live: Live) -> str:
    path = live.home / "config/plugins.json"
    return path.read_text() if path.exists() else "{}"


async def test_undoing_changes_of_the_configuration(live: Live) -> None:
    await saved(live, CONFIGURED, kind="loaded")
    other = CONFIGURED.replace('"demo"', '"other"')
    await saved(live, other, "search/other_plugin.py", "loaded", "search/other")
    live.events.clear()
    for word in ("one", "two"):
        assert (await live.post(f"{API}/config", {"word": word, "secret": f"s3cret-{word}"})).status == 200
    assert await live.answer("demo") == "two"
    answer = await undo(live)
    assert (answer.status, answer.body["plugin"]["id"]) == (200, ID), answer
    assert await live.answer("demo") == "one"
    assert "s3cret-one" in config_of(live)
    await only(live, *[f"configured {ID}"] * 3)
    live.events.clear()
    assert (await live.post(f"{API}/toggle?enabled=false")).status == 200
    answer = await undo(live)
    assert answer.body["plugin"]["state"] == "active"
    await only(live, f"disabled {ID}", f"enabled {ID}")
    live.events.clear()
    assert (await undo(live)).body["plugin"]["state"] == "disabled"
    assert (await undo(live)).body["plugin"]["state"] == "active"
    await only(live, f"disabled {ID}", f"enabled {ID}")
    live.events.clear()
    imported = {"search:demo": {"word": "three"}, "search:other": {"word": "four", "secret": "s3cret-four"}}
    assert (await live.post("/api/config/import", {"config": imported})).body["reloaded_count"] == 2
    assert await live.answer("other") == "four"
    answer = await undo(live)
    assert answer.status == 200, answer
    assert (await live.answer("demo"), await live.answer("other")) == ("one", "none")
    assert json.loads(config_of(live)) == {"search:demo": {"word": "one", "secret": "s3cret-one"}}
    await only(live, *[f"configured {ID}"] * 2, *["configured search/other"] * 2)
    # Somebody edits the file by hand: what was done before cannot be undone as if nothing were.
    live.events.clear()
    save(live.home / "config/plugins.json", json.dumps({"search:demo": {"word": "hand"}}))
    await live.event("configured", ID)
    assert (await undo(live)).status == 409
    told = await live.get("/api/changes?limit=1000")
    assert "s3cret" not in json.dumps(told.body) and "s3cret" not in json.dumps(
        [one.data for one in live.events]
    )


# -- a start at which the newest file does not load ---------------------------------------------------------------


async def test_the_last_good_revision_serves_at_a_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    needs = search_plugin("helped", imports="from plugins.search.common import VALUE", expression="VALUE")
    async with live_server(home) as live:
        for id, path, text in (
            ("search/demo", FILE, search_plugin()),
            ("search/gone", "search/gone_plugin.py", search_plugin("gone")),
            ("search/by_hand", "search/by_hand_plugin.py", search_plugin("by_hand")),
            ("search/binary", "search/binary_plugin.py", search_plugin("binary")),
            ("search/listed", "search/listed_plugin.py", search_plugin("listed")),
        ):
            await saved(live, text, path, "loaded", id)
        write(live.plugins / "search/common.py", "VALUE = 'good'\n")
        await saved(live, needs, "search/helped_plugin.py", "loaded", "search/helped")
        write(live.plugins / "search/pack_plugin/part.py", "VALUE = 'part'\n")
        pack = IN_PACKAGE.replace('"demo"', '"pack"')
        await saved(live, pack, "search/pack_plugin/__init__.py", "loaded", "search/pack")
        await delete(live, "search/gone")
        (live.plugins / "search/by_hand_plugin.py").unlink()
        await live.event("unloaded", "search/by_hand")
        first = (await live.plugin(ID))["revision"]
    write(live.plugins / FILE, BROKEN)
    write(live.plugins / "search/gone_plugin.py", BROKEN)
    write(live.plugins / "search/by_hand_plugin.py", BROKEN)
    (live.plugins / "search/binary_plugin.py").unlink()
    (live.plugins / "search/binary_plugin.py").mkdir()
    write(live.plugins / "search/listed_requirements.txt", "no-such-thing-at-all\n")
    write(live.plugins / "search/common.py", BROKEN)
    write(live.plugins / "search/pack_plugin/part.py", BROKEN)
    degraded = ["binary", "demo", "helped", "listed", "pack"]
    async with live_server(home) as live:
        await live.until(lambda _: len(live.final()) >= 7)
        await live.quiet()
        names = [*degraded, "by_hand", "gone"]
        assert live.final() == sorted(f"failed search/{name}" for name in names), live.kinds()
        plugins = await live.listed()
        assert {id: one["state"] for id, one in plugins.items()} == {
            f"search/{name}": "degraded" if name in degraded else "failed" for name in names
        }
        assert (plugins[ID]["revision"], plugins[ID]["error"]["line"]) == (first, 1)
        answers = {name: await live.answer(name) for name in degraded}
        assert answers == {"binary": "1", "demo": "1", "helped": "good", "listed": "1", "pack": "part"}
        assert [one["current"] for one in await revisions(live)] == [False]
        assert without_passing(plugins) == without_passing(live.mirror())
        # Mended, they are active: by hand, over the interface, and by going back.
        await saved(live, search_plugin(says="2"))
        await saved(live, "VALUE = 'better'\n", "search/common.py", "reloaded", "search/helped")
        headers = {"Content-Type": "text/plain"}
        for name, path, text in (
            ("pack", "part.py", "VALUE = 'mended'\n"),
            ("listed", "listed_requirements.txt", "\n"),
        ):
            url = f"/api/plugins/search/{name}/source?path={path}"
            assert (await live.request("PUT", url, data=text, headers=headers)).status == 200
        [one] = await revisions(live, "search/binary")
        answer = await live.post("/api/plugins/search/binary/rollback", {"revision": one["revision"]})
        assert (answer.status, answer.body["state"]) == (200, "active"), answer
        answers = {name: await live.answer(name) for name in degraded}
        assert answers == {"binary": "1", "demo": "2", "helped": "better", "listed": "1", "pack": "mended"}
        assert {(await live.plugin(f"search/{name}"))["state"] for name in degraded} == {"active"}
