"""What is noticed at once, though it is hard to see: beyond links, past a full queue, without watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.live import Live, clear, live_server, only, save, search_plugin, write

pytestmark = pytest.mark.asyncio(loop_scope="module")
ID = "search/demo"
# Far below the minute after which a scan would find everything.
SOON_S = 10.0
INOTIFY = Path("/proc/sys/fs/inotify")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    async with live_server(tmp_path_factory.mktemp("watching") / "home") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> AsyncIterator[Live]:
    """The module's server, with no plugin and no event so far."""
    await clear(server)
    yield server


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder outside of home."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


# -- links -------------------------------------------------------------------------------------------------------


async def test_a_helper_in_a_linked_folder(live: Live, elsewhere: Path) -> None:
    write(elsewhere / "words.py", "WORD = 'one'\n")
    (live.plugins / "search").mkdir()
    (live.plugins / "search/shared").symlink_to(elsewhere)
    write(
        live.plugins / "search/demo_plugin.py",
        search_plugin(imports="from plugins.search.shared.words import WORD", expression="WORD"),
    )
    await only(live, f"loaded {ID}")
    for word in ("two", "three"):
        live.events.clear()
        save(elsewhere / "words.py", f"WORD = '{word}'\n")
        await live.event("reloaded", ID, timeout=SOON_S)
        assert await live.answer("demo") == word
    live.events.clear()
    (elsewhere / "words.py").write_text("WORD = 'four'\n")
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "four"


async def test_a_linked_package(live: Live, elsewhere: Path) -> None:
    write(elsewhere / "__init__.py", search_plugin(imports="from .deep.words import WORD", expression="WORD"))
    write(elsewhere / "deep/words.py", "WORD = 'one'\n")
    (live.plugins / "search").mkdir()
    (live.plugins / "search/demo_plugin").symlink_to(elsewhere)
    await only(live, f"loaded {ID}")
    live.events.clear()
    save(elsewhere / "deep/words.py", "WORD = 'two'\n")
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "two"
    live.events.clear()
    write(elsewhere / "later/__init__.py", "")
    write(elsewhere / "later/words.py", "WORD = 'three'\n")
    await live.quiet()
    save(elsewhere / "__init__.py", search_plugin(imports="from .later.words import WORD", expression="WORD"))
    await live.until(lambda _: live.final())
    await live.quiet()
    live.events.clear()
    save(elsewhere / "later/words.py", "WORD = 'four'\n")
    await live.event("reloaded", ID, timeout=SOON_S)
    assert await live.answer("demo") == "four"
    live.events.clear()
    shutil.rmtree(elsewhere)
    await live.event("unloaded", ID, timeout=SOON_S)


async def test_a_linked_file(live: Live, elsewhere: Path) -> None:
    target = write(elsewhere / "mine.py", search_plugin())
    (live.plugins / "search").mkdir()
    (live.plugins / "search/demo_plugin.py").symlink_to(target)
    await only(live, f"loaded {ID}")
    live.events.clear()
    save(target, search_plugin(says="2"))
    await only(live, f"reloaded {ID}")
    live.events.clear()
    target.write_text(search_plugin(says="3"))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "3"
    live.events.clear()
    target.unlink()
    await live.event("failed", ID, timeout=SOON_S)
    assert (await live.plugin(ID))["error"]["code"] == "file_dangling_link"
    write(target, search_plugin(says="4"))
    await live.event("reloaded", ID, timeout=SOON_S)
    assert await live.answer("demo") == "4"


async def test_a_link_that_comes_to_lead_elsewhere(live: Live, elsewhere: Path) -> None:
    """In two steps, as deployments do: the link in the plugin folder stays, the one that it leads to changes."""
    for says in ("1", "2"):
        write(elsewhere / f"v{says}/demo_plugin.py", search_plugin(says=says))
    (elsewhere / "current").symlink_to("v1")
    (live.plugins / "search").symlink_to(elsewhere / "current")
    await only(live, f"loaded {ID}")
    live.events.clear()
    (elsewhere / "new").symlink_to("v2")
    (elsewhere / "new").rename(elsewhere / "current")
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"
    live.events.clear()
    save(elsewhere / "v2/demo_plugin.py", search_plugin(says="3"))
    await only(live, f"reloaded {ID}")
    live.events.clear()
    save(elsewhere / "v1/demo_plugin.py", search_plugin(says="4"))
    await live.quiet()
    assert live.kinds() == []


async def test_links_that_lead_in_circles(live: Live, elsewhere: Path) -> None:
    write(live.plugins / "search/demo_plugin.py", search_plugin())
    for number in range(8):
        write(elsewhere / f"d{number}/words.py", "")
        for other in range(8):
            (elsewhere / f"d{number}/to{other}").symlink_to(elsewhere / f"d{other}")
    (live.plugins / "search/around").symlink_to(live.plugins)
    (live.plugins / "search/home").symlink_to(live.home)
    (live.plugins / "search/many").symlink_to(elsewhere)
    (live.plugins / "search/self").symlink_to("self")
    await only(live, f"loaded {ID}")
    live.events.clear()
    save(live.plugins / "search/demo_plugin.py", search_plugin(says="2"))
    await only(live, f"reloaded {ID}")
    assert (await live.get("/readyz")).body["parts"]["watcher"]["ok"]


async def test_a_helper_by_two_paths(live: Live) -> None:
    """A link within the plugin folder: what changes behind it has changed by both names."""
    write(live.plugins / "shared/words.py", "WORD = 'one'\n")
    (live.plugins / "search").mkdir()
    (live.plugins / "search/alias").symlink_to("../shared")
    write(
        live.plugins / "search/demo_plugin.py",
        search_plugin(imports="from plugins.search.alias.words import WORD", expression="WORD"),
    )
    await only(live, f"loaded {ID}")
    live.events.clear()
    save(live.plugins / "shared/words.py", "WORD = 'two'\n")
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "two"


# -- limits of inotify -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def lowered(name: str, value: int) -> Iterator[None]:
    """Lower a limit of the kernel for a while."""
    setting = INOTIFY / name
    before = setting.read_text()
    try:
        setting.write_text(str(value))
    except OSError:
        pytest.skip(f"fs.inotify.{name} can only be lowered by root")
    try:
        yield
    finally:
        setting.write_text(before)


def watches(pid: int) -> int:
    """How many inotify watches a process has."""
    found = 0
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found += sum(line.startswith("inotify") for line in info.read_text().splitlines())
    return found


async def watcher(live: Live, ok: bool) -> str:
    """Wait until the watcher is well, or not; what it says."""
    async with asyncio.timeout(SOON_S):
        while (part := (await live.get("/readyz")).body["parts"]["watcher"])["ok"] is not ok:
            await asyncio.sleep(0.02)
    message: str = part["message"]
    return message


@pytest.mark.alone
async def test_a_queue_that_overflows(tmp_path: Path) -> None:
    """The server stands still while more happens than the queue holds; then the last state serves, at once."""
    home = tmp_path / "home"
    write(home / "plugins/search/demo_plugin.py", search_plugin(says="0"))
    write(home / "plugins/search/gone_plugin.py", search_plugin("gone"))
    with lowered("max_queued_events", 16):
        async with live_server(home) as live:
            live.events.clear()
            live.server.process.send_signal(signal.SIGSTOP)
            for number in range(100):
                save(live.plugins / "search/noise.txt", str(number))
                write(live.plugins / f"search/noise{number}.txt", "")
            save(live.plugins / "search/demo_plugin.py", search_plugin(says="last"))
            os.unlink(live.plugins / "search/gone_plugin.py")
            write(live.plugins / "search/folder/words.py", "WORD = 'one'\n")
            write(
                live.plugins / "search/new_plugin.py",
                search_plugin(
                    "new", imports="from plugins.search.folder.words import WORD", expression="WORD"
                ),
            )
            write(home / "config/plugins.json", '{"search:demo": {"key": 1}}')
            live.server.process.send_signal(signal.SIGCONT)
            await live.event("loaded", "search/new", timeout=SOON_S)
            await live.event("unloaded", "search/gone", timeout=SOON_S)
            await live.until(lambda _: (live.mirror().get(ID) or {}).get("version") == "last", timeout=SOON_S)
            assert await live.answer("demo") == "last"
            assert "watch.events_lost" in live.server.printed
            async with asyncio.timeout(SOON_S):
                while (await live.get("/api/config/export")).body["config"] != {"search:demo": {"key": 1}}:
                    await asyncio.sleep(0.02)
            await live.quiet()
            live.events.clear()
            # All is watched again, the folder that came meanwhile too.
            save(live.plugins / "search/folder/words.py", "WORD = 'two'\n")
            await live.event("reloaded", "search/new", timeout=SOON_S)
            assert await live.answer("new") == "two"


@pytest.mark.alone
async def test_no_watches_from_the_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with lowered("max_user_watches", 1):
        async with live_server(home) as live:
            assert "max_user_watches" in await watcher(live, ok=False)
            write(live.plugins / "search/demo_plugin.py", search_plugin())
            await live.event("loaded", ID, timeout=SOON_S)
            save(live.plugins / "search/demo_plugin.py", search_plugin(says="2"))
            await live.event("reloaded", ID, timeout=SOON_S)
            (INOTIFY / "max_user_watches").write_text("10000")
            await watcher(live, ok=True)
            save(live.plugins / "search/demo_plugin.py", search_plugin(says="3"))
            await live.until(lambda _: (live.mirror().get(ID) or {}).get("version") == "3", timeout=1.5)


@pytest.mark.alone
async def test_no_instance_from_the_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with lowered("max_user_instances", 0):
        async with live_server(home) as live:
            assert "max_user_instances" in await watcher(live, ok=False)
            write(live.plugins / "search/demo_plugin.py", search_plugin())
            await live.event("loaded", ID, timeout=SOON_S)
            (INOTIFY / "max_user_instances").write_text("128")
            await watcher(live, ok=True)


@pytest.mark.alone
async def test_a_new_folder_beyond_the_limit(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write(home / "plugins/search/demo_plugin.py", search_plugin())
    async with live_server(home) as live:
        with lowered("max_user_watches", watches(live.server.process.pid)):
            write(live.plugins / "search/pack_plugin/__init__.py", search_plugin("pack"))
            await watcher(live, ok=False)
            await live.event("loaded", "search/pack", timeout=SOON_S)
            save(live.plugins / "search/pack_plugin/__init__.py", search_plugin("pack", "2"))
            await live.event("reloaded", "search/pack", timeout=SOON_S)
            # What is watched is noticed at once still.
            save(live.plugins / "search/demo_plugin.py", search_plugin(says="2"))
            await live.event("reloaded", ID, timeout=SOON_S)
        await watcher(live, ok=True)
