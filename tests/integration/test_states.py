"""What a plugin's state is, and what brings it there: broken files, switches, configuration, exclusive plugins."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.live import (
    Live,
    Seen,
    clear,
    live_server,
    only,
    save,
    search_plugin,
    without_passing,
    write,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
FILE = "search/demo_plugin.py"
ID = "search/demo"

# Longer than all that a test does meanwhile; nobody waits for its end.
LOADS_LONG = "import time\ntime.sleep(15)"
# Marks that it ran, so that a test can tell whether it did.
COUNTING = """\
from pathlib import Path
with (Path({folder!r}) / "ran").open("a") as file:
    file.write("{says}\\n")
"""
SCHEMA = """\
from service.sdk import ConfigField, SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "demo"
    version = "1"
    description = ""

    def get_config_schema(self):
        return [ConfigField(name="key", required=True), ConfigField(name="n", type="number", default=3)]

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=f"{self.config['key']} {self.config['n']}", url="")]
"""
# Binds a port, as a plugin does that cannot run twice.
EXCLUSIVE = """\
import asyncio, socket
from service.sdk import SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "demo"
    version = "{says}"
    description = ""
    exclusive = True

    async def start(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", {port}))
        {start}

    async def search(self, keyword, **kwargs):
        while keyword.startswith("gate") and not (self.data_dir / keyword).exists():
            await asyncio.sleep(0.02)
        return [SearchResult(title="{says}", url="")]
"""


def ran(home: Path, name: str = "demo") -> Path:
    """What a plugin that is `COUNTING` writes to."""
    return home / "data/plugins/search" / name / "ran"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    async with live_server(
        tmp_path_factory.mktemp("states") / "home",
        PLUGBAY_LIMITS__START_S="0.5",
        PLUGBAY_LIMITS__SELF_CHECK_S="0.5",
        PLUGBAY_LIMITS__DRAINING_GENERATIONS="2",
    ) as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> AsyncIterator[Live]:
    await clear(server)
    await configure(server, {})
    server.events.clear()
    yield server


async def begin(live: Live, text: str | None = None) -> Path:
    path = save(live.plugins / FILE, text or search_plugin())
    await live.until(lambda _: live.final())
    await live.quiet(0.1)
    live.events.clear()
    return path


async def held(live: Live) -> tuple[asyncio.Task[str], Path]:
    """A call that is running, and the file that ends it when it comes to be."""
    gate = live.home / "data/plugins" / ID / f"gate-{uuid4().hex}"
    before = (await live.plugin(ID))["running_calls"]
    call = asyncio.create_task(live.answer("demo", gate.name))
    async with asyncio.timeout(5):
        while (await live.plugin(ID))["running_calls"] == before:
            await asyncio.sleep(0.01)
    return call, gate


def soon(gate: Path) -> None:
    """Open it while what was just begun goes on, however far that has come."""
    asyncio.get_running_loop().call_later(0.5, gate.touch)


def exclusive(port: int, says: str = "1", start: str = "pass") -> str:
    return EXCLUSIVE.format(port=port, says=says, start=start)


async def configure(live: Live, entries: dict[str, Any]) -> None:
    """Write the configuration by hand, and see it taken in."""
    save(live.home / "config" / "plugins.json", json.dumps(entries))
    async with asyncio.timeout(10):
        while (await live.get("/api/config/export")).body["config"] != entries:
            await asyncio.sleep(0.02)


# -- broken and mended -------------------------------------------------------------------------------------------


async def test_a_broken_save_and_a_mended_one(live: Live) -> None:
    path = await begin(live)
    save(path, search_plugin(says="2") + "\n    def broken(:\n")
    await only(live, f"failed {ID}")
    plugin = await live.plugin(ID)
    error = plugin["error"]
    assert (plugin["state"], plugin["generation"], plugin["version"]) == ("degraded", 1, "1")
    assert (error["stage"], error["type"], error["file"]) == ("import", "SyntaxError", f"plugins/{FILE}")
    assert error["line"] == len(path.read_text().splitlines())
    assert await live.answer("demo") == "1"
    live.events.clear()
    save(path, search_plugin(says="3"))
    await only(live, f"reloaded {ID}")
    plugin = await live.plugin(ID)
    assert (plugin["state"], plugin["error"]) == ("active", None)
    assert await live.answer("demo") == "3"


async def test_broken_from_the_start_and_mended(live: Live) -> None:
    path = await begin(live, "broken(")
    assert (await live.plugin(ID))["state"] == "failed"
    assert (await live.search("demo")).status == 503
    save(path, search_plugin(says="2"))
    await only(live, f"loaded {ID}")


async def test_each_broken_save_is_told_of(live: Live) -> None:
    path = await begin(live)
    for number in range(3):
        save(path, f"broken({number}")
        await only(live, f"failed {ID}")
        live.events.clear()
    assert (await live.plugin(ID))["error"]["generation"] == 4


@pytest.mark.parametrize(("method", "stage"), [("start", "start"), ("self_check", "self_check")])
@pytest.mark.parametrize(
    ("body", "type"),
    [("raise OSError('no')", "OSError"), ("await asyncio.sleep(60)", ""), ("while True: pass", "")],
)
async def test_what_fails_or_hangs_before_it_serves(
    live: Live, method: str, stage: str, body: str, type: str
) -> None:
    path = await begin(live)
    text = search_plugin(says="2", imports="import asyncio")
    save(path, text + f"\n    async def {method}(self):\n        {body}\n")
    await only(live, f"failed {ID}")
    plugin = await live.plugin(ID)
    assert (plugin["state"], plugin["error"]["stage"]) == ("degraded", stage)
    if type:
        assert plugin["error"]["type"] == type
    else:
        assert "timeout" in plugin["error"]["code"]
    assert await live.answer("demo") == "1"


async def test_a_file_that_vanished_is_not_reloaded_but_gone(live: Live) -> None:
    path = await begin(live)
    path.unlink()
    answer = await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": "demo"})
    assert (answer.status, answer.body["code"]) == (404, "plugin_not_found")
    await only(live, f"unloaded {ID}")


async def test_reload_by_request(live: Live) -> None:
    await begin(live)
    answer = await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": "demo"})
    assert answer.body["results"][0] | {"ms": 0} == {
        "id": ID,
        "ok": True,
        "state": "active",
        "generation": 2,
        "ms": 0,
    }
    await only(live, f"reloaded {ID}")


async def test_reload_all(live: Live) -> None:
    for name in ("one", "two", "off"):
        write(live.plugins / f"search/{name}_plugin.py", search_plugin(name))
    write(live.plugins / "search/broken_plugin.py", "broken(")
    await live.until(lambda _: len(live.final()) == 4)
    await live.post("/api/plugins/search/off/toggle?enabled=false")
    await live.quiet()
    live.events.clear()
    answer = await live.post("/api/plugins/reload")
    assert (answer.status, answer.body["success_count"], answer.body["fail_count"]) == (200, 2, 1)
    await only(live, "failed search/broken", "reloaded search/one", "reloaded search/two")


# -- switched off and on -----------------------------------------------------------------------------------------


async def toggle(live: Live, enabled: bool) -> None:
    answer = await live.post(f"/api/plugins/{ID}/toggle?enabled={str(enabled).lower()}")
    assert (answer.status, answer.body["enabled"]) == (200, enabled), answer


async def test_off_and_on(live: Live) -> None:
    await begin(live)
    await toggle(live, False)
    assert (await live.plugin(ID))["state"] == "disabled"
    answer = await live.search("demo")
    assert (answer.status, answer.body["code"]) == (409, "plugin_disabled")
    await only(live, f"disabled {ID}")
    live.events.clear()
    await toggle(live, True)
    assert await live.answer("demo") == "1"
    await only(live, f"enabled {ID}")
    live.events.clear()
    await toggle(live, True)
    await live.quiet()
    assert live.kinds() == []


async def test_a_plugin_that_is_off_is_not_run_by_a_save(live: Live) -> None:
    path = await begin(
        live, search_plugin(imports=COUNTING.format(folder=str(ran(live.home).parent), says="1"))
    )
    ran(live.home).unlink()
    await toggle(live, False)
    await live.quiet(0.1)
    live.events.clear()
    save(path, search_plugin(says="2", imports=COUNTING.format(folder=str(ran(live.home).parent), says="2")))
    await live.quiet()
    assert not ran(live.home).exists()
    assert set(live.final()) <= {f"disabled {ID}"}  # what it is may be told, that it changed
    assert without_passing(await live.listed()) == without_passing(live.mirror() or await live.listed())
    await toggle(live, True)
    assert await live.answer("demo") == "2"


async def test_off_while_it_loads(live: Live) -> None:
    path = await begin(live)
    save(path, search_plugin(says="2", imports=LOADS_LONG))
    await live.event("loading", ID)
    await toggle(live, False)
    await only(live, f"disabled {ID}")
    assert (await live.plugin(ID))["state"] == "disabled"


async def test_off_while_it_loads_for_the_first_time(live: Live) -> None:
    save(live.plugins / FILE, search_plugin(imports=LOADS_LONG))
    await live.event("loading", ID)
    await toggle(live, False)
    await only(live, f"disabled {ID}")


async def test_on_while_it_crashes(live: Live) -> None:
    """Asking for what is so already must not keep a crashed worker from being started again."""
    path = await begin(live)
    save(path, search_plugin(says="2", imports="import os", expression="os._exit(3)"))
    await live.event("reloaded", ID)
    live.events.clear()
    assert (await live.search("demo")).body["code"] == "plugin_crashed"
    await toggle(live, True)
    await only(live, f"crashed {ID}", f"loaded {ID}")


async def test_deleted_while_it_loads(live: Live) -> None:
    path = await begin(live)
    save(path, search_plugin(says="2", imports=LOADS_LONG))
    await live.event("loading", ID)
    answer = await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo"})
    assert answer.status == 200
    assert not path.exists()
    assert (await live.search("demo")).status == 404
    await only(live, f"unloaded {ID}")


async def test_delete_takes_all_that_is_the_plugin_s(live: Live) -> None:
    path = await begin(live)
    requirements = write(live.plugins / "search/demo_requirements.txt", "msgspec\n")
    await live.event("reloaded", ID)
    await live.post(f"/api/plugins/{ID}/config", {"key": "value"})
    data = live.home / "data/plugins/search/demo"
    assert data.is_dir()
    await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo"})
    assert not path.exists() and not requirements.exists() and data.is_dir()
    assert json.loads((live.home / "config/plugins.json").read_text()) == {}
    save(path, search_plugin())
    await live.event("loaded", ID)
    await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo", "purge": True})
    async with asyncio.timeout(5):
        while data.exists():
            await asyncio.sleep(0.01)


async def test_a_deleted_plugin_leaves_no_requirements(live: Live) -> None:
    await begin(live)
    for name in ("demo", "demo_plugin", "other"):
        write(live.plugins / f"search/{name}_requirements.txt", "msgspec\n")
    write(live.plugins / "search/other_plugin.py", search_plugin("third"))
    await live.event("loaded", "search/third")
    await live.quiet()
    await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo"})
    left = sorted(path.name for path in (live.plugins / "search").iterdir())
    assert left == ["other_plugin.py", "other_requirements.txt"]


async def test_deleted_and_installed_at_once(live: Live) -> None:
    """Whichever comes last, what is on the disk is what serves."""
    names = [f"demo{number}" for number in range(5)]

    async def race(name: str) -> None:
        form = aiohttp.FormData({"plugin_type": "search", "replace": "true"})
        form.add_field("file", search_plugin(name, "installed").encode(), filename=f"{name}_plugin.py")
        await asyncio.gather(
            live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": name}),
            live.request("POST", "/api/plugins/install", data=form),
        )

    def known(version: str, _: Sequence[Seen]) -> bool:
        plugins = live.mirror()
        return all((plugins.get(f"search/{name}") or {}).get("version") == version for name in names)

    for number in range(3):
        for name in names:
            save(live.plugins / f"search/{name}_plugin.py", search_plugin(name, str(number)))
        await live.until(partial(known, str(number)))
        await asyncio.gather(*map(race, names))
        await live.quiet()
        there = {name for name in names if (live.plugins / f"search/{name}_plugin.py").exists()}
        assert {f"search/{name}" for name in there} == set(await live.listed()) == set(live.mirror())
        assert [await live.answer(name) for name in there] == ["installed"] * len(there)


async def test_deleting_a_package_loads_nothing(live: Live) -> None:
    for number in range(40):
        write(live.plugins / f"search/demo_plugin/a{number}.py", "")
    package = live.plugins / "search/demo_plugin"
    write(package / "deep/words.py", "WORD = 'one'\n")
    write(package / "__init__.py", search_plugin(imports="from .deep.words import WORD"))
    await live.until(lambda _: live.final())
    await live.quiet()
    live.events.clear()
    answer = await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo"})
    assert answer.status == 200 and not package.exists()
    await only(live, f"unloaded {ID}")
    assert "loading search/demo" not in live.kinds()


async def test_off_across_a_restart_is_known_without_running(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = home / "plugins" / "search" / "other_plugin.py"
    async with live_server(home) as live:
        write(
            path,
            search_plugin("demo", imports=COUNTING.format(folder=str(ran(home, "other").parent), says="1")),
        )
        await live.event("loaded", ID)
        await toggle(live, False)
        before = await live.plugin(ID)
    ran(home, "other").unlink()
    async with live_server(home) as live:
        assert not ran(home, "other").exists()
        plugin = await live.plugin(ID)
        assert (plugin["state"], plugin["version"], plugin["file"]) == (
            "disabled",
            "1",
            "plugins/search/other_plugin.py",
        )
        assert plugin["origin"] == before["origin"]
        assert live.final() == [f"disabled {ID}"]
        await toggle(live, True)
        assert await live.answer("demo") == "1"


# -- configuration -----------------------------------------------------------------------------------------------


async def test_required_configuration_fails_calls_and_not_the_load(live: Live) -> None:
    await begin(live, SCHEMA)
    plugin = await live.plugin(ID)
    assert (plugin["state"], plugin["config_missing"]) == ("active", ["key"])
    answer = await live.search("demo")
    assert answer.body["code"] == "config_missing" and answer.status >= 400
    assert (await live.post(f"/api/plugins/{ID}/config", {"key": "k"})).status == 200
    await only(live, f"configured {ID}")
    assert (await live.plugin(ID))["config_missing"] == []
    assert await live.answer("demo") == "k 3"


async def test_configuration_edited_by_hand(live: Live) -> None:
    await begin(live, SCHEMA)
    await configure(live, {"search:demo": {"key": "a"}})
    await only(live, f"configured {ID}")
    assert await live.answer("demo") == "a 3"
    live.events.clear()
    await configure(live, {"search:demo": {"key": "a", "_enabled": False}})
    await only(live, f"disabled {ID}")
    live.events.clear()
    await configure(live, {"search:demo": {"key": "b", "_enabled": False}})
    await live.quiet()
    assert set(live.final()) <= {f"configured {ID}"}
    live.events.clear()
    await configure(live, {"search:demo": {"key": "b"}})
    await only(live, f"enabled {ID}")
    assert await live.answer("demo") == "b 3"


async def test_a_configuration_without_any_value_is_none(live: Live) -> None:
    await begin(live, SCHEMA)
    answer = await live.post(f"/api/plugins/{ID}/config", {})
    assert (answer.status, answer.body["change"]) == (200, None)
    await live.quiet()
    assert live.final() == []


async def test_a_corrupt_configuration_changes_nothing(live: Live) -> None:
    await begin(live, SCHEMA)
    await configure(live, {"search:demo": {"key": "a"}})
    await only(live, f"configured {ID}")
    live.events.clear()
    save(live.home / "config/plugins.json", '{"search:demo": ')
    await live.quiet()
    assert live.kinds() == []
    assert await live.answer("demo") == "a 3"
    assert (live.home / "config/plugins.json").read_text() == '{"search:demo": '


async def test_configuration_mends_a_plugin_that_failed(live: Live) -> None:
    text = SCHEMA + "\n    async def self_check(self):\n        assert self.config['key'] != 'bad'\n"
    await configure(live, {"search:demo": {"key": "bad"}})
    path = await begin(live, text)
    assert (await live.plugin(ID))["state"] == "failed"
    await configure(live, {"search:demo": {"key": "good"}})
    await only(live, f"configured {ID}")
    live.events.clear()
    await configure(live, {"search:demo": {"key": "bad"}})
    await only(live, f"failed {ID}")
    assert (await live.plugin(ID))["state"] == "degraded"
    assert await live.answer("demo") == "good 3"
    assert path.exists()


async def test_what_is_missing_of_a_plugin_that_is_off(live: Live) -> None:
    await begin(live, SCHEMA)
    await toggle(live, False)
    await live.event("disabled", ID)
    for values, lacks in (({"key": "k"}, []), ({}, ["key"])):
        live.events.clear()
        await live.post(f"/api/plugins/{ID}/config", values)
        await only(live, f"configured {ID}")
        assert (await live.plugin(ID))["config_missing"] == lacks
    live.events.clear()
    await configure(live, {"search:demo": {"key": "k", "_enabled": False}})
    await only(live, f"configured {ID}")
    assert (await live.plugin(ID))["config_missing"] == []


async def test_an_import_fits_the_schemas_or_changes_nothing(live: Live) -> None:
    await begin(live, SCHEMA)
    wrong = {"search:demo": {"key": 5, "n": "many"}, "search:absent": {"any": "thing"}, "search:other": []}
    answer = await live.post("/api/config/import", {"config": {**wrong, "search:other": {"_enabled": "no"}}})
    assert (answer.status, answer.body["code"]) == (422, "config_invalid")
    fields = {one["field"] for one in answer.body["errors"]}
    assert fields == {"search:demo.key", "search:demo.n", "search:other"}
    assert (await live.get("/api/config/export")).body["config"] == {}
    fitting = {"search:demo": {"key": "k", "n": "7", "old": 1}, "search:absent": {"any": "thing"}}
    answer = await live.post("/api/config/import", {"config": fitting})
    assert (answer.status, answer.body["reloaded_count"]) == (200, 1)
    stored = (await live.get("/api/config/export")).body["config"]
    assert stored == {"search:demo": {"key": "k", "n": 7, "old": 1}, "search:absent": {"any": "thing"}}
    assert await live.answer("demo") == "k 7"


async def test_values_of_another_type_are_another_configuration(live: Live) -> None:
    """Python holds 1 and True for equal; a plugin need not."""
    await begin(live, SCHEMA)
    for number, value in enumerate((1, True, 1.0, [1], [True])):
        live.events.clear()
        await live.post(f"/api/plugins/{ID}/config", {"key": "k", "more": value})
        await only(live, f"configured {ID}")
        assert (await live.plugin(ID))["generation"] == number + 2


async def test_the_configuration_of_the_name_and_not_of_the_file(live: Live) -> None:
    await configure(live, {"search:demo": {"key": "right"}, "search:other": {"key": "wrong"}})
    write(live.plugins / "search/other_plugin.py", SCHEMA)
    await only(live, f"loaded {ID}")
    assert await live.answer("demo") == "right 3"


async def test_grants_are_told(live: Live) -> None:
    block = '# /// script\n# [tool.plugbay]\n# network = [443]\n# read = ["/srv"]\n# ///\n'
    await begin(live, block + search_plugin())
    permissions = (await live.plugin(ID))["permissions"]
    assert permissions == {
        "asked": {"network": [443], "read": ["/srv"]},
        "granted": {"network": True},
        "lacking": {"read": ["/srv"]},
    }
    await configure(live, {"search:demo": {"_granted": {"network": [443]}}})
    await only(live, f"configured {ID}")
    assert (await live.plugin(ID))["permissions"]["granted"] == {"network": [443]}
    live.events.clear()
    await configure(live, {"search:demo": {}})
    await only(live, f"configured {ID}")
    assert (await live.plugin(ID))["permissions"]["granted"] == {"network": True}


# -- exclusive plugins -------------------------------------------------------------------------------------------


async def test_an_exclusive_plugin_changes_over(live: Live, unused_tcp_port: int) -> None:
    path = await begin(live, exclusive(unused_tcp_port))
    slow, gate = await held(live)
    save(path, exclusive(unused_tcp_port, "2"))
    await live.event("loading", ID)
    waiting = asyncio.create_task(live.answer("demo"))
    soon(gate)
    assert await slow == "1"
    assert await waiting == "2"
    await only(live, f"reloaded {ID}")


async def test_an_exclusive_plugin_comes_back(live: Live, unused_tcp_port: int) -> None:
    path = await begin(live, exclusive(unused_tcp_port))
    save(path, exclusive(unused_tcp_port, "2", start="raise ValueError"))
    await only(live, f"failed {ID}")
    plugin = await live.plugin(ID)
    assert (plugin["state"], plugin["error"]["stage"]) == ("degraded", "start")
    assert await live.answer("demo") == "1"
    live.events.clear()
    save(path, exclusive(unused_tcp_port, "3"))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "3"


async def test_an_exclusive_plugin_off_and_on_during_a_call(live: Live, unused_tcp_port: int) -> None:
    await begin(live, exclusive(unused_tcp_port))
    slow, gate = await held(live)
    await toggle(live, False)
    soon(gate)
    await toggle(live, True)
    assert await slow == "1"
    assert await live.answer("demo") == "1"
    await only(live, f"disabled {ID}", f"enabled {ID}")


async def test_an_exclusive_plugin_in_conflict_comes_back(live: Live, unused_tcp_port: int) -> None:
    path = await begin(live, exclusive(unused_tcp_port))
    write(live.plugins / "search/other_plugin.py", search_plugin("other"))
    await live.event("loaded", "search/other")
    live.events.clear()
    save(path, exclusive(unused_tcp_port, "2").replace('name = "demo"', 'name = "other"'))
    await only(live, f"failed {ID}")
    assert (await live.plugin(ID))["error"]["code"] == "conflict"
    assert await live.answer("demo") == "1"


@pytest.mark.parametrize("says", ["1", "2"], ids=["unchanged", "changed"])
async def test_a_renamed_exclusive_plugin(live: Live, unused_tcp_port: int, says: str) -> None:
    path = await begin(live, exclusive(unused_tcp_port))
    if says != "1":
        path.rename(path.with_suffix(".old"))
    else:
        path.rename(path.with_name("new_plugin.py"))
    save(path.with_name("new_plugin.py"), exclusive(unused_tcp_port, says))
    await only(live, f"reloaded {ID}")
    assert (await live.plugin(ID))["file"] == "plugins/search/new_plugin.py"
    assert await live.answer("demo") == says
    assert list(await live.listed()) == [ID]


async def test_an_exclusive_plugin_renamed_during_a_call(live: Live, unused_tcp_port: int) -> None:
    """The call ends in its own generation, new ones wait for the new one, and none fails."""
    path = await begin(live, exclusive(unused_tcp_port))
    slow, gate = await held(live)
    path.rename(path.with_name("new_plugin.py"))
    soon(gate)
    answers = []
    while not live.final():
        answers.append(await live.answer("demo"))
    assert set(answers) == {"1"}
    assert await slow == "1"
    await only(live, f"reloaded {ID}")


async def test_an_exclusive_plugin_that_goes_while_another_is_new(live: Live, unused_tcp_port: int) -> None:
    path = await begin(live, exclusive(unused_tcp_port))
    path.unlink()
    other = exclusive(unused_tcp_port, "2").replace('name = "demo"', 'name = "other"')
    save(path.with_name("other_plugin.py"), other)
    await only(live, f"unloaded {ID}", "loaded search/other")
    assert await live.answer("other") == "2"


async def test_one_that_comes_while_an_exclusive_plugin_ends(live: Live, unused_tcp_port: int) -> None:
    """It wants the same port, which is free only when the last call of the one that was deleted is over."""
    await begin(live, exclusive(unused_tcp_port))
    slow, gate = await held(live)
    await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo"})
    other = exclusive(unused_tcp_port, "2").replace('name = "demo"', 'name = "other"')
    save(live.plugins / "search/other_plugin.py", other)
    soon(gate)
    await only(live, f"unloaded {ID}", "loaded search/other")
    assert await slow == "1"
    assert await live.answer("other") == "2"


async def test_an_exclusive_plugin_renamed_into_one_that_is_broken(live: Live, unused_tcp_port: int) -> None:
    path = await begin(live, exclusive(unused_tcp_port))
    path.unlink()
    save(path.with_name("new_plugin.py"), exclusive(unused_tcp_port, "2", start="raise ValueError"))
    await only(live, f"unloaded {ID}", "failed search/new")


# -- drains ------------------------------------------------------------------------------------------------------


GATED = (
    search_plugin(says="{says}", imports="import asyncio", expression="await self.held(keyword)")
    + """
    async def held(self, keyword):
        while keyword.startswith("gate") and not (self.data_dir / keyword).exists():
            await asyncio.sleep(0.02)
        return "{says}"
"""
)


async def told_to_wait(live: Live) -> list[str]:
    """The levels of what the plugin's log says of waiting for drains."""
    lines = (await live.get(f"/api/plugins/{ID}/logs?lines=1000")).body["lines"]
    return [one["level"] for one in lines if "limits.draining_generations" in one["message"]]


async def test_too_many_draining_generations(live: Live) -> None:
    """The limit is two here: the third save waits until one is gone."""
    path = await begin(live, GATED.format(says="1"))
    before = len(await told_to_wait(live))
    calls = []
    for says in ("2", "3"):
        calls.append(await held(live))
        live.events.clear()
        save(path, GATED.format(says=says))
        await live.event("reloaded", ID)
    live.events.clear()
    save(path, GATED.format(says="4"))
    await live.quiet(0.3)
    assert live.final() == []
    assert len((await live.plugin(ID))["draining"]) == 2
    async with asyncio.timeout(5):
        while len(told := await told_to_wait(live)) == before:
            await asyncio.sleep(0.02)
    assert told[before:] == ["warning"]
    save(path, GATED.format(says="5"))
    await live.quiet(0.3)  # so that it is seen before one may go on
    for _, gate in calls:
        gate.touch()
    assert [await call for call, _ in calls] == ["1", "2"]
    await live.event("reloaded", ID)
    assert await live.answer("demo") == "5"
    assert live.final() == [f"reloaded {ID}"]


async def test_deleted_while_it_waits_for_drains(live: Live) -> None:
    path = await begin(live, GATED.format(says="1"))
    calls = []
    for says in ("2", "3"):
        calls.append(await held(live))
        live.events.clear()
        save(path, GATED.format(says=says))
        await live.event("reloaded", ID)
    save(path, GATED.format(says="4"))
    await live.quiet(0.2)
    answer = await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo"})
    assert (answer.status, answer.body["running_calls"]) == (200, 2)
    assert not any(call.done() for call, _ in calls)
    for _, gate in calls:
        gate.touch()
    assert [await call for call, _ in calls] == ["1", "2"]


# -- what clients know -------------------------------------------------------------------------------------------


async def test_events_replayed_end_with_the_server_s_view(live: Live) -> None:
    """Every kind of change, then one who has only the events knows what the server answers."""
    write(live.plugins / "search/broken_plugin.py", "broken(")
    write(live.plugins / "search/twice_plugin.py", search_plugin("demo"))
    write(live.plugins / "parser/p_plugin.py", "import nothing")
    path = save(live.plugins / FILE, SCHEMA)
    await live.quiet()
    await live.post(f"/api/plugins/{ID}/config", {"key": "k"})
    save(path, SCHEMA + "\nbroken(")
    await live.quiet()
    await live.post("/api/plugins/reload")
    await live.post("/api/plugins/search/broken/toggle?enabled=false")
    save(live.plugins / "search/broken_plugin.py", search_plugin("mended"))
    await live.post("/api/plugins/search/broken/toggle?enabled=true")
    path.rename(path.with_name("renamed_plugin.py"))
    save(live.plugins / "search/off_plugin.py", search_plugin("off"))
    await live.event("loaded", "search/off")
    await live.post("/api/plugins/search/off/config", {"more": 1})
    await live.post("/api/plugins/search/off/toggle?enabled=false")
    await live.post("/api/plugins/search/off/config", {"more": 2})
    await live.quiet()
    listed, known = without_passing(await live.listed()), without_passing(live.mirror())
    assert listed.keys() == known.keys()
    for id in listed:
        assert listed[id] == known[id], id
    shutil.rmtree(live.plugins / "parser")


async def test_a_bundled_plugin_is_known_for_one(tmp_path: Path) -> None:
    home, bundled = tmp_path / "home", Path(__file__).parents[2] / "plugins"
    for name in ("shared", "parser/page_plugin"):
        shutil.copytree(bundled / name, home / "plugins" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(bundled / "parser/torrent_plugin.py", home / "plugins/parser/torrent_plugin.py")
    async with live_server(home) as live:
        listed = await live.listed()
        assert {id: one["origin"]["kind"] for id, one in listed.items()} == {
            "parser/page": "bundled",
            "parser/torrent": "bundled",
        }
        for id, name in (("parser/page", "page_plugin/__init__.py"), ("parser/torrent", "torrent_plugin.py")):
            file = home / "plugins/parser" / name
            write(file, file.read_text() + "\n# mine\n")
            await live.event("reloaded", id)
            assert (await live.plugin(id))["origin"]["kind"] == "file"


async def test_a_reload_of_all_takes_along_what_has_just_come(live: Live) -> None:
    for number in range(6):
        name, is_sound = f"late{number}", number % 2 == 0
        save(live.plugins / f"search/{name}_plugin.py", search_plugin(name) if is_sound else "x = (")
        answer = await live.post("/api/plugins/reload")
        found = {one["id"]: one["ok"] for one in answer.body["results"]}
        assert found.get(f"search/{name}") is is_sound, answer
    assert (answer.body["success_count"], answer.body["fail_count"]) == (3, 3)
    await live.quiet()
    assert without_passing(await live.listed()) == without_passing(live.mirror())
