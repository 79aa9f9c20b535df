"""Installing is one transaction: a plugin that serves, or nothing at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.worker.runtime import TEMPORARY_FOLDER
from tests.integration.live import (
    Answer,
    Live,
    clear,
    live_server,
    only,
    search_plugin,
    without_passing,
    write,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
ID = "search/demo"
SLOW_START = "\n    async def start(self):\n        import asyncio\n        await asyncio.sleep({seconds})\n"


class Origin:
    """A web server with plugins.

    Attributes:
        files: content by path; a number is an answer with that status, `None` one that does not come.
    """

    def __init__(self) -> None:
        self.files: dict[str, str | bytes | int | None] = {}
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._server = TestServer(app, host="127.0.0.1")

    async def start(self) -> None:
        await self._server.start_server()

    async def stop(self) -> None:
        await self._server.close()

    def url(self, path: str) -> str:
        return str(self._server.make_url("/" + path))

    async def _answer(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["path"], 404)
        if content is None:
            await asyncio.sleep(30)
        if isinstance(content, int):
            return web.Response(status=content)
        if isinstance(content, str) and content.startswith("http"):
            raise web.HTTPFound(content)
        return web.Response(body=content)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    async with live_server(
        tmp_path_factory.mktemp("install") / "home",
        PLUGBAY_INSTALL__TIMEOUT_S="3",
        PLUGBAY_LIMITS__PLUGIN_FILE_KIB="64",
    ) as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def web_server() -> AsyncIterator[Origin]:
    origin = Origin()
    await origin.start()
    yield origin
    await origin.stop()


@pytest.fixture
def origin(web_server: Origin) -> Iterator[Origin]:
    web_server.files.clear()
    yield web_server


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> AsyncIterator[Live]:
    for plugin in (await server.listed()).values():
        await server.post(
            "/api/plugins/delete",
            {"plugin_type": plugin["type"], "plugin_name": plugin["name"], "purge": True},
        )
    await clear(server)
    yield server


def on_disk(live: Live) -> list[str]:
    """All files and folders that are a plugin's, but for logs and the folder for temporary files."""
    roots = [live.plugins, live.home / "data" / "plugins"]
    found = [
        path
        for root in roots
        for path in root.rglob("*")
        if path.parent not in (live.plugins, roots[1]) and path.name != TEMPORARY_FOLDER
    ]
    return sorted(str(path.relative_to(live.home)) for path in found)


async def upload(live: Live, name: str, text: str | bytes, **fields: Any) -> Answer:
    form = aiohttp.FormData(quote_fields=False)  # as browsers send names
    form.add_field("plugin_type", "search")
    for key, value in fields.items():
        form.add_field(key, str(value).lower() if isinstance(value, bool) else value)
    content = text.encode() if isinstance(text, str) else text
    form.add_field("file", content, filename=name, content_type="text/x-python")
    return await live.request("POST", "/api/plugins/install", data=form)


async def install(live: Live, url: str, **fields: Any) -> Answer:
    return await live.post("/api/plugins/install", {"url": url, "plugin_type": "search", **fields})


# -- that works --------------------------------------------------------------------------------------------------


async def test_an_upload(live: Live) -> None:
    answer = await upload(live, "demo_plugin.py", search_plugin())
    assert answer.status == 200, answer
    assert (answer.body["status"], answer.body["plugin_name"], answer.body["hot_loaded"]) == (
        "success",
        "demo",
        True,
    )
    plugin = answer.body["plugin"]
    assert plugin["origin"]["kind"] == "upload"
    assert plugin["origin"]["sha256"] == hashlib.sha256(search_plugin().encode()).hexdigest()
    assert await live.answer("demo") == "1"
    await only(live, f"loaded {ID}")
    assert live.events[-1].data["cause"] == "api"
    assert on_disk(live) == ["data/plugins/search/demo", "plugins/search/demo_plugin.py"]


async def test_a_url_with_requirements_beside_it(live: Live, origin: Origin) -> None:
    origin.files = {"a/demo_plugin.py": search_plugin(), "a/demo_requirements.txt": "msgspec\n"}
    url = origin.url("a/demo_plugin.py")
    answer = await install(live, url, sha256=hashlib.sha256(search_plugin().encode()).hexdigest())
    assert answer.status == 200, answer
    assert answer.body["plugin"]["origin"]["url"] == url
    assert (live.plugins / "search/demo_requirements.txt").read_text() == "msgspec\n"
    await only(live, f"loaded {ID}")
    stages = [one.data["stage"] for one in live.events if one.kind == "installing"]
    assert stages == ["fetch", "load", "install"]


async def test_requirements_named_by_the_stem_beside_the_url(live: Live, origin: Origin) -> None:
    origin.files = {"demo_plugin.py": search_plugin(), "demo_plugin_requirements.txt": "no-such-thing\n"}
    answer = await install(live, origin.url("demo_plugin.py"))
    assert (answer.status, answer.body["error"]["stage"]) == (422, "dependencies")
    assert on_disk(live) == []


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("demo_plugin.py", "demo_plugin.py"),
        ("other_plugin.py", "other_plugin.py"),
        ("whatever.py", "demo_plugin.py"),
        ("../../evil_plugin.py", None),
        ("C:\\x\\win_plugin.py", None),
        ("_plugin.py", "demo_plugin.py"),
        ("plugin_template.py", "demo_plugin.py"),
        (".hidden_plugin.py", "demo_plugin.py"),
        ("with space_plugin.py", "demo_plugin.py"),
        ("名字_plugin.py", "名字_plugin.py"),
    ],
)
async def test_file_names(live: Live, filename: str, expected: str | None) -> None:
    answer = await upload(live, filename, search_plugin())
    if expected is None:
        assert answer.status == 400
        assert on_disk(live) == []
        return
    assert answer.status == 200, answer
    assert answer.body["plugin"]["file"] == f"plugins/search/{expected}"
    await only(live, f"loaded {ID}")
    stem = expected.removesuffix("_plugin.py")
    assert on_disk(live) == [f"data/plugins/search/{stem}", f"plugins/search/{expected}"]


async def test_replace(live: Live, origin: Origin) -> None:
    await upload(live, "demo_plugin.py", search_plugin())
    live.events.clear()
    answer = await upload(live, "demo_plugin.py", search_plugin(says="2"))
    assert (answer.status, answer.body["code"]) == (409, "plugin_exists")
    answer = await upload(live, "another_plugin.py", search_plugin(says="2"))
    assert (answer.status, answer.body["code"]) == (409, "plugin_exists")
    assert await live.answer("demo") == "1"
    assert live.final() == []
    answer = await upload(live, "demo_plugin.py", search_plugin(says="2"), replace=True)
    assert (answer.status, answer.body["plugin"]["generation"]) == (200, 2)
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_replace_of_a_package(live: Live) -> None:
    write(live.plugins / "search/demo_plugin/__init__.py", search_plugin())
    await live.event("loaded", ID)
    live.events.clear()
    answer = await upload(live, "demo_plugin.py", search_plugin(says="2"), replace=True)
    assert answer.status == 200, answer
    assert on_disk(live) == ["data/plugins/search/demo", "plugins/search/demo_plugin.py"]
    await only(live, f"reloaded {ID}")
    assert list(await live.listed()) == [ID]


async def test_replace_of_one_that_runs_alone(live: Live, unused_tcp_port: int) -> None:
    def alone(says: str, then: str = "pass") -> str:
        return search_plugin(says=says, imports="import socket") + (
            "\n    exclusive = True\n\n    async def start(self):\n        self.socket = socket.socket()\n"
            f"        self.socket.bind(('127.0.0.1', {unused_tcp_port}))\n        {then}\n"
        )

    assert (await upload(live, "demo_plugin.py", alone("1"))).status == 200
    answer = await upload(live, "demo_plugin.py", alone("2"), replace=True)
    assert answer.status == 200, answer
    assert await live.answer("demo") == "2"
    answer = await upload(live, "demo_plugin.py", alone("3", "raise ValueError"), replace=True)
    assert (answer.status, answer.body["error"]["type"]) == (422, "ValueError")
    assert await live.answer("demo") == "2"
    await live.quiet()
    plugin = await live.plugin(ID)
    assert (plugin["state"], plugin["error"], plugin["origin"]["kind"]) == ("active", None, "upload")
    assert (live.plugins / "search/demo_plugin.py").read_text() == alone("2")
    assert without_passing(await live.listed()) == without_passing(live.mirror())


async def test_what_is_kept_goes_again_where_it_cannot_be_recorded(live: Live) -> None:
    kept, away = live.home / "data/revisions", live.home / "data/away"
    loads = 0

    async def on_load(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal loads
        loads += 1
        # Where it is loaded for the second time, in its place, what its record is written to is taken away.
        if loads == 2:
            kept.rename(away)
            kept.touch()
        writer.close()

    async with await asyncio.start_server(on_load, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        waiting = f"import socket\nsocket.create_connection({address!r}).recv(1)\nraise RuntimeError\n"
        try:
            answer = await upload(live, "demo_plugin.py", waiting, keep=True)
        finally:
            kept.unlink()
            away.rename(kept)
    await live.until(lambda _: not live.mirror())
    assert await live.listed() == {}
    assert on_disk(live) == []
    assert (answer.status, answer.body["code"]) == (507, "plugin_not_saved"), answer


async def test_a_plan_for_one_that_runs_alone_is_not_held_up_by_what_it_replaces(live: Live) -> None:
    start = (
        "\n    exclusive = True\n\n    async def start(self):\n        import fcntl\n"
        "        self.held = open(self.data_dir / 'held', 'w')\n"
        "        fcntl.flock(self.held, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    )
    assert (await upload(live, "demo_plugin.py", search_plugin() + start)).status == 200
    two = search_plugin(says="2") + start
    plan = (await upload(live, "demo_plugin.py", two, dry_run=True, replace=True)).body
    assert (plan["error"], plan["plugin"]["version"], plan["replaces"]) == (None, "2", ID)
    assert plan["provides"]["methods"] == ["search", "start"]
    assert (await upload(live, "demo_plugin.py", two, replace=True)).status == 200
    assert await live.answer("demo") == "2"


async def test_keep(live: Live) -> None:
    answer = await upload(live, "demo_plugin.py", "broken(", keep=True)
    assert (answer.status, answer.body["hot_loaded"]) == (200, False), answer
    assert answer.body["plugin"]["state"] == "failed"
    assert answer.body["plugin"]["error"]["line"] == 1
    await only(live, f"failed {ID}")
    live.events.clear()
    write(live.plugins / "search/demo_plugin.py", search_plugin())
    await only(live, f"loaded {ID}")


async def test_a_dry_run(live: Live, origin: Origin) -> None:
    block = '# /// script\n# dependencies = ["msgspec", "no-such-thing>=2"]\n# [tool.plugbay]\n# network = false\n'
    origin.files = {"demo_plugin.py": block + "# ///\n" + search_plugin()}
    answer = await install(live, origin.url("demo_plugin.py"), dry_run=True)
    assert (answer.status, answer.body["status"]) == (200, "plan"), answer
    assert answer.body["permissions"] == {
        "asked": {"network": False},
        "granted": {"network": True},
        "lacking": {},
    }
    assert (
        answer.body["error"]["stage"] == "dependencies" and "no-such-thing" in answer.body["error"]["message"]
    )
    assert answer.body["plugin"]["name"] == "demo"
    assert on_disk(live) == [] and live.final() == []
    answer = await upload(live, "whatever.py", search_plugin(), dry_run=True)
    assert answer.body["plugin"] == {
        "type": "search",
        "name": "demo",
        "version": "1",
        "file": "plugins/search/demo_plugin.py",
    }
    assert (answer.body["conflicts"], answer.body["replaces"], answer.body["error"]) == ([], None, None)
    assert on_disk(live) == [] and live.final() == []
    # What changes nothing is no news to others, and would have no end that could be told.
    assert [event["type"] for event in live.events if event["type"].endswith(".installing")] == []


async def test_a_dry_run_of_what_is_there(live: Live) -> None:
    await upload(live, "demo_plugin.py", search_plugin())
    live.events.clear()
    answer = await upload(live, "demo_plugin.py", search_plugin(says="2"), dry_run=True)
    assert answer.status == 200, answer
    assert answer.body["conflicts"] == [{"id": ID, "file": "plugins/search/demo_plugin.py"}]
    assert answer.body["replaces"] == ID
    answer = await upload(live, "demo_plugin.py", search_plugin(says="2"), dry_run=True, replace=True)
    assert (answer.body["conflicts"], answer.body["replaces"]) == ([], ID)
    assert await live.answer("demo") == "1"
    assert live.final() == []


async def test_grants(live: Live) -> None:
    block = '# /// script\n# [tool.plugbay]\n# network = [443]\n# read = ["/srv"]\n# ///\n'
    asked = {"network": [443], "read": ["/srv"]}
    answer = await upload(live, "demo_plugin.py", block + search_plugin())
    assert answer.body["plugin"]["permissions"] == {
        "asked": asked,
        "granted": {"network": True},
        "lacking": {key: value for key, value in asked.items() if key != "network"},
    }
    answer = await upload(live, "demo_plugin.py", block + search_plugin(), replace=True, grant=True)
    assert answer.body["plugin"]["permissions"] == {"asked": asked, "granted": asked, "lacking": {}}
    assert json.loads((live.home / "config/plugins.json").read_text()) == {"search:demo": {"_granted": asked}}


async def test_two_at_once(live: Live) -> None:
    answers = await asyncio.gather(
        *(upload(live, f"{name}_plugin.py", search_plugin(says=name)) for name in ("one", "two", "three"))
    )
    assert sorted(answer.status for answer in answers) == [200, 409, 409]
    await only(live, f"loaded {ID}")
    winner = next(answer.body["plugin"]["file"] for answer in answers if answer.status == 200)
    assert [path for path in on_disk(live) if path.startswith("plugins")] == [winner]


async def test_the_origin_is_known_after_a_restart(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with live_server(home) as live:
        first = (await upload(live, "demo_plugin.py", search_plugin())).body["plugin"]["origin"]
    async with live_server(home) as live:
        assert (await live.plugin(ID))["origin"] == first
        write(live.plugins / "search/demo_plugin.py", search_plugin(says="2"))
        await live.event("reloaded", ID)
        assert (await live.plugin(ID))["origin"]["kind"] == "file"


# -- that does not -----------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[str | bytes, str]] = {
    "syntax": ("broken(", "import"),
    "raises": ("raise ValueError", "import"),
    "exits": ("import os\nos._exit(1)", "import"),
    "no_class": ("x = 1", "contract"),
    "bytes": (b"\x80\x81", "fetch"),
    "nul": (b"x = 1\0", "fetch"),
    "start": (search_plugin() + "\n    async def start(self):\n        raise ValueError\n", "start"),
    "self_check": (
        search_plugin() + "\n    async def self_check(self):\n        return 1 / 0\n",
        "self_check",
    ),
    "dependencies": (
        '# /// script\n# dependencies = ["no-such-thing"]\n# ///\n' + search_plugin(),
        "dependencies",
    ),
    "other_type": (search_plugin().replace("SearchPlugin", "ParserPlugin"), "contract"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("filename", ["demo_plugin.py", "strange.py"])
async def test_nothing_is_left_of_what_does_not_load(live: Live, case: str, filename: str) -> None:
    text, stage = BROKEN[case]
    answer = await upload(live, filename, text)
    assert (answer.status, answer.body["error"]["stage"]) == (422, stage), answer
    assert on_disk(live) == []
    assert not list((live.home / "data" / "logs").rglob("strange*"))
    assert await live.listed() == {}
    await live.quiet(0.1)
    assert live.final() == []


async def test_a_broken_replacement_changes_nothing(live: Live) -> None:
    await upload(live, "demo_plugin.py", search_plugin())
    before = (await live.plugin(ID), on_disk(live))
    live.events.clear()
    for text, _ in BROKEN.values():
        assert (await upload(live, "demo_plugin.py", text, replace=True)).status == 422
    assert (await live.plugin(ID), on_disk(live)) == before
    assert await live.answer("demo") == "1"
    assert live.final() == []


async def test_a_wrong_hash(live: Live, origin: Origin) -> None:
    origin.files = {"demo_plugin.py": search_plugin()}
    answer = await install(live, origin.url("demo_plugin.py"), sha256="0" * 64)
    assert (answer.status, answer.body["code"]) == (422, "hash_mismatch")
    assert on_disk(live) == []


async def test_addresses_that_do_not_deliver(live: Live, origin: Origin) -> None:
    origin.files = {
        "gone": 404,
        "broken": 500,
        "hangs": None,
        "large": "#" * 70_000,
        "loop": origin.url("loop"),
    }
    for path, status in (("gone", 502), ("broken", 502), ("hangs", 504), ("large", 413), ("loop", 502)):
        answer = await install(live, origin.url(path))
        assert answer.status == status, (path, answer)
    assert (await install(live, "http://169.254.169.254/x_plugin.py")).body["code"] == "url_refused"
    assert (await install(live, "file:///etc/passwd")).status == 400
    assert on_disk(live) == [] and live.final() == []


async def test_a_file_that_is_too_large(live: Live) -> None:
    answer = await upload(live, "demo_plugin.py", "#" * 70_000)
    assert (answer.status, answer.body["code"]) == (413, "too_large")


async def test_an_install_ends_no_worker_of_nobody(live: Live) -> None:
    """A name that is taken is only found out by running it; that worker must not stay."""
    await upload(live, "demo_plugin.py", search_plugin())
    before = await workers(live)
    for _ in range(3):
        assert (await upload(live, "other_plugin.py", search_plugin())).status == 409
    async with asyncio.timeout(5):
        while await workers(live) > before:
            await asyncio.sleep(0.05)


async def workers(live: Live) -> int:
    def count() -> int:
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(stat.parent.name)] = int(fields[1])
        mine, found = {live.server.process.pid}, 0
        while more := {pid for pid, parent in parents.items() if parent in mine and pid not in mine}:
            mine |= more
            found += len(more)
        return found

    return await asyncio.to_thread(count)


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5, 0.7])
async def test_the_client_goes_in_the_middle(live: Live, seconds: float) -> None:
    """All of it is there, or nothing is: whatever the moment."""
    text = search_plugin() + SLOW_START.format(seconds=0.4)
    request = asyncio.create_task(upload(live, "demo_plugin.py", text))
    await asyncio.sleep(seconds)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await live.quiet(0.8)
    if await live.listed():
        assert live.final() == [f"loaded {ID}"]
        assert await live.answer("demo") == "1"
        assert on_disk(live) == ["data/plugins/search/demo", "plugins/search/demo_plugin.py"]
    else:
        assert (live.final(), on_disk(live)) == ([], [])


async def test_a_folder_that_cannot_be_written(live: Live) -> None:
    (live.plugins / "search").write_text("in the way")
    answer = await upload(live, "demo_plugin.py", search_plugin())
    assert (answer.status >= 500, answer.body["code"]) == (True, "plugin_not_saved"), answer
    assert await live.listed() == {}
    (live.plugins / "search").unlink()
    await live.quiet(0.2)
    assert on_disk(live) == [] and live.final() == []
    assert (await upload(live, "demo_plugin.py", search_plugin())).status == 200
