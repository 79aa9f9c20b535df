"""The files that make up a plugin and the helpers that it imports: listed, read and written, through a whole server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.live import Answer, Live, clear, live_server, only, place, save, search_plugin, write

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = "search/words.py"
TOP = search_plugin("top", imports="from plugins.search.words import WORD", expression="WORD")
LATE = search_plugin(
    "late", imports="def word():\n    from .words import WORD\n    return WORD", expression="word()"
)
NEEDY = search_plugin("needy", imports="from .words import WORD\nassert WORD != 'bad'", expression="WORD")
# It runs alone: what it holds is taken until the generation before it has stopped.
ALONE = (
    search_plugin("alone", imports="import fcntl\nfrom .words import WORD", expression="WORD")
    + "\n    exclusive = True\n"
    + "    async def start(self):\n"
    + "        if WORD == 'never':\n            raise ValueError('not this word')\n"
    + "        self.held = open(self.data_dir / 'lock', 'w')\n"
    + "        fcntl.flock(self.held, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
)
ENGLISH = {"Accept-Language": "en"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    async with live_server(tmp_path_factory.mktemp("files") / "home") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> AsyncIterator[Live]:
    await clear(server)
    yield server


async def files(live: Live, id: str) -> dict[str, dict[str, Any]]:
    answer = await live.get(f"/api/plugins/{id}/files")
    assert answer.status == 200, answer
    return {one["path"]: one for one in answer.body["files"]}


async def put(live: Live, id: str, text: str, path: str | None = None, match: str | None = None) -> Answer:
    return await live.request(
        "PUT",
        f"/api/plugins/{id}/source",
        data=text.encode(),
        params={"path": path} if path is not None else {},
        headers={"Content-Type": "text/plain", **ENGLISH} | ({"If-Match": f'"{match}"'} if match else {}),
    )


async def undo(live: Live, change: str) -> Answer:
    answer = await live.post(f"/api/changes/{change}/undo", headers=ENGLISH)
    assert answer.status == 200, answer
    return answer


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_files_are_listed_by_kind_with_who_uses_them(live: Live) -> None:
    package = "search/pack_plugin"
    own = search_plugin("pack", imports="from .part import PART", expression="PART")
    deep = "from plugins.shared.deep import DEEP\nWORD = DEEP\n"
    await place(
        live,
        {
            "shared/__init__.py": "",
            "shared/deep.py": "DEEP = 'one'\n",
            "shared/unused.py": "",
            WORDS: deep,
            f"{package}/__init__.py": own,
            f"{package}/part.py": "def part():\n    from ..words import WORD\n\nPART = 'part'\n",
            f"{package}/data.json": "{}",
            "search/pack_requirements.txt": "",
            "search/late_plugin.py": LATE,
            "search/plain_plugin.py": search_plugin("plain", imports="# from .words import WORD"),
        },
    )
    found = await files(live, "search/pack")
    assert [(path.removeprefix("plugins/"), one["kind"]) for path, one in found.items()] == [
        (f"{package}/__init__.py", "main"),
        (f"{package}/data.json", "package"),
        (f"{package}/part.py", "package"),
        ("search/pack_requirements.txt", "requirements"),
        (WORDS, "helper"),
        ("shared/__init__.py", "helper"),
        ("shared/deep.py", "helper"),
    ]
    words = found[f"plugins/{WORDS}"]
    assert (words["size"], words["sha256"]) == (len(deep), sha256(deep))
    both = ["search/late", "search/pack"]
    assert [found[f"plugins/{path}"]["used_by"] for path in (WORDS, "shared/deep.py")] == [both, both]
    assert found[f"plugins/{package}/part.py"]["used_by"] == ["search/pack"]
    assert list(await files(live, "search/plain")) == ["plugins/search/plain_plugin.py"]

    # A plugin that is off, and one that does not load, have them as much.
    assert (await live.post("/api/plugins/search/late/toggle?enabled=false")).status == 200
    save(live.plugins / f"{package}/part.py", "from ..words import WORD\nPART = (\n")
    await live.event("failed", "search/pack")
    for id in both:
        assert (await files(live, id))[f"plugins/{WORDS}"]["used_by"] == both
    # A change of another plugin's own module concerns its importers, too.
    write(
        live.plugins / "search/heir_plugin.py",
        search_plugin("heir", imports="from plugins.search.plain_plugin import Demo as P", expression="'x'"),
    )
    await live.event("loaded", "search/heir")
    assert (await files(live, "search/heir"))["plugins/search/plain_plugin.py"]["kind"] == "helper"
    assert (await files(live, "search/plain"))["plugins/search/plain_plugin.py"]["used_by"] == [
        "search/heir",
        "search/plain",
    ]
    assert (await live.post("/api/plugins/search/late/toggle?enabled=true")).status == 200


async def test_a_helper_is_written_for_all_that_use_it(live: Live) -> None:
    one, two = "WORD = 'one'\n", "WORD = 'two'\n"
    await place(
        live,
        {
            WORDS: one,
            "search/top_plugin.py": TOP,
            "search/late_plugin.py": LATE,
            "search/plain_plugin.py": search_plugin("plain"),
            "search/broken_plugin.py": search_plugin(
                "broken", imports="from .words import WORD\nassert WORD == 'two'", expression="WORD"
            ),
        },
    )
    read = await live.get("/api/plugins/search/top/source", params={"path": f"plugins/{WORDS}"})
    assert (read.status, read.body, read.headers["Etag"]) == (200, one, f'"{sha256(one)}"')
    wrong = await put(live, "search/top", two, f"plugins/{WORDS}", sha256("other"))
    assert (wrong.status, wrong.body["code"], wrong.body["sha256"]) == (412, "source_changed", sha256(one))
    done = await put(live, "search/top", two, f"plugins/{WORDS}", sha256(one))
    assert (done.status, done.body["id"], done.body["generation"]) == (200, "search/top", 2), done
    # All of them serve it by now, also the one that did not load before, and nobody else was loaded anew.
    assert [await live.answer(name) for name in ("top", "late", "broken")] == ["two"] * 3
    await live.quiet()
    assert live.final() == ["loaded search/broken", "reloaded search/late", "reloaded search/top"]
    assert (live.plugins / WORDS).read_text() == two

    listed = (await live.get("/api/changes?plugin=search/top", headers=ENGLISH)).body["changes"][0]
    assert (listed["id"], listed["kind"], listed["summary"]) == (
        done.body["change"],
        "edit",
        f"edited plugins/{WORDS}",
    )
    undone = await undo(live, done.body["change"])
    assert (undone.body["change"]["summary"], undone.body["plugin"]["id"]) == (
        f"undone: edited plugins/{WORDS}",
        "search/top",
    )
    assert [await live.answer(name) for name in ("top", "late")] == ["one", "one"]
    assert (await live.plugin("search/broken"))["state"] == "degraded"
    await undo(live, undone.body["change"]["id"])
    assert [await live.answer(name) for name in ("top", "late", "broken")] == ["two"] * 3
    assert (await put(live, "search/top", two, f"plugins/{WORDS}")).body["change"] is None


async def test_a_helper_that_breaks_another_plugin_is_not_written(live: Live) -> None:
    one = "WORD = 'one'\n"
    await place(live, {WORDS: one, "search/top_plugin.py": TOP, "search/needy_plugin.py": NEEDY})
    bad = await put(live, "search/top", "WORD = 'bad'\n", WORDS)
    assert (bad.status, bad.body["code"], bad.body["plugin"]) == (422, "plugin_invalid", "search/needy"), bad
    assert (bad.body["error"]["file"], bad.body["error"]["type"]) == (
        "plugins/search/needy_plugin.py",
        "AssertionError",
    )
    wrong = await put(live, "search/top", "WORD = 'x'\nWORD = (\n", WORDS)
    assert (wrong.status, wrong.body["plugin"]) == (422, "search/top")
    assert (wrong.body["error"]["file"], wrong.body["error"]["line"]) == (f"plugins/{WORDS}", 2)
    own = await put(live, "search/top", "x = (\n")
    assert (own.status, own.body["plugin"], own.body["error"]["line"]) == (422, "search/top", 1)
    assert (live.plugins / WORDS).read_text() == one
    assert [await live.answer(name) for name in ("top", "needy")] == ["one", "one"]
    assert live.final() == []
    # One that is off has no say; it has the helper when it is switched on.
    await live.post("/api/plugins/search/needy/toggle?enabled=false")
    assert (await put(live, "search/top", "WORD = 'bad'\n", WORDS)).status == 200
    assert await live.answer("top") == "bad"


async def test_what_is_no_helper_of_a_plugin_is_not_found(live: Live) -> None:
    await place(live, {WORDS: "WORD = 'one'\n", "search/plain_plugin.py": search_plugin("plain")})
    for path in (f"plugins/{WORDS}", WORDS, "plugins/../config/plugins.json", "plugins/search/none.py"):
        assert (await put(live, "search/plain", "x = 1\n", path)).body["code"] == "source_not_found"
        answer = await live.get("/api/plugins/search/plain/source", params={"path": path})
        assert (answer.status, answer.body["code"]) == (404, "source_not_found")


async def test_one_that_runs_alone_has_the_helper_too_or_nobody_has(live: Live) -> None:
    await place(
        live,
        {
            WORDS: "WORD = 'one'\n",
            "search/alone_plugin.py": ALONE,
            "search/top_plugin.py": TOP,
        },
    )
    assert (await put(live, "search/top", "WORD = 'two'\n", WORDS)).status == 200
    assert [await live.answer(name) for name in ("top", "alone")] == ["two", "two"]
    never = await put(live, "search/top", "WORD = 'never'\n", WORDS)
    assert (never.status, never.body["plugin"]) == (422, "search/alone"), never
    assert (live.plugins / WORDS).read_text() == "WORD = 'two'\n"
    await live.quiet()
    assert [await live.answer(name) for name in ("top", "alone")] == ["two", "two"]
    assert {one["state"] for one in (await live.listed()).values()} == {"active"}


async def test_a_module_of_another_plugin_is_followed_when_it_is_edited(live: Live) -> None:
    base = search_plugin("base") + "\nWORD = 'one'\n"
    await place(
        live,
        {
            "search/base_plugin.py": base,
            "search/heir_plugin.py": search_plugin(
                "heir", imports="from plugins.search.base_plugin import WORD", expression="WORD"
            ),
        },
    )
    assert (await put(live, "search/base", base.replace("one", "two"))).status == 200
    await only(live, "reloaded search/base", "reloaded search/heir")
    assert await live.answer("heir") == "two"
    live.events.clear()
    path = "plugins/search/base_plugin.py"
    assert (await put(live, "search/heir", base.replace("one", "three"), path)).status == 200
    assert await live.answer("heir") == "three"
    await only(live, "reloaded search/base", "reloaded search/heir")
    other = base.replace('"base"', '"other"').replace("'base'", "'other'")
    assert (await put(live, "search/heir", other, path)).body["code"] == "name_changed"


async def test_a_draft_is_kept_though_it_does_not_load_and_mended(live: Live) -> None:
    draft = search_plugin("draft", imports="WORD = [1, 2)")

    async def upload(**fields: str) -> Answer:
        form = aiohttp.FormData()
        for name, value in {"plugin_type": "search", **fields}.items():
            form.add_field(name, value)
        form.add_field("file", draft.encode(), filename="draft_plugin.py", content_type="text/x-python")
        return await live.request("POST", "/api/plugins/install", data=form)

    refused = await upload()
    kept = await upload(keep="true")
    assert (refused.status, refused.body["code"], refused.body["error"]["line"]) == (422, "plugin_invalid", 2)
    assert (kept.status, kept.body["hot_loaded"], kept.body["plugin"]["state"]) == (200, False, "failed")
    error = kept.body["plugin"]["error"]
    assert (error["file"], error["line"], error["column"]) == ("plugins/search/draft_plugin.py", 2, 13)
    mended = await put(live, "search/draft", search_plugin("draft", "mended"), match=sha256(draft))
    assert (mended.status, mended.body["state"]) == (200, "active"), mended
    assert await live.answer("draft") == "mended"
    for change in (mended.body["change"], kept.body["change"]):
        await undo(live, change)
    assert await live.listed() == {}


async def test_every_answer_names_the_change_that_can_be_undone(live: Live) -> None:
    text = search_plugin("demo")
    await place(live, {"search/demo_plugin.py": text})
    api = "/api/plugins/search/demo"
    named = {"plugin_type": "search", "plugin_name": "demo"}
    changes = []

    async def done(answer: Answer) -> None:
        assert answer.status == 200, answer
        assert (await live.get("/api/changes")).body["changes"][0]["id"] == answer.body["change"]
        changes.append(answer.body["change"])

    revision = (await live.plugin("search/demo"))["revision"]
    await done(await put(live, "search/demo", search_plugin("demo", "edited")))
    await done(await live.post(f"{api}/rollback", {"revision": revision}))
    await done(await live.post(f"{api}/toggle?enabled=false"))
    assert (await live.post(f"{api}/toggle?enabled=false")).body["change"] is None
    await done(await live.post(f"{api}/toggle?enabled=true"))
    await done(await live.request("PUT", f"{api}/config", json={"word": "x"}))
    await done(await live.post("/api/config/import", {"config": {"search:demo": {"word": "y"}}}))
    await done(await live.post("/api/plugins/delete", named))
    for change in reversed(changes):
        await undo(live, change)
    assert (live.plugins / "search/demo_plugin.py").read_text() == text
    assert (await live.plugin("search/demo"))["state"] == "active"


async def test_an_import_is_planned_without_a_trace(live: Live) -> None:
    configured = (
        search_plugin("demo")
        + "\n    def get_config_schema(self):\n"
        + "        from service.sdk import ConfigField as F\n"
        + "        sites = [F(name='host', type='text'), F(name='key', type='password')]\n"
        + "        return [F(name='word', type='text'), F(name='secret', type='password'),\n"
        + "                F(name='size', type='number'), F(name='sites', type='list', fields=sites)]\n"
    )
    await place(live, {"search/demo_plugin.py": configured, "search/off_plugin.py": search_plugin("off")})
    stored = {"word": "a", "secret": "s1", "sites": [{"host": "h", "key": "k1"}]}
    await live.request("PUT", "/api/plugins/search/demo/config", json=stored)
    before = (await live.get("/api/config/export")).body["config"]
    live.events.clear()

    async def plan(config: dict[str, Any]) -> Any:
        answer = await live.post("/api/config/import", {"config": config, "dry_run": True}, headers=ENGLISH)
        assert answer.status == 200, answer
        return answer.body

    assert await plan(before) == {"status": "plan", "reloaded_count": 0, "changes": []}
    new = {"word": "", "secret": "s2", "size": "7", "sites": [{"host": "h", "key": "k2"}], "_enabled": True}
    told = await plan(
        {"search:demo": new, "search:off": {"_enabled": False}, "parser:gone": {"token": "t", "n": 1}}
    )
    assert told["reloaded_count"] == 1
    shown = [{"host": "h", "key": "********"}]
    assert told["changes"] == [
        {
            "id": "search/demo",
            "present": True,
            "enabled": None,
            "fields": [
                {"field": "word", "from": "a", "to": None},
                {"field": "secret", "from": "********", "to": "********"},
                {"field": "sites", "from": shown, "to": shown},
                {"field": "size", "from": None, "to": 7},
            ],
            "errors": [],
        },
        {
            "id": "search/off",
            "present": True,
            "enabled": {"from": True, "to": False},
            "fields": [],
            "errors": [],
        },
        {
            "id": "parser/gone",
            "present": False,
            "enabled": None,
            "fields": [
                {"field": "token", "from": None, "to": "********"},
                {"field": "n", "from": None, "to": 1},
            ],
            "errors": [],
        },
    ]
    wrong = await plan({"search:demo": {**stored, "size": "many", "secret": "********"}})
    assert wrong["reloaded_count"] == 0
    assert [(one["field"], "number" in one["message"]) for one in wrong["changes"][0]["errors"]] == [
        ("size", True)
    ]
    assert [one["field"] for one in wrong["changes"][0]["fields"]] == ["size"]
    masked = await plan({"search:demo": {**stored, "secret": "********"}})
    assert masked["changes"] == []
    assert (await live.get("/api/config/export")).body["config"] == before
    await live.quiet(0.2)
    assert live.final() == []


async def test_what_is_saved_while_a_helper_is_loaded_is_not_lost(live: Live) -> None:
    both = "import time\nfrom .words import WORD\nfrom .marks import MARK"
    # The other takes longer: by then it is known of the first what it imports.
    top = search_plugin("top", imports=both, expression="WORD + MARK + self.config.get('end', '.')")
    slow = search_plugin("slow", imports=f"{both}\ntime.sleep(0.4)", expression="WORD + MARK")
    field = "\n    def get_config_schema(self):\n        from service.sdk import ConfigField as F\n"
    top += f"{field}        return [F(name='end', type='text')]\n"
    await place(
        live,
        {
            WORDS: "WORD = 'one'\n",
            "search/marks.py": "MARK = '-'\n",
            "search/top_plugin.py": top,
            "search/slow_plugin.py": slow,
        },
    )
    words, marks, config = await asyncio.gather(
        put(live, "search/top", "WORD = 'two'\n", WORDS),
        put(live, "search/top", "MARK = '+'\n", "search/marks.py"),
        live.request("PUT", "/api/plugins/search/top/config", json={"end": "!"}),
    )
    assert (words.status, marks.status, config.status) == (200, 200, 200), (words, marks, config)
    async with asyncio.timeout(10):
        while [await live.answer(name) for name in ("top", "slow")] != ["two+!", "two+"]:
            await asyncio.sleep(0.02)
