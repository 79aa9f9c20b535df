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


async def grant(live: Live, name: str, wish: object) -> Answer:
    return await live.post(f"/api/plugins/search/{name}/grant", {"grant": wish})


async def test_what_is_granted_later_counts_at_once_and_can_be_undone(live: Live, films: Path) -> None:
    folder = str(films)
    text = plugin("later", head=asking(network=[80, 443], read=[folder, "other"]))
    assert (await install(live, "later", text)).status == 200
    read = "reads(films + '/night')"
    assert await attempt(live, "later", read, films=folder) == "EACCES"
    after = len(live.events)
    part = await grant(live, "later", {"network": [443], "read": [folder]})
    assert part.status == 200, part
    configured = await live.event("configured", "search/later", after=after)
    assert configured.plugin["permissions"] == part.body["plugin"]["permissions"]
    assert part.body["plugin"]["permissions"] == {
        "asked": {"network": [80, 443], "read": [folder, "other"]},
        "granted": {"network": [443], "read": [folder]},
        "lacking": {"network": [80, 443], "read": ["other"]},
    }
    assert await attempt(live, "later", read, films=folder) == "a film"
    again = await grant(live, "later", {"network": [443], "read": [folder]})
    assert (again.status, again.body["change"]) == (200, None)
    whole = await grant(live, "later", True)
    assert whole.body["plugin"]["permissions"]["lacking"] == {}
    undone = await live.post(f"/api/changes/{whole.body['change']}/undo")
    assert undone.status == 200, undone
    assert undone.body["plugin"]["permissions"]["lacking"]["read"] == ["other"]
    back = await grant(live, "later", False)
    assert back.body["plugin"]["permissions"]["granted"] == {"network": True}
    assert await attempt(live, "later", read, films=folder) == "EACCES"
    stored = json.loads((live.home / "config/plugins.json").read_text())
    assert "search:later" not in stored
    changes = (await live.get("/api/changes?plugin=search/later")).body["changes"]
    assert [one["kind"] for one in changes] == ["grant", "undo", "grant", "grant", "install"]


@pytest.mark.parametrize(
    ("wish", "status", "field"),
    [
        ({"read": ["/etc"]}, 422, "grant.read"),
        ({"write": ["mine"]}, 422, "grant.write"),
        ({"network": [22]}, 422, "grant.network"),
        ({"network": [0]}, 400, "grant.network"),
        ({"networks": True}, 400, "networks"),
        ("all", 400, "grant"),
        (None, 400, "grant"),
    ],
)
async def test_nothing_is_granted_that_was_not_asked_for(
    live: Live, wish: object, status: int, field: str
) -> None:
    put(live.home, "modest", plugin("modest", head=asking(network=[80], read=["mine"])))
    await live.event("loaded", "search/modest")
    refused = await grant(live, "modest", wish)
    assert refused.status == status, refused
    told = refused.body["errors"][0]["field"] if status == 422 else refused.body["field"]
    assert field in told
    assert (await live.get("/api/plugins/search/modest")).body["permissions"]["granted"] == {"network": True}


async def test_what_does_not_load_without_it_or_is_off_can_be_granted_it(live: Live, films: Path) -> None:
    head = asking(read=[str(films)])
    put(live.home, "needy", plugin("needy", head=head, more=f"seen = reads({str(films / 'night')!r})"))
    failed = await live.event("failed", "search/needy")
    assert failed.plugin["permissions"]["lacking"] == {"read": [str(films)]}
    granted = await grant(live, "needy", True)
    assert (granted.status, granted.body["plugin"]["state"]) == (200, "active"), granted
    put(live.home, "sleepy", plugin("sleepy", head=head))
    await live.event("loaded", "search/sleepy")
    await live.post("/api/plugins/search/sleepy/toggle?enabled=false")
    granted = await grant(live, "sleepy", True)
    assert granted.body["plugin"]["permissions"]["granted"] == {"network": True, "read": [str(films)]}
    assert granted.body["plugin"]["state"] == "disabled"
    await live.post("/api/plugins/search/sleepy/toggle?enabled=true")
    assert await attempt(live, "sleepy", "reads(films + '/night')", films=str(films)) == "a film"
