"""Every way of saving, moving and deleting ends with the right plugins serving and one event for each."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.live import (
    Live,
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


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    async with live_server(tmp_path_factory.mktemp("saving") / "home") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> AsyncIterator[Live]:
    """The module's server, with no plugin and no event so far."""
    await clear(server)
    yield server


async def begin(live: Live, says: str = "1") -> Path:
    """Have one plugin serve, and no event so far."""
    path = save(live.plugins / FILE, search_plugin(says=says))
    await live.event("loaded", ID)
    await live.quiet(0.05)
    live.events.clear()
    return path


def run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(
        command,
        cwd=cwd,
        check=True,
        capture_output=True,
        timeout=20,
        env={**os.environ, "HOME": "/nonexistent"},
    )


async def in_thread(*command: str, cwd: Path | None = None) -> None:
    await asyncio.to_thread(run, *command, cwd=cwd)


# -- one file ----------------------------------------------------------------------------------------------------


async def test_a_new_file_loads(live: Live) -> None:
    write(live.plugins / FILE, search_plugin())
    await only(live, f"loaded {ID}")
    assert await live.answer("demo") == "1"


async def test_a_file_renamed_over_it(live: Live) -> None:
    path = await begin(live)
    save(path, search_plugin(says="2"))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_written_in_place(live: Live) -> None:
    path = await begin(live)
    path.write_text(search_plugin(says="2"))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_two_chunks_in_one_open_are_one_save(live: Live) -> None:
    path = await begin(live)
    text = search_plugin(says="2")
    with path.open("w") as file:
        file.write(text[:90])
        file.flush()
        os.fsync(file.fileno())
        await live.quiet()
        assert live.kinds() == []
        file.write(text[90:])
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_a_new_file_in_two_chunks_is_one_save(live: Live) -> None:
    path = live.plugins / FILE
    path.parent.mkdir(exist_ok=True)
    text = search_plugin()
    with path.open("w") as file:
        file.write(text[:90])
        file.flush()
        # Something else happens meanwhile that makes the whole folder be looked at.
        (live.plugins / "search" / "folder").mkdir()
        await live.quiet()
        assert live.kinds() == []
        file.write(text[90:])
    await only(live, f"loaded {ID}")


async def test_truncated_first_and_written_by_a_second_open(live: Live) -> None:
    path = await begin(live)
    path.write_text("")
    path.write_text(search_plugin(says="2"))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_begun_by_one_open_and_ended_by_another(live: Live) -> None:
    path = await begin(live)
    text = search_plugin(says="2")
    path.write_text(text[:90])
    await asyncio.sleep(0.03)  # time enough to see the half
    with path.open("a") as file:
        file.write(text[90:])
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_a_hard_link(live: Live, tmp_path: Path) -> None:
    outside = live.home / "outside.py"
    outside.write_text(search_plugin())
    (live.plugins / "search").mkdir()
    os.link(outside, live.plugins / FILE)
    await only(live, f"loaded {ID}")
    outside.unlink()


async def test_a_hard_link_over_it(live: Live) -> None:
    path = await begin(live)
    outside = live.home / "outside.py"
    outside.write_text(search_plugin(says="2"))
    os.link(outside, live.home / "second.py")
    os.replace(live.home / "second.py", path)
    await only(live, f"reloaded {ID}")
    outside.unlink()


@pytest.mark.parametrize("command", ["cp", "mv"])
async def test_a_file_from_outside(live: Live, command: str) -> None:
    (live.plugins / "search").mkdir()
    outside = write(live.home / "demo_plugin.py", search_plugin())
    os.utime(outside, (0, 0))
    await in_thread(command, str(outside), str(live.plugins / "search"))
    await only(live, f"loaded {ID}")
    outside.unlink(missing_ok=True)


@pytest.mark.parametrize("command", [("cp", "-r"), ("mv",)])
async def test_a_package_from_outside(live: Live, command: tuple[str, ...]) -> None:
    (live.plugins / "search").mkdir()
    outside = live.home / "demo_plugin"
    write(outside / "__init__.py", search_plugin(imports="from .words import word", expression="word()"))
    write(outside / "words.py", "def word():\n    return 'hello'\n")
    write(outside / "deep" / "data.txt", "text")
    await in_thread(*command, str(outside), str(live.plugins / "search"))
    await only(live, f"loaded {ID}")
    assert await live.answer("demo") == "hello"
    shutil.rmtree(outside, ignore_errors=True)


async def test_a_package_moved_out_and_in_again(live: Live) -> None:
    package = live.plugins / "search" / "demo_plugin"
    write(package / "__init__.py", search_plugin())
    await only(live, f"loaded {ID}")
    live.events.clear()
    package.rename(live.home / "demo_plugin")
    await only(live, f"unloaded {ID}")
    live.events.clear()
    (live.home / "demo_plugin").rename(package)
    await only(live, f"loaded {ID}")


async def test_a_whole_folder_of_plugins_moved_in(live: Live) -> None:
    outside = live.home / "search"
    for number in range(5):
        write(outside / f"p{number}_plugin.py", search_plugin(f"p{number}"))
    outside.rename(live.plugins / "search")
    await only(live, *(f"loaded search/p{number}" for number in range(5)))


async def test_sed(live: Live) -> None:
    path = await begin(live)
    await in_thread("sed", "-i", "s/'1'/'2'/", str(path))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


@pytest.mark.skipif(shutil.which("vim") is None, reason="vim is not installed")
@pytest.mark.parametrize("backupcopy", ["yes", "no", "auto"])
@pytest.mark.parametrize("backup", ["backup", "nobackup nowritebackup", "nobackup writebackup"])
async def test_vim(live: Live, backupcopy: str, backup: str) -> None:
    path = await begin(live)
    settings = f"set nocompatible backupcopy={backupcopy} {backup} swapfile fsync"
    await in_thread("vim", "-Nu", "NONE", "-es", "-c", settings, "-c", "%s/'1'/'2'/", "-c", "wq", str(path))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_a_touched_file_reloads_nothing(live: Live) -> None:
    path = await begin(live)
    path.touch()
    path.write_bytes(path.read_bytes())
    save(path, path.read_text())
    path.chmod(0o600)
    await live.quiet()
    assert live.kinds() == []
    assert (await live.plugin(ID))["generation"] == 1


async def test_there_and_back_ends_as_it_was(live: Live) -> None:
    path = await begin(live, says="A")
    save(path, search_plugin(says="B"))
    save(path, search_plugin(says="A"))
    await live.quiet()
    assert await live.answer("demo") == "A"
    assert set(live.final()) <= {f"reloaded {ID}"}
    assert (await live.plugin(ID))["state"] == "active"


async def test_broken_and_back_ends_as_it_was(live: Live) -> None:
    path = await begin(live, says="A")
    save(path, "broken(")
    await asyncio.sleep(0.02)
    save(path, search_plugin(says="A"))
    await live.quiet()
    assert await live.answer("demo") == "A"
    plugin = await live.plugin(ID)
    assert (plugin["state"], plugin["error"]) == ("active", None)
    assert without_passing({ID: plugin}) == without_passing({ID: live.mirror().get(ID, plugin)})


async def test_many_saves_end_with_the_last(live: Live) -> None:
    path = await begin(live)
    for number in range(100):
        save(path, search_plugin(says=str(number)))
        if number % 10 == 0:
            await asyncio.sleep(0.005)
    await live.until(lambda _: live.mirror().get(ID, {}).get("version") == "99")
    await live.quiet()
    assert await live.answer("demo") == "99"
    assert set(live.final()) == {f"reloaded {ID}"}
    generations = [one.plugin["generation"] for one in live.events if one.kind == "reloaded"]
    assert generations == sorted(set(generations))


async def test_deleted(live: Live) -> None:
    path = await begin(live)
    path.unlink()
    await only(live, f"unloaded {ID}")
    assert (await live.search("demo")).status == 404
    assert await live.listed() == {}


async def test_deleted_and_made_again_at_once(live: Live) -> None:
    path = await begin(live)
    path.unlink()
    path.write_text(search_plugin(says="2"))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_deleted_and_made_again_as_it_was(live: Live) -> None:
    path = await begin(live)
    text = path.read_text()
    path.unlink()
    path.write_text(text)
    await live.quiet()
    assert live.final() == []
    assert await live.answer("demo") == "1"


async def test_deleted_and_made_again_later(live: Live) -> None:
    path = await begin(live)
    path.unlink()
    await only(live, f"unloaded {ID}")
    live.events.clear()
    write(path, search_plugin(says="2"))
    await only(live, f"loaded {ID}")


async def test_a_linked_file(live: Live) -> None:
    target = write(live.home / "elsewhere.py", search_plugin())
    (live.plugins / "search").mkdir()
    (live.plugins / FILE).symlink_to(target)
    await only(live, f"loaded {ID}")
    live.events.clear()
    second = write(live.home / "second.py", search_plugin(says="2"))
    (live.plugins / "search" / ".new").symlink_to(second)
    (live.plugins / "search" / ".new").rename(live.plugins / FILE)
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_a_link_whose_target_goes(live: Live) -> None:
    target = write(live.home / "elsewhere.py", search_plugin())
    (live.plugins / "search").mkdir()
    (live.plugins / FILE).symlink_to(target)
    await only(live, f"loaded {ID}")
    live.events.clear()
    (live.plugins / "search" / ".new").symlink_to(live.home / "nowhere.py")
    (live.plugins / "search" / ".new").rename(live.plugins / FILE)
    await only(live, f"failed {ID}")
    plugin = await live.plugin(ID)
    assert plugin["state"] == "degraded"
    assert plugin["error"]["code"] == "file_dangling_link"
    assert plugin["error"]["file"] == f"plugins/{FILE}"
    assert await live.answer("demo") == "1"


@pytest.mark.parametrize(
    "stem",
    ["名字_plugin", "with space_plugin", "a.b_plugin", "É_plugin", "a'b\"_plugin", "x\n_plugin", "é_plugin"],
)
async def test_odd_file_names(live: Live, stem: str) -> None:
    path = live.plugins / "search" / f"{stem}.py"
    write(path, search_plugin())
    await only(live, f"loaded {ID}")
    assert (await live.plugin(ID))["file"] == f"plugins/search/{stem}.py"
    live.events.clear()
    path.unlink()
    await only(live, f"unloaded {ID}")


async def test_a_name_that_is_no_text(live: Live) -> None:
    folder = os.fsencode(live.plugins / "search")
    os.mkdir(folder)
    with open(folder + b"/\xff_plugin.py", "w") as file:
        file.write(search_plugin())
    write(live.plugins / "search" / "good_plugin.py", search_plugin("good"))
    await live.event("loaded", "search/good")
    await live.quiet()
    listed = await live.listed()
    assert "search/good" in listed
    os.unlink(folder + b"/\xff_plugin.py")


async def test_what_is_no_plugin_is_left_alone(live: Live) -> None:
    folder = live.plugins / "search"
    for name in ("plugin_template.py", "plugin_template_plugin.py", ".demo_plugin.py", "demo_plugin.py~"):
        write(folder / name, search_plugin())
    write(folder / ".hidden" / "demo_plugin.py", search_plugin())
    write(live.plugins / "other" / "demo_plugin.py", search_plugin())
    write(live.plugins / "demo_plugin.py", search_plugin())
    write(folder / "__pycache__" / "demo_plugin.py", search_plugin())
    await live.quiet()
    assert live.kinds() == []
    assert await live.listed() == {}


# -- folders -----------------------------------------------------------------------------------------------------


async def test_the_folder_of_a_type_deleted_and_made_again(live: Live) -> None:
    path = await begin(live)
    shutil.rmtree(live.plugins / "search")
    await only(live, f"unloaded {ID}")
    live.events.clear()
    write(path, search_plugin(says="2"))
    await only(live, f"loaded {ID}")
    live.events.clear()
    save(path, search_plugin(says="3"))
    await only(live, f"reloaded {ID}")


async def test_the_folder_of_a_type_deleted_and_made_again_at_once(live: Live) -> None:
    path = await begin(live)
    shutil.rmtree(live.plugins / "search")
    write(path, search_plugin(says="2"))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "2"


async def test_the_plugin_folder_deleted_and_made_again(live: Live) -> None:
    path = await begin(live)
    shutil.rmtree(live.plugins)
    await only(live, f"unloaded {ID}")
    live.events.clear()
    write(path, search_plugin(says="2"))
    await only(live, f"loaded {ID}")
    live.events.clear()
    save(path, search_plugin(says="3"))
    await only(live, f"reloaded {ID}")
    assert await live.answer("demo") == "3"


async def test_the_plugin_folder_deleted_and_made_again_at_once(live: Live) -> None:
    path = await begin(live)
    shutil.rmtree(live.plugins)
    write(path, search_plugin(says="2"))
    await only(live, f"reloaded {ID}")
    live.events.clear()
    save(path, search_plugin(says="3"))
    await only(live, f"reloaded {ID}")


async def test_the_plugin_folder_exchanged_for_another(live: Live) -> None:
    await begin(live)
    other = live.home / "other"
    write(other / FILE, search_plugin(says="2"))
    write(other / "search" / "more_plugin.py", search_plugin("more"))
    live.plugins.rename(live.home / "old")
    other.rename(live.plugins)
    await only(live, f"reloaded {ID}", "loaded search/more")
    live.events.clear()
    save(live.plugins / FILE, search_plugin(says="3"))
    await only(live, f"reloaded {ID}")
    shutil.rmtree(live.home / "old")


async def test_the_plugin_folder_is_a_link(live: Live) -> None:
    real = live.home / "real"
    live.plugins.rmdir()
    try:
        real.mkdir()
        live.plugins.symlink_to(real)
        path = await begin(live)
        save(path, search_plugin(says="2"))
        await only(live, f"reloaded {ID}")
        live.events.clear()
        second = live.home / "second"
        write(second / FILE, search_plugin(says="3"))
        (live.home / "link").symlink_to(second)
        (live.home / "link").rename(live.plugins)
        await only(live, f"reloaded {ID}")
        live.events.clear()
        save(second / FILE, search_plugin(says="4"))
        await only(live, f"reloaded {ID}")
    finally:
        live.plugins.unlink()
        shutil.rmtree(real)
        shutil.rmtree(live.home / "second", ignore_errors=True)


async def test_a_linked_type_folder(live: Live) -> None:
    real = live.home / "real-search"
    write(real / "demo_plugin.py", search_plugin())
    (live.plugins / "search").symlink_to(real)
    await only(live, f"loaded {ID}")
    live.events.clear()
    (live.plugins / "search").unlink()
    await only(live, f"unloaded {ID}")
    shutil.rmtree(real)


# -- many files --------------------------------------------------------------------------------------------------


async def test_git_checkout_between_branches(live: Live) -> None:
    def git(*arguments: str) -> None:
        run("git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments, cwd=live.plugins)

    path = live.plugins / FILE
    for name in ("demo", "other"):
        write(
            live.plugins / "search" / f"{name}_plugin.py",
            search_plugin(
                name, "1", imports="from plugins.search.words import WORD", expression="'1' + WORD"
            ),
        )
    write(live.plugins / "search" / "words.py", "WORD = 'one'\n")
    write(live.plugins / "search" / "gone_plugin.py", search_plugin("gone"))
    write(live.plugins / "search" / "same_plugin.py", search_plugin("same"))
    await asyncio.to_thread(git, "init", "-q", "-b", "first")
    await asyncio.to_thread(git, "add", ".")
    await asyncio.to_thread(git, "commit", "-qm", "1")
    await live.until(lambda _: len(live.final()) >= 4)
    await asyncio.to_thread(git, "checkout", "-qb", "second")
    write(
        path,
        search_plugin(says="2", imports="from plugins.search.words import OTHER", expression="'2' + OTHER"),
    )
    write(
        live.plugins / "search" / "other_plugin.py",
        search_plugin(
            "other", "2", imports="from plugins.search.words import OTHER", expression="'2' + OTHER"
        ),
    )
    write(live.plugins / "search" / "words.py", "OTHER = 'two'\n")
    (live.plugins / "search" / "gone_plugin.py").unlink()
    write(live.plugins / "search" / "new_plugin.py", search_plugin("new"))
    await asyncio.to_thread(git, "add", ".")
    await asyncio.to_thread(git, "commit", "-qm", "2")
    await live.until(lambda _: (live.mirror().get(ID) or {}).get("version") == "2")
    await live.quiet()
    for branch, answer, gone in (
        ("first", "1one", "new"),
        ("second", "2two", "gone"),
        ("first", "1one", "new"),
    ):
        live.events.clear()
        await asyncio.to_thread(git, "checkout", "-q", branch)
        came = "gone" if gone == "new" else "new"
        await only(
            live,
            f"reloaded {ID}",
            "reloaded search/other",
            f"unloaded search/{gone}",
            f"loaded search/{came}",
        )
        assert await live.answer("demo") == answer
        assert await live.answer("other") == answer


@pytest.mark.parametrize("count", [120, pytest.param(300, marks=pytest.mark.soak)])
async def test_hundreds_of_files_at_once(live: Live, count: int) -> None:
    for number in range(count):
        write(
            live.plugins / "parser" / f"p{number:03}_plugin.py",
            "from service.sdk import ParserPlugin\n\n"
            f"class P(ParserPlugin):\n    name = 'p{number:03}'\n    version = '1'\n    description = ''\n\n"
            "    def parse_url(self, url):\n        return []\n",
        )
    await live.until(lambda _: len(live.final()) >= count, timeout=40)
    await live.quiet()
    assert live.final() == [f"loaded parser/p{number:03}" for number in range(count)]
    assert all(one["state"] == "active" for one in (await live.listed()).values())
    live.events.clear()
    shutil.rmtree(live.plugins / "parser")
    await only(live, *(f"unloaded parser/p{number:03}" for number in range(count)))
