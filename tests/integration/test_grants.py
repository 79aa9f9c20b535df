"""What a plugin asks for and was granted: declared in its file, given at its install, kept to by its process."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.attempts import asking, attempt, plugin, put
from tests.integration.live import Answer, Live, live_server, save, write

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    async with live_server(tmp_path_factory.mktemp("grants")) as live:
        yield live


@pytest.fixture
def films(live: Live) -> Path:
    """A folder that is no plugin's."""
    folder = live.home / "films"
    write(folder / "night", "a film")
    return folder


async def install(live: Live, name: str, text: str, **fields: str) -> Answer:
    form = aiohttp.FormData()
    for key, value in {"plugin_type": "search", **fields}.items():
        form.add_field(key, value)
    form.add_field("file", text.encode(), filename=f"{name}_plugin.py", content_type="text/x-python")
    return await live.request("POST", "/api/plugins/install", data=form)


async def test_what_is_asked_for_is_granted_at_the_install_only(live: Live, films: Path) -> None:
    text = plugin("reader", head=asking(read=[str(films)]))
    wanted = {"read": [str(films)]}
    plan = await install(live, "reader", text, dry_run="true")
    assert plan.body["permissions"]["lacking"] == wanted
    for fields, lacking, came in (
        ({}, wanted, "EACCES"),
        ({"replace": "true", "grant": "true"}, {}, "a film"),
    ):
        installed = await install(live, "reader", text, **fields)
        assert installed.status == 200, installed
        assert installed.body["plugin"]["permissions"]["lacking"] == lacking
        assert await attempt(live, "reader", "reads(films + '/night')", films=str(films)) == came
    assert await attempt(live, "reader", "writes(films + '/night')", films=str(films)) == "EACCES"


async def test_a_newer_version_runs_with_what_was_granted_before(live: Live, films: Path) -> None:
    head = asking(network=False, read=[str(films)])
    assert (await install(live, "growing", plugin("growing", head=head), grant="true")).status == 200
    more = asking(network=True, read=[str(films)], write=[str(films)])
    after = len(live.events)
    save(live.plugins / "search/growing_plugin.py", plugin("growing", head=more))
    reloaded = await live.event("reloaded", "search/growing", after=after)
    assert reloaded.plugin["permissions"] == {
        "asked": {"network": True, "read": [str(films)], "write": [str(films)]},
        "granted": {"network": False, "read": [str(films)]},
        "lacking": {"network": True, "write": [str(films)]},
    }
    logged = (await live.get("/api/plugins/search/growing/logs?lines=50")).body["lines"]
    assert [one for one in logged if one["level"] == "warning" and "not granted" in one["message"]]
    assert await attempt(live, "growing", "socket.socket()") == "EPERM"
    assert await attempt(live, "growing", "writes(films + '/night')", films=str(films)) == "EACCES"
    assert await attempt(live, "growing", "reads(films + '/night')", films=str(films)) == "a film"


async def test_a_grant_that_is_written_by_hand_counts_at_once(live: Live, films: Path) -> None:
    put(live.home, "byhand", plugin("byhand", head=asking(write=["films"])))
    await live.event("loaded", "search/byhand")
    attempted = "writes(films + '/new')"
    assert await attempt(live, "byhand", attempted, films=str(films)) == "EACCES"
    path = live.home / "config/plugins.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    after = len(live.events)
    save(path, json.dumps({**config, "search:byhand": {"_granted": {"network": True, "write": ["films"]}}}))
    await live.event("configured", "search/byhand", after=after)
    assert await attempt(live, "byhand", attempted, films=str(films)) == "1"


async def test_a_bundled_plugin_has_the_folders_that_its_configuration_names(live: Live, films: Path) -> None:
    root = Path(__file__).parents[2] / "plugins"
    if not (live.plugins / "shared").exists():
        shutil.copytree(root / "shared", live.plugins / "shared")
    shutil.copytree(root / "search/library_plugin", live.plugins / "search/library_plugin")
    loaded = await live.event("loaded", "search/library")
    assert loaded.plugin["permissions"]["lacking"] == {}
    configured = await live.post("/api/plugins/search/library/config", {"folders": [{"path": str(films)}]})
    assert configured.status == 200, configured
    assert await live.answer("library", "night") == "night"
